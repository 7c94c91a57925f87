"""What identifies the people of one session, and one automaton that finds all of it in a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self

#: A shorter word can't be told from the words of a protocol name.
SHORTEST_TO_CLEAN: Final = 3
#: Words as short as three letters would quarantine half of all sessions.
SHORTEST_TO_AUDIT: Final = 4
_LETTER_PART: Final = 5
#: Digits of a zip code; a shorter number of anything but a patient is a counter.
_LONG_NUMBER: Final = 5
_TIME_DIGITS: Final = (4, 6)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_UID: Final = re.compile(r"[0-2](?:\.\d+){3,}")
_LEAST_DOTS: Final = 3
_WORDS: Final = re.compile(r"[^\W_]+")
#: Umlauts as names without them are spelled.
_SPELLED: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "å": "aa", "ø": "oe", "æ": "ae"})
#: Words of addresses and institutions that name no place.
_GENERAL: Final = frozenset(
    [
        "avenue",
        "building",
        "campus",
        "center",
        "centre",
        "city",
        "clinic",
        "department",
        "dept",
        "drive",
        "east",
        "floor",
        "general",
        "hospital",
        "house",
        "imaging",
        "institut",
        "institute",
        "klinik",
        "klinikum",
        "laboratory",
        "medical",
        "medicine",
        "medizin",
        "neurology",
        "north",
        "psychology",
        "radiologie",
        "radiology",
        "recherche",
        "research",
        "road",
        "room",
        "school",
        "scanner",
        "science",
        "sciences",
        "south",
        "state",
        "street",
        "strasse",
        "systems",
        "universität",
        "universitaet",
        "university",
        "west",
    ]
)


class Kind(StrEnum):
    """What sort of identifier something is."""

    NAME = "name"
    PATIENT = "patient ID"
    ID = "ID"
    DATE = "date"
    UID = "UID"
    PLACE = "address or institution"
    CONTACT = "phone or mail"
    DEVICE = "device"


class Match(NamedTuple):
    """One place in a text where an identifier stands."""

    start: int
    end: int
    kind: Kind
    #: The identifier as the automaton knows it, in lower case.
    word: str


@dataclass(frozen=True)
class Identifiers:
    """All identifying values of a session's headers. Its text shows none of them."""

    #: (kind, value as in the header).
    values: frozenset[tuple[Kind, str]] = frozenset()
    #: Words, in lower case, that name the scanner's make and model and so name nobody.
    equipment: frozenset[str] = frozenset()

    def __or__(self, other: Identifiers) -> Self:
        """Join what two processes or two series found."""
        return type(self)(self.values | other.values, self.equipment | other.equipment)

    def __repr__(self) -> str:
        return f"Identifiers({len(self.values)} values)"

    def __len__(self) -> int:
        return len(self.values)

    def matcher(self, shortest: int, exempt: frozenset[str] = frozenset()) -> Matcher:
        """Give the automaton for these identifiers; the same one for the same arguments."""
        return _matcher(self, shortest, exempt)


class Matcher:
    """Finds all identifiers in one pass over a text, as whole words and in any case."""

    def __init__(self, patterns: dict[str, Kind], uids: frozenset[str]) -> None:
        import ahocorasick  # noqa: PLC0415 - the command line starts without it

        self.patterns = patterns
        # A session has one for each image: too many for the automaton, which knows the few ways in which they begin.
        self.uids = uids
        begins = {".".join(uid.split(".", _LEAST_DOTS + 1)[: _LEAST_DOTS + 1]) for uid in uids if _UID.match(uid)}
        self._automaton: Any = ahocorasick.Automaton()
        for word in sorted(begins | patterns.keys()):
            self._automaton.add_word(word, (word, patterns.get(word), word in begins))
        self._is_empty = not (patterns or begins)
        if not self._is_empty:
            self._automaton.make_automaton()

    def find(self, text: str) -> Iterator[Match]:
        """Give the places, ordered by the ends of words and of the first numbers of UIDs; they can overlap."""
        if self._is_empty:
            return
        lowered = _lowered(text)
        for last, (word, kind, is_begin) in self._automaton.iter(lowered):
            start, end = last + 1 - len(word), last + 1
            if is_begin and (uid := self._uid(text, start)):
                yield Match(start, start + len(uid), Kind.UID, uid)
            if kind is not None and _stands_alone(lowered, start, end, word, kind):
                yield Match(start, end, kind, word)

    def _uid(self, text: str, start: int) -> str:
        """Give the UID of the session that stands at a place; a longer one that begins with it counts as well."""
        if start and (text[start - 1].isdigit() or (text[start - 1] == "." and text[start - 2 : start - 1].isdigit())):
            return ""
        run = _UID.match(text, start)
        uid = run.group() if run else ""
        while uid.count(".") >= _LEAST_DOTS:
            if uid in self.uids:
                return uid
            uid = uid.rpartition(".")[0]
        return ""


