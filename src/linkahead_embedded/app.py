"""The service: a request in, a response out. Both transports call it, so that they can't differ."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote_to_bytes

from . import retrieve
from .errors import Code, EmbeddedError, RequestError
from .files import FileStore, Upload
from .model import Message
from .storage import Database
from .transactions import Outcome, Writer
from .validate import Rules
from .xml_codec import attribute, escape, message_xml, parse_entities

_LOG = logging.getLogger(__name__)
REALM = "PAM"
XML = "text/xml; charset=UTF-8"
MAX_IDS_IN_URL = 20_000


@dataclass(frozen=True, slots=True)
class User:
    """Who asks, with which roles."""

    name: str
    roles: tuple[str, ...] = ("administration",)


@dataclass(frozen=True, slots=True)
class Request:
    """A request, independent of how it came.

    `path` is relative and still percent-encoded, with its query string. `uploads` are the files of a multipart body, `body` is its first part.
    """

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    uploads: Mapping[str, Upload] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `file` stands for a body that is streamed from disk: path, first byte, number of bytes."""

    status: int
    body: bytes = b""
    content_type: str = XML
    headers: Mapping[str, str] = field(default_factory=dict)
    file: tuple[Path, int, int] | None = None


class Application:
    """One embedded LinkAhead on one database."""

    def __init__(self, database: Database, files: FileStore) -> None:
        self.database = database
        self.files = files

    def handle(self, request: Request, user: User) -> Response:
        """Answer a request of a known user; never raises."""
        try:
            return self._route(request, user)
        except RequestError as problem:
            return error_response(problem.status, problem.description, problem.code)
        except EmbeddedError as problem:
            return error_response(500, str(problem))
        except Exception:
            reference = secrets.token_hex(4)
            _LOG.exception("Request failed, reference %s: %s", reference, request.method)
            return error_response(500, f"Internal error, see the log of the server for {reference}.")

    def _route(self, request: Request, user: User) -> Response:
        raw_path, _, raw_query = request.path.partition("?")
        segments = [_decode(segment) for segment in raw_path.split("/")]
        flags = dict(parse_qsl(raw_query, keep_blank_values=True, encoding="utf-8", errors="replace"))
        handlers: dict[tuple[str, str], Callable[[], Response]] = {
            ("GET", "Entity"): lambda: self._get_entities(segments[1:], flags, user),
            ("POST", "Entity"): lambda: self._post(request, flags, user),
            ("PUT", "Entity"): lambda: self._put(request, flags, user),
            ("DELETE", "Entity"): lambda: self._delete(segments[1:], user),
            ("GET", "FileSystem"): lambda: self._download(segments[1:], request.headers),
            ("GET", "Info"): lambda: self._info(user),
        }
        handler = handlers.get((request.method, segments[0]))
        if handler is None:
            known = {name for _, name in handlers}
            status = 405 if segments[0] in known else 404
            raise RequestError(
                status,
                f"{request.method} {segments[0][:40]} is not implemented by the embedded LinkAhead.",
                Code.NOT_IMPLEMENTED,
            )
        return handler()

    def _get_entities(self, segments: Sequence[str], flags: Mapping[str, str], user: User) -> Response:
        with self.database.read() as connection:
            if "query" in flags:
                return self._respond(user, retrieve.query(connection, flags["query"], user.name, flags.get("P")))
            names = _split(segments)
            return self._respond(
                user, retrieve.entities(connection, names, with_history="history" in flags), len(names)
            )

    def _post(self, request: Request, flags: Mapping[str, str], user: User) -> Response:
        drafts = parse_entities(request.body, "Insert")
        for draft in drafts:
            if draft.role is None and not draft.has_errors:
                draft.error(Code.ROLE_MISMATCH, "An entity needs a role to be inserted.")
        self.files.prepare(drafts, request.uploads)
        return self._outcome(user, Writer(self.database, user.name).insert(drafts, _rules(flags)))

    def _put(self, request: Request, flags: Mapping[str, str], user: User) -> Response:
        drafts = parse_entities(request.body, "Update")
        self.files.prepare(drafts, request.uploads, is_update=True)
        return self._outcome(user, Writer(self.database, user.name).update(drafts, _rules(flags)))

    def _delete(self, segments: Sequence[str], user: User) -> Response:
        outcome = Writer(self.database, user.name).delete(_split(segments))
        return self._outcome(user, outcome)

    def _outcome(self, user: User, outcome: Outcome) -> Response:
        return self._respond(
            user, [message_xml(message) for message in outcome.messages] + outcome.elements, len(outcome.elements)
        )

    def _download(self, segments: Sequence[str], headers: Mapping[str, str]) -> Response:
        path = "/" + "/".join(segment for segment in segments if segment)
        with self.database.read() as connection:
            row = connection.execute("SELECT storage, location, size FROM entity WHERE path = ?", (path,)).fetchone()
        located = None if row is None else self.files.locate(row[0], row[1])
        if located is None:
            raise RequestError(404, "There is no such file.", Code.NO_FILE)
        return file_response(located, headers)

    def _info(self, user: User) -> Response:
        with self.database.read() as connection:
            count = dict(connection.execute("SELECT role, count(*) FROM entity GROUP BY role"))
            size = connection.execute("SELECT coalesce(sum(size), 0) FROM entity").fetchone()[0]
        counts = (
            f'<counts records="{count.get("Record", 0)}" properties="{count.get("Property", 0)}" recordTypes="{count.get("RecordType", 0)}" '
            f'files="{count.get("File", 0)}" fssize="{size} B"/>'
        )
        zone = '<TimeZone id="UTC" offset="+0000">Coordinated Universal Time</TimeZone>'
        return self._respond(user, [zone, f'<Stats debug="false">{counts}</Stats>'])

    @staticmethod
    def _respond(user: User, elements: Sequence[str], count: int | None = None) -> Response:
        roles = "".join(f"<Role>{escape(role)}</Role>" for role in user.roles)
        head = (
            f'<Response srid="{secrets.token_hex(16)}" timestamp="{int(time.time() * 1000)}"{attribute("count", count)}>'
            f'<UserInfo{attribute("username", user.name)} realm="{REALM}"><Roles>{roles}</Roles></UserInfo>'
        )
        return Response(200, "".join([head, *elements, "</Response>"]).encode())


