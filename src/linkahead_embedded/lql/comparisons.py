# ruff: noqa: S608 - SQL is composed of constants and placeholders; values are always bound
"""What an operator and a value mean for each kind of stored value.

The text of a value is read in every way that fits: as number (with or without unit), as boolean, as date, as text.
Each reading becomes one branch on the columns of its kind in `statement`, whose alias is `s`. Of a list some element
has to match.
"""

from __future__ import annotations

import re
import sqlite3

from linkahead_embedded import dates, units
from linkahead_embedded.errors import QueryError, ValueFormatError
from linkahead_embedded.model import Base
from linkahead_embedded.patterns import compiled, glob_condition
from linkahead_embedded.values import FALSE, TRUE, parse_double

from . import ast
from .sql import Parameter, Sql, join

NULL = "s.text IS NULL AND s.number IS NULL AND s.target IS NULL AND s.lexical IS NULL"
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*)", re.ASCII | re.DOTALL)
_OF_TYPE = "s.usage IN (SELECT id FROM usage WHERE type = {})"


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
    if match is None or not match[2].strip():
        return None
    return float(match[1]), match[2].strip()


def branches(connection: sqlite3.Connection, comparison: ast.Comparison) -> list[Sql]:
    """Give the alternatives on typed columns, references excepted.

    Raises
    ------
    QueryError
        If a regular expression is malformed.
    """
    match comparison:
        case ast.Compare(operator, value):
            return _compare(connection, operator, value)
        case ast.Like(pattern, is_negated):
            return _like(pattern, is_negated=is_negated)
        case ast.Within(values, is_negated):
            return _within(values, is_negated=is_negated)
        case ast.Null(is_negated, True):
            return [Sql("(s.text IS NOT NULL AND s.text <> '')" if is_negated else "s.text = ''")]
        case ast.Null(is_negated, _):
            return [Sql(f"NOT ({NULL})" if is_negated else f"({NULL})")]
    raise QueryError(f"The comparison {comparison!r} is not supported.")


def _compare(connection: sqlite3.Connection, operator: str, value: str) -> list[Sql]:
    found: list[Sql] = []
    number = as_number(value)
    if number is not None:
        found.append(Sql(f"s.number {operator} ?", (number,)))
    quantity = as_quantity(value)
    if quantity is not None:
        found.extend(_quantity(connection, operator, *quantity))
    try:
        text, parameters = dates.condition(operator, dates.parse_date(value))
        found.append(Sql(text, tuple(parameters)))
    except ValueFormatError:
        pass
    upper = value.strip().upper()
    if upper in (TRUE, FALSE) and operator in {"=", "!="}:
        found.append(Sql(f"(s.text {operator} ? AND {_OF_TYPE.format(int(Base.BOOLEAN))})", (upper,)))
        found.append(Sql(f"(s.text {operator} ? AND {_OF_TYPE.format(int(Base.TEXT))})", (value,)))
    elif operator == "=":
        found.append(Sql("s.text = ?", (value,)))
    elif operator == "!=" or (number is None and quantity is None):
        found.append(Sql(f"(s.text {operator} ? AND {_OF_TYPE.format(int(Base.TEXT))})", (value,)))
    return found


def _quantity(connection: sqlite3.Connection, operator: str, number: float, unit: str) -> list[Sql]:
    """Compare in the unit of each stored value, so that the index on numbers serves; one branch a unit."""
    stored = [row[0] for row in connection.execute("SELECT DISTINCT unit FROM usage WHERE unit IS NOT NULL")]
    found = []
    for text, converted in units.in_stored_units(number, unit, stored):
        low, high = units.tolerance(converted)
        match operator:
            case "=":
                condition, parameters = "s.number BETWEEN ? AND ?", (low, high)
            case "!=":
                condition, parameters = "s.number NOT BETWEEN ? AND ?", (low, high)
            case ">" | "<=":
                condition, parameters = f"s.number {operator} ?", (high,)  # type: ignore[assignment]
            case _:
                condition, parameters = f"s.number {operator} ?", (low,)  # type: ignore[assignment]
        found.append(Sql(f"({condition} AND s.usage IN (SELECT id FROM usage WHERE unit = ?))", (*parameters, text)))
    return found


def _like(pattern: ast.Expression, *, is_negated: bool) -> list[Sql]:
    condition = text_pattern("s.text", pattern)
    if is_negated:
        return [
            Sql(f"(s.type = {int(Base.TEXT)} AND s.text IS NOT NULL AND NOT {condition.text})", condition.parameters)
        ]
    return [condition]


def text_pattern(column: str, pattern: ast.Expression, *, is_folded: bool = False) -> Sql:
    """Give SQL for a text column that a pattern covers."""
    if isinstance(pattern, ast.Regexp):
        compiled(pattern.pattern)
        return Sql(f"matches(?, {column})", (pattern.pattern,))
    parts = tuple(part.casefold() for part in pattern.parts) if is_folded else pattern.parts
    text, parameters = glob_condition(column, parts)
    return Sql(text, tuple(parameters))


def _within(values: tuple[str, ...], *, is_negated: bool) -> list[Sql]:
    pieces: dict[str, list[Sql]] = {"number": [], "date": [], "text": []}
    for value in values:
        number = as_number(value)
        if number is not None:
            pieces["number"].append(Sql("s.number <> ?" if is_negated else "s.number = ?", (number,)))
        try:
            text, parameters = dates.condition("NOT IN" if is_negated else "IN", dates.parse_date(value))
            pieces["date"].append(Sql(text, tuple(parameters)))
        except ValueFormatError:
            pass
        pieces["text"].append(Sql("s.text <> ?" if is_negated else "s.text = ?", (value,)))
    if is_negated:
        return [join(found, "AND") for found in pieces.values() if found]
    return [piece for found in pieces.values() for piece in found]


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
