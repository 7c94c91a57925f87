"""Insert, update and delete: one request is one transaction, all or nothing."""

from __future__ import annotations

import hashlib
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .catalog import Catalog
from .dates import now
from .errors import Code
from .model import FIRST_USER_ID, EntityDraft, EntityInfo, Message, Role, StoredFile, fold
from .render import (
    Entity,
    Statement,
    VersionStamp,
    documents,
    draft_parents,
    entity_xml,
    with_cuid,
    without_version,
)
from .resolve import Resolver
from .storage import Database, members
from .validate import Rules, validate
from .values import lexical
from .xml_codec import attribute, message_xml, values_xml

PermissionCheck = Callable[[sqlite3.Connection, Sequence[int], str], dict[int, str]]
"""Gives, for an action such as UPDATE or DELETE, the entities that are denied and why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The entities of an answer, and whether anything was written."""

    elements: list[str]
    is_committed: bool
    messages: tuple[Message, ...] = ()


class _RefusedError(Exception):
    """Leaves the write transaction without a trace."""


class Writer:
    """Carries out write requests on a database for one user."""

    def __init__(self, database: Database, user: str, permitted: PermissionCheck | None = None) -> None:
        self._database = database
        self._user = user
        self._permitted = permitted

    def insert(self, drafts: list[EntityDraft], rules: Rules) -> Outcome:
        """Insert a batch; files must have been resolved before."""
        if any(draft.has_errors for draft in drafts):
            return _refused(drafts, "inserted")
        try:
            with self._database.write() as connection:
                first = _allocate(connection, len(drafts))
                for offset, draft in enumerate(drafts):
                    draft.id = first + offset
                catalog = Catalog(connection, drafts)
                Resolver(catalog).resolve(drafts)
                validate(drafts, catalog, rules)
                _check_paths(connection, drafts)
                if any(draft.has_errors for draft in drafts):
                    raise _RefusedError
                xml = _Batch(connection, catalog, self._user).insert(drafts)
        except _RefusedError:
            return _refused(drafts, "inserted")
        return Outcome([_answer(draft, xml[draft.id]) for draft in drafts], is_committed=True)

    def update(self, drafts: list[EntityDraft], rules: Rules) -> Outcome:
        """Replace the state of stored entities by that of the drafts; what a draft lacks is removed."""
        try:
            with self._database.write() as connection:
                for draft in drafts:
                    draft.id = (
                        int(draft.request_id)
                        if (draft.request_id or "").isascii() and (draft.request_id or "").isdigit()
                        else 0
                    )
                known = self._prepare_update(connection, drafts)
                catalog = Catalog(connection, drafts)
                Resolver(catalog, known).resolve(drafts)
                validate(drafts, catalog, rules)
                _check_paths(connection, drafts)
                if any(draft.has_errors for draft in drafts):
                    raise _RefusedError
                xml = _Batch(connection, catalog, self._user).update(drafts)
        except _RefusedError:
            return _refused(drafts, "updated")
        return Outcome([_answer(draft, xml[draft.id]) for draft in drafts], is_committed=True)

    def _prepare_update(self, connection: sqlite3.Connection, drafts: list[EntityDraft]) -> dict[int, set[int]]:
        """Compare with what is stored: existence, role, file content; give the parents that each entity has already."""
        ids = [draft.id for draft in drafts]
        clause, parameters = members(sorted(set(ids)))
        stored = {
            row[0]: row
            for row in connection.execute(
                f"SELECT id, role, path, storage, location, size, checksum FROM entity WHERE id IN {clause}",  # noqa: S608 - placeholders only
                parameters,
            )
        }
        denied = self._permitted(connection, ids, "UPDATE") if self._permitted else {}
        for draft in drafts:
            row = stored.get(draft.id)
            if row is None:
                draft.error(Code.ENTITY_DOES_NOT_EXIST, "Entity does not exist.")
                continue
            if draft.id < FIRST_USER_ID:
                draft.error(Code.NOT_PERMITTED, "Internal entities can't be changed.")
            if draft.id in denied:
                draft.error(Code.NOT_PERMITTED, denied[draft.id])
            if draft.role is None:
                draft.role = Role(row[1])
            elif draft.role != row[1]:
                draft.error(Code.ROLE_MISMATCH, f"The entity is a {row[1]}, not a {draft.role}.")
            if draft.role is Role.FILE and draft.file is None and row[3] is not None:
                draft.file = StoredFile(row[3], row[4], row[5], row[6])
                draft.path = draft.path or row[2]
        if len(set(ids)) < len(ids):
            _mark_repeated(drafts)
        if any(draft.has_errors for draft in drafts):
            raise _RefusedError
        known: dict[int, set[int]] = {}
        for child, parent in connection.execute(
            f"SELECT child, parent FROM parent WHERE child IN {clause}", parameters
        ):  # noqa: S608 - placeholders only
            known.setdefault(child, set()).add(parent)
        return known

    def delete(self, segments: Sequence[str]) -> Outcome:
        """Delete entities by ids or names; refuse what is still used by others."""
        try:
            with self._database.write() as connection:
                return self._delete(connection, segments)
        except _RefusedDeleteError as refusal:
            return refusal.outcome

    def _delete(self, connection: sqlite3.Connection, segments: Sequence[str]) -> Outcome:
        found: dict[int, Message | None] = {}
        missing: list[str] = []
        for segment in dict.fromkeys(segments):
            ids = find(connection, segment)
            found.update(dict.fromkeys(ids))
            if not ids:
                missing.append(missing_xml(segment))
        ids = list(found)
        xml = documents(connection, ids)
        for entity, reason in _users(connection, ids).items():
            found[entity] = Message("Error", Code.STILL_REQUIRED, reason)
        if self._permitted:
            for entity, reason in self._permitted(connection, ids, "DELETE").items():
                found[entity] = Message("Error", Code.NOT_PERMITTED, reason)
        if missing or any(found.values()):
            elements = [
                _with_messages(xml[one], [message] if message else []) for one, message in found.items()
            ] + missing
            atomicity = Message(
                "Error", Code.ATOMICITY, "One or more entities are not qualified. Nothing has been deleted."
            )
            raise _RefusedDeleteError(Outcome(elements, is_committed=False, messages=(atomicity,)))
        clause, parameters = members(ids)
        connection.execute(f"DELETE FROM statement WHERE entity IN {clause}", parameters)  # noqa: S608 - placeholders only
        connection.execute(f"DELETE FROM parent WHERE child IN {clause}", parameters)  # noqa: S608 - placeholders only
        connection.execute(f"DELETE FROM entity WHERE id IN {clause}", parameters)  # noqa: S608 - placeholders only
        deleted = Message("Info", Code.DELETED, "This entity has been deleted successfully.")
        return Outcome([_with_messages(xml[one], [deleted]) for one in ids], is_committed=True)


