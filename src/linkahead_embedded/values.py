"""Values: from the text of a request to typed columns, and back to canonical text."""

from __future__ import annotations

import math
import re

from .dates import parse_date
from .errors import ValueFormatError
from .model import Base, Typed

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_REFERENCE = re.compile(r"(-?\d+)(@.+)?", re.ASCII | re.DOTALL)
_INT64 = 2**63
_NAN = frozenset({"nan", "+nan", "-nan"})
_INFINITE = {
    "inf": math.inf,
    "+inf": math.inf,
    "-inf": -math.inf,
    "infinity": math.inf,
    "+infinity": math.inf,
    "-infinity": -math.inf,
}
TRUE, FALSE = "TRUE", "FALSE"


def parse_integer(text: str) -> int:
    """Read an INTEGER of up to 64 bits, more than the 32 of the real server; `5.0`, as the client writes floats, is 5.

    Raises
    ------
    ValueFormatError
        If it is not a whole number or does not fit.
    """
    stripped = text.strip()
    if _INTEGER.fullmatch(stripped) and len(stripped) <= len(str(_INT64)) + 1:
        number = int(stripped)
    else:
        floating = parse_double(stripped)
        if not math.isfinite(floating) or floating != int(floating):
            raise ValueFormatError(f"'{text[:60]}' is not an integer")
        number = int(floating)
    if not -_INT64 <= number < _INT64:
        raise ValueFormatError(f"'{text[:60]}' does not fit in 64 bits")
    return number


def parse_double(text: str) -> float:
    """Read a DOUBLE, with `NaN` and `inf` in any case.

    Raises
    ------
    ValueFormatError
        If it is not a number.
    """
    stripped = text.strip().lower()
    if stripped in _NAN:
        return math.nan
    if stripped in _INFINITE:
        return _INFINITE[stripped]
    if "_" not in stripped:
        try:
            return float(stripped)
        except ValueError:
            pass
    raise ValueFormatError(f"'{text[:60]}' is not a number")


def parse_boolean(text: str) -> str:
    """Read TRUE or FALSE in any case.

    Raises
    ------
    ValueFormatError
        If it is neither.
    """
    upper = text.strip().upper()
    if upper not in (TRUE, FALSE):
        raise ValueFormatError(f"'{text[:60]}' is neither TRUE nor FALSE")
    return upper


def parse_value(text: str, base: int) -> Typed:
    """Type one value that is no reference.

    Raises
    ------
    ValueFormatError
        If the text does not fit.
    """
    if base == Base.TEXT:
        return Typed(text=text)
    if base == Base.INTEGER:
        return Typed(number=parse_integer(text))
    if base == Base.DOUBLE:
        number = parse_double(text)
        return Typed(lexical="NaN") if math.isnan(number) else Typed(number=number)
    if base == Base.BOOLEAN:
        return Typed(text=parse_boolean(text))
    span = parse_date(text)
    return Typed(low=span.low, high=span.high, lexical=text.strip())


def split_reference(text: str) -> tuple[int, str | None] | None:
    """Split `id` or `id@version`; None if the text is a name."""
    match = _REFERENCE.fullmatch(text.strip())
    if match is None or len(match[1]) > len(str(_INT64)):
        return None
    return int(match[1]), match[2]


def lexical(value: Typed) -> str | None:
    """Give the text of a stored value as the client reads it; None for null."""
    if value.lexical is not None:
        return value.lexical
    if value.text is not None:
        return value.text
    if value.target is not None:
        return str(value.target)
    if value.number is not None:
        return format_number(value.number)
    return None


def format_number(number: float) -> str:
    """Write a number so that it reads back as the same one."""
    return repr(number) if isinstance(number, float) else str(number)
