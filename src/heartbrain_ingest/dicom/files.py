"""Read any DICOM file into raw elements, and write the frame of a file (PS3.10) as the same bytes each time."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache, lru_cache
from typing import BinaryIO, Final

from heartbrain_ingest.dicom.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    PIXEL_DATA,
    SPECIFIC_CHARACTER_SET,
    CutShortError,
    Encoding,
    EncodingError,
    Token,
    padded,
)
from heartbrain_ingest.dicom.layouts import Layout, Layouts, describe
from heartbrain_ingest.errors import HeartbrainError

#: The root of this software's class UID (PS3.7 annex D.3.3.2): a UUID made once, as a 2.25 UID.
IMPLEMENTATION_CLASS_UID: Final = b"2.25.230916183427640983521178903641537702611"
MEDIA_STORAGE_SOP_CLASS: Final = 0x00020002
MEDIA_STORAGE_SOP_INSTANCE: Final = 0x00020003
TRANSFER_SYNTAX: Final = 0x00020010
IMPLEMENTATION_VERSION_NAME: Final = 0x00020013
DICOMDIR_CLASS: Final = "1.2.840.10008.1.3.10"
_IMPLICIT_UID: Final = "1.2.840.10008.1.2"
_EXPLICIT_UID: Final = "1.2.840.10008.1.2.1"
_DEFLATED_UID: Final = "1.2.840.10008.1.2.1.99"
_BIG_UID: Final = "1.2.840.10008.1.2.2"
_PREAMBLE: Final = 132
_PIXEL_GROUP: Final = 0x7FE00000
#: Above any tag.
_AFTER_ALL: Final = 1 << 32
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_BITS_ALLOCATED: Final = 0x00280100
_SAMPLES_PER_PIXEL: Final = 0x00280002
_PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
_NUMBER_OF_FRAMES: Final = 0x00280008
_FIRST_VALUE: Final = 8
_ASCII: Final = bytes(range(0x20, 0x7F))
#: A deflated file that becomes larger is no image.
_LARGEST: Final = 2**31
#: (0002,0000), (0002,0001), (0008,0000), (0008,0001), (0008,0005), (0008,0008), (0008,0016) in both byte orders.
_FIRST_TAGS: Final = frozenset(
    struct.pack(f"{order}HH", group, element)
    for order in "<>"
    for group, element in ((2, 0), (2, 1), (8, 0), (8, 1), (8, 5), (8, 8), (8, 0x16))
)
#: SOPClassUID, SOPInstanceUID, Modality, StudyInstanceUID.
_TELLING: Final = frozenset({0x00080016, 0x00080018, 0x00080060, 0x0020000D})


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


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A file taken apart: where each element lies, and nothing decoded."""

    #: The bytes; those of a deflated file inflated.
    data: bytes
    #: First byte behind the file meta group.
    body: int
    #: Tag to value of the file meta group (0002).
    meta: Mapping[int, bytes]
    #: UID of the transfer syntax in which the elements stand, which is not always the one that the file claims.
    syntax: str
    encoding: Encoding
    #: The elements by tag, in the order of the file; the last one where a tag comes twice.
    elements: Mapping[int, Token]
    #: Whether there are pixel data, here or behind what `read_header` read.
    has_pixels: bool = False
    #: Whether the file ends within the header, see `read_header`.
    is_cut_short: bool = False
    #: What it has in common with other files, if those are known.
    layout: Layout | None = None

    def value(self, tag: int) -> bytes:
        """Give the bytes of an element; none where it is missing."""
        token = self.elements.get(tag)
        return b"" if token is None else self.data[token[3] : token[4]]

    def text(self, tag: int) -> str:
        """Give the text of an element without padding; empty where it is missing."""
        value = self.value(tag)
        text = value.decode("ascii") if is_plain(value) else decoded(value, self.charsets)
        return text.strip(" \0")

    def meta_text(self, tag: int) -> str:
        """Give a text of the file meta group without padding; empty where it is missing."""
        return self.meta.get(tag, b"").decode("latin-1").strip(" \0")

    @property
    def charsets(self) -> tuple[str, ...]:
        """Python's names of the character sets of the outermost level."""
        return charsets(self.value(SPECIFIC_CHARACTER_SET))


