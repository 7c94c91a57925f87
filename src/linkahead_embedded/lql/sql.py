# ruff: noqa: S608 - SQL is composed of constants and placeholders; values are always bound
"""The pieces that a plan is put together from.

A condition can be asked in two ways. As a *test* it is an SQL expression about one entity, looked up by the primary
key. As a *driver* it is a SELECT that lists exactly the entities that meet it, from an index. A plan starts from the
driver that lists the fewest and tests the rest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Parameter = str | int | float | None
PROBE = 256
_GOOD_ENOUGH = 16
_PROBE_STEPS = 50_000
"""Instructions of SQLite's machine after which a probe gives up; about a millisecond."""


class Sql(NamedTuple):
    """SQL text and its parameters."""

    text: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """What a filter demands of an entity.

    `test` takes the SQL of an entity id and gives a boolean that is never NULL. `driver` selects a column `id`; None
    if nothing better than all entities can be listed. A low `rank` says that the driver promises few rows.
    """

    test: Callable[[str], Sql]
    driver: Sql | None = None
    rank: int = 9


NEVER = Condition(lambda _: Sql("0"), Sql("SELECT 0 AS id WHERE 0"), rank=0)
ALWAYS = Condition(lambda _: Sql("1"))


def join(pieces: Sequence[Sql], operator: str) -> Sql:
    """Combine boolean pieces; balanced, because SQLite limits the depth of an expression."""
    if not pieces:
        return Sql("1" if operator == "AND" else "0")
    if len(pieces) == 1:
        return pieces[0]
    half = len(pieces) // 2
    left, right = join(pieces[:half], operator), join(pieces[half:], operator)
    return Sql(f"({left.text} {operator} {right.text})", left.parameters + right.parameters)


def union(drivers: Sequence[Sql]) -> Sql:
    """List what any of the drivers lists."""
    return Sql(" UNION ALL ".join(one.text for one in drivers), tuple(p for one in drivers for p in one.parameters))


def negation(condition: Condition) -> Condition:
    """Demand the opposite; it has no driver."""

    def test(column: str) -> Sql:
        inner = condition.test(column)
        return Sql(f"NOT {inner.text}", inner.parameters)

    return Condition(test)


def disjunction(conditions: Sequence[Condition]) -> Condition:
    """Demand at least one."""
    if len(conditions) == 1:
        return conditions[0]
    drivers = [condition.driver for condition in conditions if condition.driver is not None]
    return Condition(
        lambda column: join([condition.test(column) for condition in conditions], "OR"),
        union(drivers) if len(drivers) == len(conditions) else None,
        rank=max(condition.rank for condition in conditions),
    )


def conjunction(connection: sqlite3.Connection, conditions: Sequence[Condition]) -> Condition:
    """Demand all, driven by the one that lists the fewest entities."""
    if not conditions:
        return ALWAYS
    if len(conditions) == 1:
        return conditions[0]
    best = choose(connection, [condition for condition in conditions if condition.driver is not None])

    def test(column: str) -> Sql:
        return join([condition.test(column) for condition in conditions], "AND")

    if best is None or best.driver is None:
        return Condition(test)
    rest = join([condition.test("d.id") for condition in conditions if condition is not best], "AND")
    driver = Sql(
        f"SELECT d.id AS id FROM ({best.driver.text}) d WHERE {rest.text}", best.driver.parameters + rest.parameters
    )
    return Condition(test, driver, best.rank)


def choose(connection: sqlite3.Connection, candidates: Sequence[Condition]) -> Condition | None:
    """Give the candidate whose driver lists the fewest entities, by looking at no more than the first few of each."""
    ordered = sorted(candidates, key=lambda condition: condition.rank)
    if len(ordered) <= 1:
        return ordered[0] if ordered else None
    best, fewest = ordered[0], PROBE + 1
    for condition in ordered:
        count = probe(connection, condition, fewest)
        if count < fewest:
            best, fewest = condition, count
        if fewest <= _GOOD_ENOUGH:
            break
    return best


def probe(connection: sqlite3.Connection, condition: Condition, limit: int = PROBE) -> int:
    """Count what a driver lists, up to a limit; one that takes long to list a few is as bad as one that lists many."""
    if condition.driver is None:
        return limit
    text, parameters = condition.driver
    connection.set_progress_handler(lambda: True, _PROBE_STEPS)
    try:
        row = connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM ({text}) LIMIT {int(limit)})", parameters
        ).fetchone()
    except sqlite3.OperationalError as problem:
        if problem.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return limit
    finally:
        connection.set_progress_handler(None, 0)
    return int(row[0])
