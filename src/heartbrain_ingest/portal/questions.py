# ruff: noqa: S608 - LinkAhead's language, not SQL; what is put into it is quoted
"""Questions to LinkAhead: taken apart, and written from what somebody filled into a form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.portal.datamodel import DataModel

#: Longer ones do not fit into an address.
MOST_LETTERS = 4_000
#: What holds a date of its own, in the order in which it is looked for; an acquisition has that of its session.
_DATES = ("Date", "CollectionDate", "RequestTime")
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_FIRST = re.compile(r"\s*(FIND|COUNT|SELECT)(?=[\s'\"(]|$)", re.IGNORECASE)
_FROM = re.compile(rf"{_QUOTED}|(?<=[\s'\"])(FROM)(?=[\s'\"])", re.IGNORECASE | re.DOTALL)
_SELECTOR = re.compile(rf"{_QUOTED}|[,.]|[^,.'\"]+", re.DOTALL)
_PLACE = re.compile(r"\bat character (\d+)")


def quote(text: str) -> str:
    r"""Write a text so that LinkAhead takes every letter of it as a letter: `it's` becomes `'it\'s'`."""
    return f"'{escape_squoted_text(text)}'"


def quote_path(path: str) -> str:
    """Write a property, or one of what a property refers to: `Session.Age` becomes `'Session'.'Age'`."""
    return ".".join(quote(part) for part in path.split("."))


def one_of(ids: list[int]) -> str:
    """Write the target that is those entities."""
    return "ENTITY WITH " + " OR ".join(f"id='{one}'" for one in ids)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question in LinkAhead's query language (LQL), as somebody wrote it."""

    text: str
    #: FIND, COUNT or SELECT; empty where it begins with none of them.
    verb: str
    #: What is asked for and under which conditions: all after FIND, COUNT or FROM.
    target: str
    #: What SELECT asks for.
    columns: tuple[str, ...] = ()

    @property
    def find(self) -> str:
        """The question for the records."""
        return f"FIND {self.target}" if self.verb else self.text

    @property
    def count(self) -> str:
        """The question for their number."""
        return f"COUNT {self.target}" if self.verb else self.text

    def select(self, columns: list[str] | tuple[str, ...]) -> str:
        """Ask for some properties of the records, by name or path; at least the id is answered."""
        return f"SELECT {', '.join(map(quote_path, columns)) or 'id'} FROM {self.target}"


def read_question(text: str) -> Question:
    """Take a question apart, as far as a page needs it; whether it is right, LinkAhead says."""
    text = text.strip()
    first = _FIRST.match(text)
    if first is None:
        return Question(text=text, verb="", target=text)
    verb, rest = first[1].upper(), text[first.end() :].strip()
    if verb != "SELECT":
        return Question(text=text, verb=verb, target=rest)
    split = next((one for one in _FROM.finditer(text, first.end()) if one[1]), None)
    if split is None:
        return Question(text=text, verb="", target=text)
    columns = _columns(text[first.end() : split.start()])
    return Question(text=text, verb=verb, target=text[split.end() :].strip(), columns=columns)


def place_of_error(message: str, text: str) -> int | None:
    """Give where LinkAhead stopped to understand, counted from 0; None if it does not say."""
    found = _PLACE.search(message)
    return min(int(found[1]) - 1, len(text)) if found else None


@dataclass(frozen=True, kw_only=True)
class Range:
    """A property, or the path of one, between two numbers."""

    name: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody filled into the form."""

    kind: str
    subject: str = ""
    since: date | None = None
    until: date | None = None
    ranges: tuple[Range, ...] = ()
    #: Properties that are a text.
    words: tuple[tuple[str, str], ...] = ()


def write_question(wish: Wish, model: DataModel) -> str:
    """Write what the form asks, in LinkAhead's query language.

    A number is asked for in the unit that the data model gives its property: a value that was stored in another unit is
    then converted by LinkAhead.
    """
    conditions = [*_subject(wish), *_dates(wish, model)]
    for one in wish.ranges:
        unit = model.unit(one.name)
        conditions += [
            f"{quote_path(one.name)} {sign} {quote(f'{number:.15g} {unit}'.strip())}"
            for sign, number in ((">=", one.low), ("<=", one.high))
            if number is not None
        ]
    conditions += [_word(quote_path(name), text) for name, text in wish.words]
    question = f"FIND {quote(wish.kind)}"
    return f"{question} WITH {' AND '.join(conditions)}" if conditions else question


def _subject(wish: Wish) -> list[str]:
    if not wish.subject:
        return []
    if wish.kind == "Subject":
        return [_word("name", wish.subject)]
    if "*" in wish.subject:
        return [_word(quote_path("Subject.name"), wish.subject)]
    return [f"'Subject' = {quote(wish.subject)}"]


def _dates(wish: Wish, model: DataModel) -> list[str]:
    own = next((name for name in _DATES if name in model.properties_of(wish.kind)), "Session.Date")
    name = "'Date'" if wish.kind == "Subject" else quote_path(own)
    # A moment is neither before nor after the day that it is in, and not equal to it.
    days = [
        f"({name} {sign} '{day:%Y-%m-%d}' OR {name} IN '{day:%Y-%m-%d}')"
        for sign, day in ((">=", wish.since), ("<=", wish.until))
        if day
    ]
    return [f"REFERENCED BY 'Session' WITH ({' AND '.join(days)})"] if days and wish.kind == "Subject" else days


def _word(name: str, text: str) -> str:
    """Compare with a text, in which an asterisk stands for anything."""
    if "*" not in text:
        return f"{name} = {quote(text)}"
    return f"{name} LIKE '{'*'.join(escape_squoted_text(part) for part in text.split('*'))}'"


def _columns(text: str) -> tuple[str, ...]:
    columns: list[list[str]] = [[]]
    for part in _SELECTOR.findall(text):
        if part == ",":
            columns.append([])
        elif part[0] in "'\"":
            columns[-1].append(re.sub(r"\\(.)", r"\1", part[1:-1], flags=re.DOTALL))
        elif part != "." and part.strip():
            columns[-1].append(part.strip())
    names = (".".join(parts) for parts in columns)
    return tuple(dict.fromkeys(name for name in names if name and name.lower() not in {"id", "name"}))