def read(data: bytes) -> DicomFile:
    """Take a whole file apart.

    Takes files without preamble, without meta header, implicit, explicit, big endian and deflated.

    Raises
    ------
    EmptyFileError, NotDicomError, TruncatedDicomError, DirectoryFileError, DicomFileError
        Why the file can't be used; `code` names the entry in the catalogue of issues.
    """
    if not data:
        raise EmptyFileError
    try:
        file = _parse(data)
    except (EncodingError, struct.error, zlib.error) as error:
        raise _explained(error, data) from error
    if file.meta_text(MEDIA_STORAGE_SOP_CLASS) == DICOMDIR_CLASS:
        raise DirectoryFileError
    _check_pixels(file)
    return file


def read_header(head: bytes, stream: BinaryIO, size: int) -> DicomFile:
    """Take the part of a file before its pixel data apart; no more than needed is read.

    Of a file that ends within its header, the elements before the end are given.

    Parameters
    ----------
    head
        The first bytes of the file.
    stream
        The file.
    size
        Its number of bytes.

    Raises
    ------
    NotDicomError, TruncatedDicomError, DicomFileError
        As for `read`. A directory file and an image with too few pixels are none here.
    """
    data = head
    while True:
        try:
            return _parse(data, _Part.HEADER_START if len(data) < size else _Part.HEADER)
        except (EncodingError, struct.error, zlib.error) as error:
            if len(data) >= size or not isinstance(error, CutShortError):
                raise _explained(error, data) from error
        # The header is longer than that.
        stream.seek(len(data))
        more = stream.read(min(3 * len(data), size - len(data)))
        if not more:
            raise TruncatedDicomError
        data += more


def _explained(error: Exception, data: bytes) -> DicomFileError:
    if not _claims_to_be_dicom(data):
        return NotDicomError()
    if isinstance(error, CutShortError):
        return TruncatedDicomError(str(error))
    return DicomFileError(str(error))


def _claims_to_be_dicom(data: bytes) -> bool:
    """Look for the preamble's mark, or for a first element of group 0002 or 0008 as files without preamble have."""
    return data[128:_PREAMBLE] == b"DICM" or data[:4] in _FIRST_TAGS


class _Part(Enum):
    """What is asked of the bytes at hand."""

    #: All elements of a whole file.
    ALL = auto()
    #: The elements before the pixel data, as far as the file goes.
    HEADER = auto()
    #: The same; the bytes at hand are the beginning of the file.
    HEADER_START = auto()


_layouts: Final[Layouts[Layout]] = Layouts()


def _parse(data: bytes, part: _Part = _Part.ALL) -> DicomFile:
    layout = _layouts.find(part, data)
    if layout is not None:
        meta = {tag: data[first:last] for tag, first, last in layout.meta}
        return DicomFile(
            data, layout.body, meta, layout.syntax, layout.encoding, layout.elements, layout.has_pixels, layout=layout
        )
    file, head, tokens = _take_apart(data, part)
    is_whole = file.data is data and data[128:_PREAMBLE] == b"DICM" and not file.is_cut_short
    if is_whole and (part is not _Part.ALL or tokens[-1].end == len(data)) and _layouts.is_wanted(part, data):
        layout = describe(
            data,
            meta=head,
            tokens=tokens,
            syntax=file.syntax,
            encoding=file.encoding,
            elements=file.elements,
            has_pixels=file.has_pixels,
            pixel_bytes=pixel_bytes(file),
        )
        if layout is not None:
            _layouts.note(part, data, layout)
    return file


