"""What a site states of its protocols reaches sidecar, name and record, also of what is published already."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from heartbrain_ingest.remap import Remap
from heartbrain_ingest.report import RunOptions
from heartbrain_ingest.settings import load_settings
from tests.pipeline.scans import write_bold
from tests.pipeline.site import Site

STATEMENT = r"""
statements:
  - id: site-rest-ap
    when: {manufacturer: philips, words: {matches: '\brest\b'}}
    sidecar: {PhaseEncodingDirection: j-}
"""


def test_an_axis_without_polarity_is_a_property_and_a_statement_adds_the_polarity_to_what_is_published(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    write_bold(inbox, Manufacturer="Philips Medical Systems", InPlanePhaseEncodingDirection="COL")
    site.take_in(inbox)
    shutil.rmtree(inbox)
    assert site.count("BOLDImage WITH PhaseEncodingAxis = j") == 1
    assert site.count("BOLDImage WITH PhaseEncodingDirection") == 0
    rules = site.folder / "crawler_config" / "bids_rules.yml"
    text = rules.read_text(encoding="utf-8")
    assert "\nstatements:\n" in text
    rules.write_text(text.replace("\nstatements:\n", STATEMENT), encoding="utf-8")
    run = Remap(load_settings(site.settings), None, RunOptions(jobs=1))
    (folder,) = run.execute().published
    (path,) = (site.archive / folder).rglob("*_bold.json")
    sidecar = json.loads(path.read_text(encoding="utf-8"))
    assert (sidecar["PhaseEncodingDirection"], sidecar["StatedBy"]) == ("j-", ["site-rest-ap"])
    assert "_dir-AP_" in path.name
    assert "stated by site-rest-ap" in site.run("explain", path.name.replace(".json", ".nii.gz")).out
    assert site.count("BOLDImage WITH PhaseEncodingDirection = j- AND StatedBy = 'site-rest-ap'") == 1
