"""What a query means, apart from how it was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Name:
    """A name, an id, or a pattern: literal parts with any text between them."""

    parts: tuple[str, ...]

    @property
    def literal(self) -> str | None:
        """The text, if there is no wildcard in it."""
        return self.parts[0] if len(self.parts) == 1 else None


@dataclass(frozen=True, slots=True)
class Regexp:
    """A regular expression that has to cover the whole text."""

    pattern: str


Expression = Name | Regexp
Operator = Literal["=", "!=", "<", ">", "<=", ">="]


@dataclass(frozen=True, slots=True)
class Compare:
    """`= value` and its relatives."""

    operator: Operator
    value: str


@dataclass(frozen=True, slots=True)
class Like:
    """`LIKE pattern`."""

    pattern: Expression
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class Within:
    """`IN date` or `IN (value, ...)`."""

    values: tuple[str, ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class Null:
    """`IS NULL`, `IS EMPTY` and their negations."""

    is_negated: bool
    is_empty_string: bool


Comparison = Compare | Like | Within | Null


@dataclass(frozen=True, slots=True)
class Pov:
    """A property (None: any), perhaps with an operator and a value, perhaps with a filter on what it references."""

    property: Expression | None
    comparison: Comparison | None = None
    sub: Filter | None = None


@dataclass(frozen=True, slots=True)
class Extreme:
    """`THE GREATEST p`."""

    property: Expression
    is_greatest: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """References an entity (None: any) through a property (None: any)."""

    entity: Expression | None
    property: Expression | None = None
    sub: Filter | None = None


@dataclass(frozen=True, slots=True)
class BackReference:
    """Is referenced by an entity through a property; the sub-filter is on the referencing entity."""

    entity: Expression | None
    property: Expression | None = None
    sub: Filter | None = None


@dataclass(frozen=True, slots=True)
class StoredAt:
    """A path pattern as written, without its quotes but with its escapes."""

    path: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """Created or updated by somebody at some time.

    `by` is a name pattern, `others_but` says that somebody else but the named ones is meant.
    """

    is_creation: bool
    by: Expression | None = None
    is_by_me: bool = False
    is_by_others: bool = False
    preposition: str | None = None
    date: str | None = None
    is_today: bool = False


@dataclass(frozen=True, slots=True)
class Not:
    """The complement."""

    filter: Filter


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Nothing:
    """A dangling introducer: the client sends `FIND ENTITY WITH ` and must never get everything."""


Filter = Pov | Extreme | Reference | BackReference | StoredAt | Transaction | Not | And | Or | Nothing


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query. `role` is the XML tag of a role, None for ENTITY."""

    kind: Literal["FIND", "COUNT", "SELECT"]
    role: str | None
    entity: Expression | None
    filter: Filter | None
    selectors: tuple[tuple[str, ...], ...] = ()
    is_any_version: bool = False
