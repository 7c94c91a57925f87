# ruff: noqa: S608 - SQL is composed of constants and placeholders; values are always bound
"""What an operator and a value mean for each kind of stored value.

The text of a value is read in every way that fits: as number (with or without unit), as boolean, as date, as text.
Each reading becomes one branch on the columns of its kind in `statement`, whose alias is `s`. Of a list some element
has to match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from linkahead_embedded import dates, units
from linkahead_embedded.errors import QueryError, ValueFormatError
from linkahead_embedded.model import Base
from linkahead_embedded.patterns import compiled, glob_condition
from linkahead_embedded.values import FALSE, TRUE, parse_double

from . import ast
from .sql import Parameter, Sql, join

NULL = "s.text IS NULL AND s.number IS NULL AND s.target IS NULL AND s.lexical IS NULL"
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*((?:[^\W\d_]|[%°]).*)", re.DOTALL)
# Without the plus SQLite would rather walk the index on (property, usage), which lists nearly everything.
_OF_TYPE = "+s.usage IN (SELECT id FROM usage WHERE type = {})"
_NUMBERS = frozenset({int(Base.INTEGER), int(Base.DOUBLE)})


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored for the properties in question: datatypes (`Base` or id of a RecordType) and units."""

    types: frozenset[int]
    units: frozenset[str]

    @property
    def has_numbers(self) -> bool:
        """Whether there are INTEGER or DOUBLE values."""
        return bool(self.types & _NUMBERS)

    @property
    def has_dates(self) -> bool:
        """Whether there are DATETIME values."""
        return Base.DATETIME in self.types

    @property
    def has_texts(self) -> bool:
        """Whether there are TEXT values."""
        return Base.TEXT in self.types

    @property
    def has_booleans(self) -> bool:
        """Whether there are BOOLEAN values."""
        return Base.BOOLEAN in self.types

    @property
    def has_references(self) -> bool:
        """Whether there are references."""
        return any(code >= Base.REFERENCE for code in self.types)


def as_number(text: str) -> int | float | None:
    """Read a number, exactly where it is a whole one; None if it is none."""
    stripped = text.strip()
    if re.fullmatch(r"[+-]?\d{1,18}", stripped, re.ASCII):
        return int(stripped)
    try:
        number = parse_double(stripped)
    except ValueFormatError:
        return None
    return None if number != number else number  # noqa: PLR0124 - NaN differs from itself


def as_quantity(text: str) -> tuple[float, str] | None:
    """Read a number with a unit, `5 mm` or `5mm`; None if there is no unit or no number."""
    match = _QUANTITY.fullmatch(text.strip())
    return None if match is None else (float(match[1]), match[2])


def unfit_unit(comparison: ast.Comparison, stored: Stored) -> str | None:
    """Give the unit of a quantity that no stored value can be converted to, so that it compares with none of them."""
    quantity = as_quantity(comparison.value) if isinstance(comparison, ast.Compare) else None
    if quantity is None or not stored.has_numbers or stored.has_texts or stored.has_dates:
        return None
    return None if any(True for _ in units.in_stored_units(*quantity, sorted(stored.units))) else quantity[1]


def branches(comparison: ast.Comparison, stored: Stored) -> list[Sql]:
    """Give the alternatives on typed columns, references excepted.

    Raises
    ------
    QueryError
        If a regular expression is malformed.
    """
    match comparison:
        case ast.Compare(operator, value):
            return _compare(operator, value, stored)
        case ast.Like(pattern, is_negated):
            return _like(pattern, stored, is_negated=is_negated)
        case ast.Within(values, is_negated):
            return _within(values, stored, is_negated=is_negated)
        case ast.Null(is_negated, True):
            return [Sql("(s.text IS NOT NULL AND s.text <> '')" if is_negated else "s.text = ''")]
        case ast.Null(is_negated, _):
            return [Sql(f"NOT ({NULL})" if is_negated else f"({NULL})")]
    raise QueryError(f"The comparison {comparison!r} is not supported.")


def _compare(operator: str, value: str, stored: Stored) -> list[Sql]:
    found: list[Sql] = []
    number, quantity = as_number(value), as_quantity(value)
    if number is not None and stored.has_numbers:
        found.append(Sql(f"s.number {operator} ?", (number,)))
    if quantity is not None and stored.has_numbers:
        found.extend(_quantity(operator, *quantity, stored.units))
    if stored.has_dates:
        found.extend(_date(operator, value))
    is_equality = operator in {"=", "!="}
    if stored.has_booleans and is_equality and value.strip().upper() in (TRUE, FALSE):
        of_boolean = _OF_TYPE.format(int(Base.BOOLEAN))
        found.append(Sql(f"(s.text {operator} ? AND {of_boolean})", (value.strip().upper(),)))
    if stored.has_texts and (is_equality or (number is None and quantity is None)):
        of_text = _OF_TYPE.format(int(Base.TEXT))
        found.append(
            Sql(f"(s.text {operator} ? AND {of_text})" if stored.has_booleans else f"s.text {operator} ?", (value,))
        )
    return found


