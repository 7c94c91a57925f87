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
    second = data[:4] == _MAGIC
    position = 8 if second else 0
    count, _ = _COUNT.unpack_from(data, position)
    position += _COUNT.size
    # In the first version a length counts from the number of items of the first element.
    base = 0 if second else struct.unpack_from("<i", data, position + _ITEM_COUNT_OFFSET)[0]
    try:
        for _ in range(count):
            start = position
            name, _, vr, _, number, _ = _HEADER.unpack_from(data, position)
            position += _HEADER.size
            items = []
            for _ in range(number):
                lengths = _ITEM.unpack_from(data, position)
                position += _ITEM.size
                length = lengths[1] if second else lengths[0] - base
                if length < 0 or position + length > len(data):
                    raise CsaError("an item is longer than the header")
                items.append((position, position + length))
                position += (length + 3) & ~3
            yield Element(name.partition(b"\0")[0].decode("latin-1"), vr[:2], start, tuple(items), position)
    except struct.error as error:
        raise CsaError("the header ends within an element") from error


def clean(data: bytes, keep: Mapping[str, str], cleaner: TextCleaner, protocol: Callable[[bytes], bytes]) -> bytes:
    """Leave the elements on a list and empty all others.

    What scanners leave behind the end of names and values is the remains of other texts, names of patients among them;
    it is never copied.

    Parameters
    ----------
    data
        The value of the DICOM element.
    keep
        Name of an element to `number`, `text` or `protocol`: what its value has to be.
    cleaner
        Cleans texts.
    protocol
        Cleans a protocol.

    Returns
    -------
    bytes
        A header of the same version with the same elements; emptied ones have no items. In the first version the
        lengths stay, since they depend on each other.
    """
    rebuild = _rebuilt if data[:4] == _MAGIC else _blanked
    return rebuild(data, keep, lambda value, sort, vr: _value(value, sort, vr, cleaner, protocol))


_Change = Callable[[bytes, str, bytes], bytes]


def _value(value: bytes, sort: str, vr: bytes, cleaner: TextCleaner, protocol: Callable[[bytes], bytes]) -> bytes:
    value = value.partition(b"\0")[0]
    if not value:
        return value
    if sort == "protocol":
        return protocol(value)
    if sort == "number" or vr in _NUMERIC_VRS:
        return value if _NUMBER.fullmatch(value) else b""
    return cleaner.clean(value)


def _rebuilt(data: bytes, keep: Mapping[str, str], change: _Change) -> bytes:
    parts = [data[:16]]
    for element in elements(data):
        sort = keep.get(element.name)
        values = []
        if sort is not None:
            values = [change(data[first:last], sort, element.vr) for first, last in element.items]
        parts.append(_head(data, element, len(values)))
        for value in values:
            if not value:
                # Readers go by the number of items, so the empty ones count.
                parts.append(_EMPTY)
                continue
            length = len(value) + 1
            parts += [_ITEM.pack(length, length, _CHECK, length), value, bytes(1 + -length % 4)]
    return b"".join(parts) + bytes(4)


def _blanked(data: bytes, keep: Mapping[str, str], change: _Change) -> bytes:
    result = bytearray(len(data))
    result[: _COUNT.size] = data[: _COUNT.size]
    for element in elements(data):
        position = element.start + _HEADER.size
        result[element.start : position] = _head(data, element, None)
        sort = keep.get(element.name)
        for first, last in element.items:
            value = change(data[first:last], sort, element.vr) if sort else b""
            result[first - _ITEM.size : first] = data[first - _ITEM.size : first]
            result[first:last] = value[: last - first].ljust(last - first, b"\0")
    return bytes(result)


def _head(data: bytes, element: Element, count: int | None) -> bytes:
    """Give the 84 bytes of an element, with another number of items, without what lies behind the end of its name."""
    _, number, _, syngo, items, check = _HEADER.unpack_from(data, element.start)
    name = element.name.encode("latin-1")
    return _HEADER.pack(name, number, element.vr, syngo, items if count is None else count, check)
