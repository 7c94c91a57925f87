"""Which delivery a file belongs to, and what a session is called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import date, timedelta

UNDATED = "undated"
FIRST_YEAR = 1970  # no magnetic resonance image is older; earlier dates are place-holders


def delivery_key(*parts: str) -> str:
    """Give the key of a delivery: a digest of what identifies it (study and identity, or table content)."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def valid_date(text: str, first_year: int = FIRST_YEAR) -> date | None:
    """Read a DICOM date (PS3.5 section 6.2, `YYYYMMDD`, also the retired `YYYY.MM.DD`); None when it is none."""
    match = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})", text.strip())
    if not match:
        return None
    try:
        value = date(*(int(part) for part in match.groups()))
    except ValueError:
        return None
    return value if value.year >= first_year else None


class SessionLabeler:
    """Names sessions by their shifted date; a second one on that day gets `a`, a third `b`.

    Parameters
    ----------
    taken
        Labels that the subject's earlier sessions have.
    """

    def __init__(self, taken: set[str]) -> None:
        self._taken = set(taken)

    def label(self, study_date: date | None, shift_days: int) -> str:
        """Give the next free label for a session on this day."""
        base = UNDATED if study_date is None else f"{study_date + timedelta(days=shift_days):%Y%m%d}"
        for suffix in _suffixes():
            candidate = base + suffix
            if candidate not in self._taken:
                self._taken.add(candidate)
                return candidate
        raise AssertionError  # pragma: no cover - the suffixes never end


def _suffixes() -> Iterator[str]:
    yield ""
    number = 0
    while True:
        text, rest = "", number
        while True:
            text = chr(ord("a") + rest % 26) + text
            rest = rest // 26 - 1
            if rest < 0:
                break
        yield text
        number += 1
