"""A search for what names people and places, written apart from the program's own audit and knowing nothing of it.

What counts as identifying is read with pydicom from the original headers: names, numbers, institutions, addresses,
dates, UIDs. Where it may not stand: names and contents of published files (unpacked), logs, values in the database.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import sqlite3
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import ahocorasick
import pydicom
from pydicom._dicom_dict import DicomDictionary
from pydicom.charset import python_encoding

TEXTS = frozenset(
    {
        *("PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "DeviceSerialNumber", "StationName"),
        *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "PatientAddress"),
        *("PatientTelephoneNumbers", "GantryID", "IssuerOfPatientID", "DeviceUID", "Occupation", "PatientComments"),
    }
)
CLASSES = frozenset({"SOPClassUID", "ReferencedSOPClassUID", "CodingSchemeUID", "CreatorVersionUID", "ContextUID"})
STANDARD_UID = "1.2.840.10008."
SHORTEST_WORD, SHORTEST_NUMBER = 3, 4
#: Programs by their names, and a value of ContentQualification (PS3.3 section C.8.13.2.1).
NOBODY = frozenset({"dcm2niix", "linkahead", "heartbrain", "research"})


@dataclass(frozen=True, order=True)
class Hit:
    """An identifier that stands where it must not."""

    place: str
    kind: str
    value: str


#: In the XML of a record each property repeats its description in the data model; the record's own is a column.
_DESCRIBED = re.compile(r' description="[^"]*"')


class Identifying:
    """Identifying values, by the kind of attribute they come from."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self._encodings = {"latin-1", "utf-8"}

    def merge(self, other: Identifying, *, dates: bool) -> None:
        """Take over what another one holds; days only where the two are about the same subject."""
        self.values |= {value: kind for value, kind in other.values.items() if dates or kind != "date"}
        self._encodings |= other._encodings

    def add(self, kind: str, value: str) -> None:
        """Note a value; what the standards' own vocabulary says is nobody's name."""
        value = value.strip(" \0").lower()
        number = value.isdigit()
        long_enough = len(value) >= (SHORTEST_NUMBER if number else SHORTEST_WORD)
        if long_enough and re.search(r"\w", value) and value not in vocabulary() and not set(value) <= set("0-*^ "):
            self.values.setdefault(value, kind)

    def add_words(self, kind: str, value: str) -> None:
        """Note a value, each of its words, and its words written together in both orders."""
        self.add(kind, value)
        parts = [part for part in re.split(r"[\s^=,_]+", value) if part]
        if len(parts) > 1:
            self.add(f"joined {kind}", "".join(parts))
            self.add(f"joined {kind}", "".join(reversed(parts)))
        for word in parts:
            if not word.isdigit() or len(word) > SHORTEST_NUMBER:
                self.add(kind, word)

    def add_date(self, value: str) -> None:
        """Note a day (`YYYYMMDD...`) in the ways people and programs write days."""
        match = re.match(r"(\d{4})\.?(\d{2})\.?(\d{2})", value)
        if not match:
            return
        try:
            day = date(*(int(part) for part in match.groups()))
        except ValueError:
            return
        for form in ("%Y%m%d", "%Y-%m-%d", "%Y.%m.%d", "%d.%m.%Y", "%m/%d/%Y", "%d%m%Y"):
            self.values.setdefault(f"{day:{form}}", "date")

    def add_header(self, header: pydicom.Dataset) -> None:
        """Note what one header holds, nested sequences included."""
        self._encodings |= {
            python_encoding.get(str(name), "utf-8") for name in _several(header, "SpecificCharacterSet")
        }
        kept = {str(header.get(keyword, "")).lower() for keyword in ("Manufacturer", "ManufacturerModelName")}
        for element in header.iterall():
            several = element.value if element.VM > 1 else [element.value]
            for value in (str(one) for one in several if one not in (None, "")):
                if element.VR == "PN":
                    self.add_words("name", value)
                elif element.VR in {"DA", "DT"}:
                    self.add_date(value)
                elif element.VR == "UI":
                    if element.keyword not in CLASSES and not value.startswith(STANDARD_UID):
                        self.add("uid", value)
                elif element.keyword in TEXTS and not any(value.lower() in text for text in kept):
                    self.add_words(element.keyword, value)

    def search(self, texts: Iterable[tuple[str, str]]) -> list[Hit]:
        """Search texts, given as (place, text)."""
        automaton = ahocorasick.Automaton()
        for value, kind in self.values.items():
            for spelled in {value, *self._spellings(value)}:
                automaton.add_word(spelled, (value, kind, len(spelled)))
        if not len(automaton):
            return []
        automaton.make_automaton()
        found = set()
        for place, text in texts:
            lower = text.lower()
            for end, (value, kind, length) in automaton.iter(lower):
                if not _by_chance(lower, end - length + 1, end + 1, kind):
                    found.add(Hit(place, kind, value))
        return sorted(found)

    def _spellings(self, value: str) -> Iterator[str]:
        """Give how a value looks in a file that is read as Latin-1, whatever its character set."""
        for encoding in self._encodings:
            for written in (value, value.upper(), value.title()):
                with contextlib.suppress(UnicodeEncodeError):
                    yield written.encode(encoding).decode("latin-1").lower()


