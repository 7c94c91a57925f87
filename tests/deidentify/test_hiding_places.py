"""The sceptic's round: a name that no other attribute holds, where a careless tool does not look."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from heartbrain_ingest import dicom
from heartbrain_ingest.deidentify import Deidentifier, IdentifierCollector
from tests.deidentify.conftest import SUBJECT, as_file, make_header

#: Stands nowhere but in the hiding place.
SECRET = "Zwickelhuber"


def cleaned(data: bytes, deidentifier: Deidentifier) -> bytes:
    file = dicom.read(data)
    collector = IdentifierCollector()
    collector.add(file)
    return deidentifier.deidentify(file, SUBJECT, collector.identifiers)


def in_attribute(tag: int, vr: str) -> Callable[[Dataset], None]:
    return lambda header: header.add_new(tag, vr, SECRET.encode() if vr in {"OB", "OW", "UN"} else SECRET)


def in_private(creator: str, group: int, element: int, vr: str = "LO") -> Callable[[Dataset], None]:
    def put(header: Dataset) -> None:
        header.add_new(group << 16 | 0x10, "LO", creator)
        in_attribute(group << 16 | 0x1000 | element, vr)(header)

    return put


def item(**values: object) -> Dataset:
    found = Dataset()
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


def in_icon(header: Dataset) -> None:
    icon = item(Rows=4, Columns=4, PhotometricInterpretation="MONOCHROME2")
    icon.add_new(0x7FE00010, "OB", SECRET.encode())
    header.IconImageSequence = Sequence([icon])


def in_signature(header: Dataset) -> None:
    header.DigitalSignaturesSequence = Sequence([item(DigitalSignatureUID="1.2.3", CertificateType=SECRET)])
    header.DigitalSignaturesSequence[0].add_new(0x04000115, "OB", f"CN={SECRET}".encode())


def in_private_sequences(header: Dataset) -> None:
    inner = item(PatientName=SECRET)
    in_private("SIEMENS MR SDS 01", 0x0021, 0xEE)(inner)
    outer = Dataset()
    outer.add_new(0x00210010, "LO", "SIEMENS MR SDS 01")
    outer.add_new(0x002110FE, "SQ", Sequence([inner]))
    header.add_new(0x00210010, "LO", "SIEMENS MR SDS 01")
    header.add_new(0x002110FE, "SQ", Sequence([outer]))


def in_borrowed_block(header: Dataset) -> None:
    """Put a known creator inside a sequence, and the element that it would allow outside of it."""
    header.SourceImageSequence = Sequence([Dataset()])
    header.SourceImageSequence[0].add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    header.add_new(0x00291008, "CS", SECRET)


PLACES: dict[str, Callable[[Dataset], None]] = {
    "a creator with a look-alike name": in_private("SIEMENS CSA HEADER 2", 0x0029, 0x08),
    "a creator in another group": in_private("SIEMENS CSA HEADER", 0x0031, 0x08),
    "a creator with a letter of another alphabet": in_private("SIEMENS CSA HEADER".replace("A", "\xc0"), 0x0029, 0x08),
    "the name of a creator": in_private(f"ACME {SECRET}", 0x0029, 0x08),
    "a number that is none": in_private("SIEMENS MR HEADER", 0x0019, 0x0C, "UN"),
    "a CSA header that is none": in_private("SIEMENS CSA HEADER", 0x0029, 0x10, "OB"),
    "a GE protocol that is none": in_private("GEMS_SERS_01", 0x0025, 0x1B, "OB"),
    "a private sequence that is none": in_private("Philips Imaging DD 001", 0x2001, 0x5F, "UN"),
    "nested private sequences": in_private_sequences,
    "a block whose creator stands elsewhere": in_borrowed_block,
    "PatientName as UN": lambda header: header.add_new(0x00100010, "UN", SECRET.encode()),
    "PatientID as CS": lambda header: header.add_new(0x00100020, "CS", SECRET),
    "an unknown standard attribute": in_attribute(0x00109FF1, "LO"),
    "an unknown attribute of an unknown group": in_attribute(0x00F21002, "UT"),
    "overlay data": in_attribute(0x60003000, "OW"),
    "overlay label": in_attribute(0x60021500, "LO"),
    "curve data": in_attribute(0x50003000, "OW"),
    "curve label": in_attribute(0x501E2500, "LO"),
    "an icon": in_icon,
    "a digital signature": in_signature,
    "padding": in_attribute(0xFFFCFFFC, "OB"),
    "several values of one name": lambda header: setattr(header, "OperatorsName", ["A^B", f"{SECRET}^C", "D"]),
    "the ideographic part of a name": lambda header: setattr(header, "PatientName", f"Adler^Irene=山田^{SECRET}=x"),
    "other patient IDs": lambda header: setattr(header, "OtherPatientIDs", ["1", SECRET]),
    "a date": lambda header: header.add_new(0x00080020, "LO", SECRET),
    "an age": lambda header: header.add_new(0x00101010, "LO", SECRET),
    "a UID": lambda header: header.add_new(0x00200052, "LO", SECRET),
    "ImageComments": in_attribute(0x00204000, "LT"),
    "StudyDescription": in_attribute(0x00081030, "LO"),
    "retired text": in_attribute(0x00104000, "LT"),
    "a text of an interpretation": in_attribute(0x4008010B, "ST"),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.filterwarnings("ignore:Invalid value:UserWarning", "ignore:A value of type:UserWarning")
@pytest.mark.filterwarnings("ignore:The value length:UserWarning", "ignore:Failed to encode:UserWarning")
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_name_in_an_odd_place_does_not_get_through(
    deidentifier: Deidentifier, place: str, syntax: pydicom.uid.UID
) -> None:
    header = make_header(SpecificCharacterSet=["", "ISO 2022 IR 87"] if "ideographic" in place else "ISO_IR 100")
    PLACES[place](header)
    data = as_file(header, syntax)
    assert SECRET.encode() in data
    try:
        done = cleaned(data, deidentifier)
    except dicom.DicomFileError:
        done = b""  # refused: nothing of it is published
    assert SECRET.encode() not in done


def test_nothing_of_the_preamble_and_of_the_meta_group_is_copied(deidentifier: Deidentifier) -> None:
    data = bytearray(as_file(make_header()))
    data[:128] = SECRET.encode().ljust(128, b"x")
    header = pydicom.dcmread(io.BytesIO(bytes(data)))
    header.file_meta.SendingApplicationEntityTitle = SECRET
    header.file_meta.ImplementationVersionName = SECRET
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=True)
    assert SECRET.encode() not in cleaned(bytes(data), deidentifier)
    assert SECRET.encode() not in cleaned(buffer.getvalue(), deidentifier)


def test_a_deflated_name_does_not_get_through(deidentifier: Deidentifier) -> None:
    header = pydicom.dcmread(io.BytesIO(as_file(make_header(OperatorsName=SECRET))))
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=True)
    assert SECRET.encode() not in cleaned(buffer.getvalue(), deidentifier)


def image(**values: object) -> Dataset:
    return make_header(
        Rows=4, Columns=4, BitsAllocated=16, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", **values
    )


def test_what_stands_behind_the_pixels_goes(deidentifier: Deidentifier) -> None:
    header = image()
    header.add_new(0x7FE00010, "OW", bytes(32))
    data = as_file(header)
    behind = b"\xe1\x7f\x10\x00LO\x0c\x00" + SECRET.encode() + b"\xfc\xff\xfc\xffOB\0\0\x0c\0\0\0" + SECRET.encode()
    assert SECRET.encode() not in cleaned(data + behind, deidentifier)
    assert SECRET.encode() not in cleaned(data + bytes(64), deidentifier)


def test_pixels_behind_the_rows_of_the_image_go(deidentifier: Deidentifier) -> None:
    header = image()
    header.add_new(0x7FE00010, "OW", bytes(32) + SECRET.encode())
    assert SECRET.encode() not in cleaned(as_file(header), deidentifier)


def test_packed_pixels_stay_and_their_table_of_offsets_points_into_them_only(deidentifier: Deidentifier) -> None:
    header = image()
    frame = struct.pack("<16L", 2, 64, 80, *([0] * 13)) + bytes([15]) + bytes(16) + bytes([15]) + bytes(16)
    header.PixelData = encapsulate([frame])
    header["PixelData"].VR = "OB"
    header["PixelData"].is_undefined_length = True
    data = as_file(header, RLELossless)
    done = pydicom.dcmread(io.BytesIO(cleaned(data, deidentifier)))
    assert done.PixelData == header.PixelData
    hidden = data.replace(b"\xfe\xff\x00\xe0\x04\0\0\0\0\0\0\0", b"\xfe\xff\x00\xe0\x0c\0\0\0" + SECRET.encode())
    assert SECRET.encode() in hidden
    assert SECRET.encode() not in cleaned(hidden, deidentifier)
