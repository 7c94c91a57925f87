"""DATETIME values: what they span, and the three-valued comparison of LinkAhead.

A date gives an interval [low, high): `2015` spans the year, `2015-04-03T10:00:00` spans one second. Two flavours
never equal each other: partial dates (year, month or day) and time stamps. Of true, false and undefined, only true
passes a filter.
"""

from __future__ import annotations

import re
from datetime import MAXYEAR, UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

from .errors import ValueFormatError

_FORM = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2})"
    r"(?:[T ](?P<hour>\d{2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s?(?P<zone>Z|UTC|[+-]\d{2}:?(?:\d{2})?)?)?)?)?",
    re.ASCII | re.IGNORECASE,
)

SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
"""Microseconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DIGITS = 6
LATEST = 253_402_300_800_000_000
"""Microseconds of the end of year 9999."""


class Span(NamedTuple):
    """The interval of a date in microseconds since 1970 UTC, `low` included, `high` not.

    Its length says which fields were given: a day or more for partial dates, an hour or less for time stamps.
    """

    low: int
    high: int

    @property
    def is_stamp(self) -> bool:
        """Tell a time stamp from a partial date."""
        return self.high - self.low < DAY


def microseconds(moment: datetime) -> int:
    """Count the microseconds from 1970 to an aware moment."""
    return (moment - _EPOCH) // _MICROSECOND


def now() -> int:
    """Give the present in microseconds since 1970."""
    return microseconds(datetime.now(UTC))


@lru_cache(maxsize=256)
def iso(moment: int) -> str:
    """Write microseconds since 1970 in the form of version dates: `2024-05-03T10:00:00.000+0000`."""
    stamp = _EPOCH + moment * _MICROSECOND
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{stamp.microsecond // 1000:03d}+0000"


def today() -> Span:
    """Give the span of the current day in server time (UTC)."""
    return parse_date(f"{datetime.now(UTC):%Y-%m-%d}")


def parse_date(text: str) -> Span:
    """Read `YYYY[-MM[-DD[(T| )hh[:mm[:ss[.f]]][zone]]]]`; without a zone the time is UTC.

    Raises
    ------
    ValueFormatError
        If the text is no such date, or the date does not exist.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueFormatError(f"'{text[:60]}' is not a date of the form YYYY[-MM[-DD[Thh:mm[:ss[.f]][zone]]]]")
    part = match.groupdict()
    try:
        return _span(part)
    except (ValueError, OverflowError) as problem:
        raise ValueFormatError(f"'{text[:60]}' is not a date that exists: {problem}") from None


def _span(part: dict[str, str | None]) -> Span:
    year, month, day = int(part["year"] or 0), part["month"], part["day"]
    hour, minute, second, fraction = part["hour"], part["minute"], part["second"], part["fraction"]
    start = datetime(
        year,
        int(month or 1),
        int(day or 1),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        tzinfo=_zone(part["zone"]),
    )
    low = microseconds(start)
    if month is None:
        return Span(low, _first_of(year + 1, 1))
    if day is None:
        return Span(low, _first_of(year + int(month) // 12, int(month) % 12 + 1))
    if hour is None:
        return Span(low, low + DAY)
    if fraction is None:
        return Span(low, low + (HOUR if minute is None else MINUTE if second is None else SECOND))
    low += int(fraction[:_DIGITS].ljust(_DIGITS, "0"))
    return Span(low, low + int(10 ** max(0, _DIGITS - len(fraction))))


def _first_of(year: int, month: int) -> int:
    return LATEST if year > MAXYEAR else microseconds(datetime(year, month, 1, tzinfo=UTC))


def _zone(text: str | None) -> timezone:
    if text is None or text.upper() in {"Z", "UTC"}:
        return UTC
    sign = -1 if text[0] == "-" else 1
    digits = text[1:].replace(":", "")
    return timezone(sign * timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0)))


def condition(operator: str, span: Span, column: str = "s") -> tuple[str, list[int]]:
    """Give the SQL that is true exactly where `value operator span` is true.

    Parameters
    ----------
    operator
        One of `= != < > <= >= IN "NOT IN"`.
    span
        The date of the query.
    column
        The alias of the statement table, with columns `low` and `high`.
    """
    low, high = f"{column}.low", f"{column}.high"
    # `low < high` always, so that a bound on `high` is one on `low` too, which is what the index starts with.
    same = f"({low} = ? AND {high} = ?)"
    flavour = f"{high} - {low} {'<' if span.is_stamp else '>='} {DAY}"
    match operator:
        case "=":
            return same, [span.low, span.high]
        case "!=":
            return f"({low} IS NOT NULL AND {flavour} AND NOT {same})", [span.low, span.high]
        case ">":
            return f"{low} >= ?", [span.high]
        case "<":
            return f"({low} < ? AND {high} <= ?)", [span.low, span.low]
        case ">=":
            return f"({low} >= ? AND ({low} >= ? OR {same}))", [span.low, span.high, span.low, span.high]
        case "<=":
            before = f"({low} < ? AND {high} <= ? AND ({high} <= ? OR {same}))"
            return before, [span.high, span.high, span.low, span.low, span.high]
        case "IN":
            return f"({low} >= ? AND {low} < ? AND {high} <= ?)", [span.low, span.high, span.high]
        case "NOT IN":
            return f"({low} IS NOT NULL AND NOT ({low} >= ? AND {high} <= ?))", [span.low, span.high]
    raise ValueError(operator)
