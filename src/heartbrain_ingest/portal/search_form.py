"""The form for those who do not write LinkAhead's query language: what was filled in, and what it asks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import zip_longest
from textwrap import shorten

from starlette.datastructures import QueryParams

from heartbrain_ingest.portal.datamodel import DataModel, Property
from heartbrain_ingest.portal.pages import Translate
from heartbrain_ingest.portal.questions import Range, Wish, write_question

FIRST_KIND = "MRImage"
_MOST_LINES = 20
_MOST_TEXT = 200
_MOST_TOLD = 70
#: What an address calls the parts of a line.
_NUMBER_LINE, _WORD_LINE = ("property", "low", "high"), ("word", "text")
#: Of the visit that a record belongs to.
_OF_SESSION = ("Age", "MagneticFieldStrength", "Sex", "ManufacturersModelName", "Device")


@dataclass(frozen=True, kw_only=True)
class NumberLine:
    """A line of the form: a property between two numbers, as typed."""

    name: str = ""
    low: str = ""
    high: str = ""


@dataclass(frozen=True, kw_only=True)
class WordLine:
    """A line of the form: a property that is a text."""

    name: str = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Form:
    """What stands in the form."""

    kind: str
    subject: str
    since: str
    until: str
    numbers: tuple[NumberLine, ...]
    words: tuple[WordLine, ...]
    #: The query that it makes; empty if something has to be corrected first.
    query: str = ""
    problems: tuple[str, ...] = ()


def read_form(given: QueryParams, model: DataModel, _: Translate) -> Form:
    """Read the form from an address, and write its question."""
    problems: list[str] = []
    lines = [given.getlist(name) for name in (*_NUMBER_LINE, *_WORD_LINE)]
    texts = [given.get(name, "") for name in ("kind", "subject")] + [text for line in lines for text in line]
    if max(map(len, lines)) > _MOST_LINES or any(len(text.strip()) > _MOST_TEXT for text in texts):
        # Cut off, it would find other records.
        problems.append(_("The question is too long."))
    kind = _short(given.get("kind", "")) or FIRST_KIND
    subject, since, until = (_short(given.get(name, "")) for name in ("subject", "since", "until"))
    numbers = [NumberLine(name=name, low=low, high=high) for name, low, high in _lines(given, *_NUMBER_LINE)]
    words = [WordLine(name=name, text=text) for name, text in _lines(given, *_WORD_LINE)]
    wish = Wish(
        kind=kind,
        subject=subject,
        since=_date(since, problems, _),
        until=_date(until, problems, _),
        ranges=tuple(one for line in numbers if (one := _range(line, problems, _)) is not None),
        words=tuple((line.name, line.text) for line in words if line.name and line.text),
    )
    if wish.since and wish.until and wish.since > wish.until:
        problems.append(_("The first day is after the last one."))
    more = given.get("more", "")
    return Form(
        kind=kind,
        subject=subject,
        since=since,
        until=until,
        numbers=tuple(numbers) + (NumberLine(),) * (more == "number" or not numbers),
        words=tuple(words) + (WordLine(),) * (more == "word" or not words),
        query="" if problems else write_question(wish, model),
        problems=tuple(dict.fromkeys(problems)),
    )


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Properties that lines can be about, by name; those of the visit by their path."""

    numbers: dict[str, str]
    words: dict[str, str]
    #: Of the numbers.
    units: dict[str, str]


def fields_of(model: DataModel, kind: str) -> Fields:
    """Give the fields of a kind of record, with what the data model says of them."""
    found = _fields(model, kind)
    return Fields(
        numbers={one.name: _explained(one) for one in found if one.is_number},
        words={one.name: _explained(one) for one in found if one.is_text},
        units={one.name: one.unit for one in found if one.is_number},
    )


def _explained(one: Property) -> str:
    """Write a property with its unit, and what it is: without the names that others have for it."""
    told = one.description.partition(" (")[0].partition(";")[0]
    name = f"{one.name} ({one.unit})" if one.unit else one.name
    return f"{name}: {shorten(told, _MOST_TOLD, placeholder=' ...')}" if told else name


def _fields(model: DataModel, kind: str) -> list[Property]:
    """Give what a record of a kind has, and what those below it have besides."""
    found: dict[str, Property] = {}
    for name in model.descendants(kind):
        for one in model.properties_of(name).values():
            found.setdefault(one.name, one)
    if "Session" in found:
        session = model.properties_of("Session")
        for name in _OF_SESSION:
            if name in session and name not in found:
                found[f"Session.{name}"] = replace(session[name], name=f"Session.{name}")
    return sorted(found.values(), key=lambda one: one.name.casefold())


def _lines(given: QueryParams, *names: str) -> Iterator[tuple[str, ...]]:
    """Give the lines that have something in them."""
    columns = [given.getlist(name)[:_MOST_LINES] for name in names]
    for line in zip_longest(*columns, fillvalue=""):
        if any(line):
            yield tuple(map(_short, line))


def _short(text: str) -> str:
    return text.strip()[:_MOST_TEXT]


def _date(text: str, problems: list[str], _: Translate) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        problems.append(_("“%(text)s” is no date. Write it as 2024-05-31.") % {"text": text})
        return None


def _range(line: NumberLine, problems: list[str], _: Translate) -> Range | None:
    low, high = (_number(text, problems, _) for text in (line.low, line.high))
    if low is None and high is None:
        return None
    if not line.name:
        problems.append(_("Choose what the numbers are about."))
        return None
    if low is not None and high is not None and low > high:
        problems.append(_("%(name)s: the smallest value is above the largest.") % {"name": line.name})
    return Range(name=line.name, low=low, high=high)


def _number(text: str, problems: list[str], _: Translate) -> float | None:
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        problems.append(_("“%(text)s” is no number.") % {"text": text})
        return None
    return value
