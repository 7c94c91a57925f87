"""Truncated, big-endian, headerless and foreign files: no crash, no silent loss, nothing identifying."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from heartbrain_ingest.issues import ISSUES
from tests.pipeline.conftest import TakenIn
from tests.pipeline.identifying import Identifying, database_texts, file_texts, identifying_by

pytestmark = pytest.mark.shared_data


def test_no_file_is_lost_and_each_one_that_is_refused_has_one_code(odd: TakenIn) -> None:
    files = {path.resolve() for path in odd.inbox.rglob("*") if path.is_file()}
    rows = odd.site.files()
    assert Counter(row.path for row in rows) == dict.fromkeys(files, 1)
    assert {row.outcome for row in rows} <= {"converted", "stored", "ignored", "quarantined"}
    for row in rows:
        assert (row.code in ISSUES) == (row.outcome in {"ignored", "quarantined"})
    assert odd.done.code == 1
    assert "Traceback" not in odd.done.err


def test_what_is_no_mr_image_is_refused_as_such(odd: TakenIn) -> None:
    fates = odd.site.fates(odd.inbox)
    assert fates["pydicom/rtplan.dcm"] == ("quarantined", "RADIOTHERAPY_OBJECT")
    assert fates["pydicom/rtplan_truncated.dcm"] == ("quarantined", "RADIOTHERAPY_OBJECT")
    assert fates["pydicom/examples_ybr_color.dcm"] == ("quarantined", "ULTRASOUND")
    assert fates["pydicom/test-SR.dcm"] == ("quarantined", "STRUCTURED_REPORT")


def test_copies_of_one_instance_that_differ_are_all_kept_back(odd: TakenIn) -> None:
    fates = odd.site.fates(odd.inbox)
    for name in ("MR_small", "MR_small_RLE", "MR_small_bigendian", "MR_small_implicit", "MR_small_padded"):
        assert fates[f"pydicom/{name}.dcm"] == ("quarantined", "CONFLICTING_INSTANCE")


def test_text_burned_into_pixels_is_kept_back(odd: TakenIn) -> None:
    assert odd.site.fates(odd.inbox)["dicognito_burned_in/burned_in_yes.dcm"] == ("quarantined", "SECONDARY_CAPTURE")


def test_two_patients_and_three_studies_are_told_apart(odd: TakenIn) -> None:
    rows = [row for row in odd.site.files() if row.path.parent.name == "dicognito_two_patients"]
    places = {row.path.stem: row.folder for row in rows}
    assert len(rows) == 4
    published = {place for place in places.values() if place}
    assert len(published) == 3
    subjects = {place.split("_sub-")[1][:8] for place in published}
    assert len(subjects) == 2
    assert places["p01_s01_s01_i01"] == places["p01_s01_s01_i02"]


def test_no_identifier_of_any_file_is_published_whatever_its_character_set(odd: TakenIn) -> None:
    by_folder = identifying_by({row.path: row.folder or "refused" for row in odd.site.files()})
    everybody = Identifying()
    for folder, identifying in by_folder.items():
        everybody.merge(identifying, dates=False)
        if folder != "refused":
            assert identifying.search(file_texts(odd.site.archive / folder)) == []
    assert {"äneas", "rüdiger", "люкceмбypг", "διονυσιος"} <= set(everybody.values)  # noqa: RUF001 - the name is spelled so
    assert everybody.search(file_texts(odd.site.archive)) == []
    assert everybody.search(database_texts(odd.site.database)) == []
    assert everybody.search([("log", odd.site.log), ("report", odd.done.out)]) == []


@pytest.mark.parametrize("name", ["chrRuss", "chrGreek", "chrGerm", "chrH31"])
def test_the_search_finds_names_in_the_character_set_of_the_file(shared_data: Path, name: str) -> None:
    path = shared_data / "odd_dicom" / "pydicom_charset" / f"{name}.dcm"
    found = identifying_by({path: "one"})["one"]
    hits = found.search([("original", path.read_bytes().decode("latin-1"))])
    assert "name" in {hit.kind for hit in hits}


def test_a_second_run_changes_nothing_and_still_says_what_needs_the_steward(odd: TakenIn) -> None:
    tree = odd.site.tree()
    again = odd.site.ingest(odd.inbox)
    assert (again.report["new"], again.report["published"], again.report["inserted"]) == (0, [], 0)
    assert again.outcomes == odd.done.outcomes
    assert again.code == 1
    assert odd.site.tree() == tree
