"""DICOM data elements as bytes (PS3.5 section 7): where each one starts and ends, and how a changed one is written.

Works on bytes, not on parsed values: an element that no rule touches is copied, never decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

#: Length field of an element whose end is marked by a delimiter (PS3.5 section 7.1).
UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
SPECIFIC_CHARACTER_SET: Final = 0x00080005
PIXEL_DATA: Final = 0x7FE00010
#: Above any tag.
_AFTER_ALL: Final = 1 << 32
_ITEM_GROUP: Final = 0xFFFE
#: Bytes of tag, VR, two unused ones and a length.
_LONG_HEADER: Final = 12

#: VRs with a 32-bit length in explicit encodings (PS3.5 table 7.1-1).
_LONG_VRS: Final = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
#: The other VRs; anything else where a VR should stand is a damaged file.
_SHORT_VRS: Final = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
_NAMES: Final = {vr: vr.decode() for vr in _LONG_VRS | _SHORT_VRS}
#: Values of these VRs are padded with NUL, those of the text VRs with a space.
_NUL_PADDED: Final = frozenset({"UI", "OB", "UN"})


class EncodingError(ValueError):
    """The bytes are not DICOM data elements."""


class CutShortError(EncodingError):
    """The bytes end inside a data element."""


class Token(NamedTuple):
    """Where one data element lies in a buffer."""

    #: (group << 16) | element.
    tag: int
    #: Two letters; of the dictionary where the encoding is implicit; "UN" if that does not know the tag.
    vr: str
    #: First byte of the tag.
    start: int
    #: First byte of the value.
    value: int
    #: First byte after the value, before a delimiter.
    value_end: int
    #: First byte after the element, after a delimiter.
    end: int
    #: Whether a delimiter marks the end.
    undefined: bool


@cache
def known_vr(tag: int) -> str:
    """Give the VR of the DICOM dictionary for a tag, "UN" for one that it does not list, the first of a choice."""
    if tag & 0xFFFF == 0:
        return "UL"
    if (tag >> 16) & 1:
        return "LO" if 0x10 <= (tag & 0xFFFF) <= 0xFF else "UN"  # noqa: PLR2004 - a private creator, PS3.5 section 7.8
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415 - the dictionary takes a third of a second

    try:
        return dictionary_VR(tag)[:2]
    except KeyError:
        return "UN"


@dataclass(frozen=True)
class Encoding:
    """One way to write data elements: with or without VR, little or big endian."""

    implicit: bool
    little: bool

    def tokens(
        self,
        data: bytes,
        start: int = 0,
        end: int | None = None,
        *,
        before: int = _AFTER_ALL,
        into: list[Token] | None = None,
    ) -> list[Token]:
        """Find the data elements between two positions, up to the first with a tag of `before` or above.

        Parameters
        ----------
        into
            Where the elements are put; after an error it holds those before it.

        Raises
        ------
        EncodingError
            The bytes can't be data elements.
        CutShortError
            The last element needs more bytes than there are.
        """
        found = [] if into is None else into
        limit = len(data) if end is None else end
        mark = _MARKS[self.little]
        unpack = (mark.implicit if self.implicit else mark.explicit).unpack_from
        unpack_long = mark.long.unpack_from
        heads = _HEADS[self.implicit, self.little]
        make = tuple.__new__
        position = start
        while position < limit:
            if position + _LONG_HEADER <= limit:
                head, length = unpack(data, position)
                known = heads.get(head) or self._learn(head)
                if known is not None:
                    tag, vr, size = known
                    if tag >= before:
                        break
                    if size == _LONG_HEADER:
                        (length,) = unpack_long(data, position + 8)
                    value = position + size
                    after = value + length
                    if after <= limit and length != UNDEFINED:
                        # Token(...) in a third of the time.
                        found.append(make(Token, (tag, vr, position, value, after, after, False)))
                        position = after
                        continue
            token = self.token(data, position, limit)
            if token.tag == ITEM_END:
                break
            found.append(token)
            position = token.end
        return found

    def _learn(self, head: bytes) -> tuple[int, str, int] | None:
        """Give tag, VR and length of the header for the first bytes of an element; None for items and damaged ones."""
        group, element = _MARKS[self.little].tag.unpack_from(head)
        tag = (group << 16) | element
        code = head[4:6]
        if group == _ITEM_GROUP or not (self.implicit or code in _NAMES):
            return None
        found = (tag, known_vr(tag), 8) if self.implicit else (tag, _NAMES[code], 12 if code in _LONG_VRS else 8)
        heads = _HEADS[self.implicit, self.little]
        if len(heads) < _MOST_HEADS:
            heads[head] = found
        return found

    def token(self, data: bytes, position: int, limit: int) -> Token:
        """Find the data element that starts at a position; see `tokens`."""
        mark = _MARKS[self.little]
        if position + 8 > limit:
            raise CutShortError(f"{limit - position} bytes where a data element should start")
        group, element = mark.tag.unpack_from(data, position)
        tag = (group << 16) | element
        if self.implicit or group == _ITEM_GROUP:  # items and delimiters never have a VR
            vr, value = (known_vr(tag) if group != _ITEM_GROUP else "UN"), position + 8
            (length,) = mark.long.unpack_from(data, position + 4)
        else:
            code = data[position + 4 : position + 6]
            name = _NAMES.get(code)
            if name is None:
                raise EncodingError(f"no value representation at byte {position + 4}")
            vr = name
            if code in _LONG_VRS:
                if position + 12 > limit:
                    raise CutShortError("the length of a data element is missing")
                value = position + 12
                (length,) = mark.long.unpack_from(data, position + 8)
            else:
                value = position + 8
                (length,) = mark.short.unpack_from(data, position + 6)
        if length == UNDEFINED:
            if tag == ITEM:
                raise EncodingError("an item outside of a sequence")
            value_end, after = self._delimited(data, vr, value, limit)
            return Token(tag, vr, position, value, value_end, after, undefined=True)
        if value + length > limit:
            raise CutShortError(f"{length} bytes announced, {limit - value} left")
        return Token(tag, vr, position, value, value + length, value + length, undefined=False)

    def items(self, data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Find the items of a sequence's value: first byte and first byte after the content of each."""
        for first, last, _ in self._items(data, start, len(data) if end is None else end):
            yield first, last

    def _items(self, data: bytes, start: int, limit: int) -> Iterator[tuple[int, int, int]]:
        mark = _MARKS[self.little]
        position = start
        while position + 8 <= limit:
            group, element = mark.tag.unpack_from(data, position)
            (length,) = mark.long.unpack_from(data, position + 4)
            tag = (group << 16) | element
            if tag == SEQUENCE_END:
                return
            if tag != ITEM:
                raise EncodingError(f"no item at byte {position}")
            first = position + 8
            if length == UNDEFINED:
                tokens = self.tokens(data, first, limit)
                last = tokens[-1].end if tokens else first
                position = last + 8
            else:
                last = position = first + length
            if position > limit:
                raise CutShortError("an item ends after its sequence")
            yield first, last, position

    def _delimited(self, data: bytes, vr: str, value: int, limit: int) -> tuple[int, int]:
        # An unknown value of undefined length is an implicit little-endian sequence (PS3.5 section 6.2.2 note).
        # Encapsulated pixel data are a sequence of items of bytes.
        inner = IMPLICIT_LITTLE if vr == "UN" else self
        last = max((after for _, _, after in inner._items(data, value, limit)), default=value)
        if last + 8 > limit:
            raise CutShortError("a sequence has no end")
        return last, last + 8

    def header(self, tag: int, vr: str, length: int) -> bytes:
        """Write the tag, VR and length of an element."""
        mark = _MARKS[self.little]
        head = mark.tag.pack(tag >> 16, tag & 0xFFFF)
        if self.implicit:
            return head + mark.long.pack(length)
        code = vr.encode()
        if code in _LONG_VRS:
            return head + code + b"\0\0" + mark.long.pack(length)
        return head + code + mark.short.pack(length)

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """Write an element of defined length; its value is padded to an even length."""
        value = padded(vr, value)
        return self.header(tag, vr, len(value)) + value

    def item(self, content: bytes) -> bytes:
        """Write an item of a sequence."""
        mark = _MARKS[self.little]
        return mark.tag.pack(0xFFFE, 0xE000) + mark.long.pack(len(content)) + content


