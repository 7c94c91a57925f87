from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from heartbrain_ingest import dicom
from heartbrain_ingest.deidentify import Deidentifier, IdentifierCollector, Identifiers
from heartbrain_ingest.dicom import DicomFileError, EmptyFileError, NotDicomError, TruncatedDicomError
from heartbrain_ingest.issues import ISSUES
from tests.deidentify.conftest import SUBJECT, as_file, make_header

PATIENT_ID = 0x00100020
REFUSED = {
    "MR_truncated.dcm": TruncatedDicomError,
    "rtplan_truncated.dcm": TruncatedDicomError,
    "no_meta.dcm": NotDicomError,
}


def test_an_empty_file_has_its_own_error() -> None:
    with pytest.raises(EmptyFileError):
        dicom.read(b"")


@pytest.mark.parametrize("data", [b"x", b"hello world, this is text", b"\x89PNG\r\n\x1a\n" + bytes(500), bytes(2000)])
def test_other_files_are_not_dicom(data: bytes) -> None:
    with pytest.raises(NotDicomError):
        dicom.read(data)


@pytest.mark.parametrize("left", [200, 400, 600])
def test_a_file_cut_short_has_its_own_error(left: int) -> None:
    with pytest.raises(TruncatedDicomError):
        dicom.read(as_file(make_header())[:left])


def test_pixels_that_are_missing_are_noticed() -> None:
    header = make_header(
        Rows=4,
        Columns=4,
        BitsAllocated=16,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        PixelRepresentation=0,
    )
    header.add_new(0x7FE00010, "OW", bytes(30))
    with pytest.raises(TruncatedDicomError):
        dicom.read(as_file(header))


def test_each_error_names_a_code_of_the_catalogue() -> None:
    errors: list[type[DicomFileError]] = [DicomFileError, *DicomFileError.__subclasses__()]
    assert {error.code for error in errors} <= set(ISSUES)
    assert len({error.code for error in errors}) == len(errors)


def test_a_file_without_preamble_and_meta_header_is_read() -> None:
    data = as_file(make_header())
    body = data[data.index(b"\x08\x00\x05\x00") :]
    assert dicom.read(body).text(PATIENT_ID) == "HB-48151623"


def test_a_deflated_file_is_stored_inflated(deidentifier: Deidentifier) -> None:
    original = pydicom.dcmread(io.BytesIO(as_file(make_header())))
    original.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    original.save_as(buffer, enforce_file_format=True)
    assert b"HB-48151623" not in buffer.getvalue()
    file = dicom.read(buffer.getvalue())
    assert file.text(PATIENT_ID) == "HB-48151623"
    written = pydicom.dcmread(io.BytesIO(deidentifier.deidentify(file, SUBJECT, Identifiers())))
    assert written.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert written.RepetitionTime == 400


@pytest.mark.shared_data
def test_odd_files_are_refused_with_a_reason_or_come_out_clean(shared_data: Path, deidentifier: Deidentifier) -> None:
    outcome: dict[str, type[Exception]] = {}
    done = 0
    for path in sorted((shared_data / "odd_dicom").rglob("*.dcm")):
        try:
            file = dicom.read(path.read_bytes())
        except DicomFileError as error:
            outcome[path.name] = type(error)
            continue
        collector = IdentifierCollector()
        collector.add(file)
        data = deidentifier.deidentify(file, SUBJECT, collector.identifiers)
        again = pydicom.dcmread(io.BytesIO(data))
        assert again.PatientID == "sub-K7Q2ABCD", path.name
        done += 1
    assert outcome == REFUSED
    assert done == 34


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["chrFren", "chrGerm", "chrGreek", "chrRuss", "chrH31", "chrArab"])
def test_names_in_other_character_sets_are_collected(shared_data: Path, name: str) -> None:
    path = shared_data / "odd_dicom" / "pydicom_charset" / f"{name}.dcm"
    collector = IdentifierCollector()
    collector.add(dicom.read(path.read_bytes()))
    original = str(pydicom.dcmread(path).PatientName).split("=")[0]
    assert original in {value for _, value in collector.identifiers.values}


def padded_image(comment: str = "") -> bytes:
    header = make_header(Rows=4, Columns=4, BitsAllocated=16, SamplesPerPixel=1, ImageComments=comment)
    header.add_new(0x7FE00010, "OW", bytes(32))
    return as_file(header)


def test_a_header_is_read_without_its_pixels_however_long_it_is() -> None:
    data = padded_image("c" * 10000)
    cut = data.index(b"\xe0\x7f\x10\x00") + 12
    file = io.BytesIO(data[:cut])
    header = dicom.read_header(file.read(1000), file, len(data))
    assert header.has_pixels
    assert not header.is_cut_short
    assert header.text(PATIENT_ID) == "HB-48151623"
    assert 0x7FE00010 not in header.elements


def test_of_a_header_that_is_cut_short_the_beginning_is_given() -> None:
    data = padded_image()
    half = data[: data.index(b"HB-48151623") + 20]
    header = dicom.read_header(half, io.BytesIO(half), len(half))
    assert header.is_cut_short
    assert not header.has_pixels
    assert header.text(PATIENT_ID) == "HB-48151623"


def test_zeros_behind_the_last_element_are_padding() -> None:
    assert dicom.read(padded_image() + bytes(6)).has_pixels
    with pytest.raises(TruncatedDicomError):
        dicom.read(padded_image() + b"\0\0x\0")


def test_a_class_of_objects_is_never_an_identifier() -> None:
    own = "1.3.12.2.1107.5.9.1"
    header = make_header(SOPClassUID=own)
    inner = pydicom.Dataset()
    inner.ReferencedSOPClassUID = own
    header.ReferencedImageSequence = pydicom.Sequence([inner])
    collector = IdentifierCollector()
    collector.add(dicom.read(as_file(header)))
    assert own not in {value for _, value in collector.identifiers.values}


@pytest.mark.filterwarnings("ignore")  # of pydicom, as the pipeline ignores them
@pytest.mark.parametrize("declared", [b"ISO_IR\x00192", b"hex", b"zip", b"idna", b"undefined", b"utf-16", b"\xff"])
@pytest.mark.parametrize("value", [b"M\xfcller^Hans", b"\x1b$B;3", b"\xff\xfe\xed\xa0\x80"])
def test_whatever_a_header_names_as_its_character_set_its_texts_can_be_read(declared: bytes, value: bytes) -> None:
    names = dicom.files.charsets(declared)
    assert dicom.files.decoded(value, names)
    assert dicom.files.decoded(b"Quandt", names) == "Quandt"


def test_a_title_beyond_ascii_in_the_file_meta_group_is_collected_like_any_other() -> None:
    header = pydicom.dcmread(io.BytesIO(as_file(make_header())))
    header.file_meta.SourceApplicationEntityTitle = "KOELNPACS"
    written = io.BytesIO()
    header.save_as(written)
    collector = IdentifierCollector()
    collector.add(dicom.read(written.getvalue().replace(b"KOELNPACS", b"K\xd6LN_PACS")))
    assert "KÖLN_PACS" in {value for _kind, value in collector.identifiers.values}
