# ruff: noqa: S608 - SQL is composed of constants, placeholders and integers; values are always bound
"""Rows of many entities, written in few calls.

To bind a null costs Python's sqlite3 more than SQLite needs to store it, and so does each call. Rows with the same
shape therefore share one statement, in which the nulls, and all that is the same in each entity of a shape, are
constants.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from gc import disable, enable, isenabled
from typing import NamedTuple

from .model import Typed

_NUMBER = "NULL, ?, NULL, NULL, NULL, NULL"
_TEXT = "?, NULL, NULL, NULL, NULL, NULL"
_TARGET = "NULL, NULL, ?, NULL, NULL, NULL"
_VERSION = "NULL, NULL, ?, NULL, NULL, ?"
_DATE = "NULL, NULL, NULL, ?, ?, ?"
_LEXICAL = "NULL, NULL, NULL, NULL, NULL, ?"
_NULL = "NULL, NULL, NULL, NULL, NULL, NULL"
_COMMON = 3
_LONGEST = 64
_LARGE = 1 << 16

Parameter = int | float | str


class Use(NamedTuple):
    """A property as it is used, by the ids of property and usage."""

    property: int
    usage: int


_Shape = tuple[Use | str, ...]
"""The uses of an entity, each followed by what kind its values are, as the SQL of their columns."""


@contextmanager
def uncollected(body: bytes) -> Iterator[None]:
    """Keep the collector of cycles from walking again and again through what a large body is made into."""
    is_paused = len(body) > _LARGE and isenabled()
    if is_paused:
        disable()
    try:
        yield
    finally:
        if is_paused:
            enable()


def insert_rows(
    connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Insert rows of any table, those with nulls in the same columns together."""
    groups: dict[tuple[bool, ...], list[list[object]]] = {}
    for row in rows:
        mask = tuple([value is not None for value in row])
        groups.setdefault(mask, []).append([value for value in row if value is not None])
    for mask, present in groups.items():
        names = [name for name, is_present in zip(columns, mask, strict=True) if is_present]
        marks = ", ".join("?" * len(names))
        connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", present)


def insert_statements(
    connection: sqlite3.Connection, entities: Iterable[tuple[int, Iterable[tuple[Use, Sequence[Typed]]]]]
) -> None:
    """Insert the properties of new entities, each with its values."""
    shapes: dict[_Shape, list[list[Parameter]]] = {}
    for entity, uses in entities:
        shape: list[Use | str] = []
        parameters: list[Parameter] = [entity]
        for use, values in uses:
            shape.append(use)
            shape.extend([_add(value, parameters) for value in values])
        shapes.setdefault(tuple(shape), []).append(parameters)
    rare: dict[str, list[list[Parameter]]] = {}
    for key, bound in shapes.items():
        if len(bound) < _COMMON or len(key) > _LONGEST:
            for one in bound:
                _take_apart(key, one, rare)
        elif key:
            tuples = ", ".join(f"(?1, {ids}, {kind})" for ids, kind in _rows(key))
            connection.executemany(f"INSERT INTO statement VALUES {tuples}", bound)
    for kind, bound in rare.items():
        connection.executemany(f"INSERT INTO statement VALUES (?, ?, ?, ?, ?, {kind})", bound)


def _add(value: Typed, parameters: list[Parameter]) -> str:
    """Add what is set in a value to the parameters of its entity; give the SQL of its columns."""
    text, number, target, low, high, lexical = value
    if number is not None:
        parameters.append(number)
        return _NUMBER
    if text is not None:
        parameters.append(text)
        return _TEXT
    if target is not None:
        parameters.append(target)
        if lexical is None:
            return _TARGET
        parameters.append(lexical)
        return _VERSION
    if low is not None and high is not None and lexical is not None:
        parameters += (low, high, lexical)
        return _DATE
    if lexical is not None:
        parameters.append(lexical)
        return _LEXICAL
    return _NULL


def _rows(shape: _Shape) -> Iterator[tuple[str, str]]:
    """Give position, item, property and usage of each row, and the SQL of its value."""
    position, item, use = -1, 0, Use(0, 0)
    for one in shape:
        if isinstance(one, Use):
            position, item, use = position + 1, 0, one
        else:
            yield f"{position}, {item}, {use.property}, {use.usage}", one
            item += 1


def _take_apart(shape: _Shape, parameters: list[Parameter], rare: dict[str, list[list[Parameter]]]) -> None:
    """Distribute the rows of one entity by the kind of their values."""
    entity, *values = parameters
    for ids, kind in _rows(shape):
        count = kind.count("?")
        rare.setdefault(kind, []).append([entity, *map(int, ids.split(", ")), *values[:count]])
        del values[:count]
