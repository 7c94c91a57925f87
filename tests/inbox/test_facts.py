from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian

from heartbrain_ingest.inbox import FileFacts, classify_files, walk
from heartbrain_ingest.inbox.facts import looks_like_dicom
from tests.pipeline.scans import make_slice, write

LIMIT = 10**8


def _classify(path: Path, limit: int = LIMIT) -> FileFacts:
    facts, header = next(iter(classify_files(walk(path), limit=limit)))
    assert (header is None) == (facts.code is not None or facts.dicom is None)
    return facts


def _write_as(dataset: Dataset, path: Path, syntax: UID) -> Path:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    return path


def test_an_image_is_sorted_by_what_its_header_says(tmp_path: Path) -> None:
    facts = _classify(write(make_slice(3, series=7, StationName="MR7"), tmp_path / "x"))
    assert (facts.kind, facts.code) == ("dicom", None)
    dicom = facts.dicom
    assert dicom is not None
    assert (dicom.patient_id, dicom.patient_name, dicom.birth_date, dicom.sex) == (
        "HB0099",
        "Quandt^Oskar",
        "19710203",
        "M",
    )
    assert (dicom.series_number, dicom.instance_number, dicom.station_name) == (7, 3, "MR7")
    assert (dicom.study_date, dicom.study_time, dicom.has_geometry) == ("20230504", "101500", True)
    assert dicom.study.startswith("1.2.826.")


def test_an_image_has_the_same_facts_packed_big_endian_and_implicit(tmp_path: Path) -> None:
    plain = _classify(write(make_slice(1), tmp_path / "plain"))
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    for path in (
        packed,
        _write_as(make_slice(1), tmp_path / "big", ExplicitVRBigEndian),
        _write_as(make_slice(1), tmp_path / "implicit", ImplicitVRLittleEndian),
    ):
        assert _classify(path).dicom == plain.dicom


@pytest.mark.parametrize("keyword", ["StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"])
def test_any_date_of_the_header_dates_the_study_when_the_first_is_missing(tmp_path: Path, keyword: str) -> None:
    dataset = make_slice(1)
    del dataset.StudyDate
    setattr(dataset, keyword, "20220102")
    facts = _classify(write(dataset, tmp_path / "x"))
    assert facts.dicom is not None
    assert facts.dicom.study_date == "20220102"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"PixelData": None}, "TRUNCATED_DICOM"),
        ({"PixelData": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.66"}, "NO_PIXEL_DATA"),
        ({"PixelData": None, "Modality": "RTPLAN"}, "RADIOTHERAPY_OBJECT"),
        ({"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "NOT_MR_IMAGE"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "ImageOrientationPatient": None}, "SECONDARY_CAPTURE"),
        ({"BurnedInAnnotation": "YES"}, "BURNED_IN_TEXT"),
        ({"StudyInstanceUID": ""}, "NO_STUDY_UID"),
        ({"SeriesInstanceUID": ""}, "INVALID_DICOM"),
        ({"SOPClassUID": "1.2.840.10008.1.3.10", "PixelData": None}, "DIRECTORY_FILE"),
    ],
)
def test_what_can_not_become_an_image_has_a_code_and_a_digest(
    tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    path = write(make_slice(1, **change), tmp_path / "x")
    facts = _classify(path)
    assert facts.code == code
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_numbers_that_are_none_count_as_zero(tmp_path: Path) -> None:
    dataset = make_slice(1)
    del dataset.SeriesNumber, dataset.InstanceNumber
    facts = _classify(write(dataset, tmp_path / "x"))
    assert facts.dicom is not None
    assert (facts.dicom.series_number, facts.dicom.instance_number) == (0, 0)


@pytest.mark.parametrize("content", [b"hello", b"\x08\x00\x05", b"II*\x00" * 50, b"%PDF-1.7", bytes(200)])
def test_what_is_no_dicom_is_left_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    facts = _classify(tmp_path / "x")
    assert (facts.kind, facts.code) == ("other", "NOT_DICOM")


@pytest.mark.parametrize("part", [0.14, 0.2, 0.3, 0.45, 0.6, 0.7, 0.85, 0.95, 0.999])
def test_a_file_cut_anywhere_in_its_header_is_refused_and_never_breaks(tmp_path: Path, part: float) -> None:
    content = write(make_slice(1), tmp_path / "x").read_bytes()
    header = content.index(b"\xe0\x7f\x10\x00")
    (tmp_path / "x").write_bytes(content[: int(header * part)])
    facts = _classify(tmp_path / "x")
    assert facts.code in {"TRUNCATED_DICOM", "INVALID_DICOM"}


def test_too_large_when_unpacked_damaged_and_empty_files_have_their_codes(tmp_path: Path) -> None:
    plain = write(make_slice(1), tmp_path / "plain").read_bytes()
    packed, cut, empty = tmp_path / "packed", tmp_path / "cut", tmp_path / "empty"
    packed.write_bytes(gzip.compress(plain))
    cut.write_bytes(gzip.compress(plain)[:200])
    empty.touch()
    assert _classify(packed, limit=len(plain) - 1).code == "TOO_LARGE"
    assert _classify(cut).code == "DAMAGED_ARCHIVE"
    assert _classify(empty).code == "EMPTY_FILE"


def test_dicom_is_known_by_its_mark_or_by_its_first_element_in_either_byte_order() -> None:
    assert looks_like_dicom(bytes(128) + b"DICM")
    assert looks_like_dicom(b"\x08\x00\x05\x00CS\x0a\x00")
    assert looks_like_dicom(b"\x00\x08\x00\x05CS\x00\x0a")
    assert looks_like_dicom(b"\x08\x00\x00\x00\x04\x00\x00\x00")
    assert not looks_like_dicom(b"\x08\x00\x05\x00\xff\xff\xff\xff")
    assert not looks_like_dicom(b"DICM" + bytes(200))
    assert not looks_like_dicom(b"")
