# ruff: noqa: S608 - SQL is composed of constants and placeholders; values are always bound
"""Entities as XML: from drafts that were just resolved, and from the rows of the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from .dates import iso
from .model import Base, Datatype, EntityInfo, ParentDraft, PropertySpec, Role, Typed, fold
from .storage import members
from .values import lexical
from .xml_codec import attribute, escape, value_xml, values_xml

_CHUNK = 2000


class VersionStamp(NamedTuple):
    """The head version of an entity. `at` counts microseconds since 1970."""

    id: str
    at: int
    by: str


class Statement(NamedTuple):
    """One property of an entity with its values; a scalar has exactly one, which may be null."""

    spec: PropertySpec
    values: Sequence[Typed]


class Entity(NamedTuple):
    """All that the XML of an entity shows."""

    info: EntityInfo
    type_name: str | None
    content: str | None
    """The value of an abstract Property, or the text of a QueryTemplate."""
    path: str | None
    checksum: str | None
    size: int | None
    version: VersionStamp
    parents: Sequence[tuple[int, str | None]]
    statements: Sequence[Statement]


def type_name(datatype: Datatype, reference_name: str | None) -> str:
    """Write a datatype as the client reads it."""
    name = (
        Base(datatype.code).name if datatype.code in Base.__members__.values() else reference_name or str(datatype.code)
    )
    return f"LIST<{name}>" if datatype.is_list else name


def property_opening(
    property_id: int, name: str | None, description: str | None, datatype: str, unit: str | None, importance: str
) -> str:
    """Write the start tag of a property, but for its last character."""
    return (
        f'<Property id="{property_id}"{attribute("name", name)}{attribute("description", description)}'
        f"{attribute('datatype', datatype)}{attribute('unit', unit)}{attribute('importance', importance)}"
    )


def statement_xml(spec: PropertySpec, values: Sequence[Typed]) -> str:
    """Write a property with its values."""
    if spec.datatype.is_list:
        content = (
            values_xml(lexical(value) for value in values)
            if len(values) > 1 or lexical_or_none(values) is not None
            else ""
        )
    else:
        content = value_xml(lexical(values[0])) if values else ""
    return f"{spec.opening}>{content}</Property>" if content else f"{spec.opening}/>"


def lexical_or_none(values: Sequence[Typed]) -> str | None:
    """Give the text of the first value, None if there is none or it is null."""
    return lexical(values[0]) if values else None


def opening_tag(entity: Entity) -> str:
    """Write the start tag of an entity, but for its last character."""
    info = entity.info
    return (
        f'<{info.role} id="{info.id}"{attribute("name", info.name)}{attribute("description", info.description)}'
        f"{attribute('datatype', entity.type_name)}{attribute('unit', info.unit)}"
        f"{attribute('path', entity.path)}{attribute('checksum', entity.checksum)}{attribute('size', entity.size)}"
    )


def version_xml(version: VersionStamp) -> str:
    """Write the head version."""
    by = attribute("username", version.by)
    return f'<Version id="{version.id}" date="{iso(version.at)}"{by} realm="PAM" head="true"/>'


def content_xml(entity: Entity) -> str:
    """Write the own value of an entity."""
    if entity.content is None:
        return ""
    if entity.info.role is Role.QUERY_TEMPLATE:
        return f"<Query>{escape(entity.content)}</Query>"
    if entity.info.datatype is not None and entity.info.datatype.is_list:
        return entity.content
    return value_xml(entity.content)


def entity_xml(entity: Entity) -> str:
    """Write an entity. The version is always the first child, which `without_version` relies on."""
    parents = "".join(f'<Parent id="{parent}"{attribute("name", name)}/>' for parent, name in entity.parents)
    statements = "".join([statement_xml(spec, values) for spec, values in entity.statements])
    head = f"{opening_tag(entity)}>{content_xml(entity)}{version_xml(entity.version)}"
    return f"{head}{parents}{statements}</{entity.info.role}>"


def without_version(xml: str) -> str:
    """Cut the version out, to see whether anything else differs."""
    start = xml.index("<Version ")
    return xml[:start] + xml[xml.index("/>", start) + 2 :]


def with_cuid(xml: str, cuid: str | None) -> str:
    """Echo the client's correlation id in the start tag."""
    return xml if cuid is None else xml.replace(" id=", f"{attribute('cuid', cuid)} id=", 1)


def documents(connection: sqlite3.Connection, ids: Sequence[int]) -> dict[int, str]:
    """Give the XML of stored entities by id, from the cache where it is there; unknown ids are missing."""
    found: dict[int, str] = {}
    for start in range(0, len(ids), _CHUNK):
        clause, parameters = members(ids[start : start + _CHUNK])
        found.update(connection.execute(f"SELECT entity, xml FROM document WHERE entity IN {clause}", parameters))
    missing = [one for one in ids if one not in found]
    if missing:
        found.update((entity.info.id, entity_xml(entity)) for entity in load(connection, missing))
    return found


