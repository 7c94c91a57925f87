"""With a defacing program in the settings, neither an image with a face nor its DICOM is published."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from heartbrain_ingest.remap import Remap
from heartbrain_ingest.report import RunOptions
from heartbrain_ingest.settings import load_settings
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
    (place,) = {row["destination"].partition("!")[0] for row in site.ledger_rows("files")}
    assert place == f"withheld:{withheld.relative_to(site.folder / 'state' / 'withheld').as_posix()}"


def test_an_image_that_keeps_its_face_is_quarantined(site: Site, defacing: Path, tmp_path: Path) -> None:
    defacing.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    write_series(tmp_path / "study", slices=SLICES, Rows=64, Columns=64, PixelData=bytes(range(256)) * 32)
    site.take_in(tmp_path / "study")
    assert site.sessions() == []
    assert {(row["outcome"], row["code"]) for row in site.ledger_rows("files")} == {("quarantined", "DEFACING_FAILED")}


#: An image that shows a face, by its shape.
FACE: dict[str, Any] = {"slices": SLICES, "Rows": 64, "Columns": 64, "PixelData": bytes(range(256)) * 32}


def _withheld(site: Site) -> list[str]:
    folder = site.folder / "state" / "withheld"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.zip"))


def _remap(site: Site, **options: Any) -> Remap:
    run = Remap(load_settings(site.settings), None, RunOptions(jobs=1, **options))
    run.execute()
    return run


def test_a_site_that_moved_makes_a_revision_of_what_it_withholds(site: Site, defacing: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "study" / "a", **FACE)
    site.take_in(tmp_path / "study")
    shutil.rmtree(tmp_path / "study" / "a")
    moved = Site(folder=site.folder.rename(tmp_path / "moved"))
    write_series(tmp_path / "study" / "b", series=5)
    report = moved.take_in(tmp_path / "study")
    assert (len(report.published), report.exit_code) == (1, 0)
    assert {row.outcome for row in moved.files()} == {"converted"}
    assert [name.rpartition("/")[2] for name in _withheld(moved)] == ["0002_t1_mprage_tra.zip"] * 2


def test_a_ledger_with_the_former_paths_of_what_is_withheld_finds_it(
    site: Site, defacing: Path, tmp_path: Path
) -> None:
    write_series(tmp_path / "study", **FACE)
    site.take_in(tmp_path / "study")
    (name,) = _withheld(site)
    with closing(sqlite3.connect(site.folder / "state" / "ledger.db")) as connection, connection:
        connection.execute("UPDATE files SET destination = '/srv/was here/state/withheld/' || substr(destination, 10)")
        connection.execute("PRAGMA user_version = 3")
    site.take_in(tmp_path / "study")
    assert {row["destination"].partition("!")[0] for row in site.ledger_rows("files")} == {f"withheld:{name}"}


def test_what_comes_to_nothing_leaves_no_copy_of_a_face(site: Site, defacing: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "study", **FACE)
    site.take_in(tmp_path / "study")
    before = _withheld(site)
    rules = site.folder / "crawler_config" / "bids_rules.yml"
    rules.write_text(rules.read_text(encoding="utf-8") + "\n# the same\n", encoding="utf-8")
    assert len(_remap(site, dry_run=True).unchanged) == 1
    assert len(_remap(site).unchanged) == 1
    write_series(tmp_path / "study", series=5, OperatorsName="HeartAndBrain")
    assert site.take_in(tmp_path / "study").published == []
    assert _withheld(site) == before
    assert not (site.folder / "state" / "withheld-staged").exists()


def test_check_compares_what_is_withheld_with_its_checksums(site: Site, defacing: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "study", **FACE)
    site.take_in(tmp_path / "study")
    (name,) = _withheld(site)
    assert site.run("check", "--no-bids").code == 0
    path = site.folder / "state" / "withheld" / name
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    done = site.run("check", "--no-bids")
    assert done.code == 1
    assert "0002_t1_mprage_tra.zip has another checksum than when it was published" in done.out


def test_check_names_what_is_withheld_and_gone_with_a_code_and_what_to_do(
    site: Site, defacing: Path, tmp_path: Path
) -> None:
    write_series(tmp_path / "study", **FACE)
    site.take_in(tmp_path / "study")
    (name,) = _withheld(site)
    shutil.rmtree(site.folder / "state" / "withheld")
    done = site.run("check", "--no-bids", "--json")
    assert done.code == 1
    (problem,) = done.report["problems"]
    folder = name.rpartition("/")[0]
    assert problem.startswith(f"withheld/{folder}: WITHHELD_GONE, {SLICES} input files: DICOM that is stored")
    assert "Put it back from a backup" in problem


def test_check_names_a_published_folder_that_is_gone(site: Site, tmp_path: Path) -> None:
    write_series(tmp_path / "study")
    site.take_in(tmp_path / "study")
    (session,) = site.sessions()
    shutil.rmtree(session)
    done = site.run("check", "--no-bids", "--json")
    (problem,) = done.report["problems"]
    assert problem.startswith(f"{session.relative_to(site.archive).as_posix()}: PUBLISHED_GONE, 4 input files: ")
    assert done.code == 1


def test_explain_tries_the_rules_on_what_is_withheld(site: Site, defacing: Path, tmp_path: Path) -> None:
    (path, *_) = write_series(tmp_path / "study", **FACE)
    site.take_in(tmp_path / "study")
    lines = site.run("explain", path).out.splitlines()
    assert any("rule t1 ->" in line for line in lines)
    assert not any("can't be tried" in line for line in lines)
    assert any(line.strip().startswith("not ") for line in lines)


def test_remap_takes_the_faces_out_after_the_settings_ask_for_it(site: Site, defacing: Path, tmp_path: Path) -> None:
    wanted = site.settings.read_text(encoding="utf-8")
    site.settings.write_text(wanted.replace("  tool: fsl_deface", "  tool: none"), encoding="utf-8")
    write_series(tmp_path / "study", **FACE)
    site.take_in(tmp_path / "study")
    site.settings.write_text(wanted, encoding="utf-8")
    _remap(site)
    (sidecar,) = site.sessions()[1].rglob("*_T1w.json")
    assert json.loads(sidecar.read_text(encoding="utf-8"))["DefacingTool"] == "fsl_deface"
    assert len(_withheld(site)) == 1
