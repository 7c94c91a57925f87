"""Read any DICOM file into raw elements, and write it again as the same bytes each time (PS3.10)."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from heartbrain_ingest.deidentify.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    PIXEL_DATA,
    SPECIFIC_CHARACTER_SET,
    UNDEFINED,
    CutShortError,
    Encoding,
    EncodingError,
    padded,
)
from heartbrain_ingest.errors import HeartbrainError

#: The root of this software's class UID (PS3.7 annex D.3.3.2): a UUID made once, as a 2.25 UID.
IMPLEMENTATION_CLASS_UID: Final = "2.25.230916183427640983521178903641537702611"
_DICOMDIR: Final = "1.2.840.10008.1.3.10"
_EXPLICIT_LITTLE_UID: Final = "1.2.840.10008.1.2.1"
_PREAMBLE: Final = 132
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_BITS_ALLOCATED: Final = 0x00280100
_SAMPLES_PER_PIXEL: Final = 0x00280002
_PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
_NUMBER_OF_FRAMES: Final = 0x00280008
_FIRST_VALUE: Final = 8
#: (0002,0000), (0002,0001), (0008,0000), (0008,0001), (0008,0005), (0008,0008), (0008,0016) in both byte orders.
_FIRST_TAGS: Final = frozenset(
    struct.pack(f"{order}HH", group, element)
    for order in "<>"
    for group, element in ((2, 0), (2, 1), (8, 0), (8, 1), (8, 5), (8, 8), (8, 0x16))
)


class DicomFileError(HeartbrainError):
    """A file can't be used as DICOM: the code says why, the catalogue of issues what to do."""

    #: Its code in `heartbrain_ingest.issues`.
    code = "INVALID_DICOM"


class EmptyFileError(DicomFileError):
    """The file has no content."""

    code = "EMPTY_FILE"


class NotDicomError(DicomFileError):
    """The file is not DICOM."""

    code = "NOT_DICOM"


class TruncatedDicomError(DicomFileError):
    """The DICOM file ends before its data do: send it again."""

    code = "TRUNCATED_DICOM"


class DirectoryFileError(DicomFileError):
    """The file is a DICOMDIR, an index of others."""

    code = "DIRECTORY_FILE"


_tag = cache(BaseTag)


def read(source: Path | str | bytes) -> Dataset:
    """Read a file (or its bytes) without decoding a value.

    Takes files without preamble, without meta header, implicit, explicit, big endian and deflated. Sequences stay raw
    bytes until someone asks for them; those of undefined length become ones of defined length.

    Raises
    ------
    EmptyFileError, NotDicomError, TruncatedDicomError, DirectoryFileError, DicomFileError
        Why the file can't be used; `code` names the entry in the catalogue of issues.
    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    if not data:
        raise EmptyFileError
    try:
        return _parse(data)
    except (EncodingError, struct.error, zlib.error) as error:
        if not _claims_to_be_dicom(data):
            raise NotDicomError from error
        if isinstance(error, CutShortError):
            raise TruncatedDicomError(str(error)) from error
        raise DicomFileError(str(error)) from error


def _claims_to_be_dicom(data: bytes) -> bool:
    """Look for the preamble's mark, or for a first element of group 0002 or 0008 as files without preamble have."""
    return data[128:_PREAMBLE] == b"DICM" or data[:4] in _FIRST_TAGS


def _parse(data: bytes) -> Dataset:
    start = _PREAMBLE if data[128:_PREAMBLE] == b"DICM" else 0
    meta, body = _read_meta(data, start)
    if str(meta.get("MediaStorageSOPClassUID", "")) == _DICOMDIR:
        raise DirectoryFileError
    syntax = str(meta.get("TransferSyntaxUID", ""))
    if syntax == DeflatedExplicitVRLittleEndian:
        # Stored inflated: what deflate writes depends on its version, and the bytes must be the same each time.
        data, body, syntax = zlib.decompress(data[body:], -zlib.MAX_WBITS), 0, _EXPLICIT_LITTLE_UID
    encoding = _encoding(syntax, data, body, announced=start > 0)
    elements = {
        _tag(token.tag): RawDataElement(
            _tag(token.tag),
            None if encoding.implicit else token.vr,
            UNDEFINED if token.undefined and token.tag == PIXEL_DATA else token.value_end - token.value,
            data[token.value : token.value_end],
            token.value,
            encoding.implicit,
            encoding.little,
        )
        for token in encoding.tokens(data, body)
        if token.tag & 0xFFFF  # group lengths are retired (PS3.5 section 7.2)
    }
    if not elements or (start == 0 and not _is_plausible(elements)):
        raise NotDicomError
    dataset = Dataset(elements)  # type: ignore[arg-type]  # pydicom takes raw elements and converts them when asked
    dataset.file_meta = meta
    meta.TransferSyntaxUID = UID(syntax) if _fits(syntax, encoding) else UID(_syntax(encoding))
    dataset.set_original_encoding(encoding.implicit, encoding.little, list(charsets_of(dataset)))
    _check_pixels(dataset)
    return dataset


