"""Siemens CSA headers (0029,xx10) and (0029,xx20): taken apart, cleaned, put together again.

The layout follows nibabel's documentation of the format (https://nipy.org/nibabel/dicom/siemens_csa.html): `SV10` marks
the second version; 84 bytes describe an element, 16 bytes each of its items.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from heartbrain_ingest.deidentify.cleaning import TextCleaner

_MAGIC: Final = b"SV10"
_HEADER: Final = struct.Struct("<64si4siii")
_ITEM: Final = struct.Struct("<4i")
_EMPTY: Final = _ITEM.pack(0, 0, 205, 0)
_COUNT: Final = struct.Struct("<II")
_CHECK: Final = 77
_MOST_ELEMENTS: Final = 128
_ITEM_COUNT_OFFSET: Final = 76
_NAME: Final = 64
#: Bytes of elements to remember.
_MEMORY: Final = 8 * 1024 * 1024
_NUMERIC_VRS: Final = frozenset({b"IS", b"DS", b"FD", b"FL", b"US", b"UL", b"SL", b"SS"})
_NUMBER: Final = re.compile(rb"[-+0-9.eE ]*")


class CsaError(ValueError):
    """The bytes are not a CSA header."""


class Element(NamedTuple):
    """One element of a CSA header and where it lies in the bytes."""

    name: str
    #: Two letters.
    vr: bytes
    #: First byte of its 84-byte description.
    start: int
    #: First and last byte (exclusive) of the value of each item; most have none.
    items: tuple[tuple[int, int], ...]
    #: First byte after its last item.
    end: int


def is_csa(data: bytes) -> bool:
    """Tell a CSA header of either version from other bytes."""
    offset = 8 if data[:4] == _MAGIC else 0
    if len(data) < offset + _COUNT.size:
        return False
    count, check = _COUNT.unpack_from(data, offset)
    return bool(check == _CHECK and 0 < count <= _MOST_ELEMENTS)


def elements(data: bytes) -> Iterator[Element]:
    """Go through the elements of a header.

    Raises
    ------
    CsaError
        The bytes are no CSA header, or end within one.
    """
    if not is_csa(data):
        raise CsaError("no CSA header")
    position = 8 if data[:4] == _MAGIC else 0
    count, _ = _COUNT.unpack_from(data, position)
    position += _COUNT.size
    # In the first version a length counts from the number of items of the first element.
    base = 0 if data[:4] == _MAGIC else struct.unpack_from("<i", data, position + _ITEM_COUNT_OFFSET)[0]
    for _ in range(count):
        element = _element(data, position, base)
        position = element.end
        yield element


def _element(data: bytes, start: int, base: int) -> Element:
    second = data[:4] == _MAGIC
    try:
        name, _, vr, _, number, _ = _HEADER.unpack_from(data, start)
        position = start + _HEADER.size
        items = []
        for _ in range(number):
            lengths = _ITEM.unpack_from(data, position)
            position += _ITEM.size
            length = lengths[1] if second else lengths[0] - base
            if length < 0 or position + length > len(data):
                raise CsaError("an item is longer than the header")
            items.append((position, position + length))
            position += (length + 3) & ~3
    except struct.error as error:
        raise CsaError("the header ends within an element") from error
    return Element(name.partition(b"\0")[0].decode("latin-1"), vr[:2], start, tuple(items), position)


class CsaCleaner:
    """Leaves the elements on a list and empties all others.

    What scanners leave behind the end of names and values is the remains of other texts, names of patients among them;
    it is never copied.

    Parameters
    ----------
    keep
        Name of an element to `number`, `text` or `protocol`: what its value has to be.
    cleaner
        Cleans texts.
    protocol
        Cleans a protocol.
    """

    def __init__(self, keep: Mapping[str, str], cleaner: TextCleaner, protocol: Callable[[bytes], bytes]) -> None:
        self._keep = keep
        self._cleaner = cleaner
        self._protocol = protocol
        # The images of a series have nearly equal headers. First 64 bytes of an element to the length that the last
        # one with them had; bytes of an element to what they became.
        self._lengths: dict[bytes, int] = {}
        self._known: dict[bytes, bytes] = {}
        self._size = 0

    def clean(self, data: bytes) -> bytes:
        """Give a header of the same version with the same elements; emptied ones have no items.

        In the first version the lengths stay, since they depend on each other.

        Raises
        ------
        CsaError
            The bytes are no CSA header, or end within one.
        """
        if not is_csa(data):
            raise CsaError("no CSA header")
        return self._rebuilt(data) if data[:4] == _MAGIC else self._blanked(data)

    def _rebuilt(self, data: bytes) -> bytes:
        position = 8 + _COUNT.size
        parts = [data[:position]]
        for _ in range(_COUNT.unpack_from(data, 8)[0]):
            name = data[position : position + _NAME]
            content = data[position : position + self._lengths.get(name, 0)]
            new = self._known.get(content)
            if new is None:
                element = _element(data, position, 0)
                content = data[position : element.end]
                new = self._remember(name, content, self._rebuilt_element(data, element))
            parts.append(new)
            position += len(content)
        parts.append(bytes(4))
        return b"".join(parts)

    def _remember(self, name: bytes, old: bytes, new: bytes) -> bytes:
        if self._size > _MEMORY:
            self._lengths.clear()
            self._known.clear()
            self._size = 0
        self._lengths[name] = len(old)
        self._known[old] = new
        self._size += len(name) + len(old) + len(new)
        return new

    def _rebuilt_element(self, data: bytes, element: Element) -> bytes:
        sort = self._keep.get(element.name)
        values = []
        if sort is not None:
            values = [self._value(data[first:last], sort, element.vr) for first, last in element.items]
        parts = [_head(data, element, len(values))]
        for value in values:
            if not value:
                # Readers go by the number of items, so the empty ones count.
                parts.append(_EMPTY)
                continue
            length = len(value) + 1
            parts += [_ITEM.pack(length, length, _CHECK, length), value, bytes(1 + -length % 4)]
        return b"".join(parts)

    def _blanked(self, data: bytes) -> bytes:
        result = bytearray(len(data))
        result[: _COUNT.size] = data[: _COUNT.size]
        for element in elements(data):
            position = element.start + _HEADER.size
            result[element.start : position] = _head(data, element, None)
            sort = self._keep.get(element.name)
            for first, last in element.items:
                value = self._value(data[first:last], sort, element.vr) if sort else b""
                result[first - _ITEM.size : first] = data[first - _ITEM.size : first]
                result[first:last] = value[: last - first].ljust(last - first, b"\0")
        return bytes(result)

    def _value(self, value: bytes, sort: str, vr: bytes) -> bytes:
        value = value.partition(b"\0")[0]
        if not value:
            return value
        if sort == "protocol":
            return self._protocol(value)
        if sort == "number" or vr in _NUMERIC_VRS:
            return value if _NUMBER.fullmatch(value) else b""
        return self._cleaner.clean(value)


def _head(data: bytes, element: Element, count: int | None) -> bytes:
    """Give the 84 bytes of an element, with another number of items, without what lies behind the end of its name."""
    _, number, _, syngo, items, check = _HEADER.unpack_from(data, element.start)
    name = element.name.encode("latin-1")
    return _HEADER.pack(name, number, element.vr, syngo, items if count is None else count, check)
