"""Wildcards and regular expressions of the query language, as SQL and as a function of SQLite."""

from __future__ import annotations

import re
from functools import lru_cache

from .errors import QueryError

MAX_PATTERN = 1000
_HIGHEST = "\U0010ffff"
_SPECIAL = {"?": "[?]", "[": "[[]", "*": "[*]"}


def glob(parts: tuple[str, ...]) -> str:
    """Give the SQLite GLOB for literal `parts` with any text between them."""
    return "*".join("".join(_SPECIAL.get(letter, letter) for letter in part) for part in parts)


def glob_condition(column: str, parts: tuple[str, ...]) -> tuple[str, list[str]]:
    """Give SQL for a column that has the parts with anything between.

    A leading literal becomes a range on its index.
    """
    if len(parts) == 1:
        return f"{column} = ?", [parts[0]]
    if parts[0]:
        return f"({column} >= ? AND {column} < ? AND {column} GLOB ?)", [parts[0], parts[0] + _HIGHEST, glob(parts)]
    return f"{column} GLOB ?", [glob(parts)]


def matches_pattern(pattern: str, text: str | None) -> int:
    """Tell whether a regular expression covers the whole text; the SQLite function `matches`."""
    return 0 if text is None else int(compiled(pattern).fullmatch(text) is not None)


@lru_cache(maxsize=64)
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression of a query, with limits.

    Raises
    ------
    QueryError
        If it is malformed, too long, or of the kind that can take for ever (a repeated group that itself repeats).
    """
    if len(pattern) > MAX_PATTERN:
        raise QueryError(f"The regular expression is longer than {MAX_PATTERN} characters.")
    try:
        return re.compile(pattern, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as problem:
        raise QueryError(f"The regular expression <<{pattern[:80]}>> is malformed: {problem}") from None