class _RefusedDeleteError(Exception):
    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class _Batch:
    """Writes the rows of resolved drafts."""

    def __init__(self, connection: sqlite3.Connection, catalog: Catalog, user: str) -> None:
        self._connection = connection
        self._catalog = catalog
        self._user = user
        self._now = now()
        self._seed = uuid.uuid4().hex

    def insert(self, drafts: list[EntityDraft]) -> dict[int, str]:
        versions = {draft.id: self._version(draft.id) for draft in drafts}
        self._connection.executemany(
            "INSERT INTO entity (id, role, name, name_key, description, type, is_list, unit, content, path, checksum, size, storage, location, acl, "
            "version, number, created_at, created_by, changed_at, changed_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?)",
            [
                (
                    draft.id,
                    *_columns(draft),
                    draft.acl,
                    versions[draft.id].id,
                    self._now,
                    self._user,
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
        before = documents(self._connection, [draft.id for draft in drafts])
        stamps = self._stamps([draft.id for draft in drafts])
        result: dict[int, str] = {}
        changed: list[EntityDraft] = []
        for draft in drafts:
            xml = entity_xml(self._entity(draft, stamps[draft.id][0]))
            if draft.acl is None and without_version(xml) == without_version(before[draft.id]):
                result[draft.id] = before[draft.id]
            else:
                changed.append(draft)
        self._archive(changed, before, stamps)
        versions = {draft.id: self._version(draft.id) for draft in changed}
        self._connection.executemany(
            "UPDATE entity SET role = ?, name = ?, name_key = ?, description = ?, type = ?, is_list = ?, unit = ?, content = ?, path = ?, checksum = ?, "
            "size = ?, storage = ?, location = ?, acl = coalesce(?, acl), version = ?, number = number + 1, changed_at = ?, changed_by = ? WHERE id = ?",
            [
                (*_columns(draft), draft.acl, versions[draft.id].id, self._now, self._user, draft.id)
                for draft in changed
            ],
        )
        is_reparented = self._is_reparented(changed)
        clause, parameters = members([draft.id for draft in changed])
        self._connection.execute(f"DELETE FROM statement WHERE entity IN {clause}", parameters)  # noqa: S608 - placeholders only
        self._connection.execute(f"DELETE FROM parent WHERE child IN {clause}", parameters)  # noqa: S608 - placeholders only
        self._write_details(changed)
        if is_reparented:
            self._rebuild_subtypes()
        else:
            self._extend_subtypes(changed)
        fresh = {draft.id: entity_xml(self._entity(draft, versions[draft.id])) for draft in changed}
        self._forget_documents([one for one, xml in fresh.items() if _start_tag(xml) != _start_tag(before[one])])
        result.update(self._write_documents(fresh))
        return result

    def _is_reparented(self, drafts: list[EntityDraft]) -> bool:
        """Tell whether a type gets or loses a parent, so that the closure of sub-types has to be built anew."""
        clause, parameters = members([draft.id for draft in drafts])
        types = {
            row[0]
            for row in self._connection.execute(
                f"SELECT ancestor FROM subtype WHERE ancestor IN {clause} AND descendant = ancestor", parameters
            )
        }  # noqa: S608 - placeholders only
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
        )  # noqa: S608 - placeholders only
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

    def _write_details(self, drafts: list[EntityDraft]) -> None:
        parents = [
            (draft.id, position, parent.target) for draft in drafts for position, parent in enumerate(draft.parents)
        ]
        self._connection.executemany("INSERT INTO parent (child, position, parent) VALUES (?, ?, ?)", parents)
        rows: list[tuple[object, ...]] = []
        units: set[str] = set()
        for draft in drafts:
            for position, prop in enumerate(draft.properties):
                spec = prop.spec
                if spec is None:
                    raise AssertionError(prop)
                datatype = spec.datatype
                if spec.unit:
                    units.add(spec.unit)
                rows.append(
                    (
                        draft.id,
                        position,
                        0,
                        spec.property,
                        spec.importance,
                        spec.name_override,
                        spec.description_override,
                        datatype.code,
                        datatype.is_list,
                        spec.unit,
                        *prop.typed[0],
                    )
                )
                for item in range(1, len(prop.typed)):
                    rows.append(  # noqa: PERF401 - lists are rare, the loop is the fast path
                        (
                            draft.id,
                            position,
                            item,
                            spec.property,
                            None,
                            None,
                            None,
                            datatype.code,
                            True,
                            spec.unit,
                            *prop.typed[item],
                        )
                    )
        self._connection.executemany("INSERT OR IGNORE INTO unit VALUES (?)", [(unit,) for unit in units])
        self._connection.executemany(f"INSERT INTO statement VALUES ({', '.join('?' * 17)})", rows)  # noqa: S608 - placeholders only

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
        }  # noqa: S608 - placeholders only
        self._connection.executemany(
            "INSERT OR IGNORE INTO subtype (ancestor, descendant) VALUES (?, ?)",
            [(ancestor, one) for one in sorted(types | used - known) for ancestor in self._catalog.ancestors(one)],
        )

    def _rebuild_subtypes(self) -> None:
        self._connection.execute("DELETE FROM subtype")
        self._connection.execute(
            "INSERT INTO subtype (ancestor, descendant) "
            "WITH RECURSIVE type (id) AS (SELECT id FROM entity WHERE role IN ('RecordType', 'Property') UNION SELECT parent FROM parent), "
            "up (ancestor, descendant) AS (SELECT id, id FROM type UNION SELECT p.parent, up.descendant FROM up JOIN parent p ON p.child = up.ancestor) "
            "SELECT ancestor, descendant FROM up"
        )

    def _forget_documents(self, ids: Sequence[int]) -> None:
        """Drop the cached XML of everything that shows the name or description of a changed entity."""
        clause, parameters = members(ids)
        for table, column, entity in (
            ("parent", "parent", "child"),
            ("statement", "property", "entity"),
            ("statement", "type", "entity"),
            ("entity", "type", "id"),
        ):
            self._connection.execute(
                f"DELETE FROM document WHERE entity IN (SELECT {entity} FROM {table} WHERE {column} IN {clause})",  # noqa: S608 - constants
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


def find(connection: sqlite3.Connection, segment: str) -> list[int]:
    """Give the ids that an id or a name in a URL means."""
    if segment.isascii() and segment.isdigit() and len(segment) < len(str(2**63)):
        rows = connection.execute("SELECT id FROM entity WHERE id = ?", (int(segment),)).fetchall()
        if rows:
            return [row[0] for row in rows]
    return [
        row[0] for row in connection.execute("SELECT id FROM entity WHERE name_key = ? ORDER BY id", (fold(segment),))
    ]


def missing_xml(segment: str) -> str:
    """Answer for something that does not exist, so that the client can match it."""
    key = "id" if segment.isascii() and segment.lstrip("-").isdigit() else "name"
    return f"<Entity{attribute(key, segment)}>{message_xml(Message('Error', Code.ENTITY_DOES_NOT_EXIST, 'Entity does not exist.'))}</Entity>"


def _allocate(connection: sqlite3.Connection, count: int) -> int:
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


def _check_paths(connection: sqlite3.Connection, drafts: list[EntityDraft]) -> None:
    """Refuse a path that another File has."""
    files = [draft for draft in drafts if draft.role is Role.FILE and draft.path]
    if not files:
        return
    updated = {draft.id for draft in drafts}
    clause, parameters = members([draft.path for draft in files if draft.path])
    taken = {
        row[0]
        for row in connection.execute(f"SELECT path, id FROM entity WHERE path IN {clause}", parameters)
        if row[1] not in updated
    }  # noqa: S608 - placeholders only
    for draft in files:
        if draft.path in taken:
            draft.error(Code.PATH_IN_USE, f"Target path already exists: {draft.path}")
        taken.add(draft.path)


def _start_tag(xml: str) -> str:
    return xml[: xml.index(">")]


def _mark_repeated(drafts: list[EntityDraft]) -> None:
    seen: set[int] = set()
    for draft in drafts:
        if draft.id in seen:
            draft.error(Code.MALFORMED_REQUEST, "The entity occurs twice in the request.")
        seen.add(draft.id)


def _users(connection: sqlite3.Connection, ids: Sequence[int]) -> dict[int, str]:
    """Say for each entity that others still need who they are; users that are in `ids` too do not count."""
    clause, parameters = members(ids)
    found: dict[int, str] = {}
    for sentence, table, column, user in (
        ("It is a parent of", "parent", "parent", "child"),
        ("It is a property of", "statement", "property", "entity"),
        ("It is a datatype in", "statement", "type", "entity"),
        ("It is the datatype of", "entity", "type", "id"),
        ("It is referenced by", "statement", "target", "entity"),
    ):
        for entity, example, count in connection.execute(
            f"SELECT {column}, min({user}), count(DISTINCT {user}) FROM {table} "  # noqa: S608 - constants
            f"WHERE {column} IN {clause} AND {user} NOT IN {clause} GROUP BY {column}",
            [*parameters, *parameters],
        ):
            found.setdefault(
                entity,
                f"Entity is still required. {sentence} entity {example}{f' and {count - 1} more' if count > 1 else ''}.",
            )
    for entity in ids:
        if entity < FIRST_USER_ID:
            found[entity] = "Internal entities can't be deleted."
    return found


def _answer(draft: EntityDraft, xml: str) -> str:
    return with_cuid(
        _with_messages(xml, [message for message in draft.messages if message.kind != "Error"]), draft.cuid
    )


def _with_messages(xml: str, messages: Sequence[Message]) -> str:
    if not messages:
        return xml
    head, closing, rest = xml.partition(">")
    return head + closing + "".join(message_xml(message) for message in messages) + rest


def _refused(drafts: list[EntityDraft], verb: str) -> Outcome:
    atomicity = Message("Error", Code.ATOMICITY, f"One or more entities are not qualified. Nothing has been {verb}.")
    return Outcome([_draft_xml(draft) for draft in drafts], is_committed=False, messages=(atomicity,))


def _draft_xml(draft: EntityDraft) -> str:
    """Echo a refused entity with its errors where they belong."""
    tag = str(draft.role or "Entity")
    parents = "".join(
        f"<Parent{attribute('id', parent.id)}{attribute('name', parent.name)}>{''.join(map(message_xml, parent.messages))}</Parent>"
        for parent in draft.parents
    )
    properties = "".join(
        f"<Property{attribute('id', prop.id)}{attribute('name', prop.name)}>{''.join(map(message_xml, prop.messages))}</Property>"
        for prop in draft.properties
        if prop.messages
    )
    head = f"<{tag}{attribute('id', draft.request_id)}{attribute('cuid', draft.cuid)}{attribute('name', draft.name)}{attribute('path', draft.path)}>"
    return f"{head}{''.join(map(message_xml, draft.messages))}{parents}{properties}</{tag}>"