def _take_apart(data: bytes, part: _Part) -> tuple[DicomFile, list[Token], list[Token]]:
    """Give a file, and the elements of its meta group and of the rest, each in the order of the file."""
    start = _PREAMBLE if data[128:_PREAMBLE] == b"DICM" else 0
    head = _read_meta(data, start)
    meta = {token.tag: data[token.value : token.value_end] for token in head}
    body = head[-1].end if head else start
    syntax = meta.get(TRANSFER_SYNTAX, b"").decode("latin-1").strip(" \0")
    if syntax == _DEFLATED_UID:
        # Stored inflated: what deflate writes depends on its version, and the bytes must be the same each time.
        data, body, syntax = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[body:], _LARGEST), 0, _EXPLICIT_UID
    encoding = _encoding(syntax, data, body, announced=start > 0)
    tokens: list[Token] = []
    is_cut_short = False
    try:
        encoding.tokens(data, body, before=_AFTER_ALL if part is _Part.ALL else _PIXEL_GROUP, into=tokens)
    except EncodingError as error:
        # Zeros behind the last element are padding of the medium.
        if part is _Part.HEADER_START or not tokens or data[tokens[-1].end :].strip(b"\0"):
            if part is not _Part.HEADER or not isinstance(error, CutShortError):
                raise
            is_cut_short = True
    end = tokens[-1].end if tokens else body
    # Group lengths are retired (PS3.5 section 7.2).
    elements = {token[0]: token for token in tokens if token[0] & 0xFFFF}
    if part is _Part.ALL and (not elements or (start == 0 and not elements.keys() & _TELLING)):
        raise NotDicomError
    syntax = syntax if _fits(syntax, encoding) else _syntax(encoding)
    has_pixels = PIXEL_DATA in elements or _starts_pixels(encoding, data, end)
    return DicomFile(data, body, meta, syntax, encoding, elements, has_pixels, is_cut_short), head, tokens


def _starts_pixels(encoding: Encoding, data: bytes, position: int) -> bool:
    return int.from_bytes(data[position : position + 2], "little" if encoding.little else "big") == _PIXEL_GROUP >> 16


def _read_meta(data: bytes, start: int) -> list[Token]:
    found: list[Token] = []
    position = start
    # Some files write the meta group implicit, against PS3.10 section 7.1.
    code = data[start + 4 : start + 6]
    encoding = EXPLICIT_LITTLE if code.isalpha() and code.isupper() else IMPLICIT_LITTLE
    while data[position : position + 2] == b"\x02\x00":
        token = encoding.token(data, position, len(data))
        found.append(token)
        position = token.end
    return found


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
    if syntax == _BIG_UID and head[0] == head[1] == 0:
        big = True
    return EXPLICIT_BIG if big else EXPLICIT_LITTLE


def _fits(syntax: str, encoding: Encoding) -> bool:
    if not syntax:
        return False
    if encoding.implicit:
        return syntax == _IMPLICIT_UID
    return (syntax == _BIG_UID) is not encoding.little and syntax != _IMPLICIT_UID


def _syntax(encoding: Encoding) -> str:
    if encoding.implicit:
        return _IMPLICIT_UID
    return _EXPLICIT_UID if encoding.little else _BIG_UID


