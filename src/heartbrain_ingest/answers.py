"""Ask LinkAhead and lay the answer out as a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from heartbrain_ingest import crawl
from heartbrain_ingest.errors import DatabaseError
from heartbrain_ingest.settings import Settings

#: Shown first, in this order, where a record has them; `SELECT` chooses others.
LEADING = (
    *("Subject", "Sex", "Age", "Date", "CollectionDate"),
    *("Analyte", "MeasuredValue", "MeasuredUnit", "ReferenceFlag"),
    *("MeanRate", "OverlapFraction", "RepetitionTime", "EchoTime", "NumberOfVolumes"),
    *("ImageFile", "RecordingFile", "path"),
)
MOST_COLUMNS = 7


class QuestionError(DatabaseError):
    """The question can't be answered: correct it and ask again."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a question gave: a number for COUNT, else a table."""

    count: int
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    hints: tuple[str, ...] = ()
    """Why nothing was found, as far as LinkAhead says: names and units that it does not know."""

    def as_json(self) -> str:
        """Give the table as a list of objects, or `{"count": n}` for COUNT."""
        if not self.columns:
            return json.dumps({"count": self.count})
        return json.dumps(
            [dict(zip(self.columns, row, strict=True)) for row in self.rows], indent=2, ensure_ascii=False
        )

    def as_csv(self) -> str:
        """Give the table as CSV with a header line."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns or ("count",))
        rows: Iterable[Iterable[Any]] = self.rows if self.columns else ((self.count,),)
        for row in rows:
            writer.writerow("" if value is None else value for value in row)
        return buffer.getvalue()


def ask(settings: Settings, question: str) -> Answer:
    """Put a question in LinkAhead's query language.

    Parameters
    ----------
    settings
        The site.
    question
        `FIND ...`, `COUNT ...` or `SELECT ... FROM ...`.

    Raises
    ------
    QuestionError
        When LinkAhead does not understand it; the message is LinkAhead's own.
    DatabaseError
        When LinkAhead can't be reached.
    """
    import linkahead  # noqa: PLC0415 - 0.4 s, only for commands that ask

    found = _query(settings, question)
    hints = _hints(question) if not found else ()
    if isinstance(found, int):
        return Answer(count=found, hints=hints)
    names = _names(found, linkahead)
    selected = _selected(question)
    columns = selected or _columns(found)
    rows = tuple((entity.id, entity.name, *(_value(entity, name, names) for name in columns)) for entity in found)
    return Answer(count=len(found), columns=("id", "name", *columns), rows=rows, hints=hints)


def found_entities(settings: Settings, question: str) -> Sequence[Any]:
    """Give what `FIND ...` finds, as entities of the official client (see `ask`)."""
    found = _query(settings, question)
    words = question.split(None, 1)
    if isinstance(found, int) or not words or words[0].upper() != "FIND":
        raise QuestionError("expected FIND ...")
    entities: Sequence[Any] = found
    return entities


def _query(settings: Settings, question: str) -> Any:
    from linkahead.exceptions import LinkAheadException, TransactionError  # noqa: PLC0415 - 0.4 s
    from linkahead.queries import query  # noqa: PLC0415 - the same

    crawl.connect(ini=settings.linkahead.ini, database=settings.database, file_root=settings.folders.archive)
    try:
        return query(question)
    except TransactionError as error:
        raise QuestionError(str(error.msg or error)) from error
    except LinkAheadException as error:
        raise DatabaseError(str(error)) from error


def _hints(question: str) -> tuple[str, ...]:
    """Ask once more for the warnings that the client leaves out of an answer without entities."""
    from linkahead.connection.connection import get_connection  # noqa: PLC0415 - with the client
    from lxml import etree  # noqa: PLC0415 - with the client

    flags = {"query": question, "P": "0L1"}
    connection: Any = get_connection()  # type: ignore[no-untyped-call]  # the client is half typed
    answer = connection.retrieve(entity_uri_segments=["Entity"], query_dict=flags).read()
    return tuple(text for one in etree.fromstring(answer).iter("Warning") if (text := one.get("description")))


def _selected(question: str) -> tuple[str, ...]:
    words = question.split(None, 1)
    if not words or words[0].upper() != "SELECT":
        return ()
    upper = words[1].upper()
    text = words[1][: upper.index(" FROM ")] if " FROM " in upper else ""
    names = (part.strip().strip("'\"") for part in text.split(","))
    return tuple(name for name in names if name.lower() not in {"id", "name", ""})


def _columns(found: Any) -> tuple[str, ...]:
    present: dict[str, int] = {}
    for entity in found:
        for prop in entity.get_properties():
            present[prop.name] = present.get(prop.name, 0) + (prop.value is not None)
        if getattr(entity, "path", None):
            present["path"] = present.get("path", 0) + 1
    leading = [name for name in LEADING if present.get(name)]
    others = [name for name, count in present.items() if count and name not in LEADING]
    # A record of a kind that this list does not foresee shows what it has.
    return tuple((leading if len(leading) > 1 else leading + others)[:MOST_COLUMNS])


def _value(entity: Any, name: str, names: dict[int, str]) -> Any:
    if name == "path":
        return getattr(entity, "path", None)
    value: Any = entity
    for part in name.split("."):
        if value is None:
            return None
        prop = value.get_property(part) if hasattr(value, "get_property") else None
        value = prop.value if prop is not None else getattr(value, part, None)
    if isinstance(value, list):
        return "; ".join(str(_plain(item, names)) for item in value)
    return _plain(value, names)


def _plain(value: Any, names: dict[int, str]) -> Any:
    if hasattr(value, "id") and hasattr(value, "name"):
        return value.name or value.id
    if isinstance(value, int) and not isinstance(value, bool):
        return names.get(value, value)
    return value


def _names(found: Any, linkahead: Any) -> dict[int, str]:
    """Give a readable text for every entity that the found ones refer to: a file's path, else the name."""
    wanted: set[int] = set()
    for entity in found:
        for prop in entity.get_properties():
            if prop.datatype in _SCALARS or prop.value is None:
                continue
            values = prop.value if isinstance(prop.value, list) else [prop.value]
            wanted.update(value for value in values if isinstance(value, int) and not isinstance(value, bool))
    texts: dict[int, str] = {}
    ordered = sorted(wanted)
    for start in range(0, len(ordered), 200):
        container = linkahead.Container().extend([linkahead.Entity(id=one) for one in ordered[start : start + 200]])
        container.retrieve(raise_exception_on_error=False)
        for entity in container:
            texts[int(entity.id)] = getattr(entity, "path", None) or entity.name or str(entity.id)
    return texts


_SCALARS = {
    *("TEXT", "DOUBLE", "INTEGER", "BOOLEAN", "DATETIME"),
    *(f"LIST<{name}>" for name in ("TEXT", "DOUBLE", "INTEGER", "BOOLEAN", "DATETIME")),
}