class _Mark:
    """The compiled structures of one byte order."""

    def __init__(self, order: str) -> None:
        self.tag = struct.Struct(f"{order}HH")
        self.long = struct.Struct(f"{order}L")
        self.short = struct.Struct(f"{order}H")
        #: Tag, VR and short length; tag and length.
        self.explicit = struct.Struct(f"{order}6sH")
        self.implicit = struct.Struct(f"{order}4sL")


_MARKS: Final = {True: _Mark("<"), False: _Mark(">")}
#: For each encoding (implicit, little): the first bytes of elements met so far (tag, and VR where it is written) to
#: tag, VR and length of the header. Most elements of a file are known from the one before.
_HEADS: Final[dict[tuple[bool, bool], dict[bytes, tuple[int, str, int]]]] = {
    (implicit, little): {} for implicit in (False, True) for little in (False, True)
}
_MOST_HEADS: Final = 20_000
IMPLICIT_LITTLE: Final = Encoding(implicit=True, little=True)
EXPLICIT_LITTLE: Final = Encoding(implicit=False, little=True)
EXPLICIT_BIG: Final = Encoding(implicit=False, little=False)


def padded(vr: str, value: bytes) -> bytes:
    """Make the length even, as each value representation wants it (PS3.5 section 6.2)."""
    if len(value) % 2 == 0:
        return value
    return value + (b"\0" if vr in _NUL_PADDED else b" ")