def _several(header: pydicom.Dataset, keyword: str) -> list[Any]:
    value = header.get(keyword) or []
    return [value] if isinstance(value, str) else list(value)


def _by_chance(text: str, start: int, end: int, kind: str) -> bool:
    """Say whether a match is only a part of something longer that means something else."""
    before, after = text[start - 1 : start], text[end : end + 1]
    value = text[start:end]
    if kind == "date":
        return before.isdigit()  # a time may follow: 20230504091231
    if value.isdigit():
        in_uid = before == after == "."
        return before.isalnum() or after.isalnum() or (before == "." and not in_uid)
    return not kind.startswith(("uid", "joined")) and (before.isalnum() or after.isalnum())


@cache
def vocabulary() -> frozenset[str]:
    """Give the words of DICOM's dictionary and of BIDS; `SliceTiming` is no name even where a header says so."""
    from bidsschematools.schema import load_schema  # noqa: PLC0415 - only where something is searched

    words = set(NOBODY)
    for _vr, _vm, name, _retired, keyword in DicomDictionary.values():
        words |= {keyword.lower(), name.lower(), *re.findall(r"[a-z]+", name.lower())}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        objects = load_schema()["objects"]
    for kind in ("metadata", "entities", "suffixes", "datatypes", "modalities", "columns"):
        for key, entry in objects[kind].items():
            for text in (key, str(entry.get("display_name", ""))):
                words |= {text.lower(), *re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())}
    return frozenset(words)


def read_header(path: Path) -> pydicom.Dataset | None:
    """Read a header, packed or not; None where there is none."""
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, force=True)
            list(header.iterall())
        except Exception:  # noqa: BLE001 - some of the files are damaged on purpose
            return None
        return header if len(header) else None


def identifying_by(group: Mapping[Path, str]) -> dict[str, Identifying]:
    """Collect what the headers of files hold, by group; files without a header give nothing."""
    found: dict[str, Identifying] = defaultdict(Identifying)
    for path, name in group.items():
        header = read_header(path)
        if header is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name].add_header(header)
    return dict(found)


def file_texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Give the path and the unpacked content of each file below a folder, byte for byte as Latin-1."""
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        yield f"name {place}", place
        if path.is_file():
            for inner, content in _unpacked(path.read_bytes()):
                yield f"{place}{inner}", content.decode("latin-1")


def _unpacked(content: bytes) -> Iterator[tuple[str, bytes]]:
    if content.startswith(b"\x1f\x8b"):
        yield "", gzip.decompress(content)
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield f"!{name}", name.encode() + b"\n" + archive.read(name)
    elif content.startswith(b"\x89PNG"):
        place = 8
        while place < len(content):
            length = int.from_bytes(content[place : place + 4], "big")
            if content[place + 4 : place + 8] != b"IDAT":  # packed pixels spell short words by chance
                yield "", content[place : place + 12 + length]
            place += 12 + length
    else:
        yield "", content


def database_texts(database: Path) -> Iterator[tuple[str, str]]:
    """Give every text in every row of every table of an embedded LinkAhead, but for those of the data model.

    The data model was there before the data; its descriptions hold invented examples, one of them a day.
    """
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        model = {row[0] for row in connection.execute("SELECT id FROM entity WHERE role IN ('RecordType', 'Property')")}
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            of_entities = table in {"entity", "statement", "document", "history"}
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - names from the file itself
                if of_entities and row[0] in model:
                    continue
                yield from ((f"table {table}", text) for value in row if (text := _DESCRIBED.sub("", _text(value))))
    finally:
        connection.close()


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""