def _lowered(text: str) -> str:
    """Put into lower case without a change of length, so that positions stay true."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)


def _stands_alone(text: str, start: int, end: int, word: str, kind: Kind) -> bool:
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    if kind is Kind.DATE and word.isdigit():
        # 20180918 also counts within 20180918121230, the usual form of a date and time; not within a longer number.
        if before.isdigit():
            return False
        run = end
        while run < len(text) and text[run].isdigit():
            run += 1
        return run == end or run - end in _TIME_DIGITS
    if word[0].isalnum() and before.isalnum():
        return False
    if word[-1].isalnum() and after.isalnum():
        return False
    if word.isdigit():
        # Not the digits of a decimal number.
        if before in ".," and start >= 2 and text[start - 2].isdigit():  # noqa: PLR2004
            return False
        if after == "." and end + 1 < len(text) and text[end + 1].isdigit():
            return False
    return True


@lru_cache(maxsize=16)
def _matcher(identifiers: Identifiers, shortest: int, exempt: frozenset[str]) -> Matcher:
    patterns: dict[str, Kind] = {}
    uids = frozenset(value for kind, value in identifiers.values if kind is Kind.UID)
    for kind, value in sorted(identifiers.values):
        if kind is Kind.UID:
            continue
        for word in spellings(kind, value):
            if len(word) >= shortest and word not in exempt and word not in identifiers.equipment:
                patterns.setdefault(word, kind)
    return Matcher(patterns, uids)


def spellings(kind: Kind, value: str) -> Iterable[str]:
    """Give the forms in which an identifier can turn up, in lower case.

    Names also by their parts, without accents and with umlauts spelled out; dates in all common formats; addresses and
    institutions also by their parts and words, save for words such as `university`.
    """
    value = " ".join(value.lower().split())
    if not any(letter.isalnum() for letter in value):
        return ()
    if kind is Kind.DATE:
        return _dates(value)
    if kind is Kind.UID:
        return (value,)
    parts = _WORDS.findall(value)
    found = {value}
    if kind is Kind.NAME:
        found.update(parts)
        found.update((" ".join(parts), "".join(parts), " ".join(reversed(parts)), "".join(reversed(parts))))
    elif kind in {Kind.ID, Kind.PATIENT}:
        found.update(part for part in parts if len(part) >= _LETTER_PART and any(map(str.isdigit, part)))
    elif kind is Kind.CONTACT:
        found.update(_phones([part for part in parts if part.isdigit()]))
    elif kind is Kind.PLACE:
        found.update(part.strip() for part in re.split(r"[,;\\]", value))
        found.update(part for part in parts if len(part) >= (_LONG_NUMBER if part.isdigit() else SHORTEST_TO_AUDIT))
        found -= _GENERAL
    return {form for word in found for form in (word, _plain(word), word.translate(_SPELLED)) if _is_word(form, kind)}


def _phones(parts: list[str]) -> Iterable[str]:
    """Give a phone number with and without its country and area, in groups by each of the usual marks."""
    for first in range(len(parts)):
        rest = parts[first:]
        if sum(map(len, rest)) <= _LETTER_PART:
            return
        plain = rest[0].lstrip("0")
        for start in {rest[0], plain, f"0{plain}"}:
            for mark in ("", " ", "-", "/"):
                yield mark.join((start, *rest[1:]))
            yield f"{start}/{' '.join(rest[1:])}"


def _is_word(text: str, kind: Kind) -> bool:
    if text.isdigit() and len(text) < _LONG_NUMBER and kind is not Kind.PATIENT:
        # A study numbered 0004 or a room: such numbers are everywhere.
        return False
    return any(letter.isalnum() for letter in text) and (kind is not Kind.PLACE or text not in _GENERAL)


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _dates(value: str) -> Iterable[str]:
    digits = value[:8]
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return ()
    year, month, number = f"{day.year:04d}", f"{day.month:02d}", f"{day.day:02d}"
    name = _MONTHS[day.month - 1]
    found = {year + month + number}
    for mark in "-./_: ":
        found.add(mark.join((year, month, number)))
        found.add(mark.join((number, month, year)))
        found.add(mark.join((month, number, year)))
        found.update(mark.join((number_, name, year)) for number_ in {number, str(day.day)})
    for mark in "./":
        found.add(mark.join((str(day.day), str(day.month), year)))
        found.add(mark.join((str(day.month), str(day.day), year)))
    found.update(f"{name} {number_}{comma} {year}" for number_ in {number, str(day.day)} for comma in ("", ","))
    found.update((f"{number}{month}{year}", f"{number}{name}{year}"))
    return found
