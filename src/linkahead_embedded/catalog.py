# ruff: noqa: S608 - SQL is composed of constants and placeholders; values are always bound
"""Look-ups of one transaction: stored and arriving entities alike, each asked for once."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

from .errors import Code
from .model import BASE_BY_NAME, Base, Datatype, EntityDraft, EntityInfo, Message, Role, fold
from .render import Statement, load, type_name
from .storage import members

_LIST = re.compile(r"LIST\s*[<(]\s*(.+?)\s*[>)]", re.IGNORECASE | re.DOTALL)
_CHUNK = 2000
_COLUMNS = "id, role, name, description, type, is_list, unit"


class LookupFailedError(Exception):
    """A name or id that leads to no entity, or to several; carries the message for the client."""

    def __init__(self, code: Code, description: str) -> None:
        super().__init__(description)
        self.message = Message("Error", int(code), description)


class Catalog:
    """Finds entities by id, temporary id and name, in the database and in the batch of the request."""

    def __init__(self, connection: sqlite3.Connection, drafts: list[EntityDraft]) -> None:
        self.connection = connection
        self.batch: dict[int, EntityDraft] = {}
        self._temporary: dict[str, EntityDraft] = {}
        self._batch_names: dict[str, list[EntityDraft]] = {}
        self._infos: dict[int, EntityInfo | None] = {}
        self._names: dict[str, list[int]] = {}
        self._statements: dict[int, list[Statement]] = {}
        self._ancestors: dict[int, frozenset[int]] = {}
        self._parents: dict[int, list[int]] = {}
        for draft in drafts:
            self.batch[draft.id] = draft
            if draft.request_id is not None:
                self._temporary[draft.request_id] = draft
            if draft.name:
                self._batch_names.setdefault(fold(draft.name), []).append(draft)

    def draft_of(self, temporary: str) -> EntityDraft | None:
        """Find the entity of this request with a temporary id."""
        return self._temporary.get(temporary)

    def info(self, entity: int) -> EntityInfo | None:
        """Describe an entity of the batch or the database."""
        if entity not in self._infos:
            draft = self.batch.get(entity)
            if draft is not None and draft.role is not None:
                return EntityInfo(entity, draft.role, draft.name, draft.description, draft.resolved_type, draft.unit)
            row = self.connection.execute(f"SELECT {_COLUMNS} FROM entity WHERE id = ?", (entity,)).fetchone()
            self._infos[entity] = None if row is None else _info(row)
        return self._infos[entity]

    def by_name(self, name: str) -> list[int]:
        """Give the ids of all entities of a name, those of the batch first.

        Names in the batch replace stored ones of the same entity.
        """
        key = fold(name)
        if key not in self._names:
            rows = self.connection.execute("SELECT id FROM entity WHERE name_key = ? ORDER BY id", (key,)).fetchall()
            self._names[key] = [row[0] for row in rows if row[0] not in self.batch]
        return [draft.id for draft in self._batch_names.get(key, ())] + self._names[key]

    def expect_names(self, names: Iterable[str]) -> None:
        """Look many names up at once, for `by_name` to answer from."""
        fresh = list({fold(name) for name in names} - self._names.keys())
        self._names.update((key, []) for key in fresh)
        for start in range(0, len(fresh), _CHUNK):
            clause, parameters = members(fresh[start : start + _CHUNK])
            for key, entity in self.connection.execute(
                f"SELECT name_key, id FROM entity WHERE name_key IN {clause} ORDER BY id", parameters
            ):
                if entity not in self.batch:
                    self._names[key].append(entity)

    def resolve(self, identifier: str | None, name: str | None, *preferred: Role) -> EntityInfo:
        """Find the entity that an id (temporary or not) or else a name means.

        Parameters
        ----------
        preferred
            Roles in the order in which a name is looked for; any other role comes last.

        Raises
        ------
        LookupFailedError
            If there is none, or the name is ambiguous.
        """
        if identifier:
            info = self._by_identifier(identifier)
            if info is not None:
                return info
            if not name or not identifier.startswith("-"):
                raise LookupFailedError(Code.ENTITY_DOES_NOT_EXIST, f"Entity does not exist: id {identifier[:40]}.")
        if not name:
            raise LookupFailedError(Code.ENTITY_DOES_NOT_EXIST, "Neither an id nor a name was given.")
        infos = [info for one in self.by_name(name) if (info := self.info(one)) is not None]
        for role in preferred:
            of_role = [info for info in infos if info.role is role]
            if of_role:
                infos = of_role
                break
        if not infos:
            raise LookupFailedError(Code.ENTITY_DOES_NOT_EXIST, f"Entity does not exist: '{name[:80]}'.")
        if len(infos) > 1:
            raise LookupFailedError(
                Code.AMBIGUOUS_NAME, f"The name '{name[:80]}' is ambiguous: {len(infos)} entities have it."
            )
        return infos[0]

    def _by_identifier(self, identifier: str) -> EntityInfo | None:
        draft = self._temporary.get(identifier)
        if draft is not None:
            return self.info(draft.id)
        try:
            number = int(identifier)
        except ValueError:
            return None
        return self.info(number) if 0 < number < 2**63 else None

    def datatype(self, text: str) -> Datatype:
        """Read a datatype: a base type, the name or the id of a RecordType, or a list of one.

        Raises
        ------
        LookupFailedError
            If the type is unknown.
        """
        match = _LIST.fullmatch(text.strip())
        inner = match[1] if match else text.strip()
        base = BASE_BY_NAME.get(inner.upper())
        if base is not None:
            return Datatype(base, match is not None)
        is_number = inner.lstrip("-").isdigit()
        try:
            info = self.resolve(inner if is_number else None, None if is_number else inner, Role.RECORD_TYPE)
        except LookupFailedError as problem:
            raise LookupFailedError(
                Code.BAD_DATATYPE, f"Unknown datatype '{text[:80]}'. {problem.message.description}"
            ) from None
        if info.role is Role.PROPERTY and info.datatype is not None:
            raise LookupFailedError(
                Code.BAD_DATATYPE, f"'{text[:80]}' is a Property; a datatype has to be a RecordType or a base type."
            )
        return Datatype(info.id, match is not None)

    def type_name(self, datatype: Datatype) -> str:
        """Write a datatype with the name that its RecordType has."""
        if datatype.code in Base.__members__.values():
            return type_name(datatype, None)
        info = self.info(datatype.code)
        return type_name(datatype, info.name if info else None)

    def statements(self, entity: int) -> list[Statement]:
        """Give the properties of a type: as drafted where it is in the batch, else as stored."""
        draft = self.batch.get(entity)
        if draft is not None:
            return [Statement(prop.spec, prop.typed) for prop in draft.properties if prop.spec is not None]
        if entity not in self._statements:
            loaded = load(self.connection, [entity])
            self._statements[entity] = list(loaded[0].statements) if loaded else []
        return self._statements[entity]

    def ancestors(self, entity: int) -> frozenset[int]:
        """Give an entity and everything above it."""
        known = self._ancestors.get(entity)
        if known is not None:
            return known
        found: set[int] = set()
        pending = [entity]
        while pending:
            one = pending.pop()
            if one in found:
                continue
            found.add(one)
            pending.extend(self.parents(one))
        result = frozenset(found)
        self._ancestors[entity] = result
        return result

    def parents(self, entity: int) -> list[int]:
        """Give the direct parents."""
        draft = self.batch.get(entity)
        if draft is not None:
            return [parent.target for parent in draft.parents if parent.target is not None]
        if entity not in self._parents:
            rows = self.connection.execute("SELECT parent FROM parent WHERE child = ? ORDER BY position", (entity,))
            self._parents[entity] = [row[0] for row in rows]
        return self._parents[entity]

    def existing(self, ids: set[int]) -> dict[int, str]:
        """Give the roles of those ids that are stored."""
        clause, parameters = members(sorted(ids))
        return dict(self.connection.execute(f"SELECT id, role FROM entity WHERE id IN {clause}", parameters).fetchall())


def _info(row: tuple[int, str, str | None, str | None, int | None, int, str | None]) -> EntityInfo:
    datatype = None if row[4] is None else Datatype(row[4], bool(row[5]))
    return EntityInfo(row[0], Role(row[1]), row[2], row[3], datatype, row[6])
