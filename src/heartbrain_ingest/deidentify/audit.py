"""The leak audit: search all that is about to be published for all that identifies people in the input's headers."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from heartbrain_ingest.deidentify.identifiers import SHORTEST_TO_AUDIT, Identifiers, Kind, Match, Matcher, spellings
from heartbrain_ingest.deidentify.rules import Exemptions
from heartbrain_ingest.dicom import DicomFileError, files
from heartbrain_ingest.dicom.encoding import PIXEL_DATA, Encoding, EncodingError, Token
from heartbrain_ingest.dicom.layouts import Latest, Layout, Spot, Stretch, stretches
from heartbrain_ingest.dicom.spectra import is_spectrum

#: A number in a table, in JSON or in an element of numbers is a measured value, unless it is as long as a registration
#: number.
_LONG_NUMBER: Final = 6
#: VRs of numbers, and of blocks in which scanners keep numbers as text.
_MEASURED: Final = frozenset({"DS", "IS", "TM", "OB", "OW", "UN"})
_PREAMBLE: Final = 132
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_NIFTI_HEADER: Final = 352
_LARGEST_NIFTI_HEADER: Final = 16 * 1024 * 1024
_CHUNK: Final = 1024 * 1024
#: Bytes of elements known to be clean to keep in mind, and the longest of them.
_MEMORY: Final = 16 * 1024 * 1024
_LONGEST: Final = 1024 * 1024
#: What is left of a chunk for the next one, so that nothing is missed at the border.
_OVERLAP: Final = 256
#: Among the numbers of a spectrum words of so many letters, or in texts of so many bytes, are no chance.
_LONG_WORD: Final = 7
_LEAST_TEXT: Final = 12
_NUMERIC: Final = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Leak:
    """An identifier where it must not be. Holds the place and the kind, never the value."""

    #: Path, with what leaks masked, and the place within the file.
    place: str
    kind: Kind


class LeakAudit:
    """Finds the identifiers of a session in texts, files and folders, in one pass for all of them.

    Whole words of at least four characters count, in any case. What an exemption names does not; `exempted` counts, by
    rule, the identifiers that are passed over.
    """

    def __init__(self, identifiers: Identifiers, exemptions: Exemptions) -> None:
        words = exemptions.all_words
        if not exemptions.equipment:
            identifiers = Identifiers(identifiers.values)
        self._matcher: Matcher = identifiers.matcher(SHORTEST_TO_AUDIT, words)
        #: Rule to the number of words that are no identifiers by it.
        self.exempted = _count(identifiers, exemptions)
        #: Elements of DICOM headers in which nothing was found: those of a series are nearly the same.
        self._clean: set[bytes] = set()
        self._clean_size = 0
        #: Of the files in which nothing was found.
        self._latest = Latest()
        #: How many words and numbers are searched for.
        self.searched = len(self._matcher.patterns) + len(self._matcher.uids)

    def scan_text(self, text: str, place: str = "text") -> list[Leak]:
        """Search a text; the place of each leak ends with its line."""
        found = []
        for match in self._matcher.find(text):
            line = text.count("\n", 0, match.start) + 1
            found.append(Leak(f"{place}: line {line}", match.kind))
        return list(dict.fromkeys(found))

    def scan_value(self, value: Any, place: str = "value") -> list[Leak]:
        """Search a value of JSON: strings, and numbers as long as a registration number. Keys are exempt."""
        return list(dict.fromkeys(self._json(value, place)))

    def scan_tree(self, folder: Path) -> list[Leak]:
        """Search the names of all files and folders below a folder, and the content of each file."""
        return self.scan_paths(folder, sorted(folder.rglob("*")))

    def scan_paths(self, folder: Path, paths: Iterable[Path]) -> list[Leak]:
        """Search the names of some files and folders below a folder, and the content of the files."""
        found = []
        for path in paths:
            relative = PurePosixPath(path.relative_to(folder))
            found += self._name(relative)
            if path.is_file():
                found += self.scan_file(path, str(relative))
        return found

    def scan_file(self, path: Path, place: str = "") -> list[Leak]:
        """Search the content of one file: text, table, JSON, gzip, zip, header of NIfTI, NumPy or DICOM.

        Parameters
        ----------
        path
            Where it lies.
        place
            What leaks call it; its name unless given.
        """
        place = self._masked(place or path.name)
        with path.open("rb") as stream:
            return list(dict.fromkeys(self._content(stream, path.name.lower(), place)))

    def _content(self, stream: IO[bytes], name: str, place: str) -> Iterator[Leak]:
        if name.endswith(".gz"):
            with gzip.open(stream) as inner:
                yield from self._content(inner, name.removesuffix(".gz"), place)  # type: ignore[arg-type]
            return
        if name.endswith(".zip"):
            yield from self._zip(stream, place)
            return
        if name.endswith(".nii"):
            yield from self._runs(_nifti_header(stream), f"{place}: NIfTI header")
            return
        if name.endswith(".npy"):
            yield from self._runs(_numpy_header(stream), f"{place}: NumPy header")
            return
        head = stream.read(_CHUNK)
        if head[128:132] == b"DICM" or name.endswith((".dcm", ".ima")):
            yield from self._dicom(head + stream.read(), place)
        elif head.startswith(_PNG):
            yield from self._png(head + stream.read(), place)
        elif name.endswith(".json"):
            yield from self._json_text(head + stream.read(), place)
        elif name.endswith(".tsv"):
            yield from self._table(head + stream.read(), place)
        else:
            yield from self._bytes(head, stream, place)

    def _bytes(self, head: bytes, stream: IO[bytes], place: str) -> Iterator[Leak]:
        if b"\0" not in head:
            yield from self.scan_text((head + stream.read()).decode("utf-8", "replace"), place)
            return
        data = head
        while data:
            yield from self._runs(data, place)
            more = stream.read(_CHUNK)
            data = data[-_OVERLAP:] + more if more else b""

    def _json_text(self, data: bytes, place: str) -> Iterator[Leak]:
        text = data.decode("utf-8", "replace")
        # A letter can be written as an escape; without any, what is not in the text is in no value.
        if "\\" not in text and self._has_none(text):
            return
        try:
            value = json.loads(data)
        except ValueError:
            yield from self.scan_text(text, place)
            return
        yield from self._json(value, place)

    def _json(self, value: Any, place: str) -> Iterator[Leak]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from self._json(inner, f"{place}: {self._masked(str(key))}" if ": " not in place else place)
        elif isinstance(value, list):
            for inner in value:
                yield from self._json(inner, place)
        elif isinstance(value, str):
            for match in self._matcher.find(value):
                yield Leak(place, match.kind)
        elif isinstance(value, int) and not isinstance(value, bool) and len(str(abs(value))) >= _LONG_NUMBER:
            for match in self._matcher.find(str(value)):
                yield Leak(place, match.kind)

    def _table(self, data: bytes, place: str) -> Iterator[Leak]:
        text = data.decode("utf-8", "replace")
        number, position = 1, 0
        for match in sorted(self._matcher.find(text)):
            # Most matches are measured values: only the lines that have any are taken apart.
            if match.end <= position:
                continue
            number += text.count("\n", position, match.start)
            first = text.rfind("\n", 0, match.start) + 1
            position = text.find("\n", match.start)
            position = len(text) if position < 0 else position
            cells = text[first:position].rstrip("\r").split("\t")
            words = [cell for cell in cells if not _NUMERIC.fullmatch(cell) or _is_long(cell)]
            for inner in self._matcher.find("\t".join(words)):
                yield Leak(f"{place}: line {number}", inner.kind)

    def _zip(self, stream: IO[bytes], place: str) -> Iterator[Leak]:
        try:
            with zipfile.ZipFile(stream) as archive:
                for member in archive.infolist():
                    found = list(self._matcher.find(member.filename + " " + member.comment.decode("latin-1")))
                    inner = f"{place}: {self._masked(member.filename) if found else member.filename}"
                    yield from (Leak(f"{inner}: name", match.kind) for match in found)
                    if not member.is_dir():
                        with archive.open(member) as content:
                            yield from self._content(content, member.filename.lower(), inner)
        except zipfile.BadZipFile:
            stream.seek(0)
            yield from self._bytes(stream.read(_CHUNK), stream, place)

    def _png(self, data: bytes, place: str) -> Iterator[Leak]:
        """Search all of a picture but its packed pixels, whose bytes spell short names by chance."""
        position = len(_PNG)
        while position < len(data):
            length = int.from_bytes(data[position : position + 4], "big")
            kind, end = data[position + 4 : position + 8], position + 12 + length
            if end > len(data) or not kind.isalpha():
                yield from self._runs(data[position:], place)
                return
            if kind != b"IDAT":
                yield from self._runs(data[position + 8 : position + 8 + length], f"{place}: {kind.decode('ascii')}")
            position = end

    def _dicom(self, data: bytes, place: str) -> Iterator[Leak]:
        """Search all of a file but its pixel data, element by element where there is anything to find."""
        try:
            file = files.read(data)
        except DicomFileError:
            yield from self._runs(data, place)
            return
        start = _PREAMBLE if data[128:_PREAMBLE] == b"DICM" else 0
        parts = [(0x00020000, "", b"\0".join((data[:start], *file.meta.values())))]
        unknown: list[bytes] = []
        data = file.data
        layout = file.layout
        now: list[bytes] = []
        spots: Iterable[Spot] = _spots(file.body, file.elements, len(data))
        if layout is not None:
            spots, now = self._latest.compare(layout, data, _stretches(layout))
        found: list[Leak] = []
        for tag, vr, first, value, last in spots:
            if is_spectrum(tag):
                found += self._spectrum(data[value:last], f"{place}: {_shown(tag)}")
                continue
            element = data[first:last]
            if element not in self._clean:
                unknown.append(element)
                parts.append((tag, vr, data[value:last]))
        if any(self._runs(b"\0".join([part for *_, part in parts]), place)):
            for tag, vr, part in parts:
                found += self._element(file.encoding, vr, part, f"{place}: {_shown(tag)}")
        if not found:
            self._remember(unknown)
            if layout is not None:
                self._latest.keep(layout, now)
        yield from found

    def _spectrum(self, value: bytes, place: str) -> Iterator[Leak]:
        """Search numbers for text: their bytes spell short names by chance, but not long ones, nor within a text."""
        for match in self._matcher.find(value.decode("latin-1")):
            text = _readable(value, match.start, match.end)
            if len(match.word) >= _LONG_WORD or text >= _LEAST_TEXT:
                yield Leak(place, match.kind)

    def _element(self, encoding: Encoding, vr: str, value: bytes, place: str) -> Iterator[Leak]:
        if vr == "SQ":
            try:
                items = [encoding.tokens(value, first, last) for first, last in encoding.items(value)]
            except EncodingError:
                items = []
            for token in chain(*items):
                yield from self._element(encoding, token.vr, value[token.value : token.value_end], place)
            if items:
                return
        for match in self._matches(value):
            # A short number among numbers is a measured value; in a text it is a registration number.
            if vr not in _MEASURED or len(match.word) >= _LONG_NUMBER or not match.word.isdigit():
                yield Leak(place, match.kind)

    def _remember(self, elements: Iterable[bytes]) -> None:
        for element in elements:
            if len(element) <= _LONGEST:
                self._clean.add(element)
                self._clean_size += len(element)
        if self._clean_size > _MEMORY:
            self._clean.clear()
            self._clean_size = 0

    def _runs(self, data: bytes, place: str) -> Iterator[Leak]:
        for match in self._matches(data):
            yield Leak(place, match.kind)

    def _matches(self, data: bytes) -> Iterator[Match]:
        """Search bytes for texts; whatever is no letter ends a word, so it may be binary."""
        yield from self._matcher.find(data.decode("latin-1"))
        if not data.isascii():
            yield from self._matcher.find(data.decode("utf-8", "ignore"))

    def _has_none(self, text: str) -> bool:
        return next(self._matcher.find(text), None) is None

    def _name(self, relative: PurePosixPath) -> list[Leak]:
        place = f"{self._masked(str(relative))}: name"
        return list(dict.fromkeys(Leak(place, match.kind) for match in self._matcher.find(relative.name)))

    def _masked(self, text: str) -> str:
        letters = list(text)
        for match in self._matcher.find(text):
            letters[match.start : match.end] = "*" * (match.end - match.start)
        return "".join(letters)


def _shown(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _readable(data: bytes, start: int, end: int) -> int:
    """Give the number of readable bytes around and with a part of some data."""
    while start > 0 and data[start - 1 : start].isascii() and chr(data[start - 1]).isprintable():
        start -= 1
    while end < len(data) and data[end : end + 1].isascii() and chr(data[end]).isprintable():
        end += 1
    return end - start


@lru_cache(maxsize=256)
def _stretches(layout: Layout) -> tuple[Stretch, ...]:
    return stretches(_spots(layout.body, layout.elements, None))


def _spots(body: int, elements: Mapping[int, Token], size: int | None) -> Iterator[Spot]:
    """Give all of a file behind its meta group but the pixel data, and what the parser passes over.

    Parameters
    ----------
    body, elements
        As `DicomFile` has them.
    size
        Bytes of the file; None where nothing stands behind the last element.
    """
    position = body
    for token in elements.values():
        if token.start != position:
            # Such as a tag that comes twice.
            yield Spot(token.tag, "", position, position, token.start)
        position = token.end
        if token.tag != PIXEL_DATA:
            yield Spot(token.tag, token.vr, token.start, token.value, token.value_end)
    if size is not None:
        yield Spot(0, "", position, position, size)


def _is_long(cell: str) -> bool:
    return cell.isdigit() and len(cell) >= _LONG_NUMBER


def _nifti_header(stream: IO[bytes]) -> bytes:
    """Give the header and its extensions: all before `vox_offset` (NIfTI-1, bytes 108 to 111)."""
    import struct  # noqa: PLC0415

    head = stream.read(_NIFTI_HEADER)
    if len(head) < _NIFTI_HEADER:
        return head
    (offset,) = struct.unpack("<f" if head[0:2] in {b"\x5c\x01", b"\x1c\x02"} else ">f", head[108:112])
    if not _NIFTI_HEADER < offset <= _LARGEST_NIFTI_HEADER:
        return head
    return head + stream.read(int(offset) - _NIFTI_HEADER)


def _numpy_header(stream: IO[bytes]) -> bytes:
    """Give what stands before the numbers, whose bytes spell short names by chance (NEP 1, version 1.0)."""
    head = stream.read(10)
    return head + stream.read(int.from_bytes(head[8:10], "little"))


def _count(identifiers: Identifiers, exemptions: Exemptions) -> dict[str, int]:
    words = {
        word for kind, value in identifiers.values for word in spellings(kind, value) if len(word) >= SHORTEST_TO_AUDIT
    }
    rules = {**exemptions.words, "equipment": identifiers.equipment}
    return {rule: len(words & exempt) for rule, exempt in sorted(rules.items())}
