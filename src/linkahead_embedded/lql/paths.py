# ruff: noqa: S608 - SQL is composed of constants and placeholders; values are always bound
"""STORED AT: patterns for the paths of files."""

from __future__ import annotations

import re

from linkahead_embedded.patterns import glob

from .parser import pattern_parts
from .sql import Condition, Sql


def stored_at(text: str) -> Condition:
    r"""Match files by path: `*` stays within a folder, `**` does not, `\*` is an asterisk."""
    if text.startswith("*") and not text.startswith("**"):
        text = "/*" + text
    elif not text.startswith("/"):
        text = "/" + text
    if text.endswith("/"):
        text += "*"
    parts = pattern_parts(text)
    if len(parts) == 1:
        on = Sql("x.path = ?", (parts[0],))
    else:
        pieces = [Sql("x.path GLOB ?", (glob(parts),))]
        if parts[0]:
            pieces.insert(0, Sql("x.path >= ? AND x.path < ?", (parts[0], parts[0] + "\U0010ffff")))
        pattern = _path_regexp(parts)
        if "[^/]*" in pattern:
            pieces.append(Sql("matches(?, x.path)", (pattern,)))
        on = Sql(
            f"({' AND '.join(piece.text for piece in pieces)})", tuple(p for piece in pieces for p in piece.parameters)
        )

    def test(column: str) -> Sql:
        return Sql(f"EXISTS (SELECT 1 FROM entity x WHERE x.id = {column} AND {on.text})", on.parameters)

    return Condition(
        test,
        Sql(f"SELECT x.id AS id FROM entity x WHERE x.path IS NOT NULL AND {on.text}", on.parameters),
        rank=0 if len(parts) == 1 else 3,
    )


def _path_regexp(parts: tuple[str, ...]) -> str:
    pattern = re.escape(parts[0])
    index = 1
    while index < len(parts):
        stars = 1
        while not parts[index] and index < len(parts) - 1:
            stars += 1
            index += 1
        pattern += (".*" if stars > 1 else "[^/]*") + re.escape(parts[index])
        index += 1
    return pattern