def error_response(status: int, description: str, code: int = Code.MALFORMED_REQUEST) -> Response:
    """Answer with an HTTP status; the client shows the description for some of them."""
    return Response(status, f"<Response>{message_xml(Message('Error', int(code), description))}</Response>".encode())


def file_response(path: Path, headers: Mapping[str, str]) -> Response:
    """Answer with the bytes of a file, or the one range that was asked for."""
    size = path.stat().st_size
    start, end = 0, size
    wanted = headers.get("range", "")
    common = {"Accept-Ranges": "bytes"}
    if wanted.startswith("bytes=") and "," not in wanted:
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        try:
            start, end = (
                (int(first), min(size, int(last) + 1 if last else size)) if first else (max(0, size - int(last)), size)
            )
        except ValueError:
            start, end = size, size
        if not 0 <= start < end:
            return Response(416, headers={**common, "Content-Range": f"bytes */{size}"})
        common["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if "Content-Range" in common else 200
    return Response(status, content_type="application/octet-stream", headers=common, file=(path, start, end - start))


def _decode(segment: str) -> str:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise RequestError(400, "The path of the request is not UTF-8.") from None


def _split(segments: Sequence[str]) -> list[str]:
    names = [name for name in "/".join(segments).split("&") if name]
    if len(names) > MAX_IDS_IN_URL:
        raise RequestError(414, f"More than {MAX_IDS_IN_URL} ids in one request.")
    return names


def _rules(flags: Mapping[str, str]) -> Rules:
    return Rules(
        unique_names=flags.get("uniquename", "").lower() == "true",
        strict=flags.get("strict", "").lower() == "true",
        missing_obligatory=flags.get("force-missing-obligatory", "error"),
    )
