"""Read what stands in a cell: numbers with limits, marks, dates, times, ranges. Nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Literal

from heartbrain_ingest.lab.rules import LabRules, normalise
from heartbrain_ingest.lab.tables import Cell

Decimal = Literal["comma", "point"]

NUMBER = re.compile(
    r"(?P<sign><=|>=|≤|≥|<|>)?\s*(?P<number>[+-]?\d[\d.,' ]*(?:[eE][+-]?\d+)?)\s*(?P<rest>.*)", re.DOTALL
)
SIGNS = {"≤": "<=", "≥": ">="}
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?P<sign>[.,' ])\d{3}((?P=sign)\d{3})*")
RANGE = re.compile(r"\s*(?P<low>\d[\d.,]*)\s*(?:-|\N{EN DASH}|bis|to)\s*(?P<high>\d[\d.,]*)\s*")
LIMIT = re.compile(r"\s*(?P<sign><=|>=|≤|≥|<|>)\s*(?P<limit>\d[\d.,]*)\s*")


class CellError(Exception):
    """A cell can't be used; `code` is an entry of the issue catalogue. Carries no content."""

    def __init__(self, code: str) -> None:
        """Keep the code."""
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A value as it stands in the cell."""

    #: None where a mark stands in place of a number.
    number: float | None
    #: Sign of a limit, or the mark.
    qualifier: str
    #: What was read, without anything else the cell held.
    text: str
    #: What stood behind the number: a unit, if anything.
    rest: str = ""


def read_value(cell: Cell, decimal: Decimal | None, rules: LabRules) -> Reading | None:
    """Read the value of a measurement.

    Returns
    -------
    None for an empty cell.

    Raises
    ------
    CellError
        LAB_INVALID_VALUE, or LAB_AMBIGUOUS_NUMBER where comma and point would read differently and `decimal` is None.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, bool | datetime | date | time):
        raise CellError("LAB_INVALID_VALUE")
    if isinstance(cell, int | float):
        return Reading(number=float(cell), qualifier="", text=_plain(float(cell)))
    if mark := rules.mark_of.get(normalise(cell)):
        return Reading(number=None, qualifier=mark, text="")
    found = NUMBER.fullmatch(cell.strip())
    if found is None:
        raise CellError("LAB_INVALID_VALUE")
    text = found["number"].strip(" '")
    sign = SIGNS.get(found["sign"] or "", found["sign"] or "")
    return Reading(number=parse_number(text, decimal), qualifier=sign, text=f"{sign}{text}", rest=found["rest"].strip())


def parse_number(text: str, decimal: Decimal | None) -> float:
    """Read a decimal number with comma or point.

    Raises
    ------
    CellError
        LAB_AMBIGUOUS_NUMBER ("1,234" without knowledge of the table), LAB_INVALID_VALUE.
    """
    compact = text.replace(" ", "").replace("'", "")
    told = decimal_of(text)
    if told is None and ("," in compact or "." in compact):
        told = decimal
        if told is None:
            raise CellError("LAB_AMBIGUOUS_NUMBER")
    point, group = (",", ".") if told == "comma" else (".", ",")
    whole, _, fraction = compact.partition(point)
    if group in whole and THOUSANDS.fullmatch(whole) is None:
        raise CellError("LAB_INVALID_VALUE")
    try:
        return float(f"{whole.replace(group, '')}.{fraction}" if fraction else whole.replace(group, ""))
    except ValueError:
        raise CellError("LAB_INVALID_VALUE") from None


def decimal_of(text: str) -> Decimal | None:
    """Tell the decimal sign from one number; None where it could be a sign of thousands, or there is none."""
    comma, point = text.rfind(","), text.rfind(".")
    if comma < 0 and point < 0:
        return None
    if comma >= 0 and point >= 0:
        return "comma" if comma > point else "point"
    if THOUSANDS.fullmatch(text.replace(" ", "").replace("'", "")):
        sign = "," if comma >= 0 else "."
        # Signs that come twice are of thousands; a single one may be either.
        return None if text.count(sign) == 1 else ("point" if sign == "," else "comma")
    return "comma" if comma >= 0 else "point"


def decimal_of_table(cells: Iterable[Cell], configured: str) -> Decimal | None:
    """Tell the decimal sign of a table from all its value cells; None where they disagree or don't tell."""
    if configured == "comma":
        return "comma"
    if configured == "point":
        return "point"
    seen: set[Decimal] = set()
    for cell in cells:
        found = NUMBER.fullmatch(cell.strip()) if isinstance(cell, str) else None
        told = decimal_of(found["number"].strip()) if found else None
        if told:
            seen.add(told)
    return seen.pop() if len(seen) == 1 else None


def read_moment(day: Cell, moment: Cell, rules: LabRules) -> tuple[date, time | None]:
    """Read day and time of sampling.

    Raises
    ------
    CellError
        LAB_INVALID_DATE
    """
    clock: time | None = None
    if isinstance(day, datetime):
        # A spreadsheet stores a bare day as midnight; nobody draws blood in that second.
        clock = day.time().replace(microsecond=0) if day.time() != time() else None
        found = day.date()
    elif isinstance(day, date):
        found = day
    else:
        parsed = _parse(day, rules.date_formats)
        if parsed is None:
            raise CellError("LAB_INVALID_DATE")
        found, clock = parsed.date(), parsed.time() if parsed.time() != time() else None
    if isinstance(moment, datetime):
        clock = moment.time().replace(microsecond=0)
    elif isinstance(moment, time):
        clock = moment.replace(microsecond=0)
    elif text_of(moment):
        parsed = _parse(moment, rules.time_formats)
        if parsed is None:
            raise CellError("LAB_INVALID_DATE")
        clock = parsed.time()
    return found, clock


def read_range(cell: Cell, decimal: Decimal | None) -> tuple[float | None, float | None] | None:
    """Read a reference range: `0,5 - 0,9`, `< 5`; None where the cell holds none that can be read."""
    if not isinstance(cell, str):
        return None
    try:
        if found := RANGE.fullmatch(cell):
            return parse_number(found["low"], decimal), parse_number(found["high"], decimal)
        if found := LIMIT.fullmatch(cell):
            limit = parse_number(found["limit"], decimal)
            return (None, limit) if found["sign"] in {"<", "<=", "≤"} else (limit, None)
    except CellError:
        return None
    return None


def read_comments(cell: Cell, rules: LabRules) -> tuple[str, ...]:
    """Give the codes of the known words in a comment; the text itself is not kept."""
    text = normalise(cell) if isinstance(cell, str) else ""
    return tuple(code for code, words in rules.comments.items() if any(normalise(word) in text for word in words))


def text_of(cell: Cell) -> str:
    """Give a cell as text; a whole number without the `.0` that a spreadsheet adds."""
    if cell is None:
        return ""
    return _plain(float(cell)) if isinstance(cell, int | float) and not isinstance(cell, bool) else str(cell).strip()


def _plain(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)


def _parse(cell: Cell, forms: Sequence[str]) -> datetime | None:
    if not isinstance(cell, str) or not cell.strip():
        return None
    for form in forms:
        try:
            return datetime.strptime(cell.strip(), form)  # noqa: DTZ007 - local time of the laboratory, as the images'
        except ValueError:
            continue
    return None
