"""Headers as lists of elements, written as bytes: also what no DICOM library would write."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from heartbrain_ingest.dicom import DicomFile
from heartbrain_ingest.dicom.encoding import EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding, EncodingError, Token

#: UIDs of the transfer syntaxes.
SYNTAXES: Final = {EXPLICIT_LITTLE: b"1.2.840.10008.1.2.1", IMPLICIT_LITTLE: b"1.2.840.10008.1.2"}
#: The tags (and numbers of items) that lead to an element.
Path = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One element; `items` for a sequence, otherwise `value`."""

    tag: int
    vr: str
    value: bytes = b""
    items: tuple[tuple[Node, ...], ...] = ()

    def encoded(self, encoding: Encoding) -> bytes:
        """Write the element."""
        if self.vr != "SQ" or not self.items:
            return encoding.element(self.tag, self.vr, self.value)
        value = b"".join(encoding.item(encode(item, encoding)) for item in self.items)
        return encoding.element(self.tag, self.vr, value)


def encode(nodes: Iterable[Node], encoding: Encoding) -> bytes:
    """Write the elements in the order of their tags; of two with one tag the last."""
    found = {node.tag: node for node in nodes}
    return b"".join(found[tag].encoded(encoding) for tag in sorted(found))


def as_file(nodes: Iterable[Node], meta: Sequence[Node], encoding: Encoding, preamble: bytes = b"") -> bytes:
    """Write a whole file (PS3.10)."""
    syntax = Node(0x00020010, "UI", SYNTAXES[encoding])
    group = encode([*meta, syntax], EXPLICIT_LITTLE)
    length = EXPLICIT_LITTLE.element(0x00020000, "UL", struct.pack("<L", len(group)))
    return b"".join((preamble[:128].ljust(128, b"\0"), b"DICM", length, group, encode(nodes, encoding)))


def text(tag: int, vr: str, value: str) -> Node:
    """Give an element of text."""
    return Node(tag, vr, value.encode("latin-1"))


def numbers(tag: int, vr: str, *values: float) -> Node:
    """Give an element of binary numbers, little endian."""
    letter = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d"}[vr]
    return Node(tag, vr, struct.pack(f"<{len(values)}{letter}", *values))


def outer_nodes(file: DicomFile) -> list[Node]:
    """Give the elements of a file's outermost level; a sequence is the bytes of its value."""
    return [
        Node(token.tag, token.vr, file.data[token.value : token.value_end])
        for token in file.elements.values()
        if not token.undefined
    ]


class Reader:
    """Finds elements of a file by their paths; each sequence is taken apart once."""

    def __init__(self, file: DicomFile) -> None:
        self._levels: dict[Path, _Level] = {(): _Level(file.data, file.encoding, dict(file.elements))}

    def value(self, path: Path) -> bytes | None:
        """Give the value of an element; None where it is gone."""
        level = self._level(path[:-1])
        token = level.tokens.get(path[-1])
        return None if token is None else level.data[token.value : token.value_end]

    def _level(self, path: Path) -> _Level:
        if path not in self._levels:
            outer = self._level(path[:-1])
            token = outer.tokens.get(path[-1])
            self._levels[path] = _EMPTY if token is None else _first_item(outer, token)
        return self._levels[path]


@dataclass(frozen=True)
class _Level:
    """The elements of a data set or an item."""

    data: bytes
    encoding: Encoding
    tokens: dict[int, Token]


_EMPTY: Final = _Level(b"", EXPLICIT_LITTLE, {})


def _first_item(outer: _Level, sequence: Token) -> _Level:
    value = outer.data[sequence.value : sequence.value_end]
    encoding = IMPLICIT_LITTLE if sequence.vr == "UN" else outer.encoding
    try:
        first, last = next(iter(encoding.items(value)))
        data = value[first:last]
        return _Level(data, encoding, {token.tag: token for token in encoding.tokens(data)})
    except (EncodingError, StopIteration):
        return _EMPTY