def _date(operator: str, value: str) -> list[Sql]:
    try:
        text, parameters = dates.condition(operator, dates.parse_date(value))
    except ValueFormatError:
        return []
    return [Sql(text, tuple(parameters))]


def _quantity(operator: str, number: float, unit: str, stored: Iterable[str]) -> list[Sql]:
    """Compare in the unit of each stored value, so that the index on numbers serves; one branch a unit."""
    found = []
    for text, converted in units.in_stored_units(number, unit, sorted(stored)):
        low, high = units.tolerance(converted)
        parameters: tuple[float, ...]
        match operator:
            case "=":
                condition, parameters = "s.number BETWEEN ? AND ?", (low, high)
            case "!=":
                condition, parameters = "s.number NOT BETWEEN ? AND ?", (low, high)
            case ">" | "<=":
                condition, parameters = f"s.number {operator} ?", (high,)
            case _:
                condition, parameters = f"s.number {operator} ?", (low,)
        found.append(Sql(f"({condition} AND +s.usage IN (SELECT id FROM usage WHERE unit = ?))", (*parameters, text)))
    return found


def _like(pattern: ast.Expression, stored: Stored, *, is_negated: bool) -> list[Sql]:
    if not stored.has_texts:
        return []
    condition = text_pattern("s.text", pattern)
    pieces = [Sql(f"s.text IS NOT NULL AND NOT {condition.text}", condition.parameters) if is_negated else condition]
    if stored.has_booleans:
        pieces.append(Sql(_OF_TYPE.format(int(Base.TEXT))))
    return [join(pieces, "AND")]


def text_pattern(column: str, pattern: ast.Expression, *, is_folded: bool = False) -> Sql:
    """Give SQL for a text column that a pattern covers."""
    if isinstance(pattern, ast.Regexp):
        compiled(pattern.pattern)
        return Sql(f"matches(?, {column})", (pattern.pattern,))
    parts = tuple(part.casefold() for part in pattern.parts) if is_folded else pattern.parts
    text, parameters = glob_condition(column, parts)
    return Sql(text, tuple(parameters))


def _within(values: tuple[str, ...], stored: Stored, *, is_negated: bool) -> list[Sql]:
    kinds: dict[str, list[Sql]] = {"number": [], "date": [], "text": []}
    for value in values:
        number = as_number(value)
        if number is not None and stored.has_numbers:
            kinds["number"].append(Sql("s.number <> ?" if is_negated else "s.number = ?", (number,)))
        if stored.has_dates:
            kinds["date"].extend(_date("NOT IN" if is_negated else "IN", value))
        if stored.has_texts:
            kinds["text"].append(Sql("s.text <> ?" if is_negated else "s.text = ?", (value,)))
    if is_negated:
        return [join(found, "AND") for found in kinds.values() if found]
    return [piece for found in kinds.values() for piece in found]


def attribute(column: str, comparison: ast.Comparison | None, *, is_folded: bool, is_number: bool) -> Sql:
    """Compare an attribute of the entity itself; a missing attribute is null.

    Parameters
    ----------
    column
        A column of the table `entity`, with its alias.
    """
    match comparison:
        case None:
            return Sql(f"{column} IS NOT NULL")
        case ast.Null(is_negated, is_empty):
            return Sql(
                f"{column} IS {'' if is_negated else 'NOT '}NULL"
                if is_empty and is_negated
                else f"{column} IS {'NOT ' if is_negated else ''}NULL"
            )
        case ast.Like(pattern, is_negated):
            inner = text_pattern(
                column.removesuffix("_key") if isinstance(pattern, ast.Regexp) else column, pattern, is_folded=is_folded
            )
            return Sql(f"({column} IS NOT NULL AND NOT {inner.text})", inner.parameters) if is_negated else inner
        case ast.Compare(operator, value):
            operand = _operand(value, is_folded=is_folded, is_number=is_number)
            return Sql("0") if operand is None else Sql(f"({column} IS NOT NULL AND {column} {operator} ?)", (operand,))
        case ast.Within(values, is_negated):
            operands = [
                one
                for value in values
                if (one := _operand(value, is_folded=is_folded, is_number=is_number)) is not None
            ]
            inner = join(
                [Sql(f"{column} {'<>' if is_negated else '='} ?", (operand,)) for operand in operands],
                "AND" if is_negated else "OR",
            )
            return Sql(f"({column} IS NOT NULL AND {inner.text})", inner.parameters)
    raise QueryError(f"The comparison {comparison!r} is not supported.")


def _operand(value: str, *, is_folded: bool, is_number: bool) -> Parameter:
    if is_number:
        return as_number(value)
    return value.casefold() if is_folded else value
