"""The nouns of LinkAhead: roles, importances, datatypes, and entities on their way in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple

FIRST_USER_ID = 100
"""Ids below this one belong to internal entities; the client's own clean-up deletes only ids above 99."""


class Role(StrEnum):
    """What an entity is; the value is the tag of its XML element."""

    RECORD_TYPE = "RecordType"
    RECORD = "Record"
    PROPERTY = "Property"
    FILE = "File"
    QUERY_TEMPLATE = "QueryTemplate"


ROLE_BY_TAG = {role.value.casefold(): role for role in Role}


class Importance(StrEnum):
    """How much a type wants a property; the order is the one of the inheritance flag."""

    OBLIGATORY = "OBLIGATORY"
    RECOMMENDED = "RECOMMENDED"
    SUGGESTED = "SUGGESTED"
    FIX = "FIX"


INHERITED: dict[str, frozenset[str]] = {
    "OBLIGATORY": frozenset({"OBLIGATORY"}),
    "RECOMMENDED": frozenset({"OBLIGATORY", "RECOMMENDED"}),
    "SUGGESTED": frozenset({"OBLIGATORY", "RECOMMENDED", "SUGGESTED"}),
    "ALL": frozenset({"OBLIGATORY", "RECOMMENDED", "SUGGESTED"}),
}
"""Inheritance flag -> importances that are copied from a new parent. NONE and FIX copy nothing."""


class Base(IntEnum):
    """The built-in datatypes; a larger number is the id of the RecordType that is referenced."""

    TEXT = 1
    INTEGER = 2
    DOUBLE = 3
    BOOLEAN = 4
    DATETIME = 5
    REFERENCE = 6
    FILE = 7


BASE_BY_NAME = {base.name: base for base in Base}


class Datatype(NamedTuple):
    """A datatype in its stored form: `code` is a `Base` or the id of a RecordType."""

    code: int
    is_list: bool

    @property
    def is_reference(self) -> bool:
        """Tell whether values of this type point to entities."""
        return self.code >= Base.REFERENCE


class Message(NamedTuple):
    """An Error, Warning or Info node. The code has to be an integer for the client."""

    kind: str
    code: int
    description: str


class Typed(NamedTuple):
    """One value as it is stored.

    Exactly the columns of its kind are set: `text` for TEXT and BOOLEAN, `number` for INTEGER and DOUBLE, `target`
    for references, `low` and `high` (microseconds since 1970 UTC, half open) for DATETIME. `lexical` keeps the form
    that the columns can't give back.
    """

    text: str | None = None
    number: int | float | None = None
    target: int | None = None
    low: int | None = None
    high: int | None = None
    lexical: str | None = None


NULL_VALUE = Typed()


@dataclass(slots=True)
class ParentDraft:
    """A parent as a request names it; `target` is set by the resolver."""

    id: str | None
    name: str | None
    inheritance: str | None = None
    target: int | None = None
    messages: list[Message] = field(default_factory=list)


@dataclass(slots=True)
class PropertyDraft:
    """A property of an entity as a request states it."""

    id: str | None
    name: str | None
    description: str | None
    datatype: str | None
    unit: str | None
    importance: str | None
    values: list[str | None] | None = None
    """None without content. One item for a scalar."""
    spec: PropertySpec | None = None
    typed: list[Typed] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


@dataclass(slots=True)
class EntityDraft:
    """An entity as a request states it, and what the server found out about it."""

    role: Role | None
    request_id: str | None = None
    cuid: str | None = None
    name: str | None = None
    description: str | None = None
    datatype: str | None = None
    unit: str | None = None
    values: list[str | None] | None = None
    path: str | None = None
    checksum: str | None = None
    upload: str | None = None
    query: str | None = None
    acl: str | None = None
    is_resent: bool = False
    """The request carries a version: the client retrieved the entity before and sends it back."""
    flags: dict[str, str] = field(default_factory=dict)
    parents: list[ParentDraft] = field(default_factory=list)
    properties: list[PropertyDraft] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    id: int = 0
    resolved_type: Datatype | None = None
    typed: list[Typed] = field(default_factory=list)
    file: StoredFile | None = None
    folder_files: list[FolderFile] | None = None
    """What is in a folder that was uploaded; None for a file."""
    thumbnail: str | None = None
    """Location of the blob of an uploaded thumbnail."""

    def error(self, code: int, description: str) -> None:
        """Note an error on the entity itself."""
        self.messages.append(Message("Error", code, description))

    @property
    def has_errors(self) -> bool:
        """Tell whether the entity or anything inside it was refused."""
        return (
            any(message.kind == "Error" for message in self.messages)
            or any(message.kind == "Error" for parent in self.parents for message in parent.messages)
            or any(message.kind == "Error" for prop in self.properties for message in prop.messages)
        )


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Where the bytes of a File entity lie.

    `storage` is "managed" (a blob named by its checksum) or "linked" (`location` is relative to the file root).
    """

    storage: str
    location: str
    size: int
    checksum: str


class FolderFile(NamedTuple):
    """A file in an uploaded folder: path in it, location of the blob, bytes."""

    name: str
    location: str
    size: int


@dataclass(frozen=True, slots=True)
class PropertySpec:
    """A property in the context of an entity, completed from its abstract property."""

    property: int
    name: str
    description: str | None
    name_override: str | None
    description_override: str | None
    datatype: Datatype
    unit: str | None
    importance: str
    opening: str
    """The start tag without its closing angle bracket, ready for output."""


class EntityInfo(NamedTuple):
    """What other entities need to know of a stored or arriving one."""

    id: int
    role: Role
    name: str | None
    description: str | None
    datatype: Datatype | None
    unit: str | None


def fold(name: str) -> str:
    """Give the form in which names are compared: LinkAhead does not distinguish case."""
    return name.casefold()
