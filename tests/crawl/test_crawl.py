from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import linkahead
import pytest

from heartbrain_ingest import crawl
from heartbrain_ingest.errors import DatabaseError

if TYPE_CHECKING:
    from tests.crawl.conftest import Site

STEM = "sub-K7Q2ABCD_ses-20230504"
T1W = f"{STEM}_acq-mprage_ce-gd_run-1_T1w"

Crawl = Callable[[Path], crawl.CrawlReport]


def find(question: str) -> list[Any]:
    return list(linkahead.find(question))


def names(question: str) -> list[str]:
    return sorted(entity.name for entity in find(question))


def target(record: Any, name: str) -> Any:
    """Give the entity that a property refers to."""
    return linkahead.get_entity_by(eid=record.get_property(name).value)


def test_a_crawled_image_is_found_with_typed_properties_units_and_files(site: Site, crawled: Crawl) -> None:
    report = crawled(site.put_session())
    assert (report.updated, report.unchanged) == (0, 0)
    (image,) = find("FIND T1WeightedImage")
    assert image.name == T1W
    time = image.get_property("RepetitionTime")
    assert (time.value, time.datatype, time.unit) == (2.3, "DOUBLE", "s")
    size = image.get_property("VoxelSize")
    assert (size.value, size.datatype, size.unit) == ([2.0, 2.0, 3.0], "LIST<DOUBLE>", "mm")
    assert image.get_property("NonlinearGradientCorrection").value is True
    folder = f"/ExperimentalData/2023_HeartAndBrain/2023-05-04_{STEM}"
    assert target(image, "ImageFile").path == f"{folder}/sub-K7Q2ABCD/ses-20230504/anat/{T1W}.nii.gz"
    assert target(image, "DicomArchive").path == f"{folder}/sourcedata/dicom/0004_t1_mprage.zip"
    assert target(image, "Session").name == STEM


def test_crawling_a_folder_again_changes_nothing(site: Site, crawled: Crawl) -> None:
    folder = site.put_session()
    first = crawled(folder)
    again = crawled(folder)
    assert (again.inserted, again.updated, again.unchanged) == (0, 0, first.inserted)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("FIND T1WeightedImage WITH RepetitionTime > 2 s", [T1W]),
        ("FIND T1WeightedImage WITH RepetitionTime > 2400 ms", []),
        ("FIND MRImage WITH EchoTime < 5 ms", [T1W]),
        ("FIND DiffusionWeightedImage WITH BValues=1000", [f"{STEM}_dir-AP_dwi"]),
        ("FIND DiffusionWeightedImage WITH BValues=999", []),
        ("FIND DiffusionWeightedImage WITH NumberOfBValuesBelow200 >= 6", [f"{STEM}_dir-AP_dwi"]),
        ("FIND MRImage WITH task=rest", [f"{STEM}_task-rest_bold"]),
        ("FIND T1WeightedImage WITH ce AND Session.Age > 30", [T1W]),
        ("FIND T1WeightedImage WHICH HAS A Session WITH Age > 40", []),
        ("FIND ECGRecording WITH OverlapFraction > 0.95", [f"{STEM}_task-rest_recording-cardiac_physio"]),
        ("FIND Session WHICH IS REFERENCED BY ECGRecording WITH (OverlapFraction > 0.95 AND RecordedDuring)", [STEM]),
        ("FIND BOLDImage WHICH IS REFERENCED BY ECGRecording", [f"{STEM}_task-rest_bold"]),
        ("FIND Person", ["Ada Lovelace"]),
        ("FIND Session WITH Date IN 2023-05", [STEM]),
    ],
)
def test_questions_of_a_researcher_are_answered(site: Site, crawled: Crawl, question: str, expected: list[str]) -> None:
    crawled(site.put_session())
    assert names(question) == expected


