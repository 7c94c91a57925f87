"""A revision holds all that the one before it held, or there is none: what is published is never lost to what comes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from heartbrain_ingest.quarantine import listed, release
from heartbrain_ingest.settings import load_settings
from tests.pipeline.scans import write_series
from tests.pipeline.site import PROJECT, Site

#: The name of the project, which stands in what is published: as the name of a person it is a leak.
LEAK = {"OperatorsName": PROJECT.partition("_")[2]}


def _outcomes(site: Site, folder: Path) -> set[tuple[str, str | None]]:
    return {(row.outcome, row.code) for row in site.files() if row.path.is_relative_to(folder)}


def _archives(session: Path) -> list[str]:
    return sorted(path.name[:4] for path in session.rglob("sourcedata/dicom/*.zip"))


def test_a_refused_revision_leaves_what_is_published_in_the_ledger_and_in_the_next_revision(
    site: Site, tmp_path: Path
) -> None:
    early, late = tmp_path / "study" / "a", tmp_path / "study" / "b"
    write_series(early)
    site.take_in(tmp_path / "study")
    places = {row.destination for row in site.files()}
    write_series(late, series=5, **LEAK)
    assert site.take_in(tmp_path / "study").exit_code == 1
    assert _outcomes(site, early) == {("converted", None)}
    assert _outcomes(site, late) == {("quarantined", "LEAK")}
    assert {row.destination for row in site.files()} == places | {None}
    shutil.rmtree(early)  # the inbox needs not hold what is published
    site.take_in(tmp_path / "study")
    release(load_settings(site.settings), ["LEAK"], "the hit is the name of the project")
    report = site.take_in(tmp_path / "study")
    assert [folder.rpartition("_")[2] for folder in report.published] == ["rev-2"]
    assert _archives(site.sessions()[1]) == ["0002", "0005"]


def test_a_revision_that_would_lack_a_published_series_is_refused_and_says_what_failed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late = tmp_path / "study" / "a", tmp_path / "study" / "b"
    write_series(early, slices=40, Rows=64, Columns=64, PixelData=bytes(range(256)) * 32)
    site.take_in(tmp_path / "study")
    before = site.tree()
    program = tmp_path / "programs" / "fsl_deface"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    site.settings.write_text(site.settings.read_text().replace("  tool: none", "  tool: fsl_deface"))
    write_series(late, series=5)  # too few slices to show a face
    report = site.take_in(tmp_path / "study")
    assert (report.published, report.exit_code, dict(report.refused)) == ([], 1, {"DEFACING_FAILED": 1})
    assert site.tree() == before
    assert _outcomes(site, early) == {("converted", None)}
    assert _outcomes(site, late) == {("quarantined", "REVISION_FAILED")}
    (group,) = listed(load_settings(site.settings))
    assert "series 2: DEFACING_FAILED" in group.places
    program.write_text("#!/bin/sh\ncp $1 $2\n")
    site.settings.write_text(site.settings.read_text().replace("  tool: fsl_deface", "  tool: none"))
    release(load_settings(site.settings), ["REVISION_FAILED"])
    site.take_in(tmp_path / "study")
    assert _archives(site.sessions()[1]) == ["0002", "0005"]


def test_what_can_not_be_read_again_comes_into_the_revision_from_its_stored_copy(site: Site, tmp_path: Path) -> None:
    early, late = tmp_path / "study" / "a", tmp_path / "study" / "b"
    paths = write_series(early)
    site.take_in(tmp_path / "study")
    paths[1].unlink()
    paths[1].mkdir()  # there, and nothing that can be read
    write_series(late, series=5)
    report = site.take_in(tmp_path / "study")
    assert report.exit_code == 0
    first, second = site.sessions()
    assert _archives(second) == ["0002", "0005"]
    (before,), (after,) = first.rglob("*_T1w.nii.gz"), second.rglob("*run-1_T1w.nii.gz")
    assert after.read_bytes() == before.read_bytes()


def test_a_damaged_stored_copy_refuses_the_revision_and_not_the_night(site: Site, tmp_path: Path) -> None:
    early, late = tmp_path / "study" / "a", tmp_path / "study" / "b"
    write_series(early)
    site.take_in(tmp_path / "study")
    (archive,) = site.archive.rglob("*.zip")
    archive.unlink()
    shutil.rmtree(early)
    write_series(late, series=5)
    write_series(tmp_path / "study" / "c", PatientID="HB0100", PatientName="Else^Some")
    report = site.take_in(tmp_path / "study")
    assert (len(report.published), dict(report.refused)) == (1, {"UNREADABLE_FILE": 1})
    assert _outcomes(site, early) == {("converted", None)}
    assert _outcomes(site, late) == {("quarantined", "REVISION_FAILED")}
