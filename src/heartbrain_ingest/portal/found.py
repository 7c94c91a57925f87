# ruff: noqa: S608 - LinkAhead's language, not SQL; what is put into it is quoted
"""What a question found, a page at a time."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from heartbrain_ingest.errors import HeartbrainError
from heartbrain_ingest.portal.asking import Part, ids_in, retrieve, retrieve_xml
from heartbrain_ingest.portal.questions import Question, one_of, quote, quote_path
from heartbrain_ingest.portal.rows import (
    OUTPUT,
    PICTURES,
    Column,
    Row,
    available_columns,
    file_columns,
    make_rows,
    plain_rows,
    shown_columns,
)
from heartbrain_ingest.portal.visitors import Visitor

#: LinkAhead does not sort: to sort, the portal asks for one column of all. Beyond this it does not.
MOST_SORTED = 20_000
#: Records whose properties say which columns there are.
_SAMPLE = 5
_FRESH = 60.0
_SORT_PAGE = 2_000
_EXPORT_PAGE = 500
#: What records refer to is remembered while a table is written, up to so many.
_MOST_KNOWN = 5_000
#: Columns that every record has; LinkAhead's own order is that of the ids.
BY_ID, BY_NAME = "id", "name"


class TooManyToSortError(HeartbrainError):
    """There are too many records to sort them by this column."""


@dataclass(frozen=True, kw_only=True)
class Sorting:
    """By which column, and whether the largest comes first."""

    column: str = BY_ID
    is_descending: bool = False

    @classmethod
    def read(cls, text: str) -> Sorting:
        """Read `EchoTime` or `-EchoTime`."""
        return cls(column=text.removeprefix("-") or BY_ID, is_descending=text.startswith("-"))

    def __str__(self) -> str:
        return ("-" if self.is_descending else "") + self.column


FIRST_ORDER = Sorting()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of records."""

    total: int
    #: Number of the first record of the page, counted from 0.
    start: int
    columns: tuple[Column, ...]
    #: Columns that could be shown.
    offered: tuple[str, ...]
    rows: tuple[Row, ...]
    hints: tuple[str, ...] = ()


def count(visitor: Visitor, question: Question) -> int:
    """Give the number of records that a question finds."""
    total: int = visitor.cache.get(
        ("count", question.target), lambda: retrieve_xml(question.count, 0, 1)[0], seconds=_FRESH
    )
    return total


