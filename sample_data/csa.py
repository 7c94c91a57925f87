"""Siemens CSA headers, version 2 ("SV10"): the tagged lists in the private elements (0029,xx10) and (0029,xx20).

The layout is that of real VE11 files: a count of tags, per tag a fixed record of 84 bytes and items in multiples of
six, each with a record of 16 bytes and its text, padded to 4 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache

Value = str | int | float

_SYNGO_TYPES = {
    "UN": 0,
    "DS": 3,
    "FD": 4,
    "IS": 6,
    "SL": 7,
    "SS": 8,
    "UL": 9,
    "US": 10,
    "CS": 16,
    "LO": 19,
    "LT": 20,
    "SH": 22,
    "ST": 23,
    "UT": 27,
}
_PRESENT, _ABSENT = 77, 205
_ITEMS_PER_BLOCK = 6


class Tag:
    """One named entry of a CSA header: name, value representation, multiplicity (0: any) and values."""

    __slots__ = ("multiplicity", "name", "values", "vr")

    def __init__(self, name: str, vr: str, multiplicity: int, *values: Value) -> None:
        self.name = name
        self.vr = vr
        self.multiplicity = multiplicity
        self.values = values

    def encode(self) -> bytes:
        """Give the entry's bytes."""
        return _encode(self.name, self.vr, self.multiplicity, self.values)


def encode(tags: Sequence[Tag] | Iterable[Tag]) -> bytes:
    """Give the bytes of a whole header."""
    parts = [tag.encode() for tag in tags]
    return b"".join((b"SV10\x04\x03\x02\x01", struct.pack("<II", len(parts), _PRESENT), *parts))


def _text(vr: str, value: Value) -> bytes:
    if vr in {"FD", "DS"}:
        return f"{value:.8f}".encode("ascii")
    if vr in {"IS", "SL", "SS", "UL", "US"}:
        return f"{value:<8}".encode("ascii")
    return str(value).encode("latin-1")


@lru_cache(maxsize=4096)
def _encode(name: str, vr: str, multiplicity: int, values: tuple[Value, ...]) -> bytes:
    slots = -(-len(values) // _ITEMS_PER_BLOCK) * _ITEMS_PER_BLOCK
    parts = [
        struct.pack(
            "<64si4siii",
            name.encode("ascii"),
            multiplicity,
            vr.encode("ascii"),
            _SYNGO_TYPES[vr],
            slots,
            _PRESENT if slots else _ABSENT,
        )
    ]
    for value in values:
        text = _text(vr, value) + b"\0"
        parts += [struct.pack("<4i", len(text), len(text), _PRESENT, len(text)), text, b"\0" * (-len(text) % 4)]
    parts += [struct.pack("<4i", 0, 0, _ABSENT, 0)] * (slots - len(values))
    return b"".join(parts)
