"""Objects that are no images of a body, or that can show text: known by their headers.

What is found here is never published: a capture of a screen, a report or a plan names the patient in places that no
rule for attributes reaches.
"""

from __future__ import annotations

import re
from typing import Final

from heartbrain_ingest.dicom.encoding import PIXEL_DATA
from heartbrain_ingest.dicom.files import DicomFile
from heartbrain_ingest.dicom.spectra import has_known_layout, is_spectroscopy

MR_CLASSES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.4",  # MR Image Storage
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image Storage
        "1.2.840.10008.5.1.4.1.1.4.3",  # Enhanced MR Color Image Storage
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image Storage
    }
)
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
#: Start of the rest of a storage class, and the code of its objects (PS3.6 annex A).
_CLASS_CODES: Final = (
    (re.compile(r"7(?:\.|$)"), "SECONDARY_CAPTURE"),
    (re.compile(r"(?:3\.1|6|6\.1|6\.2|3)$"), "ULTRASOUND"),
    (re.compile(r"104\."), "ENCAPSULATED_DOCUMENT"),
    (re.compile(r"88\."), "STRUCTURED_REPORT"),
    (re.compile(r"481\."), "RADIOTHERAPY_OBJECT"),
)
_MODALITY_CODES: Final = {
    "DOC": "ENCAPSULATED_DOCUMENT",
    "IVUS": "ULTRASOUND",
    "SR": "STRUCTURED_REPORT",
    "US": "ULTRASOUND",
}
#: Values of ImageType that name a screen, a protocol or a report.
_SCREEN_TYPES: Final = re.compile(
    r"SCREEN ?-?SAVE\w*|SCREEN ?SHOT\w*|SCREEN ?CAPTURE\w*|SCREEN|PROT|PROTOCOL|PATIENT PROTOCOL|CSA REPORT|REPORT"
    r"|DOSE(?:[ _](?:INFO|REPORT))?|RESULT(?:S)? ?TABLE|EVIDENCE.*|GRAPH|PRINT.*|FILM.*|CAPTURE"
)
#: The same in the descriptions of series, as a whole.
_SCREEN_NAMES: Final = re.compile(
    r"(?i)\W*(?:screen[ _-]?(?:save[sd]?|shots?|captures?)|patient[ _]protocol|dose[ _](?:report|info\w*)"
    r"|exam[ _]summary|phoenixzipreport|phoenix (?:report|document)|evidence[ _]documents?|radiation dose.*"
    r"|summary(?: series)?|key images?|mr[ _]?protocol|protocol|captures?)\W*"
)
#: How a secondary capture was made (PS3.3 section C.8.6.1); the image of a scanner has no value there.
_CONVERSIONS: Final = frozenset({"DV", "DI", "DF", "WSD", "SD", "SI", "DRW", "SYN"})
_SOP_CLASS: Final = 0x00080016
_IMAGE_TYPE: Final = 0x00080008
_MODALITY: Final = 0x00080060
_CONVERSION_TYPE: Final = 0x00080064
_SERIES_DESCRIPTION: Final = 0x0008103E
_SAMPLES_PER_PIXEL: Final = 0x00280002
_PHOTOMETRIC: Final = 0x00280004
_BITS_STORED: Final = 0x00280101
_BURNED_IN_ANNOTATION: Final = 0x00280301
_ENCAPSULATED: Final = 0x00420011
_WAVEFORM_SEQUENCE: Final = 0x54000100
_MOST_BITS_OF_A_SCREEN: Final = 8


def refusal(header: DicomFile) -> str | None:
    """Give the issue code of what is neither an MR image nor spectra, or whose header says that its pixels show text.

    Parameters
    ----------
    header
        As `read_header` gives it, or a whole file.

    Returns
    -------
    str or None
        None for an MR image and for spectra; `may_show_text` says whether its pixels are to be searched.
    """
    sop_class, modality = header.text(_SOP_CLASS), header.text(_MODALITY).upper()
    types = header.text(_IMAGE_TYPE).upper().split("\\")
    if _ENCAPSULATED in header.elements:
        return "ENCAPSULATED_DOCUMENT"
    if "CSA REPORT" in types and not header.has_pixels:
        # Siemens' copy of the protocol, one for each session: no image, no text of anybody, never published.
        return "NO_PIXEL_DATA"
    if (code := _class_code(sop_class, modality)) is not None:
        return code
    if not header.has_pixels:
        return _without_pixels(header)
    if (code := _screen_code(header, types)) is not None:
        return code
    return None if sop_class in MR_CLASSES or modality == "MR" else "NOT_MR_IMAGE"


def _without_pixels(header: DicomFile) -> str | None:
    if _WAVEFORM_SEQUENCE in header.elements:
        return "NOT_MR_IMAGE"
    if header.is_cut_short:
        return "TRUNCATED_DICOM"
    if not is_spectroscopy(header):
        # An image without any was cut where an element ends.
        return "TRUNCATED_DICOM" if header.text(_SOP_CLASS) in MR_CLASSES else "NO_PIXEL_DATA"
    return None if has_known_layout(header) else "MR_SPECTROSCOPY"


def _screen_code(header: DicomFile, types: list[str]) -> str | None:
    if header.text(_BURNED_IN_ANNOTATION).upper() == "YES":
        return "BURNED_IN_TEXT"
    if header.text(_CONVERSION_TYPE).upper() in _CONVERSIONS:
        return "SECONDARY_CAPTURE"
    is_screen = any(_SCREEN_TYPES.fullmatch(one.strip()) for one in types)
    return "SCREEN_IMAGE" if is_screen or _SCREEN_NAMES.fullmatch(header.text(_SERIES_DESCRIPTION)) else None


def _class_code(sop_class: str, modality: str) -> str | None:
    if modality.startswith("RT"):
        return "RADIOTHERAPY_OBJECT"
    if sop_class.startswith(_STORAGE):
        rest = sop_class.removeprefix(_STORAGE)
        for pattern, code in _CLASS_CODES:
            if pattern.match(rest):
                return code
    return _MODALITY_CODES.get(modality)


def may_show_text(header: DicomFile) -> bool:
    """Tell whether text in the pixels of an MR image is plausible, so that they have to be searched.

    The scanner's own images are not: ORIGINAL and PRIMARY, one sample of more than 8 bits for each pixel, and no
    BurnedInAnnotation that says otherwise. All else may come from a workstation that draws on it.
    """
    if PIXEL_DATA not in header.elements and not header.has_pixels:
        return False
    types = [one.strip() for one in header.text(_IMAGE_TYPE).upper().split("\\")]
    order = "little" if header.encoding.little else "big"
    bits = int.from_bytes(header.value(_BITS_STORED)[:2], order)  # type: ignore[arg-type] # one of the two words
    samples = int.from_bytes(header.value(_SAMPLES_PER_PIXEL)[:2], order)  # type: ignore[arg-type] # the same
    is_scanners = (
        types[:2] == ["ORIGINAL", "PRIMARY"]
        and bits > _MOST_BITS_OF_A_SCREEN
        and samples <= 1
        and header.text(_PHOTOMETRIC).startswith("MONOCHROME")
        and header.text(_BURNED_IN_ANNOTATION).upper() in {"", "NO"}
    )
    return not is_scanners
