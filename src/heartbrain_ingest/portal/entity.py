"""What LinkAhead tells the visitor of an entity, as plain typed values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from linkahead.common.models import Container
from linkahead.connection.connection import get_connection
from lxml import etree

from heartbrain_ingest.crawl.client import database_errors, db
from heartbrain_ingest.portal.visitors import Visitor

#: Ids in one request: they stand in its address.
_BATCH = 200
_MODEL_SECONDS = 600.0
_SCALARS = frozenset({"TEXT", "DOUBLE", "INTEGER", "BOOLEAN", "DATETIME", "FILE"})
_NUMERIC = frozenset({"DOUBLE", "INTEGER"})
#: Ids beyond are no ids of LinkAhead.
_MOST_ID = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Value:
    """A property of an entity.

    Attributes
    ----------
    element
        Datatype of the value, of its elements for a list.
    values
        One value, or those of a list; empty for none.
    """

    name: str
    element: str
    is_list: bool
    unit: str
    description: str
    values: tuple[Any, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of the entities that it refers to."""
        if self.element in _SCALARS - {"FILE"}:
            return ()
        found = (getattr(one, "id", one) for one in self.values)
        return tuple(int(one) for one in found if isinstance(one, int) and not isinstance(one, bool))

    @property
    def is_file(self) -> bool:
        """Whether it refers to files."""
        return self.element == "FILE"


@dataclass(frozen=True, kw_only=True)
class Entity:
    """A record or a file."""

    id: int
    name: str
    role: str
    kind: str
    path: str = ""
    size: int | None = None
    checksum: str = ""
    description: str = ""
    values: tuple[Value, ...] = field(default=())

    @cached_property
    def _by_name(self) -> dict[str, Value]:
        return {one.name: one for one in self.values}

    def get(self, name: str) -> Value | None:
        """Give a property; None where there is none."""
        return self._by_name.get(name)

    def one(self, name: str) -> Any:
        """Give the first value of a property; None for none."""
        found = self.get(name)
        return found.values[0] if found is not None and found.values else None

    def text(self, name: str) -> str:
        """Give the value of a property as text; nothing for none."""
        value = self.one(name)
        return "" if value is None else str(value)

    def number(self, name: str) -> float | None:
        """Give the value of a property as a number; None for none, and for what is not finite."""
        return finite(self.one(name))

    def numbers(self, name: str) -> tuple[float, ...]:
        """Give the numbers of a list."""
        found = self.get(name)
        values = found.values if found is not None else ()
        known = (finite(one) for one in values)
        return tuple(one for one in known if one is not None)

    def day(self, name: str) -> date | None:
        """Give the day of a date."""
        try:
            return date.fromisoformat(self.text(name)[:10])
        except ValueError:
            return None

    def ids(self, name: str) -> tuple[int, ...]:
        """Give what a property refers to."""
        found = self.get(name)
        return found.ids if found is not None else ()

    def reference(self, name: str) -> int | None:
        """Give the first entity that a property refers to."""
        return next(iter(self.ids(name)), None)

    def beside(self, name: str, further: str) -> str:
        """Give a property of what a property refers to, where the question asked for it (`SELECT a.b`)."""
        other = self.one(name)
        prop = other.get_property(further) if hasattr(other, "get_property") else None
        return "" if prop is None or prop.value is None else str(prop.value)

    @property
    def file_name(self) -> str:
        """Last part of a file's path."""
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of what a question finds."""

    entities: tuple[Entity, ...]
    #: How many it finds in all.
    total: int


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number that a RecordType declares."""

    name: str
    unit: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """The RecordTypes that a visitor may see."""

    parents: Mapping[str, tuple[str, ...]]
    descriptions: Mapping[str, str]
    declared: Mapping[str, tuple[Number, ...]]

    def is_below(self, kind: str, base: str) -> bool:
        """Tell whether a RecordType is the base or below it."""
        return base in self.line(kind)

    def line(self, kind: str) -> tuple[str, ...]:
        """Give a RecordType and all above it, the nearest first."""
        found, waiting = [kind], list(self.parents.get(kind, ()))
        while waiting:
            above = waiting.pop(0)
            if above not in found:
                found.append(above)
                waiting += self.parents.get(above, ())
        return tuple(found)

    def description(self, kind: str) -> str:
        """Give what a RecordType is, without the remark in brackets."""
        return self.descriptions.get(kind, "").split(" (", 1)[0]

    def numbers(self, kind: str) -> tuple[Number, ...]:
        """Give the numbers that a RecordType declares, its own first, in the order of the data model."""
        return tuple(number for one in self.line(kind) for number in self.declared.get(one, ()))


