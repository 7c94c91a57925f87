# ruff: noqa: S608 - SQL is composed of constants and placeholders; values are always bound
"""ANY VERSION OF: the versions of the past beside the present ones.

For the time of one query, views stand in front of the tables and add what is archived, under negative ids. So each
version is an entity of its own to the planner, and the conditions of a query have to hold for one and the same
version. References lead to the present version of what they name.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from linkahead_embedded.storage import members

_ENTITY = (
    "role, name, name_key, description, type, is_list, unit, content, path, checksum, size, version, number, "
    "created_at, created_by, changed_at, changed_by"
)
_VALUES = "position, item, property, usage, text, number, target, low, high, lexical"
_VIEWS = {
    "entity": f"SELECT id, {_ENTITY} FROM main.entity "
    f"UNION ALL SELECT CAST(-key AS INTEGER), {_ENTITY} FROM main.old_entity",
    "parent": "SELECT child, position, parent FROM main.parent "
    "UNION ALL SELECT CAST(-version AS INTEGER), position, parent FROM main.old_parent",
    "statement": f"SELECT entity, {_VALUES} FROM main.statement UNION ALL SELECT CAST(-version AS INTEGER), {_VALUES} "
    "FROM main.old_statement",
}


class Version(NamedTuple):
    """A version: the entity, its number, and the id that it has as long as the views are there."""

    entity: int
    number: int
    key: int


def archive(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Copy the rows of entities that are about to change."""
    clause, parameters = members(ids)
    connection.execute(
        f"INSERT INTO old_entity (entity, {_ENTITY}) SELECT id, {_ENTITY} FROM entity WHERE id IN {clause}", parameters
    )
    copied = f"JOIN entity e ON e.id = o.entity AND e.number = o.number WHERE e.id IN {clause}"
    connection.execute(
        "INSERT INTO old_parent SELECT o.key, p.position, p.parent FROM old_entity o "
        f"JOIN parent p ON p.child = o.entity {copied}",
        parameters,
    )
    values = ", ".join(f"s.{name}" for name in _VALUES.split(", "))
    connection.execute(
        f"INSERT INTO old_statement SELECT o.key, {values} FROM old_entity o "
        f"JOIN statement s ON s.entity = o.entity {copied}",
        parameters,
    )


@contextmanager
def all_versions(connection: sqlite3.Connection) -> Iterator[None]:
    """Let queries see all versions for the duration of the block."""
    for name, text in _VIEWS.items():
        connection.execute(f"CREATE TEMP VIEW {name} AS {text}")
    try:
        yield
    finally:
        for name in _VIEWS:
            connection.execute(f"DROP VIEW temp.{name}")


def versions(connection: sqlite3.Connection, ids: Sequence[int]) -> list[Version]:
    """Say which versions ids mean while the views are there; by entity, then from the oldest to the present one."""
    clause, parameters = members(list(ids))
    rows = connection.execute(
        f"SELECT id, number, id FROM main.entity WHERE id IN {clause} "
        f"UNION ALL SELECT entity, number, -key FROM main.old_entity WHERE CAST(-key AS INTEGER) IN {clause}",
        [*parameters, *parameters],
    )
    return sorted(Version(*row) for row in rows)
