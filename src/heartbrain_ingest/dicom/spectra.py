"""Spectra in DICOM objects: which objects hold them, and in which element."""

from __future__ import annotations

import re
from typing import Final

from heartbrain_ingest.dicom.files import DicomFile

#: MR Spectroscopy Storage (PS3.3 section A.36.3).
SPECTROSCOPY_CLASS: Final = "1.2.840.10008.5.1.4.1.1.4.2"
#: Siemens' private class of VB to VE for all that is no image: spectra, protocols, logs.
CSA_NON_IMAGE_CLASS: Final = "1.3.12.2.1107.5.9.1"
#: Philips' private class before the standard's one.
PHILIPS_CLASS: Final = "1.3.46.670589.11.0.0.12.1"
SPECTROSCOPY_DATA: Final = 0x56000020
_SOP_CLASS: Final = 0x00080016
_IMAGE_TYPE: Final = 0x00080008
_CSA_CREATOR: Final = "SIEMENS CSA NON-IMAGE"
_CSA_GROUP: Final = 0x0029
_CSA_DATA_GROUP: Final = 0x7FE1
_CSA_DATA: Final = 0x10
_CSA_TYPE: Final = 0x08
#: Bytes of a complex number of single precision.
_COMPLEX: Final = 8
#: A signal has more points; a text can have fewer bytes.
_FEWEST: Final = 16
#: A run of so many readable bytes is text: among numbers it comes by chance once in thousands of millions of bytes.
_TEXT: Final = re.compile(rb"[\x20-\x7e]{24}")


def is_spectroscopy(header: DicomFile) -> bool:
    """Tell whether an object holds spectra, or says that it does."""
    sop_class = header.text(_SOP_CLASS)
    types = header.text(_IMAGE_TYPE).upper().split("\\")
    return (
        sop_class in {SPECTROSCOPY_CLASS, PHILIPS_CLASS}
        or SPECTROSCOPY_DATA in header.elements
        or "SPECTROSCOPY" in types
        or (sop_class == CSA_NON_IMAGE_CLASS and _csa_type(header).startswith("SPEC"))
    )


def has_known_layout(header: DicomFile) -> bool:
    """Tell whether the spectra of an object lie where they are looked for: the standard's place or Siemens' one."""
    if header.text(_SOP_CLASS) == CSA_NON_IMAGE_CLASS:
        return is_spectroscopy(header)
    return header.text(_SOP_CLASS) == SPECTROSCOPY_CLASS or SPECTROSCOPY_DATA in header.elements


def _csa_type(header: DicomFile) -> str:
    """Give what Siemens calls the kind of an object that is no image, such as `SPEC NUM 4`."""
    for block in range(0x10, 0x100):
        creator = _CSA_GROUP << 16 | block
        if creator in header.elements and header.text(creator) == _CSA_CREATOR:
            return header.text(_CSA_GROUP << 16 | block << 8 | _CSA_TYPE).upper()
    return ""


def is_spectrum(tag: int) -> bool:
    """Tell whether an element holds spectra as numbers: SpectroscopyData, or Siemens' (7FE1,xx10)."""
    return tag == SPECTROSCOPY_DATA or (tag >> 16 == _CSA_DATA_GROUP and tag & 0xFF == _CSA_DATA and tag & 0xFF00 > 0)


def holds_spectra(file: DicomFile) -> bool:
    """Tell whether a whole file has an element with spectra."""
    return any(is_spectrum(tag) and token.value < token.value_end for tag, token in file.elements.items())


def is_complex_numbers(value: bytes, *, little: bool = True) -> bool:
    """Tell whether bytes are complex numbers of single precision, real and imaginary part by turns, and no text."""
    if len(value) < _FEWEST * _COMPLEX or len(value) % _COMPLEX or _TEXT.search(value):
        return False
    import numpy as np  # noqa: PLC0415 - few series hold spectra

    return bool(np.isfinite(np.frombuffer(value, "<f4" if little else ">f4")).all())
