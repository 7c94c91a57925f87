"""Dates and times of DICOM (PS3.5 table 6.2-1) moved by a number of days."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

#: Digits of a year, of a day; a value may also end after the month.
_YEAR, _DAY = 4, 8
#: Before DICOM, dates were written 2018.09.18; readers take them still.
_DOTTED: Final = re.compile(r"(\d{4})\.(\d{2})\.(\d{2})")
_DIGITS: Final = re.compile(r"\d{4,}")


def shifted(value: bytes, days: int) -> bytes:
    """Move a DA or DT value by a number of days; the time of day and the offset from UTC stay.

    A value of less than a day (a year, a month) is moved to the year or month of its moved first day. One that is no
    date is left empty.
    """
    text = _DOTTED.sub(r"\1\2\3", value.decode("ascii", "replace").strip(" \0"))
    digits = _DIGITS.match(text)
    if digits is None:
        return b""
    precision = min(len(digits[0]), _DAY)
    first = text[:precision] + "0101"[precision - _YEAR :]
    try:
        moved = date(int(first[:4]), int(first[4:6]), int(first[6:8])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return b""
    written = f"{moved.year:04d}{moved.month:02d}{moved.day:02d}"
    return (written[:precision] + text[precision:]).encode("ascii", "replace")
