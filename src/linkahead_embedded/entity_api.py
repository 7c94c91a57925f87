"""The resources that crawler and data model need: Entity, FileSystem, Info."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import partial

from . import access, file_import, retrieve
from .auth import User
from .blobs import BlobKeeper
from .consistency import check_files
from .errors import Code, RequestError
from .exchange import Call, Response, answer, file_response
from .files import FOLDER, MANAGED, FileStore
from .rows import uncollected
from .storage import Database
from .transactions import Outcome, Writer
from .validate import Rules
from .xml_codec import attribute, message_xml, parse_entities


class EntityApi:
    """Answers calls about entities and their files."""

    def __init__(self, database: Database, files: FileStore) -> None:
        self._database = database
        self._files = files
        self._blobs = BlobKeeper(database, files)

    def retrieve(self, call: Call) -> Response:
        """GET Entity: by ids and names, or by query."""
        if "InsertFilesInDir" in call.flags:
            return self._preview(call)
        if "fileStorageConsistency" in call.flags:
            self._may_import(call)
            found = check_files(self._database, self._files, call.flags["fileStorageConsistency"])
            return answer(call.user, [message_xml(one) for one in found], count=0)
        hidden = partial(access.denied, user=call.user, permission="RETRIEVE:ENTITY")
        with self._database.read() as connection:
            if "query" in call.flags:
                text, page = call.flags["query"], call.flags.get("P")
                head, *elements = retrieve.query(connection, text, call.user.name, page, hidden)
                if "ACL" in call.flags:
                    elements = [access.with_acl(connection, one) for one in elements]
                return answer(call.user, [head, *elements])
            names = call.names()
            has_history = "history" in call.flags
            elements = retrieve.entities(connection, names, with_history=has_history, hidden=hidden)
            if "ACL" in call.flags:
                elements = [access.with_acl(connection, element) for element in elements]
            return answer(call.user, elements, count=len(names))

    def insert(self, call: Call) -> Response:
        """POST Entity."""
        if "InsertFilesInDir" in call.flags:
            return self._import(call)
        with uncollected(call.request.body):
            drafts = parse_entities(call.request.body, "Insert")
            for draft in drafts:
                if draft.role is None and not draft.has_errors:
                    draft.error(Code.ROLE_MISMATCH, "An entity needs a role to be inserted.")
            with self._blobs.holding(drafts, call.request.uploads):
                return _answer(call, self._writer(call.user).insert(drafts, _rules(call.flags)))

    def _import(self, call: Call) -> Response:
        """Insert the files of a folder; what is a File entity already is left as it is."""
        self._may_import(call)
        found = list(file_import.drafts(file_import.parse_order(call.flags["InsertFilesInDir"]), self._files))
        with self._database.read() as connection:
            known = {row[0] for row in connection.execute("SELECT path FROM entity WHERE path IS NOT NULL")}
        fresh = [draft for draft in found if draft.path not in known]
        return _answer(call, self._writer(call.user).insert(fresh, Rules()))

    def _preview(self, call: Call) -> Response:
        """Say which files would be inserted."""
        self._may_import(call)
        found = file_import.drafts(file_import.parse_order(call.flags["InsertFilesInDir"]), self._files)
        elements = [
            f"<File{attribute('path', draft.path)}{attribute('size', draft.file.size)}"
            f"{attribute('checksum', draft.file.checksum)}/>"
            for draft in found
            if draft.file is not None
        ]
        return answer(call.user, elements, count=len(elements))

    def _may_import(self, call: Call) -> None:
        with self._database.read() as connection:
            if not access.may(connection, call.user, access.ADMINISTRATE):
                raise RequestError(403, "Only administrators import and check folders.", Code.NOT_PERMITTED)

    def update(self, call: Call) -> Response:
        """PUT Entity."""
        with uncollected(call.request.body):
            drafts = parse_entities(call.request.body, "Update")
            with self._blobs.holding(drafts, call.request.uploads, is_update=True):
                outcome = self._writer(call.user).update(drafts, _rules(call.flags))
        self._blobs.collect()
        return _answer(call, outcome)

    def delete(self, call: Call) -> Response:
        """DELETE Entity."""
        outcome = self._writer(call.user).delete(call.names())
        self._blobs.collect()
        return _answer(call, outcome)

    def download(self, call: Call) -> Response:
        """GET FileSystem: the bytes of a File entity, or of a file in a folder that is one."""
        path = "/" + "/".join(call.rest)
        with self._database.read() as connection:
            row = connection.execute("SELECT id, storage, location FROM entity WHERE path = ?", (path,)).fetchone()
            return self._bytes(connection, call, row or _in_folder(connection, path))

    def thumbnail(self, call: Call) -> Response:
        """GET Thumbnails: the small picture that was uploaded with a File."""
        path = "/" + "/".join(call.rest)
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT e.id, ?, t.location FROM thumbnail t JOIN entity e ON e.id = t.entity WHERE e.path = ?",
                (MANAGED, path),
            ).fetchone()
            if row is None:
                text = "No thumbnail came with the file; the embedded LinkAhead makes none by itself."
                raise RequestError(404, text, Code.NO_FILE)
            return self._bytes(connection, call, row)

    def _bytes(self, connection: sqlite3.Connection, call: Call, row: tuple[int, str, str] | None) -> Response:
        if row is not None and access.denied(connection, [row[0]], "RETRIEVE:FILE", user=call.user):
            raise RequestError(403, "You are not permitted to download this file.", Code.NOT_PERMITTED)
        if row is not None and row[1] == FOLDER:
            raise RequestError(404, "This is a folder; only the files in it can be downloaded.", Code.NO_FILE)
        located = None if row is None else self._files.locate(row[1], row[2])
        if located is None:
            raise RequestError(404, "There is no such file.", Code.NO_FILE)
        return file_response(located, call.request.headers)

    def info(self, call: Call) -> Response:
        """GET Info: who asks, and how much there is."""
        with self._database.read() as connection:
            count = dict(connection.execute("SELECT role, count(*) FROM entity GROUP BY role").fetchall())
            size = connection.execute("SELECT coalesce(sum(size), 0) FROM entity").fetchone()[0]
        counts = (
            f'<counts records="{count.get("Record", 0)}" properties="{count.get("Property", 0)}" '
            f'recordTypes="{count.get("RecordType", 0)}" files="{count.get("File", 0)}" fssize="{size} B"/>'
        )
        zone = '<TimeZone id="UTC" offset="+0000">Coordinated Universal Time</TimeZone>'
        return answer(call.user, [zone, f'<Stats debug="false">{counts}</Stats>'])

    def _writer(self, user: User) -> Writer:
        return Writer(self._database, user.name, partial(access.denied, user=user))


def _in_folder(connection: sqlite3.Connection, path: str) -> tuple[int, str, str] | None:
    """Find a file in an uploaded folder by its path."""
    parts = path.split("/")
    for length in range(len(parts) - 1, 1, -1):
        row: tuple[int, str, str] | None = connection.execute(
            "SELECT e.id, ?, f.location FROM entity e JOIN folder_file f ON f.entity = e.id "
            "WHERE e.path = ? AND f.name = ?",
            (MANAGED, "/".join(parts[:length]), "/".join(parts[length:])),
        ).fetchone()
        if row is not None:
            return row
    return None


def _answer(call: Call, outcome: Outcome) -> Response:
    messages = [message_xml(message) for message in outcome.messages]
    return answer(call.user, [*messages, *outcome.elements], count=len(outcome.elements))


def _rules(flags: Mapping[str, str]) -> Rules:
    return Rules(
        unique_names=flags.get("uniquename", "").lower() == "true",
        strict=flags.get("strict", "").lower() == "true",
        missing_obligatory=flags.get("force-missing-obligatory", "error"),
    )
