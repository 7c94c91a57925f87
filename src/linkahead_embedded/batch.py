# ruff: noqa: S608 - SQL is composed of constants and placeholders; values are always bound
"""The rows of a resolved batch: entities, parents, statements, versions, and the cached XML."""

from __future__ import annotations

import hashlib
import sqlite3
import uuid
from collections.abc import Sequence

from .catalog import Catalog
from .dates import now
from .lql.versions import archive
from .model import EntityDraft, EntityInfo, PropertySpec, Role, Typed, fold
from .render import Entity, Statement, VersionStamp, documents, draft_parents, entity_xml, without_version
from .rows import Use, insert_rows, insert_statements
from .storage import members
from .values import lexical
from .xml_codec import values_xml

_COLUMNS = (
    "role", "name", "name_key", "description", "type", "is_list", "unit", "content", "path", "checksum", "size",
    "storage", "location", "acl", "version", "changed_at", "changed_by", "id", "number",
)  # fmt: skip
TYPED_STATEMENT = "usage JOIN statement ON statement.property = usage.property AND statement.usage = usage.id"
"""Statements with the datatype that they have."""


class Batch:
    """Writes the rows of resolved drafts."""

    def __init__(self, connection: sqlite3.Connection, catalog: Catalog, user: str) -> None:
        self._connection = connection
        self._catalog = catalog
        self._user = user
        self._now = now()
        self._seed = uuid.uuid4().hex
        self._known_uses: dict[int, Use] = {}
        """By the identity of specifications, which the drafts keep alive."""

    def insert(self, drafts: list[EntityDraft]) -> dict[int, str]:
        """Write new entities; give their XML."""
        versions = {draft.id: self._version(draft.id) for draft in drafts}
        insert_rows(
            self._connection,
            "entity",
            (*_COLUMNS, "created_at", "created_by"),
            [
                (
                    *_columns(draft),
                    draft.acl,
                    versions[draft.id].id,
                    self._now,
                    self._user,
                    draft.id,
                    1,
                    self._now,
                    self._user,
                )
                for draft in drafts
            ],
        )
        self._write_details(drafts)
        self._extend_subtypes(drafts)
        return self._write_documents(
            {draft.id: entity_xml(self._entity(draft, versions[draft.id])) for draft in drafts}
        )

    def update(self, drafts: list[EntityDraft]) -> dict[int, str]:
        """Replace stored entities; what did not change keeps its version."""
        before = documents(self._connection, [draft.id for draft in drafts])
        stamps = self._stamps([draft.id for draft in drafts])
        result: dict[int, str] = {}
        changed: list[EntityDraft] = []
        for draft in drafts:
            xml = entity_xml(self._entity(draft, stamps[draft.id][0]))
            if without_version(xml) == without_version(before[draft.id]) and not self._has_other_acl(draft):
                result[draft.id] = before[draft.id]
            else:
                changed.append(draft)
        self._archive(changed, before, stamps)
        versions = {draft.id: self._version(draft.id) for draft in changed}
        self._connection.executemany(
            "UPDATE entity SET role = ?, name = ?, name_key = ?, description = ?, type = ?, is_list = ?, unit = ?, "
            "content = ?, path = ?, checksum = ?, size = ?, storage = ?, location = ?, acl = coalesce(?, acl), "
            "version = ?, number = number + 1, changed_at = ?, changed_by = ? WHERE id = ?",
            [
                (*_columns(draft), draft.acl, versions[draft.id].id, self._now, self._user, draft.id)
                for draft in changed
            ],
        )
        is_reparented = self._is_reparented(changed)
        clause, parameters = members([draft.id for draft in changed])
        self._connection.execute(f"DELETE FROM statement WHERE entity IN {clause}", parameters)
        self._connection.execute(f"DELETE FROM parent WHERE child IN {clause}", parameters)
        self._write_details(changed)
        if is_reparented:
            self._rebuild_subtypes()
        else:
            self._extend_subtypes(changed)
        fresh = {draft.id: entity_xml(self._entity(draft, versions[draft.id])) for draft in changed}
        self._forget_documents([one for one, xml in fresh.items() if _start_tag(xml) != _start_tag(before[one])])
        result.update(self._write_documents(fresh))
        return result

    def _has_other_acl(self, draft: EntityDraft) -> bool:
        if draft.acl is None:
            return False
        row = self._connection.execute("SELECT acl FROM entity WHERE id = ?", (draft.id,)).fetchone()
        return bool(row[0] != draft.acl)

    def _is_reparented(self, drafts: list[EntityDraft]) -> bool:
        """Tell whether a type gets or loses a parent, so that the closure of sub-types has to be built anew."""
        clause, parameters = members([draft.id for draft in drafts])
        types = {
            row[0]
            for row in self._connection.execute(
                f"SELECT ancestor FROM subtype WHERE ancestor IN {clause} AND descendant = ancestor", parameters
            )
        }
        for draft in drafts:
            if draft.id in types:
                stored = {
                    row[0] for row in self._connection.execute("SELECT parent FROM parent WHERE child = ?", (draft.id,))
                }
                if stored != {parent.target for parent in draft.parents}:
                    return True
        return False

    def _version(self, entity: int) -> VersionStamp:
        digest = hashlib.sha256(f"{self._seed}{entity}".encode()).hexdigest()[:40]
        return VersionStamp(digest, self._now, self._user)

    def _stamps(self, ids: Sequence[int]) -> dict[int, tuple[VersionStamp, int]]:
        clause, parameters = members(ids)
        rows = self._connection.execute(
            f"SELECT id, version, changed_at, changed_by, number FROM entity WHERE id IN {clause}", parameters
        )
        return {row[0]: (VersionStamp(row[1], row[2], row[3]), row[4]) for row in rows}

    def _archive(
        self, drafts: list[EntityDraft], before: dict[int, str], stamps: dict[int, tuple[VersionStamp, int]]
    ) -> None:
        self._connection.executemany(
            "INSERT INTO history (entity, number, version, changed_at, changed_by, xml) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (draft.id, number, stamp.id, stamp.at, stamp.by, before[draft.id])
                for draft in drafts
                for stamp, number in (stamps[draft.id],)
            ],
        )
        archive(self._connection, [draft.id for draft in drafts])

    def _write_details(self, drafts: list[EntityDraft]) -> None:
        parents = [
            (draft.id, position, parent.target) for draft in drafts for position, parent in enumerate(draft.parents)
        ]
        self._connection.executemany("INSERT INTO parent (child, position, parent) VALUES (?, ?, ?)", parents)
        self._write_uploads(drafts)
        insert_statements(self._connection, [(draft.id, self._uses(draft)) for draft in drafts])

    def _uses(self, draft: EntityDraft) -> list[tuple[Use, list[Typed]]]:
        found = []
        for prop in draft.properties:
            spec = prop.spec
            if spec is None:
                raise AssertionError(prop)
            use = self._known_uses.get(id(spec))
            if use is None:
                use = self._known_uses[id(spec)] = Use(spec.property, self._usage(spec))
            found.append((use, prop.typed))
        return found

    def _write_uploads(self, drafts: list[EntityDraft]) -> None:
        """Note what belongs to uploaded files beside their bytes."""
        uploaded = [draft for draft in drafts if draft.upload is not None]
        for table in ("folder_file", "thumbnail"):
            self._connection.executemany(f"DELETE FROM {table} WHERE entity = ?", [(draft.id,) for draft in uploaded])
        self._connection.executemany(
            "INSERT INTO folder_file VALUES (?, ?, ?, ?)",
            [(draft.id, *one) for draft in uploaded for one in draft.folder_files or ()],
        )
        self._connection.executemany(
            "INSERT INTO thumbnail VALUES (?, ?)",
            [(draft.id, draft.thumbnail) for draft in uploaded if draft.thumbnail is not None],
        )

    def _usage(self, spec: PropertySpec) -> int:
        """Find or write the row that says how a property is used."""
        columns = (spec.property, spec.importance, spec.name_override, spec.description_override)
        key = (*columns, spec.datatype.code, spec.datatype.is_list, spec.unit)
        row = self._connection.execute(
            "SELECT id FROM usage WHERE property = ? AND importance = ? AND name IS ? AND description IS ? "
            "AND type = ? AND is_list = ? AND unit IS ?",
            key,
        ).fetchone()
        if row is not None:
            return int(row[0])
        written = self._connection.execute(
            "INSERT INTO usage (property, importance, name, description, type, is_list, unit) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            key,
        )
        return int(written.lastrowid or 0)

    def _extend_subtypes(self, drafts: list[EntityDraft]) -> None:
        """Add what is new to the closure: types of this batch, and entities that became parents by it."""
        types = {draft.id for draft in drafts if draft.role in (Role.RECORD_TYPE, Role.PROPERTY)}
        used = {parent.target for draft in drafts for parent in draft.parents if parent.target is not None}
        clause, parameters = members(sorted(used))
        known = {
            row[0]
            for row in self._connection.execute(
                f"SELECT ancestor FROM subtype WHERE ancestor IN {clause} AND descendant = ancestor", parameters
            )
        }
        self._connection.executemany(
            "INSERT OR IGNORE INTO subtype (ancestor, descendant) VALUES (?, ?)",
            [(ancestor, one) for one in sorted(types | used - known) for ancestor in self._catalog.ancestors(one)],
        )

    def _rebuild_subtypes(self) -> None:
        self._connection.execute("DELETE FROM subtype")
        self._connection.execute(
            "INSERT INTO subtype (ancestor, descendant) "
            "WITH RECURSIVE "
            "type (id) AS (SELECT id FROM entity WHERE role IN ('RecordType', 'Property') "
            "UNION SELECT parent FROM parent), "
            "up (ancestor, descendant) AS (SELECT id, id FROM type UNION "
            "SELECT p.parent, up.descendant FROM up JOIN parent p ON p.child = up.ancestor) "
            "SELECT ancestor, descendant FROM up"
        )

    def _forget_documents(self, ids: Sequence[int]) -> None:
        """Drop the cached XML of everything that shows the name or description of a changed entity."""
        clause, parameters = members(ids)
        for table, column, entity in (
            ("parent", "parent", "child"),
            ("statement", "property", "entity"),
            (TYPED_STATEMENT, "type", "entity"),
            ("entity", "type", "id"),
        ):
            self._connection.execute(
                f"DELETE FROM document WHERE entity IN (SELECT {entity} FROM {table} WHERE {column} IN {clause})",
                parameters,
            )

    def _write_documents(self, xml: dict[int, str]) -> dict[int, str]:
        self._connection.executemany("INSERT OR REPLACE INTO document (entity, xml) VALUES (?, ?)", list(xml.items()))
        return xml

    def _entity(self, draft: EntityDraft, version: VersionStamp) -> Entity:
        role = draft.role
        if role is None:
            raise AssertionError(draft)
        file = draft.file
        return Entity(
            info=EntityInfo(draft.id, role, draft.name, draft.description, draft.resolved_type, draft.unit),
            type_name=None if draft.resolved_type is None else self._catalog.type_name(draft.resolved_type),
            content=_content(draft),
            path=draft.path if role is Role.FILE else None,
            checksum=file.checksum if file else None,
            size=file.size if file else None,
            version=version,
            parents=draft_parents(draft.parents),
            statements=[Statement(prop.spec, prop.typed) for prop in draft.properties if prop.spec is not None],
        )