def _read_meta(data: bytes, start: int) -> tuple[FileMetaDataset, int]:
    meta = FileMetaDataset()
    position = start
    while data[position : position + 2] == b"\x02\x00":
        # Some files write the meta group implicit, against PS3.10 section 7.1.
        explicit = data[position + 4 : position + 6].isalpha() and data[position + 4 : position + 6].isupper()
        encoding = EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE
        token = encoding.token(data, position, len(data))
        if token.tag & 0xFFFF:
            value = data[token.value : token.value_end]
            tag = BaseTag(token.tag)
            meta[tag] = RawDataElement(tag, token.vr, len(value), value, 0, encoding.implicit, True)
        position = token.end
    return meta, position


def _encoding(syntax: str, data: bytes, start: int, *, announced: bool) -> Encoding:
    """Tell how the elements are written from the first one; what the header claims is wrong in real files."""
    head = data[start : start + _FIRST_VALUE]
    if len(head) < _FIRST_VALUE:
        raise (CutShortError("no data elements") if announced or start else NotDicomError())
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    if not explicit:
        return IMPLICIT_LITTLE
    # The first group is 0008 or near to it: its high byte is zero.
    big = head[0] == 0 and head[1] != 0
    if syntax == ExplicitVRBigEndian and head[0] == head[1] == 0:
        big = True
    return EXPLICIT_BIG if big else EXPLICIT_LITTLE


def _is_plausible(elements: dict[BaseTag, RawDataElement]) -> bool:
    """Tell a data set without preamble from any other bytes: it has a class or an instance, a modality or a study."""
    return any(BaseTag(tag) in elements for tag in (0x00080016, 0x00080018, 0x00080060, 0x0020000D))


def _fits(syntax: str, encoding: Encoding) -> bool:
    if not syntax:
        return False
    if encoding.implicit:
        return syntax == ImplicitVRLittleEndian
    return (syntax == ExplicitVRBigEndian) is not encoding.little and syntax != ImplicitVRLittleEndian


def _syntax(encoding: Encoding) -> str:
    if encoding.implicit:
        return str(ImplicitVRLittleEndian)
    return _EXPLICIT_LITTLE_UID if encoding.little else str(ExplicitVRBigEndian)


