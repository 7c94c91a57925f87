"""What shows text is never published: known by its header, or by the letters in its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from heartbrain_ingest import dicom
from heartbrain_ingest.dicom.glyphs import shows_text, text_code
from heartbrain_ingest.dicom.screens import may_show_text, refusal
from heartbrain_ingest.issues import ISSUES, Severity
from tests.deidentify.conftest import as_file, make_header

STORAGE = "1.2.840.10008.5.1.4.1.1."


def image(pixels: NDArray[np.uint8] | NDArray[np.uint16] | None = None, **values: object) -> bytes:
    frame = np.zeros((64, 64), np.uint16) if pixels is None else pixels
    header = make_header(
        Rows=frame.shape[0],
        Columns=frame.shape[1],
        BitsAllocated=8 * frame.itemsize,
        BitsStored=8 if frame.itemsize == 1 else 12,
        SamplesPerPixel=1,
        PixelRepresentation=0,
        PhotometricInterpretation="MONOCHROME2",
        ImageType=["ORIGINAL", "PRIMARY", "M", "ND"],
    )
    header.add_new(0x7FE00010, "OW", frame.tobytes())
    for keyword, value in values.items():
        setattr(header, keyword, value)
    return as_file(header)


def drawn(text: str, background: NDArray[np.float64], size: int, ink: float) -> NDArray[np.uint16]:
    """Draw a text as a workstation does; `ink` is its brightness, 0 black to 1 white."""
    mask = Image.new("L", background.shape[::-1], 0)
    ImageDraw.Draw(mask).text((4, 4), text, fill=255, font=ImageFont.load_default(size))
    weight = np.asarray(mask) / 255.0
    return np.asarray((background * (1 - weight) + weight * ink) * 4095).round().astype(np.uint16)


def tissue() -> NDArray[np.float64]:
    """Give a bright, noisy ellipse."""
    rows, columns = np.mgrid[-1:1:192j, -1:1:192j]
    body = np.where((rows / 0.8) ** 2 + (columns / 0.6) ** 2 < 1, 0.45, 0.01)
    return np.asarray(np.clip(body + np.random.default_rng(4).normal(0, 0.02, body.shape), 0, 1))


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"SOPClassUID": STORAGE + "7"}, "SECONDARY_CAPTURE"),
        ({"SOPClassUID": STORAGE + "7.4"}, "SECONDARY_CAPTURE"),
        ({"ConversionType": "WSD"}, "SECONDARY_CAPTURE"),
        ({"BurnedInAnnotation": "YES"}, "BURNED_IN_TEXT"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "SCREEN_IMAGE"),
        ({"ImageType": ["DERIVED", "SECONDARY", "PROT"]}, "SCREEN_IMAGE"),
        ({"ImageType": ["ORIGINAL", "SECONDARY", "OTHER", "CSA REPORT"]}, "SCREEN_IMAGE"),
        ({"SeriesDescription": "Patient Protocol"}, "SCREEN_IMAGE"),
        ({"SeriesDescription": "Screen Save"}, "SCREEN_IMAGE"),
        ({"SeriesDescription": "Dose Report"}, "SCREEN_IMAGE"),
        ({"SOPClassUID": STORAGE + "6.1", "Modality": "US"}, "ULTRASOUND"),
        ({"SOPClassUID": STORAGE + "104.1", "Modality": "DOC"}, "ENCAPSULATED_DOCUMENT"),
        ({"EncapsulatedDocument": b"%PDF-1.7"}, "ENCAPSULATED_DOCUMENT"),
        ({"SOPClassUID": STORAGE + "88.22", "Modality": "SR"}, "STRUCTURED_REPORT"),
        ({"SOPClassUID": STORAGE + "481.5", "Modality": "RTPLAN"}, "RADIOTHERAPY_OBJECT"),
        ({"SOPClassUID": STORAGE + "2", "Modality": "CT"}, "NOT_MR_IMAGE"),
        ({}, None),
        ({"SeriesDescription": "t1_protocol_comparison"}, None),
    ],
)
def test_each_kind_of_object_that_is_no_image_of_a_body_has_its_code(values: dict[str, Any], code: str | None) -> None:
    assert refusal(dicom.read(image(**values))) == code
    assert code is None or ISSUES[code].severity is Severity.QUARANTINE


@pytest.mark.parametrize(
    ("values", "plausible"),
    [
        ({}, False),
        ({"BurnedInAnnotation": "NO"}, False),
        ({"BurnedInAnnotation": "OTHER"}, True),
        ({"ImageType": ["DERIVED", "PRIMARY", "M"]}, True),
        ({"ImageType": ["ORIGINAL", "SECONDARY"]}, True),
        ({"ImageType": None}, True),
        ({"BitsStored": 8}, True),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, True),
    ],
)
def test_pixels_are_searched_unless_they_come_from_the_scanner_itself(values: dict[str, Any], plausible: bool) -> None:
    assert may_show_text(dicom.read(image(**values))) is plausible


@pytest.mark.parametrize("text", ["Adler Irene", "ADLER^IRENE 30.10.1928", "Pat-ID: HB-48151623"])
@pytest.mark.parametrize("size", [14, 16, 24])
@pytest.mark.parametrize("place", ["black", "tissue"])
def test_text_that_is_drawn_into_an_image_is_found(text: str, size: int, place: str) -> None:
    background = tissue() if place == "tissue" else np.zeros((192, 192))
    assert shows_text(drawn(text, background, size, 1.0))
    assert not shows_text((background * 4095).astype(np.uint16))


def test_black_text_on_white_is_found() -> None:
    assert shows_text(drawn("Irene Adler, geb. 1928", np.ones((128, 256)), 16, 0.0))


def test_an_image_with_text_has_a_code_and_one_that_cant_be_decoded_another() -> None:
    derived = ["DERIVED", "SECONDARY", "MPR"]
    assert (
        text_code(dicom.read(image(drawn("Adler Irene 1928", tissue(), 16, 1.0), ImageType=derived)))
        == "TEXT_IN_PIXELS"
    )
    assert text_code(dicom.read(image((tissue() * 4095).astype(np.uint16), ImageType=derived))) is None
    lossless = image(ImageType=derived).replace(b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\x001.2.840.10008.1.2.4.70")
    assert text_code(dicom.read(lossless)) == "UNSEARCHED_PIXELS"


@pytest.mark.shared_data
def test_no_real_image_is_taken_for_text(shared_data: Path) -> None:
    searched = 0
    for path in sorted((shared_data / "dicom").rglob("*")):
        if not path.is_file() or path.suffix in {".nii", ".json", ".bval", ".bvec"}:
            continue
        try:
            file = dicom.read(path.read_bytes())
        except dicom.NotDicomError:
            continue
        if file.has_pixels:
            assert refusal(file) is None, path.name
            assert text_code(file) is None, path.name
            searched += 1
    assert searched == 380


def test_a_header_without_pixels_is_not_searched() -> None:
    assert not may_show_text(dicom.read(as_file(make_header())))