def load(connection: sqlite3.Connection, ids: Sequence[int], names: Collection[str] | None = None) -> list[Entity]:
    """Read entities from their rows, in the order of their ids.

    Parameters
    ----------
    connection
        The database.
    ids
        The entities.
    names
        Folded names of the properties that are needed; None for all.
    """
    loaded: list[Entity] = []
    unique = sorted(set(ids))
    usages = None if names is None else _usages(connection, names)
    for start in range(0, len(unique), _CHUNK):
        loaded.extend(_load_chunk(connection, unique[start : start + _CHUNK], usages))
    return loaded


def _usages(connection: sqlite3.Connection, names: Collection[str]) -> list[int]:
    """Give the usages of properties that are shown under one of these names."""
    clause, parameters = members(sorted(names))
    rows = connection.execute(
        "SELECT u.id, coalesce(u.name, p.name) FROM usage u JOIN entity p ON p.id = u.property "
        f"WHERE u.name IS NOT NULL OR p.name_key IN {clause}",
        parameters,
    )
    return [usage for usage, name in rows if name is not None and fold(name) in names]


def _load_chunk(
    connection: sqlite3.Connection, ids: Sequence[int | str], usages: Sequence[int] | None
) -> Iterable[Entity]:
    clause, parameters = members(ids)
    parents: dict[int, list[tuple[int, str | None]]] = {}
    for child, parent, name in connection.execute(
        "SELECT p.child, p.parent, e.name FROM parent p JOIN entity e ON e.id = p.parent "
        f"WHERE p.child IN {clause} ORDER BY p.child, p.position",
        parameters,
    ):
        parents.setdefault(child, []).append((parent, name))
    statements = _statements(connection, clause, parameters, usages)
    for row in connection.execute(
        "SELECT e.id, e.role, e.name, e.description, e.type, e.is_list, e.unit, t.name, e.content, e.path, "
        "e.checksum, e.size, e.version, e.changed_at, e.changed_by "
        "FROM entity e LEFT JOIN entity t ON t.id = e.type AND e.type >= 100 "
        f"WHERE e.id IN {clause} ORDER BY e.id",
        parameters,
    ):
        datatype = None if row[4] is None else Datatype(row[4], bool(row[5]))
        yield Entity(
            info=EntityInfo(row[0], Role(row[1]), row[2], row[3], datatype, row[6]),
            type_name=None if datatype is None else type_name(datatype, row[7]),
            content=row[8],
            path=row[9],
            checksum=row[10],
            size=row[11],
            version=VersionStamp(row[12], row[13], row[14]),
            parents=parents.get(row[0], ()),
            statements=statements.get(row[0], ()),
        )


def _statements(
    connection: sqlite3.Connection, clause: str, parameters: Sequence[int | str], usages: Sequence[int] | None
) -> dict[int, list[Statement]]:
    found: dict[int, list[Statement]] = {}
    if usages is not None:
        wanted, more = members(usages)
        clause, parameters = f"{clause} AND usage IN {wanted}", [*parameters, *more]
    values: list[Typed] = []
    specs: dict[int, PropertySpec] = {}
    for row in connection.execute(
        "SELECT entity, item, usage, text, number, target, low, high, lexical FROM statement "
        f"WHERE entity IN {clause} ORDER BY entity, position, item",
        parameters,
    ):
        if row[1] == 0:
            values = []
            usage = row[2]
            if usage not in specs:
                specs[usage] = _spec(connection, usage)
            found.setdefault(row[0], []).append(Statement(specs[usage], values))
        values.append(Typed(*row[3:]))
    return found


def _spec(connection: sqlite3.Connection, usage: int) -> PropertySpec:
    property_id, importance, name_override, description_override, code, is_list, unit, name, description, reference = (
        connection.execute(
            "SELECT u.property, u.importance, u.name, u.description, u.type, u.is_list, u.unit, p.name, "
            "p.description, t.name FROM usage u JOIN entity p ON p.id = u.property "
            "LEFT JOIN entity t ON t.id = u.type AND u.type >= 100 WHERE u.id = ?",
            (usage,),
        ).fetchone()
    )
    datatype = Datatype(code, bool(is_list))
    shown_name, shown_description = name_override or name, description_override or description
    shown_type = type_name(datatype, reference)
    return PropertySpec(
        property=property_id,
        name=shown_name or "",
        description=shown_description,
        name_override=name_override,
        description_override=description_override,
        datatype=datatype,
        unit=unit,
        importance=importance,
        opening=property_opening(property_id, shown_name, shown_description, shown_type, unit, importance),
    )


def draft_parents(parents: Sequence[ParentDraft]) -> list[tuple[int, str | None]]:
    """Give resolved parents as `Entity` wants them."""
    return [(parent.target, parent.name) for parent in parents if parent.target is not None]
