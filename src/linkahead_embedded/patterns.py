"""Wildcards and regular expressions of the query language, as SQL and as a function of SQLite."""

from __future__ import annotations

from functools import lru_cache

from .regexp import Pattern

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
    return 0 if text is None else int(compiled(pattern).covers(text))


@lru_cache(maxsize=64)
def compiled(pattern: str) -> Pattern:
    """Compile a regular expression of a query.

    Raises
    ------
    QueryError
        If it is malformed, too large, or of a kind that is not supported.
    """
    return Pattern(pattern)
