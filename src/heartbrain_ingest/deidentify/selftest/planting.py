"""Plant invented identifiers in a header: in every attribute of the standard's table and wherever else they hide."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from typing import Final

from pydicom.datadict import keyword_dict

from heartbrain_ingest.deidentify import table
from heartbrain_ingest.deidentify.dates import shifted
from heartbrain_ingest.deidentify.selftest.checks import (
    Check,
    codes,
    differs,
    holds,
    holds_bytes,
    is_neither,
    is_not,
    is_or_gone,
    lacks,
    lacks_bytes,
    lost,
    meta_fits,
    stands,
)
from heartbrain_ingest.deidentify.selftest.free_texts import FREE_TEXTS, RETAINED
from heartbrain_ingest.deidentify.selftest.headers import IDENTITY, WHO, Header
from heartbrain_ingest.deidentify.selftest.nodes import Node, Path, as_file, text
from heartbrain_ingest.deidentify.selftest.score import Category
from heartbrain_ingest.deidentify.table import Option, Row
from heartbrain_ingest.dicom.encoding import PIXEL_DATA, known_vr

#: Days that the invented subject's dates move by.
DAYS: Final = -4000
LABEL: Final = "sub-SELFTEST"
_FIRST_DAY: Final = date(2019, 1, 1)
_LETTERS: Final = "bcdfghjklmnpqrstvwxz"
#: Sequences that stay, one in the other: ReferencedImageSequence, SourceImageSequence, PurposeOfReferenceCodeSequence.
_CHAIN: Final = (0x00081140, 0x00082112, 0x0040A170)
_TEXTS: Final = frozenset({"AE", "CS", "LO", "LT", "OB", "OW", "PN", "SH", "ST", "UC", "UN", "UR", "UT"})
#: Structure, not content: names of classes of objects, encodings, what the file meta group holds.
_STRUCTURE: Final = re.compile("SOPClass|TransferSyntax|ImplementationClass|CharacterSet|^FileMeta|GroupLength")
#: VRs of the dictionary's other attributes of which each must lose what is planted.
_OTHER_VRS: Final = frozenset({"AE", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UN", "UR", "UT"})


@dataclass(frozen=True)
class Requirement:
    """One required action."""

    attribute: str
    category: Category
    #: Gives why it was not done; None where it was.
    check: Check


@dataclass
class Planted:
    """One file with planted identifiers."""

    data: bytes
    requirements: list[Requirement] = field(default_factory=list)
    #: Planted UIDs that may get another one: path by old one.
    uids: list[tuple[str, str, Path]] = field(default_factory=list)


class Planter:
    """Plants in one header, given the options that are on."""

    def __init__(self, header: Header, options: Sequence[Option]) -> None:
        self._header = header
        #: Those of the header, and whose it is.
        self._nodes = (*header.nodes, *IDENTITY)
        self._options = options
        self._numbers = count()
        self._planted = Planted(b"")
        self._kept = {path[0] for path in (*header.kept, *(path for path, _ in header.kept_within))}

    def files(self) -> Iterator[Planted]:
        """Give all planted files of the header."""
        header = self._header
        yield self._file(self._nodes, self._require_header)
        yield self._file([*self._nodes, *self._rows((), "")], None)
        for depth in range(1, len(_CHAIN) + 1):
            chain = _CHAIN[:depth]
            nodes = self._rows(chain, f", {depth} sequence{'s' * (depth > 1)} deep")
            yield self._file(_inserted([*self._nodes], chain, nodes), None)
        for path in header.containers:
            where = f", in ({path[-1] >> 16:04X},{path[-1] & 0xFFFF:04X})"
            yield self._file(_inserted([*self._nodes], path, self._rows(path, where)), None)
        yield self._file([*self._nodes, *self._others()], None)
        yield self._file([*self._nodes, *self._private()], None)
        for words, gone, what in self._free_texts():
            yield self._file([*self._nodes, *self._free_text(words, gone, what)], None)
        yield self._meta()

    def _free_texts(self) -> list[tuple[str, tuple[str, ...], str]]:
        """Give what must go of free texts: what an option keeps on purpose is none of it."""
        retained = {what for option in self._options for what in RETAINED.get(option, ())}
        return [entry for entry in FREE_TEXTS if entry[2] not in retained]

    def _file(self, nodes: Iterable[Node], require: Callable[[], None] | None) -> Planted:
        planted = self._planted
        planted.data = as_file(nodes, _META, self._header.encoding)
        if require is not None:
            require()
        self._planted = Planted(b"")
        return planted

    def _require(self, attribute: str, category: Category, check: Check) -> None:
        self._planted.requirements.append(Requirement(attribute, category, check))

    # the attributes of the standard's table

    def _rows(self, place: Path, where: str) -> list[Node]:
        nodes = []
        for index, row in enumerate(table.rows()):
            if row.tag == _META_INSTANCE or (not place and row.tag in self._kept):
                continue
            nodes.append(self._row(row, index, place, where))
        return nodes

    def _row(self, row: Row, index: int, place: Path, where: str) -> Node:
        letters = {row.options[option] for option in self._options if option in row.options}
        path, name = (*place, row.tag), row.name + where
        identities = table.IDENTITIES.intersection(self._options)
        if any(row.options.get(option) == "K" for option in identities) and row.vr in _TEXTS:
            node = text(row.tag, row.vr, f"kept {index}")
            self._require(name, Category.KEPT, stands(path, node.value))
            return node
        if row.vr == "SQ":
            return Node(row.tag, "SQ", items=(tuple(self._item(path, name)),))
        if row.keyword in _CHARACTERISTICS:
            return self._characteristic(row, path, name, kept="K" in letters)
        typed = {"DA": self._date, "DT": self._date, "TM": self._time, "UI": self._uid}.get(row.vr)
        if typed is not None:
            return typed(row, index, path, name)
        if row.vr in _TEXTS and not (row.vr == "CS" and "K" in letters):
            is_cleaned = "C" in letters and row.vr not in {"AE", "OB", "OW", "UN", "PN"}
            return self._words(row, index, path, name) if is_cleaned else self._secret(row.tag, row.vr, path, name)
        value = _OTHERS.get(row.vr) or str(4_000_000 + next(self._numbers)).encode("ascii")
        if "K" not in letters:
            self._require(name, Category.REMOVED, is_not(path, value))
        return Node(row.tag, row.vr, value)

    def _word(self) -> str:
        number, letters = next(self._numbers), []
        for _ in range(5):
            number, digit = divmod(number, len(_LETTERS))
            letters.append(_LETTERS[digit])
        return "Zq" + "".join(letters)

    def _secret(self, tag: int, vr: str, path: Path, name: str) -> Node:
        word = self._word()
        label = {0x00100010: LABEL, 0x00100020: LABEL}.get(tag)
        if label is not None:
            check = stands if len(path) == 1 else is_or_gone
            self._require(name, Category.REPLACED, check(path, label.encode("ascii")))
        self._require(name, Category.REMOVED, lost(word.lower()))
        value = word.upper() if vr in {"AE", "CS"} else f"{word}^Wim" if vr == "PN" else word
        return text(tag, vr, value)

    def _item(self, path: Path, name: str) -> Iterator[Node]:
        for tag, vr, what in _IN_ITEMS:
            if tag in _INSTITUTIONS and Option.INSTITUTION_IDENTITY in self._options:
                continue
            yield self._secret(tag, vr, (*path, tag), f"{what} in {name}")

    def _date(self, row: Row, index: int, path: Path, name: str) -> Node:
        day = _FIRST_DAY + timedelta(days=index)
        value = f"{day:%Y%m%d}".encode() + (b"101112.5" if row.vr == "DT" else b"")
        moves = row.options.get(Option.MODIFIED_DATES) == "C" and Option.MODIFIED_DATES in self._options
        if moves and row.keyword not in _NEVER_MOVED:
            self._require(name, Category.SHIFTED, is_or_gone(path, shifted(value, DAYS)))
        else:
            self._require(name, Category.REMOVED, is_neither(path, (value, shifted(value, DAYS))))
        return Node(row.tag, row.vr, value)

    def _time(self, row: Row, _index: int, path: Path, name: str) -> Node:
        node = text(row.tag, "TM", f"101112.{700000 + next(self._numbers) % 100000:06d}")
        stays = row.options.get(Option.MODIFIED_DATES) == "C" and Option.MODIFIED_DATES in self._options
        if not stays:
            self._require(name, Category.REMOVED, is_not(path, node.value))
        elif row.keyword in _TIMES_TO_KEEP:
            self._require(name, Category.KEPT, stands(path, node.value))
        return node

    def _uid(self, row: Row, index: int, path: Path, name: str) -> Node:
        uid = f"1.2.826.0.1.3680043.8.1055.7.{1000 + index}"
        if not any(row.options.get(option) == "K" for option in self._options):
            self._require(name, Category.REMOVED, lost(uid))
            self._planted.uids.append((name, uid, path))
        return text(row.tag, "UI", uid)

    def _characteristic(self, row: Row, path: Path, name: str, *, kept: bool) -> Node:
        value, after = _CHARACTERISTICS[row.keyword]
        if kept:
            self._require(name, Category.KEPT, stands(path, after))
        else:
            self._require(name, Category.REMOVED, is_not(path, value))
        return Node(row.tag, row.vr, value)

    def _words(self, row: Row, index: int, path: Path, name: str) -> Node:
        most = {"CS": 16, "SH": 16, "LO": 64}.get(row.vr, 1000)
        texts = self._free_texts()
        start = index % len(texts)
        value, gone = "", []
        for words, secrets, what in (*texts[start:], *texts[:start]):
            piece = words.removeprefix("t1_mprage").lstrip("_ ")
            if len(value) + len(piece) + 3 <= most:
                value += f"{piece} : "
                gone += [(secret, what) for secret in secrets]
        for secret, what in gone:
            self._require(f"{name}: {what}", Category.CLEANED, lacks(path, secret))
        return Node(row.tag, row.vr, value.rstrip(" :").encode("latin-1"))

    # what the table does not list

    def _others(self) -> Iterator[Node]:
        listed = {row.tag for row in table.rows()}
        for keyword, tag in sorted(keyword_dict.items(), key=lambda entry: entry[1]):
            vr = known_vr(tag)
            if tag in listed or tag in self._kept or vr not in _OTHER_VRS or _STRUCTURE.search(keyword):
                continue
            if tag >> 16 in {0x0000, 0x0002, 0x0004, 0xFFFE, PIXEL_DATA >> 16} or keyword in _OURS:
                continue
            name = f"{keyword}, not in the table"
            if vr == "UI":
                uid = f"1.2.826.0.1.3680043.8.1055.7.{9_000_000 + next(self._numbers)}"
                self._require(name, Category.REMOVED, lost(uid))
                yield text(tag, vr, uid)
            elif vr in {"DA", "DT"}:
                value = WHO.study_date.encode()
                self._require(name, Category.SHIFTED, is_or_gone((tag,), shifted(value, DAYS)))
                yield Node(tag, vr, value)
            elif vr in {"PN", "AE", "UR", "UN"}:
                yield self._secret(tag, vr, (tag,), name)
            else:
                self._require(name, Category.CLEANED, lacks((tag,), WHO.family))
                yield text(tag, vr, WHO.family)
        for group in (0x0008, 0x0012, 0x0020, 0x0040):  # what no dictionary knows
            yield self._secret(group << 16 | 0x9FF3, "LO", (), f"({group:04X},9FF3), unknown")

    def _private(self) -> Iterator[Node]:
        creators = {
            node.tag: node.value for node in self._header.nodes if node.tag & 0x1FFFF in range(0x10010, 0x10100)
        }
        for tag, creator in sorted(creators.items()):
            group, block = tag & 0xFFFF0000, (tag & 0xFF) << 8
            for element, vr in ((0xEE, "LO"), (0xED, "UN"), (0xEC, "PN")):
                name = f"({tag >> 16:04X},xx{element:02X}) {creator.decode()}, not on the list"
                yield self._secret(group | block | element, vr, (), name)
        for index, foreign in enumerate(_FOREIGN_CREATORS):
            group = 0x0029 if index % 2 else 0x0019
            block = 0xA0 + index
            yield text(group << 16 | block, "LO", foreign)
            for element, vr in ((0x10, "LO"), (0x0C, "IS"), (0x18, "SH"), (0x20, "OB"), (0x51, "UT")):
                name = f"({group:04X},xx{element:02X}) of a foreign creator"
                yield self._secret(group << 16 | block << 8 | element, vr, (), name)
            tag = group << 16 | block << 8 | 0xFE
            yield Node(tag, "SQ", items=(tuple(self._item((tag,), "a sequence of a foreign creator")),))
        for tag in (0x00091010, 0x00293310, 0x7FE11010):
            yield self._secret(tag, "LO", (), f"({tag >> 16:04X},{tag & 0xFFFF:04X}) without a creator")
        word = self._word()
        self._require("name of a foreign creator", Category.REMOVED, lost(word.lower()))
        yield text(0x00310010, "LO", f"ACME {word}")
        yield self._secret(0x00311001, "LO", (), "(0031,xx01) of a foreign creator")

    def _free_text(self, words: str, gone: Sequence[str], what: str) -> Iterator[Node]:
        for tag, keyword in ((0x0008103E, "SeriesDescription"), (0x00181030, "ProtocolName")):
            if Option.CLEAN_DESCRIPTORS in self._options:
                self._require(keyword, Category.KEPT, holds((tag,), "t1_mprage"))
            for secret in gone:
                self._require(f"{keyword}: {what}", Category.CLEANED, lacks((tag,), secret))
            yield text(tag, "LO", words)
        if (0x00204000,) not in self._header.kept:
            for secret in (*gone, "Unbekannter"):
                self._require(f"ImageComments: {what}", Category.CLEANED, lacks((0x00204000,), secret))
            yield text(0x00204000, "LT", f"{words} Unbekannter")

    def _meta(self) -> Planted:
        planted = self._planted
        words = [self._word() for _ in range(6)]
        aets = [text(0x00020016 + index, "AE", word) for index, word in enumerate(words[:3])]
        private = [
            text(0x00020100, "UI", "1.2.826.0.1.3680043.8.1055.7.31"),
            text(0x00020102, "OB", words[3]),
            text(0x00020012, "UI", "1.2.826.0.1.3680043.8.1055.7.32"),
        ]
        instance = text(_META_INSTANCE, "UI", "1.2.826.0.1.3680043.8.1055.1.18")
        preamble = f"II*\0{words[4]} {WHO.family}".encode("latin-1")
        meta = [_META[0], instance, *aets, *private]
        planted.data = as_file(self._nodes, meta, self._header.encoding, preamble)
        for name, word in zip(_META_NAMES, words, strict=False):
            self._require(name, Category.REMOVED, lost(word.lower()))
        self._require("PrivateInformationCreatorUID", Category.REMOVED, lost("1.2.826.0.1.3680043.8.1055.7.31"))
        self._require("ImplementationClassUID", Category.REMOVED, lost("1.2.826.0.1.3680043.8.1055.7.32"))
        self._require("MediaStorageSOPInstanceUID", Category.UIDS, meta_fits)
        self._planted = Planted(b"")
        return planted

    # the header itself

    def _require_header(self) -> None:
        header = self._header
        values = {node.tag: node.value for node in header.nodes}
        safe = Option.SAFE_PRIVATE in self._options
        for path in header.kept:
            is_private = any(tag & 0x10000 for tag in path)
            if (safe or not is_private) and not _is_comment(path, self._options):
                value = values[path[0]] if len(path) == 1 else value_at_nodes(header.nodes, path)
                self._require(_shown(path), Category.KEPT, stands(path, value))
        for path, part in header.kept_within:
            if safe:
                self._require(f"{_shown(path)}: a value that conversion needs", Category.KEPT, holds_bytes(path, part))
        retained = {what for option in self._options for what in RETAINED.get(option, ())}
        for path, part, what in header.gone_within:
            if what in retained:
                continue
            self._require(f"{_shown(path)}: {what}", Category.CLEANED, lacks_bytes(path, part))
        pixels = values[PIXEL_DATA]
        self._require("PixelData", Category.PIXELS, lambda output: differs(output.value((PIXEL_DATA,)), pixels))
        self._require("PatientIdentityRemoved", Category.STAMPED, stands((0x00120062,), b"YES"))
        self._require("DeidentificationMethod", Category.STAMPED, holds((0x00120063,), "heartbrain-ingest"))
        wanted = {table.CODES[None][0], *(table.CODES[option][0] for option in self._options)}
        self._require("DeidentificationMethodCodeSequence", Category.STAMPED, lambda output: codes(output, wanted))


_META_INSTANCE: Final = 0x00020003
_META: Final = (
    text(0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.4"),
    text(_META_INSTANCE, "UI", "1.2.826.0.1.3680043.8.1055.1.18"),
)
_META_NAMES: Final = (
    "SourceApplicationEntityTitle",
    "SendingApplicationEntityTitle",
    "ReceivingApplicationEntityTitle",
    "PrivateInformation",
    "the preamble",
)
#: Attributes that are written anew.
_OURS: Final = frozenset({"DeidentificationMethod"})
#: keyword: (planted, what must stand there when patient characteristics stay).
_CHARACTERISTICS: Final = {
    "PatientAge": (b"093Y", b"090Y"),
    "PatientSex": (b"F", b"F"),
    "PatientSize": (b"1.71", b"1.71"),
    "PatientWeight": (b"61.5", b"61.5"),
}
#: What is planted in attributes of these VRs; in others a number.
_OTHERS: Final = {"AS": b"092Y", "CS": b"ALTERED", "UL": b"\7\0\0\0", "US": b"\7\0"}
_NEVER_MOVED: Final = frozenset({"PatientBirthDate"})
#: Times that BIDS names.
_TIMES_TO_KEEP: Final = frozenset({"AcquisitionTime", "ContentTime", "SeriesTime", "StudyTime"})
_INSTITUTIONS: Final = frozenset({0x00080080})
_IN_ITEMS: Final = (
    (0x00080080, "LO", "InstitutionName"),
    (0x00081070, "PN", "OperatorsName"),
    (0x00100010, "PN", "PatientName"),
    (0x00100020, "LO", "PatientID"),
    (0x00101040, "LO", "PatientAddress"),
    (0x00089FF3, "LO", "an unknown attribute"),
)
#: Creators that no list has, and those that look like one that is listed.
_FOREIGN_CREATORS: Final = (
    "SIEMENS CSA HEADERS",
    "SIEMENS MR HEADER 2",
    "XSIEMENS CSA HEADER",
    "SIEMENS MEDCOM HEADER",
    "GEMS_PATI_01",
    "SIEMENS_CSA_HEADER",
    "",
)


def _inserted(nodes: list[Node], path: Path, extra: Sequence[Node]) -> list[Node]:
    """Put elements into the first item of a sequence, which is made where there is none."""
    tag, rest = path[0], path[1:]
    old = next((node for node in nodes if node.tag == tag), None)
    first = list(old.items[0]) if old is not None and old.items else []
    others = old.items[1:] if old is not None else ()
    content = _inserted(first, rest, extra) if rest else [*first, *extra]
    return [*(node for node in nodes if node.tag != tag), Node(tag, "SQ", items=(tuple(content), *others))]


def value_at_nodes(nodes: Iterable[Node], path: Path) -> bytes:
    """Give the value of an element of a header by its path."""
    node = next(node for node in nodes if node.tag == path[0])
    return value_at_nodes(node.items[0], path[1:]) if len(path) > 1 else node.value


def _is_comment(path: Path, options: Sequence[Option]) -> bool:
    return path == (0x00204000,) and Option.CLEAN_DESCRIPTORS not in options


def _shown(path: Path) -> str:
    return " > ".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in path)
