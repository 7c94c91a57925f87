"""What the portal brings along from others is what they published."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import heartbrain_ingest.portal

VENDOR = Path(heartbrain_ingest.portal.__file__).parent / "static" / "vendor"


def test_each_vendored_file_has_the_checksum_and_the_licence_that_its_table_says() -> None:
    text = (VENDOR / "README.md").read_text(encoding="utf-8")
    said = dict(
        re.findall(r"^\| `([^`]+)` \|.*\| (?:0BSD|BSD-2-Clause)[^|]* \| `([0-9a-f]{64})` \|$", text, re.MULTILINE)
    )
    files = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in VENDOR.iterdir() if one.suffix == ".js"}
    assert said == files
    for licence in ("BSD 2-Clause License", "Permission is hereby granted", "ISC License", "with or without fee"):
        assert licence in text
