"""With a defacing program in the settings, neither an image with a face nor its DICOM is published."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.deidentify.test_defacing import STAND_IN
from tests.pipeline.scans import write_series
from tests.pipeline.site import Site

SLICES = 40


@pytest.fixture
def defacing(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a program that takes the face out, and a site whose settings want it."""
    program = tmp_path / "programs" / "fsl_deface"
    program.parent.mkdir()
    program.write_text(STAND_IN.format(python=sys.executable, target=2), encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    settings = site.folder / "heartbrain.yml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("  tool: none", "  tool: fsl_deface"), encoding="utf-8")
    return program


def test_the_defaced_image_is_published_and_its_dicom_is_withheld(site: Site, defacing: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "study", slices=SLICES, Rows=64, Columns=64, PixelData=bytes(range(256)) * 32)
    site.take_in(tmp_path / "study")
    (session,) = site.sessions()
    (image,) = session.rglob("*.nii.gz")
    sidecar = json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text(encoding="utf-8"))
    assert sidecar["DefacingTool"] == "fsl_deface"
    assert sidecar["DefacingToolVersion"] == "unknown"
    assert "SourceSeries" not in sidecar
    assert list(session.rglob("*.zip")) == []
    (withheld,) = (site.folder / "state" / "withheld").rglob("*.zip")
    assert {row["outcome"] for row in site.ledger_rows("files")} == {"converted"}
    assert str(withheld) in {row["destination"].partition("!")[0] for row in site.ledger_rows("files")}


def test_an_image_that_keeps_its_face_is_quarantined(site: Site, defacing: Path, tmp_path: Path) -> None:
    defacing.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    write_series(tmp_path / "study", slices=SLICES, Rows=64, Columns=64, PixelData=bytes(range(256)) * 32)
    site.take_in(tmp_path / "study")
    assert site.sessions() == []
    assert {(row["outcome"], row["code"]) for row in site.ledger_rows("files")} == {("quarantined", "DEFACING_FAILED")}
