"""Requests and responses, independent of the transport that carries them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote_to_bytes

from .auth import REALM, User
from .errors import Code, RequestError
from .files import Upload
from .model import Message
from .xml_codec import attribute, escape, message_xml

XML = "text/xml; charset=UTF-8"
MAX_IDS_IN_URL = 20_000
MAX_BODY = 1 << 26
"""Bytes of a body, files apart: enough for some 100,000 records with ten properties."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    `path` is relative and still percent-encoded, with its query string. `uploads` are the files of a multipart body,
    `body` is its first part, `fields` are those of its parts that are no files. Names of headers are in lower case.
    """

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    uploads: Mapping[str, Upload] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `file` stands for a body that is streamed from disk: path, first byte, number of bytes."""

    status: int
    body: bytes = b""
    content_type: str = XML
    headers: Mapping[str, str] = field(default_factory=dict)
    file: tuple[Path, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A request taken apart: decoded path segments, flags of the query string, and who asks."""

    request: Request
    user: User
    segments: Sequence[str]
    flags: Mapping[str, str]

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form body, or those of a multipart body."""
        if self.request.fields:
            return dict(self.request.fields)
        return dict(parse_qsl(self.request.body.decode("utf-8", "replace"), keep_blank_values=True))

    @property
    def rest(self) -> list[str]:
        """The path behind its first segment, without empty segments."""
        return [segment for segment in self.segments[1:] if segment]

    def names(self) -> list[str]:
        """Give the ids and names that the path lists, joined by `&` inside one segment.

        Raises
        ------
        RequestError
            If they are too many; the client then asks again in halves.
        """
        names = [name for name in "/".join(self.segments[1:]).split("&") if name]
        if len(names) > MAX_IDS_IN_URL:
            raise RequestError(414, f"More than {MAX_IDS_IN_URL} ids in one request.")
        return names


def take_apart(request: Request, user: User) -> Call:
    """Decode path and query string of a request.

    Raises
    ------
    RequestError
        If they are not UTF-8, or the body is too long.
    """
    if len(request.body) > MAX_BODY:
        raise RequestError(413, f"The body is longer than {MAX_BODY} bytes; send fewer entities at a time.")
    path, _, query = request.path.partition("?")
    segments = [decode(segment) for segment in path.split("/")]
    return Call(request, user, segments, dict(parse_qsl(query, keep_blank_values=True, errors="replace")))


def decode(segment: str) -> str:
    """Decode one percent-encoded segment.

    Raises
    ------
    RequestError
        If it is not UTF-8.
    """
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise RequestError(400, "The path of the request is not UTF-8.") from None


def answer(user: User, elements: Sequence[str], *, count: int | None = None, is_user_first: bool = True) -> Response:
    """Wrap elements into the envelope of a successful answer."""
    roles = "".join(f"<Role>{escape(role)}</Role>" for role in user.roles)
    who = f'<UserInfo{attribute("username", user.name)} realm="{REALM}"><Roles>{roles}</Roles></UserInfo>'
    head = (
        f'<Response srid="{secrets.token_hex(16)}" timestamp="{time.time_ns() // 1_000_000}"'
        f"{attribute('count', count)}>"
    )
    ordered = [who, *elements] if is_user_first else [*elements, who]
    return Response(200, "".join([head, *ordered, "</Response>"]).encode())


def error_response(status: int, description: str, code: int = Code.MALFORMED_REQUEST) -> Response:
    """Answer with an HTTP status; the client shows the description for some of them."""
    return Response(status, f"<Response>{message_xml(Message('Error', int(code), description))}</Response>".encode())


def file_response(path: Path, headers: Mapping[str, str]) -> Response:
    """Answer with the bytes of a file, or the one range of them that was asked for."""
    size = path.stat().st_size
    common = {"Accept-Ranges": "bytes"}
    wanted = headers.get("range", "")
    content_type = "application/octet-stream"
    if not wanted.startswith("bytes=") or "," in wanted:
        return Response(200, content_type=content_type, headers=common, file=(path, 0, size))
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    try:
        start = int(first) if first else max(0, size - int(last))
        end = min(size, int(last) + 1) if first and last else size
    except ValueError:
        start, end = size, size
    if not 0 <= start < end:
        return Response(416, headers={**common, "Content-Range": f"bytes */{size}"})
    common["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return Response(206, content_type=content_type, headers=common, file=(path, start, end - start))
