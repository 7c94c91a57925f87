"""The official LinkAhead client, as the one door to the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from heartbrain_ingest.errors import DatabaseError

try:
    import linkahead as _linkahead
except SystemExit as error:
    # The client ends the process on import when it finds a configuration file of its predecessor.
    raise DatabaseError(f"remove the old configuration file: {error}") from error

#: The client; it states no types for most of what it exports.
db: Any = _linkahead


@contextmanager
def database_errors(doing: str) -> Iterator[None]:
    """Turn the client's exceptions into one that says what was being done and what to do.

    Parameters
    ----------
    doing
        What the block does, for the message: "crawling <folder>".

    Raises
    ------
    DatabaseError
        Anything that the client raises.
    """
    try:
        yield
    except db.TransactionError as error:
        raise DatabaseError(f"{doing}: {_summary(error)}") from error
    except db.LinkAheadException as error:
        raise DatabaseError(f"{doing}: {error}") from error


def value_of(record: Any, name: str) -> Any:
    """Give the value of a record's property; None when it has no such property."""
    prop = record.get_property(name)
    return None if prop is None else prop.value


def _summary(error: Any) -> str:
    """Give the distinct messages of a tree of errors, without the entities' content: it may be long."""
    messages: list[str] = []
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        waiting.extend(getattr(current, "errors", None) or [])
        entity = getattr(current, "entity", None)
        name = getattr(entity, "name", None)
        text = str(getattr(current, "msg", None) or current).strip().splitlines()
        line = ": ".join(filter(None, (name, text[0] if text else type(current).__name__)))
        if line not in messages:
            messages.append(line)
    return "; ".join(messages[:5])