def _check_pixels(file: DicomFile) -> None:
    """Find uncompressed pixel data that are shorter than the header says (PS3.5 section 8)."""
    pixels = file.elements.get(PIXEL_DATA)
    if pixels is None or pixels.undefined:
        return
    expected = pixel_bytes(file)
    there = pixels.value_end - pixels.value
    subsampled = b"422" in file.value(_PHOTOMETRIC_INTERPRETATION)
    if there < (expected * 2 // 3 if subsampled else expected):
        raise TruncatedDicomError(f"{expected} bytes of pixels announced, {there} there")


def pixel_bytes(file: DicomFile) -> int:
    """Give the number of bytes of uncompressed pixel data that the header announces; 0 where it announces none."""
    if file.layout is not None:
        return file.layout.pixel_bytes
    rows, columns, bits = (_number(file, tag, 0) for tag in (_ROWS, _COLUMNS, _BITS_ALLOCATED))
    samples, frames = (_number(file, tag, 1) for tag in (_SAMPLES_PER_PIXEL, _NUMBER_OF_FRAMES))
    return (rows * columns * bits * samples * frames + 7) // 8


def _number(file: DicomFile, tag: int, default: int) -> int:
    value = file.value(tag)
    if not value:
        return default
    if tag == _NUMBER_OF_FRAMES:
        return int(value.strip(b" \0")) if value.strip(b" \0").isdigit() else default
    return int.from_bytes(value[:2], "little" if file.encoding.little else "big")


@cache
def charsets(declared: bytes) -> tuple[str, ...]:
    """Give Python's names of the character sets that a SpecificCharacterSet names; an unknown one is the default."""
    from pydicom.charset import convert_encodings, default_encoding, python_encoding  # noqa: PLC0415 - a third of a second

    terms = declared.decode("ascii", "replace").replace("\0", " ").rstrip().split("\\")
    with warnings.catch_warnings():
        # pydicom warns of an unknown term, for each file.
        warnings.simplefilter("ignore")
        names = convert_encodings(terms)
    known = set(python_encoding.values())
    return tuple(name if name in known or _keeps_ascii(name) else default_encoding for name in names)


def _keeps_ascii(name: str) -> bool:
    """Tell whether a codec reads ASCII as it stands: pydicom takes a term for any codec of Python that is called so."""
    try:
        b"\xff".decode(name, "replace")
        return _ASCII.decode(name) == _ASCII.decode("ascii")
    except (LookupError, ValueError):
        return False


def is_plain(value: bytes) -> bool:
    """Tell whether a text is ASCII: each character set writes it so, up to the escape that changes to another one."""
    return value.isascii() and b"\x1b" not in value


def decoded(value: bytes, names: tuple[str, ...]) -> str:
    """Give the text of a value, written in these character sets (PS3.5 section 6.1); ISO 8859-1 where there is none."""
    if is_plain(value):
        return value.decode("ascii")
    from pydicom.charset import decode_bytes, default_encoding  # noqa: PLC0415 - a third of a second
    from pydicom.valuerep import TEXT_VR_DELIMS  # noqa: PLC0415 - the same

    return decode_bytes(value, list(names) or [default_encoding], TEXT_VR_DELIMS)


def opening(meta: Mapping[int, bytes]) -> bytes:
    """Give what stands before the elements: a zeroed preamble and the file meta group (PS3.10 section 7.1).

    Parameters
    ----------
    meta
        Values of MediaStorageSOPClassUID, MediaStorageSOPInstanceUID, TransferSyntaxUID and
        ImplementationVersionName, where known.
    """
    others = tuple(sorted((tag, value) for tag, value in meta.items() if tag != MEDIA_STORAGE_SOP_INSTANCE))
    instance = padded("UI", meta.get(MEDIA_STORAGE_SOP_INSTANCE, b""))
    before, after = _around_instance(others, len(instance))
    return b"".join((before, instance, after))


@lru_cache(maxsize=256)
def _around_instance(others: tuple[tuple[int, bytes], ...], length: int) -> tuple[bytes, bytes]:
    """Give what stands before and behind the UID of the instance, of which each file has its own."""
    values = {0x00020001: b"\x00\x01", 0x00020012: IMPLEMENTATION_CLASS_UID, **dict(others)}
    if length:
        values[MEDIA_STORAGE_SOP_INSTANCE] = bytes(length)
    parts = {tag: EXPLICIT_LITTLE.element(tag, _META_VRS[tag], value) for tag, value in sorted(values.items())}
    size = sum(map(len, parts.values()))
    front = [part for tag, part in parts.items() if tag <= MEDIA_STORAGE_SOP_INSTANCE]
    back = [part for tag, part in parts.items() if tag > MEDIA_STORAGE_SOP_INSTANCE]
    head = b"".join((bytes(128), b"DICM", EXPLICIT_LITTLE.element(0x00020000, "UL", struct.pack("<L", size)), *front))
    return head[: len(head) - length], b"".join(back)


_META_VRS: Final = {
    0x00020001: "OB",
    MEDIA_STORAGE_SOP_CLASS: "UI",
    MEDIA_STORAGE_SOP_INSTANCE: "UI",
    TRANSFER_SYNTAX: "UI",
    0x00020012: "UI",
    IMPLEMENTATION_VERSION_NAME: "SH",
}
