"""LinkAhead's data model, as one visitor may see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from heartbrain_ingest.portal.asking import retrieve
from heartbrain_ingest.portal.visitors import Visitor

T = TypeVar("T")
#: Seconds for which a visitor's copy is used; who changes the data model logs in again to see it at once.
_FRESH = 900.0
_PAGE = 500
#: More RecordTypes or properties than this are no data model that a form can show.
_MOST = 10_000
_LIST = re.compile(r"LIST\s*[<(]\s*(.*?)\s*[>)]", re.IGNORECASE)
_SCALARS = frozenset({"TEXT", "DOUBLE", "INTEGER", "BOOLEAN", "DATETIME"})


@dataclass(frozen=True, kw_only=True)
class Property:
    """A property: what its values are."""

    name: str
    datatype: str = ""
    unit: str = ""
    description: str = ""

    @property
    def element(self) -> str:
        """The type of one value."""
        return element_type(self.datatype)

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.element in {"DOUBLE", "INTEGER"}

    @property
    def is_text(self) -> bool:
        """Whether its values are texts."""
        return self.element == "TEXT"

    @property
    def refers_to(self) -> str:
        """The RecordType of what it refers to; empty for a plain value."""
        return "" if self.element in _SCALARS or not self.element else self.element


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A RecordType."""

    name: str
    description: str = ""
    parents: tuple[str, ...] = ()
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True)
class DataModel:
    """RecordTypes and properties by name."""

    kinds: Mapping[str, Kind]
    properties: Mapping[str, Property]
    _made: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    def derived(self, key: object, make: Callable[[], T]) -> T:
        """Give what was made of this data model under a key; it is made once."""
        if key not in self._made:
            self._made[key] = make()
        made: T = self._made[key]
        return made

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        children: dict[str, list[str]] = {}
        for kind in self.kinds.values():
            for parent in kind.parents:
                children.setdefault(parent, []).append(kind.name)
        return children

    def ancestors(self, name: str) -> tuple[str, ...]:
        """Give a RecordType and all above it, the nearest first."""
        return _closure(name, lambda one: self.kinds[one].parents if one in self.kinds else ())

    def descendants(self, name: str) -> tuple[str, ...]:
        """Give a RecordType and all below it."""
        return _closure(name, lambda one: self._children.get(one, ()))

    def is_a(self, kinds: Iterable[str], wanted: str) -> bool:
        """Tell whether one of these RecordTypes is that one, or below it."""
        return any(wanted in self.ancestors(one) for one in kinds)

    def properties_of(self, name: str) -> Mapping[str, Property]:
        """Give what records of a RecordType have by the data model, its own properties before inherited ones."""
        return self.derived(("properties", name), lambda: self._properties_of(name))

    def _properties_of(self, name: str) -> dict[str, Property]:
        found: dict[str, Property] = {}
        for ancestor in self.ancestors(name):
            kind = self.kinds.get(ancestor)
            for one in kind.properties if kind else ():
                found.setdefault(one.name, one)
        return found

    def unit(self, path: str) -> str:
        """Give the unit of a property, or of one of what a property refers to."""
        known = self.properties.get(path.rpartition(".")[2])
        return known.unit if known else ""

    def spelling(self, name: str) -> str:
        """Give a RecordType's name as the data model writes it; LinkAhead does not tell small letters from large."""
        folded = name.casefold()
        return next((one for one in self.kinds if one.casefold() == folded), name)


def data_model(visitor: Visitor) -> DataModel:
    """Give the data model as a visitor may see it.

    Raises
    ------
    DatabaseError
        When LinkAhead does not answer.
    """
    return visitor.cache.get("data model", _retrieve_model, seconds=_FRESH)


def element_type(datatype: object) -> str:
    """Give the type of one value of a property's type.

    >>> element_type("LIST<MRImage>")
    'MRImage'
    """
    text = str(datatype or "")
    found = _LIST.fullmatch(text)
    return found[1] if found else text


def _retrieve_model() -> DataModel:
    properties = [_property(one) for one in _all("PROPERTY") if int(one.id) >= 100]  # noqa: PLR2004 - below: internal
    kinds = [
        Kind(
            name=str(one.name),
            description=one.description or "",
            parents=tuple(str(parent.name) for parent in one.get_parents() if parent.name),
            properties=tuple(map(_property, one.get_properties())),
        )
        for one in _all("RECORDTYPE")
        if one.name
    ]
    known = {one.name: one for one in properties}
    for kind in kinds:
        for one in kind.properties:
            # A RecordType is used as a property that refers to it.
            known.setdefault(one.name, one)
    return DataModel({one.name: one for one in kinds}, known)


def _all(role: str) -> list[Any]:
    found: list[Any] = []
    while len(found) < _MOST:
        page = retrieve(f"FIND {role}", len(found), _PAGE)
        found += page.entities
        if len(found) >= page.total or not page.entities:
            break
    return found


def _property(entity: Any) -> Property:
    datatype = entity.datatype
    return Property(
        name=str(entity.name),
        datatype=str(getattr(datatype, "name", None) or datatype or ""),
        unit=entity.unit or "",
        description=entity.description or "",
    )


def _closure(name: str, following: Any) -> tuple[str, ...]:
    found = [name]
    for one in found:
        found += [more for more in following(one) if more not in found]
    return tuple(found)