def finite(value: object) -> float | None:
    """Give a value as a number; None for what is none, is not finite or larger than a number can be."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def read(ids: Iterable[int]) -> dict[int, Entity]:
    """Read entities; those that are missing or not the visitor's to see are left out.

    Raises
    ------
    DatabaseError
        When LinkAhead can't be asked.
    """
    wanted = sorted({one for one in ids if 0 < one <= _MOST_ID})
    found: dict[int, Entity] = {}
    for start in range(0, len(wanted), _BATCH):
        container = db.Container().extend([db.Entity(id=one) for one in wanted[start : start + _BATCH]])
        with database_errors("reading entities"):
            container.retrieve(raise_exception_on_error=False)
        for entity in container:
            if entity.role is not None and entity.is_valid():
                found[int(entity.id)] = _plain(entity)
    return found


def read_one(identifier: int) -> Entity | None:
    """Read an entity; None where it is missing or not the visitor's to see."""
    return read([identifier]).get(identifier)


def find(question: str, *, most: int, first: int = 0) -> Page:
    """Give a page of what a question finds.

    Parameters
    ----------
    question
        In LinkAhead's query language; names and values in it are escaped by whoever makes it.

    Raises
    ------
    DatabaseError
        When LinkAhead does not understand it or can't be asked.
    """
    flags = {"query": question, "P": f"{first}L{most}"}
    with database_errors("asking"):
        connection: Any = get_connection()  # type: ignore[no-untyped-call]  # the client is half typed
        answer: Any = Container._response_to_entities(connection.retrieve(["Entity"], query_dict=flags))
        if answer.has_errors():
            raise db.TransactionError(str(answer.get_errors()))
    entities = tuple(_plain(one) for one in answer)
    return Page(entities=entities, total=_total(answer, len(entities)))


def read_model(visitor: Visitor) -> Model:
    """Give the RecordTypes that a visitor may see; asked for once in a while."""
    return visitor.cache.get("record types", _model, seconds=_MODEL_SECONDS)


def _model() -> Model:
    parents: dict[str, tuple[str, ...]] = {}
    descriptions: dict[str, str] = {}
    declared: dict[str, tuple[Number, ...]] = {}
    with database_errors("reading the data model"):
        connection: Any = get_connection()  # type: ignore[no-untyped-call]  # the client is half typed
        flags = {"query": "FIND RECORDTYPE", "P": "0L2000"}
        answer = etree.fromstring(connection.retrieve(["Entity"], query_dict=flags).read())
    for one in answer.iter("RecordType"):
        name = one.get("name", "")
        parents[name] = tuple(parent.get("name", "") for parent in one.findall("Parent"))
        descriptions[name] = one.get("description", "")
        declared[name] = tuple(
            Number(name=prop.get("name", ""), unit=prop.get("unit", ""), description=prop.get("description", ""))
            for prop in one.findall("Property")
            if prop.get("datatype") in _NUMERIC
        )
    return Model(parents=parents, descriptions=descriptions, declared=declared)


def _total(answer: Any, least: int) -> int:
    try:
        return int(answer.query.results)
    except (AttributeError, TypeError, ValueError):
        return least


def _plain(entity: Any) -> Entity:
    role = str(entity.role or "")
    parents = [str(parent.name or "") for parent in entity.parents]
    size = getattr(entity, "size", None)
    return Entity(
        id=int(entity.id),
        name=str(entity.name or ""),
        role=role,
        kind=parents[0] if parents else role,
        path=str(getattr(entity, "path", None) or ""),
        size=int(size) if isinstance(size, int | str) and str(size).isdigit() else None,
        checksum=str(getattr(entity, "checksum", None) or ""),
        description=str(entity.description or ""),
        values=tuple(_value(prop) for prop in entity.get_properties()),
    )


def _value(prop: Any) -> Value:
    datatype = getattr(prop.datatype, "name", None) or str(prop.datatype or "TEXT")
    is_list = datatype.startswith("LIST<")
    values: Sequence[Any] = prop.value if isinstance(prop.value, list) else [prop.value]
    return Value(
        name=str(prop.name or ""),
        element=datatype[5:-1] if is_list else datatype,
        is_list=is_list,
        unit=str(prop.unit or ""),
        description=str(prop.description or ""),
        values=tuple(one for one in values if one is not None),
    )