def allocate(connection: sqlite3.Connection, count: int) -> int:
    """Reserve a row of ids; give the first."""
    first = int(connection.execute("SELECT value FROM setting WHERE key = 'next_id'").fetchone()[0])
    connection.execute("UPDATE setting SET value = ? WHERE key = 'next_id'", (str(first + count),))
    return first


def _columns(draft: EntityDraft) -> tuple[object, ...]:
    datatype, file = draft.resolved_type, draft.file
    return (
        str(draft.role),
        draft.name,
        fold(draft.name) if draft.name else None,
        draft.description,
        datatype.code if datatype else None,
        datatype.is_list if datatype else False,
        draft.unit,
        _content(draft),
        draft.path if draft.role is Role.FILE else None,
        file.checksum if file else None,
        file.size if file else None,
        file.storage if file else None,
        file.location if file else None,
    )


def _content(draft: EntityDraft) -> str | None:
    if draft.role is Role.QUERY_TEMPLATE:
        return draft.query
    if not draft.typed or draft.values is None:
        return None
    if draft.resolved_type is not None and draft.resolved_type.is_list:
        return values_xml(lexical(value) for value in draft.typed)
    return lexical(draft.typed[0])


def _start_tag(xml: str) -> str:
    return xml[: xml.index(">")]
