# ruff: noqa: S608 - SQL is composed of constants and placeholders; values are always bound
"""Insert, update and delete: one request is one transaction, all or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .access import EDIT_ACL
from .batch import TYPED_STATEMENT, Batch, allocate
from .catalog import Catalog
from .errors import Code
from .model import FIRST_USER_ID, EntityDraft, Message, ParentDraft, PropertyDraft, Role, StoredFile, fold
from .render import documents, with_cuid
from .resolve import Resolver
from .storage import Database, members
from .validate import Rules, validate
from .xml_codec import attribute, message_xml

PermissionCheck = Callable[[sqlite3.Connection, Sequence[int], str], dict[int, str]]
"""Gives, for an action such as UPDATE or DELETE, the entities that are denied and why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The entities of an answer, and what is to be said of the whole."""

    elements: list[str]
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
                first = allocate(connection, len(drafts))
                for offset, draft in enumerate(drafts):
                    draft.id = first + offset
                catalog = Catalog(connection, drafts)
                Resolver(catalog).resolve(drafts)
                validate(drafts, catalog, rules)
                _check_paths(connection, drafts)
                if any(draft.has_errors for draft in drafts):
                    raise _RefusedError
                xml = Batch(connection, catalog, self._user).insert(drafts)
        except _RefusedError:
            return _refused(drafts, "inserted")
        return Outcome([_answer(draft, xml[draft.id]) for draft in drafts])

    def update(self, drafts: list[EntityDraft], rules: Rules) -> Outcome:
        """Replace the state of stored entities by that of the drafts; what a draft lacks is removed."""
        try:
            with self._database.write() as connection:
                for draft in drafts:
                    draft.id = _stored_id(draft.request_id)
                known = self._prepare_update(connection, drafts)
                catalog = Catalog(connection, drafts)
                Resolver(catalog, known).resolve(drafts)
                validate(drafts, catalog, rules)
                _check_paths(connection, drafts)
                if any(draft.has_errors for draft in drafts):
                    raise _RefusedError
                xml = Batch(connection, catalog, self._user).update(drafts)
        except _RefusedError:
            return _refused(drafts, "updated")
        return Outcome([_answer(draft, xml[draft.id]) for draft in drafts])

    def _prepare_update(self, connection: sqlite3.Connection, drafts: list[EntityDraft]) -> dict[int, set[int]]:
        """Compare with what is stored: existence, role, file content; give the parents that each entity has already."""
        ids = [draft.id for draft in drafts]
        clause, parameters = members(sorted(set(ids)))
        stored = {
            row[0]: row
            for row in connection.execute(
                f"SELECT id, role, path, storage, location, size, checksum FROM entity WHERE id IN {clause}",
                parameters,
            )
        }
        denied = self._permitted(connection, ids, "UPDATE") if self._permitted else {}
        if self._permitted:
            denied.update(
                self._permitted(connection, [draft.id for draft in drafts if draft.acl is not None], EDIT_ACL)
            )
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
        ):
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
            raise _RefusedDeleteError(Outcome(elements, messages=(atomicity,)))
        clause, parameters = members(ids)
        connection.execute(f"DELETE FROM statement WHERE entity IN {clause}", parameters)
        connection.execute(f"DELETE FROM parent WHERE child IN {clause}", parameters)
        connection.execute(
            f"DELETE FROM usage WHERE (property IN {clause} OR type IN {clause}) "
            "AND NOT EXISTS (SELECT 1 FROM statement s WHERE s.property = usage.property AND s.usage = usage.id)",
            [*parameters, *parameters],
        )
        connection.execute(f"DELETE FROM entity WHERE id IN {clause}", parameters)
        deleted = Message("Info", Code.DELETED, "This entity has been deleted successfully.")
        return Outcome([_with_messages(xml[one], [deleted]) for one in ids])


class _RefusedDeleteError(Exception):
    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


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
    message = Message("Error", Code.ENTITY_DOES_NOT_EXIST, "Entity does not exist.")
    return f"<Entity{attribute(key, segment)}>{message_xml(message)}</Entity>"


def _stored_id(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < len(str(2**63)) else 0


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
    }
    for draft in files:
        if draft.path in taken:
            draft.error(Code.PATH_IN_USE, f"Target path already exists: {draft.path}")
        taken.add(draft.path)


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
        ("It is a datatype in", TYPED_STATEMENT, "type", "entity"),
        ("It is the datatype of", "entity", "type", "id"),
        ("It is referenced by", "statement", "target", "entity"),
    ):
        for entity, example, count in connection.execute(
            f"SELECT {column}, min({user}), count(DISTINCT {user}) FROM {table} "
            f"WHERE {column} IN {clause} AND {user} NOT IN {clause} GROUP BY {column}",
            [*parameters, *parameters],
        ):
            more = f" and {count - 1} more" if count > 1 else ""
            found.setdefault(entity, f"Entity is still required. {sentence} entity {example}{more}.")
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
    return Outcome([_draft_xml(draft) for draft in drafts], messages=(atomicity,))


def _draft_xml(draft: EntityDraft) -> str:
    """Echo a refused entity with its errors where they belong."""
    tag = str(draft.role or "Entity")
    keys = f"{attribute('id', draft.request_id)}{attribute('cuid', draft.cuid)}"
    own = f"{attribute('name', draft.name)}{attribute('path', draft.path)}"
    parents = "".join(_part_xml("Parent", parent) for parent in draft.parents)
    properties = "".join(_part_xml("Property", prop) for prop in draft.properties if prop.messages)
    return f"<{tag}{keys}{own}>{''.join(map(message_xml, draft.messages))}{parents}{properties}</{tag}>"


def _part_xml(tag: str, part: ParentDraft | PropertyDraft) -> str:
    messages = "".join(map(message_xml, part.messages))
    return f"<{tag}{attribute('id', part.id)}{attribute('name', part.name)}>{messages}</{tag}>"