def _check_pixels(dataset: Dataset) -> None:
    """Find uncompressed pixel data that are shorter than the header says."""
    pixels = dataset._dict.get(BaseTag(PIXEL_DATA))
    if not isinstance(pixels, RawDataElement) or pixels.length == UNDEFINED or pixels.value is None:
        return
    rows, columns, bits = (_number(dataset, tag, 0) for tag in (_ROWS, _COLUMNS, _BITS_ALLOCATED))
    samples, frames = (_number(dataset, tag, 1) for tag in (_SAMPLES_PER_PIXEL, _NUMBER_OF_FRAMES))
    expected = (rows * columns * bits * samples * frames + 7) // 8
    photometric = dataset._dict.get(BaseTag(_PHOTOMETRIC_INTERPRETATION))
    subsampled = isinstance(photometric, RawDataElement) and b"422" in (photometric.value or b"")
    if len(pixels.value) < (expected * 2 // 3 if subsampled else expected):
        raise TruncatedDicomError(f"{expected} bytes of pixels announced, {len(pixels.value)} there")


def _number(dataset: Dataset, tag: int, default: int) -> int:
    """Read a number without pydicom, which writes a wrong value to the log."""
    element = dataset._dict.get(BaseTag(tag))
    if not isinstance(element, RawDataElement) or not element.value:
        return default
    if tag == _NUMBER_OF_FRAMES:
        return int(element.value.strip(b" \0")) if element.value.strip(b" \0").isdigit() else default
    return int.from_bytes(element.value[:2], "little" if element.is_little_endian else "big")


@cache
def charsets(declared: bytes) -> tuple[str, ...]:
    """Give Python's names of the character sets that a SpecificCharacterSet names; an unknown one is the default."""
    terms = declared.decode("ascii", "replace").rstrip(" \0").split("\\")
    with warnings.catch_warnings():
        # pydicom warns of an unknown term, for each file.
        warnings.simplefilter("ignore")
        return tuple(convert_encodings(terms))


def charsets_of(dataset: Dataset) -> tuple[str, ...]:
    """Give the character sets of a data set's own level."""
    declared = dataset.get_item(SPECIFIC_CHARACTER_SET)
    return charsets(b"" if declared is None else raw(declared, dataset).value or b"")


def encoding_of(dataset: Dataset) -> Encoding:
    """Give the encoding that a data set was read with."""
    implicit, little = dataset.original_encoding
    return Encoding(implicit=bool(implicit), little=little is not False)


def raw(element: DataElement | RawDataElement, dataset: Dataset) -> RawDataElement:
    """Give an element as bytes, also one that somebody read and pydicom therefore converted."""
    if isinstance(element, RawDataElement):
        return element
    encoding = encoding_of(dataset)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = encoding.implicit
    buffer.is_little_endian = encoding.little
    write_data_element(buffer, element, dataset._character_set)
    data = buffer.getvalue()
    token = encoding.token(data, 0, len(data))
    value = data[token.value : token.value_end]
    length = UNDEFINED if token.undefined and token.tag == PIXEL_DATA else len(value)
    return RawDataElement(element.tag, str(element.VR), length, value, 0, encoding.implicit, encoding.little)


def write(dataset: Dataset, path: Path) -> None:
    """Write a data set with a zeroed preamble; the same data set gives the same bytes."""
    path.write_bytes(to_bytes(dataset))


def to_bytes(dataset: Dataset) -> bytes:
    """Give the file (PS3.10 section 7.1) that `write` writes."""
    encoding = encoding_of(dataset)
    meta = _meta_bytes(dataset)
    parts = [b"\0" * 128, b"DICM", EXPLICIT_LITTLE.element(0x00020000, "UL", struct.pack("<L", len(meta))), meta]
    implicit = encoding.implicit
    for tag in sorted(dataset._dict, key=int):
        element = raw(dataset._dict[tag], dataset)
        value = element.value or b""
        vr = element.VR or "UN"
        if element.length == UNDEFINED:
            parts += [encoding.header(tag, vr, UNDEFINED), value, b"\xfe\xff\xdd\xe0\0\0\0\0"]
        else:
            if len(value) % 2:
                value = padded(vr, value)
            parts += [encoding.header(tag, "" if implicit else vr, len(value)), value]
    return b"".join(parts)


def _meta_bytes(dataset: Dataset) -> bytes:
    meta = dataset.file_meta
    values: dict[int, tuple[str, bytes]] = {0x00020001: ("OB", b"\x00\x01")}
    for tag, keyword in ((0x00020002, "MediaStorageSOPClassUID"), (0x00020003, "MediaStorageSOPInstanceUID")):
        if keyword in meta:
            values[tag] = ("UI", str(meta[keyword].value).encode("ascii", "replace"))
    values[0x00020010] = ("UI", str(meta.TransferSyntaxUID).encode("ascii"))
    values[0x00020012] = ("UI", str(meta.get("ImplementationClassUID", IMPLEMENTATION_CLASS_UID)).encode("ascii"))
    if "ImplementationVersionName" in meta:
        values[0x00020013] = ("SH", str(meta.ImplementationVersionName).encode("ascii", "replace"))
    return b"".join(EXPLICIT_LITTLE.element(tag, vr, value) for tag, (vr, value) in sorted(values.items()))


def elements_before_pixels(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give tag and bytes of each element of a file, its meta group included, but for the pixel data.

    Raises
    ------
    EncodingError
        The bytes are not a DICOM file.
    """
    start = _PREAMBLE if data[128:_PREAMBLE] == b"DICM" else 0
    meta, body = _read_meta(data, start)
    yield 0x00020000, data[:body]
    encoding = _encoding(str(meta.get("TransferSyntaxUID", "")), data, body, announced=start > 0)
    for token in encoding.tokens(data, body):
        if token.tag >> 16 != PIXEL_DATA >> 16:
            yield token.tag, data[token.value : token.value_end]
