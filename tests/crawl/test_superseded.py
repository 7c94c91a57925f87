"""What is left of images and recordings that a later revision of their session names otherwise or drops."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import linkahead
import pytest

from heartbrain_ingest import crawl

if TYPE_CHECKING:
    from tests.crawl.conftest import Site

STEM = "sub-K7Q2ABCD_ses-20230504"
KINDS = {"cardiac": "ECGRecording", "respiratory": "RespirationRecording"}

Crawl = Callable[[Path], crawl.CrawlReport]


def find(question: str) -> list[Any]:
    return list(linkahead.find(question))


def names(question: str) -> list[str]:
    return sorted(entity.name for entity in find(question))


def during(recording: str) -> list[str]:
    """Give the names of the images that a recording refers to."""
    (record,) = find(f"FIND RECORD WITH name='{recording}'")
    prop = record.get_property("RecordedDuring")
    return [] if prop is None else sorted(linkahead.get_entity_by(eid=value).name for value in prop.value)


def put_bold(site: Site, folder: Path, run: str = "", recordings: tuple[str, ...] = (), **sidecar: object) -> None:
    """Add a BOLD image and recordings that ran meanwhile."""
    func = folder / "sub-K7Q2ABCD" / "ses-20230504" / "func"
    site.put_image(func, f"{STEM}_task-rest{run}_bold", {"RecordType": "BOLDImage", "TaskName": "rest"}, (4, 4, 3, 5))
    for label in recordings:
        put_recording(func, label, run, **sidecar)


def put_recording(func: Path, label: str, run: str = "", **sidecar: object) -> None:
    stem = func / f"{STEM}_task-rest{run}_recording-{label}_physio"
    with gzip.GzipFile(f"{stem}.tsv.gz", "wb", mtime=0) as table:
        table.write(b"0.1\n0.2\n")
    facts = {"RecordType": KINDS[label], "SamplingFrequency": 400, "StartTime": 0, "Columns": [label], **sidecar}
    Path(f"{stem}.json").write_text(json.dumps(facts), encoding="utf-8")


def session(site: Site, revision: int = 1) -> Path:
    """Publish a session without any BOLD image or recording."""
    folder = site.put_session(revision=revision)
    for file in (folder / "sub-K7Q2ABCD" / "ses-20230504" / "func").iterdir():
        file.unlink()
    return folder


@pytest.fixture
def before(site: Site, crawled: Crawl) -> None:
    """Crawl a session with one BOLD image and two recordings."""
    folder = session(site)
    put_bold(site, folder, recordings=("cardiac", "respiratory"), MeanRate=62.5)
    crawled(folder)
    assert during(f"{STEM}_task-rest_recording-cardiac_physio") == [f"{STEM}_task-rest_bold"]


def assert_settled(crawled: Crawl, folder: Path) -> None:
    """Crawling again changes nothing, and the database would accept each record as it is."""
    again = crawled(folder)
    assert (again.inserted, again.updated, again.superseded) == (0, 0, 0)
    for record in find("FIND RECORD"):
        record.update(unique=False)


@pytest.mark.usefixtures("before")
def test_a_second_bold_run_supersedes_the_unnumbered_image_and_its_recordings(site: Site, crawled: Crawl) -> None:
    folder = session(site, revision=2)
    put_bold(site, folder, "_run-1", ("cardiac", "respiratory"))
    put_bold(site, folder, "_run-2")
    report = crawled(folder)
    assert report.superseded == 3
    assert names("FIND BOLDImage") == [f"{STEM}_task-rest_run-1_bold", f"{STEM}_task-rest_run-2_bold"]
    assert names("FIND SupersededAcquisition") == [
        f"{STEM}_task-rest_bold",
        f"{STEM}_task-rest_recording-cardiac_physio",
        f"{STEM}_task-rest_recording-respiratory_physio",
    ]
    assert names("FIND PhysiologicalRecording") == [
        f"{STEM}_task-rest_run-1_recording-cardiac_physio",
        f"{STEM}_task-rest_run-1_recording-respiratory_physio",
    ]
    for label in KINDS:
        assert during(f"{STEM}_task-rest_run-1_recording-{label}_physio") == [f"{STEM}_task-rest_run-1_bold"]
        # What a result was made of can still be told.
        assert during(f"{STEM}_task-rest_recording-{label}_physio") == [f"{STEM}_task-rest_bold"]
    assert_settled(crawled, folder)


@pytest.mark.usefixtures("before")
def test_a_recording_is_superseded_alone_and_its_image_in_the_next_revision(site: Site, crawled: Crawl) -> None:
    second = session(site, revision=2)
    put_bold(site, second, recordings=("respiratory",))
    crawled(second)
    assert names("FIND SupersededAcquisition") == [f"{STEM}_task-rest_recording-cardiac_physio"]
    assert during(f"{STEM}_task-rest_recording-cardiac_physio") == [f"{STEM}_task-rest_bold"]
    assert names("FIND BOLDImage") == [f"{STEM}_task-rest_bold"]
    assert_settled(crawled, second)
    third = session(site, revision=3)
    put_bold(site, third, "_run-1", ("respiratory",))
    crawled(third)
    assert names("FIND BOLDImage") == [f"{STEM}_task-rest_run-1_bold"]
    assert len(find("FIND SupersededAcquisition")) == 3
    assert_settled(crawled, third)


@pytest.mark.usefixtures("before")
def test_a_recording_that_stays_leaves_an_image_that_goes_although_it_loses_a_property_itself(
    site: Site, crawled: Crawl
) -> None:
    folder = session(site, revision=2)
    put_recording(folder / "sub-K7Q2ABCD" / "ses-20230504" / "func", "cardiac")
    put_recording(folder / "sub-K7Q2ABCD" / "ses-20230504" / "func", "respiratory")
    assert crawled(folder).superseded == 1
    assert names("FIND SupersededAcquisition") == [f"{STEM}_task-rest_bold"]
    assert len(find("FIND PhysiologicalRecording")) == 2
    assert during(f"{STEM}_task-rest_recording-cardiac_physio") == []
    assert_settled(crawled, folder)


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize("referring", ["T1WeightedImage", "Session", "Subject", "ECGRecording"])
@pytest.mark.parametrize("version", [False, True])
def test_what_others_let_a_record_refer_to_stays_when_it_is_superseded(
    site: Site, crawled: Crawl, referring: str, version: bool
) -> None:
    linkahead.Property(name="ComparedWith", datatype="MRImage").insert()
    (old,) = find("FIND BOLDImage")
    reference = f"{old.id}@{old.version.id}" if version else old.id
    (record,) = find(f"FIND {referring}")
    record.add_property(name="ComparedWith", value=reference).update()
    folder = session(site, revision=2)
    put_bold(site, folder, "_run-1")
    crawled(folder)
    assert linkahead.get_entity_by(eid=record.id).get_property("ComparedWith").value == reference
    assert_settled(crawled, folder)


@pytest.mark.usefixtures("before")
def test_a_result_of_others_that_refers_to_a_superseded_image_is_left_alone(site: Site, crawled: Crawl) -> None:
    linkahead.RecordType(name="Segmentation").insert()
    (old,) = find("FIND BOLDImage")
    result = linkahead.Record(name="by hand").add_parent("Segmentation")
    result.add_property(name="MRImage", value=old.id).insert()
    folder = session(site, revision=2)
    put_bold(site, folder, "_run-1")
    crawled(folder)
    after = linkahead.get_entity_by(eid=result.id)
    assert after.version.id == result.version.id
    assert after.get_property("MRImage").value == old.id
    assert names("FIND Segmentation WITH MRImage") == ["by hand"]