def find_page(
    visitor: Visitor, question: Question, *, columns: tuple[str, ...], sorting: Sorting, start: int, size: int
) -> Page:
    """Give a page of what a question finds.

    However many records there are, LinkAhead is asked for the page's records, a few to see what they have, and what
    the page's records refer to. Sorting by a property asks once for this property of all.

    Parameters
    ----------
    visitor
        Who asks.
    question
        FIND or SELECT.
    columns
        Properties, or paths of them; none: those of SELECT, else what suits the records.
    sorting
        The order.
    start
        First record, counted from 0. Beyond the last one, the last page is given.
    size
        Records on a page.

    Raises
    ------
    QuestionError
        When LinkAhead does not understand the question.
    TooManyToSortError
        When there are more than `MOST_SORTED` records and the order is not that of the ids.
    """
    sample = _sample(visitor, question)
    columns = columns or question.columns or shown_columns(sample.entities)
    if not sample.entities:
        return Page(total=sample.total, start=0, columns=(), offered=(), rows=(), hints=sample.hints)
    total = sample.total
    start = min(start, max(total - 1, 0) // size * size)
    if sorting.column != BY_ID:
        if total > MOST_SORTED:
            raise TooManyToSortError
        order = _order(visitor, question, sorting)
        total = len(order)
        entities = _in_order(list(order[start : start + size]), columns)
    elif sorting.is_descending:
        total = count(visitor, question)
        last = max(total - start, 0)
        first = max(last - size, 0)
        part = retrieve(question.select(_needed(columns)), first, last - first)
        entities = tuple(reversed(part.entities))
    else:
        part = retrieve(question.select(_needed(columns)), start, size)
        total, entities = part.total, part.entities
    shown, rows = make_rows(entities, columns)
    offered = tuple(dict.fromkeys((*columns, *available_columns(sample.entities))))
    return Page(total=total, start=start, columns=shown, offered=offered, rows=rows, hints=sample.hints)


def table(
    visitor: Visitor, question: Question, *, columns: tuple[str, ...], unit_of: Callable[[str], str]
) -> Iterator[list[str | int | float]]:
    """Give all that a question finds as lines of a file, the header first, while LinkAhead is asked page by page.

    Parameters
    ----------
    columns
        Properties, or paths of them; none: those of SELECT, else what suits the records.
    unit_of
        Gives the data model's unit of a property.
    """
    sample = _sample(visitor, question)
    names = columns or question.columns or shown_columns(sample.entities)
    known: dict[int, Any] = {}
    laid_out: tuple[Column, ...] | None = None
    start, total = 0, 1
    while start < total:
        part = retrieve(question.select(_selected(names)), start, _EXPORT_PAGE)
        if laid_out is None:
            laid_out = file_columns(part.entities, names, known, unit_of)
            yield ["id", "name", *(head for one in laid_out for head in one.heads)]
        yield from plain_rows(part.entities, laid_out, known)
        if len(known) > _MOST_KNOWN:
            known.clear()
        start, total = start + _EXPORT_PAGE, part.total


def found_ids(question: Question, most: int) -> tuple[int, list[tuple[int, tuple[str, ...]]]]:
    """Give how many records a question finds, and id and RecordTypes of not more than `most` of them."""
    found: list[tuple[int, tuple[str, ...]]] = []
    total = 1
    while len(found) < min(total, most):
        total, root = retrieve_xml(question.select(()), len(found), min(_SORT_PAGE, most - len(found)))
        more = ids_in(root)
        if not more:
            break
        found += more
    return (total if found else 0), found


def _sample(visitor: Visitor, question: Question) -> Part:
    part: Part = visitor.cache.get(
        ("sample", question.find), lambda: retrieve(question.find, 0, _SAMPLE), seconds=_FRESH
    )
    return part


def _selected(columns: tuple[str, ...]) -> list[str]:
    """Give the properties of the records themselves that columns begin with."""
    return list(dict.fromkeys(name.partition(".")[0] for name in columns))


def _needed(columns: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys([*_selected(columns), *PICTURES, OUTPUT]))


def _in_order(ids: list[int], columns: tuple[str, ...]) -> tuple[Any, ...]:
    if not ids:
        return ()
    selectors = ", ".join(map(quote, _needed(columns)))
    part = retrieve(f"SELECT {selectors} FROM {one_of(ids)}", 0, len(ids))
    found = {int(one.id): one for one in part.entities}
    return tuple(found[one] for one in ids if one in found)


def _order(visitor: Visitor, question: Question, sorting: Sorting) -> array[int]:
    key = ("order", question.target, sorting.column)
    filled, empty = visitor.cache.get(key, lambda: _sorted_ids(question, sorting.column), seconds=_FRESH)
    # What has no value comes last in both directions.
    return (filled[::-1] if sorting.is_descending else filled) + empty


def _sorted_ids(question: Question, column: str) -> tuple[array[int], array[int]]:
    """Give the ids of what has a value, the smallest first, and of what has none."""
    path = column.split(".")
    # A reference is sorted by the name of what it leads to, which comes with the answer.
    selector = "id" if column == BY_NAME else f"{quote_path(column)}, {quote_path(column)}.name"
    keys: list[tuple[tuple[int, float, str], int]] = []
    empty = array("q")
    start, total = 0, 1
    while start < total:
        total, root = retrieve_xml(f"SELECT {selector} FROM {question.target}", start, _SORT_PAGE)
        total = min(total, MOST_SORTED)
        for one in root:
            if one.get("id") is None:
                continue
            text = one.get("name") if column == BY_NAME else _text(one, path)
            if text:
                keys.append((_sort_key(text), int(one.get("id"))))
            else:
                empty.append(int(one.get("id")))
        start += _SORT_PAGE
    keys.sort()
    return array("q", [one for _, one in keys]), empty


def _text(entity: Any, path: list[str]) -> str:
    """Give the first value of a property, or the name of what it refers to."""
    first, *rest = path
    prop = next(
        (one for one in entity.iterfind("Property") if one.get("name", "").casefold() == first.casefold()), None
    )
    if prop is None:
        return ""
    holder = next((one for one in prop.iterfind("Value")), prop)
    target = next((one for one in holder if one.get("id") is not None), None)
    if rest:
        return _text(target, rest) if target is not None else ""
    if target is not None:
        return str(target.get("name") or target.get("id"))
    return (holder.text or "").strip()


def _sort_key(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), "")
    except ValueError:
        return (1, 0.0, text.casefold())