def test_all_images_of_a_subject_are_found_by_its_pseudonym(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    assert names("FIND MRImage WHICH HAS A Subject WITH name='sub-K7Q2ABCD'") == [
        T1W,
        f"{STEM}_desc-odd_unclassified",
        f"{STEM}_dir-AP_dwi",
        f"{STEM}_localizer",
        f"{STEM}_task-rest_bold",
    ]


def test_everything_of_one_session_is_found_in_one_question(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    assert len(find(f"FIND Acquisition WITH Session='{STEM}'")) == 6


def test_fields_that_the_model_does_not_know_arrive_in_one_text_and_are_reported(site: Site, crawled: Crawl) -> None:
    report = crawled(site.put_session())
    (image,) = find("FIND T1WeightedImage")
    assert json.loads(image.get_property("OtherSidecarFields").value) == {
        "PartialFourier": "6/8",
        "VendorSecretNumber": 42,
    }
    codes = {(warning.code, warning.text) for warning in report.warnings if warning.path.endswith("T1w.json")}
    assert codes == {
        ("UNFIT_SIDECAR_VALUE", f"{T1W}.json: PartialFourier is no DOUBLE; kept as text"),
        ("UNKNOWN_SIDECAR_FIELD", f"{T1W}.json: not in the data model, kept as text: VendorSecretNumber"),
    }


def test_warnings_name_fields_and_never_values(site: Site, crawled: Crawl) -> None:
    folder = site.put_session(t1w={"RecordType": "Doe^Jane", "EchoTime": "Doe^Jane", "Odd": "Doe^Jane"})
    texts = [warning.text for warning in crawled(folder).warnings]
    assert len(texts) >= 3
    assert not [text for text in texts if "Doe" in text]


def test_a_broken_sidecar_is_reported_and_the_rest_goes_in(site: Site, crawled: Crawl) -> None:
    folder = site.put_session()
    (folder / "sourcedata" / "localizer" / f"{STEM}_localizer.json").write_text("{", encoding="ascii")
    report = crawled(folder)
    assert "INVALID_SIDECAR" in {warning.code for warning in report.warnings}
    assert names("FIND MRImage WITH BIDSSuffix=localizer") == [f"{STEM}_localizer"]
    assert names("FIND T1WeightedImage") == [T1W]


def test_a_revision_moves_the_records_to_its_files(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    (before,) = find("FIND T1WeightedImage")
    changed = {"RecordType": "T1WeightedImage", "RepetitionTime": 2.5}
    report = crawled(site.put_session(revision=2, t1w=changed))
    (after,) = find("FIND T1WeightedImage")
    assert after.id == before.id
    assert target(after, "ImageFile").path == (
        f"/ExperimentalData/2023_HeartAndBrain/2023-05-04_{STEM}_rev-2/sub-K7Q2ABCD/ses-20230504/anat/{T1W}.nii.gz"
    )
    assert after.get_property("RepetitionTime").value == 2.5
    assert (len(find("FIND Session")), len(find("FIND Acquisition"))) == (1, 6)
    assert find("FIND Session")[0].get_property("Revision").value == 2
    assert report.superseded == 0
    assert report.updated == 7


def test_a_revision_takes_away_what_it_no_longer_has(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    crawled(site.put_session(revision=2, t1w={"RecordType": "T2WeightedImage", "RepetitionTime": 2.5}))
    assert find("FIND T1WeightedImage") == []
    (image,) = find("FIND T2WeightedImage")
    assert image.get_property("EchoTime") is None
    assert image.get_property("OtherSidecarFields") is None
    assert image.get_property("DicomArchive") is None


def test_an_image_that_a_revision_names_otherwise_is_found_once(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    folder = site.put_session(revision=2)
    for file in folder.rglob(f"{STEM}_localizer.*"):
        file.rename(file.with_name(file.name.replace("_localizer", "_desc-scout_localizer")))
    report = crawled(folder)
    assert names("FIND LocalizerImage") == [f"{STEM}_desc-scout_localizer"]
    assert names("FIND SupersededAcquisition") == [f"{STEM}_localizer"]
    assert report.superseded == 1
    again = crawled(folder)
    assert (again.inserted, again.updated, again.superseded) == (0, 0, 0)


def test_what_others_added_to_a_record_survives_a_revision(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session())
    linkahead.Property(name="QualityRating", datatype=linkahead.INTEGER).insert()
    (image,) = find("FIND T1WeightedImage")
    image.add_property(name="QualityRating", value=4).update()
    crawled(site.put_session(revision=2))
    assert find("FIND T1WeightedImage")[0].get_property("QualityRating").value == 4


def test_crawling_an_older_revision_again_changes_nothing(site: Site, crawled: Crawl) -> None:
    first = site.put_session()
    crawled(first)
    crawled(site.put_session(revision=2))
    report = crawled(first)
    assert (report.inserted, report.updated) == (0, 0)
    assert "OLDER_REVISION" in {warning.code for warning in report.warnings}
    assert find("FIND Session")[0].get_property("Revision").value == 2


def test_a_value_that_becomes_a_list_in_a_revision_is_stored_as_one(site: Site, crawled: Crawl) -> None:
    crawled(site.put_session(t1w={"RecordType": "T1WeightedImage", "InversionTime": 0.9}))
    crawled(site.put_session(revision=2, t1w={"RecordType": "T1WeightedImage", "InversionTime": [0.7, 2.5]}))
    time = find("FIND T1WeightedImage")[0].get_property("InversionTime")
    assert (time.value, time.datatype, time.unit) == ([0.7, 2.5], "LIST<DOUBLE>", "s")


def test_texts_that_xml_would_spoil_stay_unchanged_when_crawled_again(site: Site, crawled: Crawl) -> None:
    folder = site.put_session(
        t1w={
            "RecordType": "T1WeightedImage",
            "SeriesDescription": ' <t1> & "x"\r\n\tÄ\x00 ',
            "ImageType": ["", " A "],
            "ScanOptions": "",
            "Odd": "\x1b \r\n ",
            "SAR": 1e-17,
            "ShimSetting": [0.1, -3],
        }
    )
    crawled(folder)
    report = crawled(folder)
    assert (report.inserted, report.updated) == (0, 0)
    assert find("FIND T1WeightedImage")[0].get_property("SeriesDescription").value == '<t1> & "x"\n\tÄ'


def test_two_sessions_of_a_subject_share_the_subject(site: Site, crawled: Crawl) -> None:
    first = site.put_session()
    crawled(first)
    second = site.project / "2023-06-01_sub-K7Q2ABCD_ses-20230601"
    site.put_image(second / "sourcedata" / "localizer", "sub-K7Q2ABCD_ses-20230601_localizer", {})
    facts = json.loads((first / "session.json").read_text(encoding="utf-8")) | {"Date": "2023-06-01"}
    (second / "session.json").write_text(json.dumps(facts), encoding="utf-8")
    crawled(second)
    assert names("FIND Session") == [STEM, "sub-K7Q2ABCD_ses-20230601"]
    assert len(find("FIND Subject")) == len(find("FIND Project")) == len(find("FIND Person")) == 1


def test_a_crawl_writes_nothing_to_standard_output_or_the_shared_temporary_folder(
    site: Site, crawled: Crawl, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHARED_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = tempfile.gettempdir()
    capfd.readouterr()
    crawled(site.put_session())
    assert capfd.readouterr().out == ""
    assert tempfile.gettempdir() == before
    assert os.environ["SHARED_DIR"] == str(tmp_path / "none")


def test_a_folder_that_the_definition_does_not_know_is_refused(site: Site, crawled: Crawl) -> None:
    odd = site.project / "notes"
    odd.mkdir(parents=True)
    with pytest.raises(DatabaseError, match="no converter for notes"):
        crawled(odd)


def test_a_database_without_the_data_model_refuses_the_records_and_keeps_no_trace(
    site: Site, crawled: Crawl, tmp_path: Path
) -> None:
    folder = site.put_session()
    crawl.connect(ini=None, database=tmp_path / "empty.db", file_root=site.archive)
    with pytest.raises(DatabaseError, match=f"crawling {folder.name}"):
        crawled(folder)
    assert linkahead.count("COUNT ENTITY WITH id > 99") == 0
