"""The transport without sockets: the official client calls the application directly."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any

from linkahead.connection.encode import MultipartYielder, ReadableMultiparts
from linkahead.connection.interface import CaosDBHTTPResponse, CaosDBServerConnection

from .app import Application
from .auth import User
from .exchange import Request, Response
from .multipart import Parts, parse_multipart


class InProcessResponse(CaosDBHTTPResponse):
    """An answer as the client reads it."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._content: bytes | None = None
        self._position = 0

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._response.status

    @property
    def reason(self) -> str:
        """The phrase of the status."""
        return HTTPStatus(self._response.status).phrase

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes; all without a size."""
        if self._content is None:
            self._content = body_of(self._response)
        end = len(self._content) if not size or size < 0 else self._position + size
        block = self._content[self._position : end]
        self._position += len(block)
        return block

    def getheader(self, name: str, default: Any = None) -> Any:
        """Give one header."""
        return {key.lower(): value for key, value in self.getheaders().items()}.get(name.lower(), default)

    def getheaders(self) -> dict[str, str]:
        """Give all headers."""
        return {"Content-Type": self._response.content_type, **self._response.headers}

    def close(self) -> None:
        """Release nothing; files are closed as soon as they are read."""


class InProcessConnection(CaosDBServerConnection):
    """Carries requests of the client to an application in the same process.

    Parameters
    ----------
    application
        The embedded LinkAhead.
    user
        Who asks; None when the session token of each request says it, as over HTTP.
    """

    _base_path = "inprocess:"

    def __init__(self, application: Application, user: User | None) -> None:
        self._application = application
        self._user = user

    def configure(self, **kwargs: Any) -> None:
        """Take the client's configuration; nothing of it matters here."""

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None, **_: Any
    ) -> InProcessResponse:
        """Send a request."""
        names = {key.lower(): value for key, value in (headers or {}).items()}
        spooled: list[Path] = []
        try:
            parts = self._body(body, names, spooled)
            request = Request(method, path, parts.body, names, parts.uploads, parts.fields)
            response = self._application.handle(request, self._user)
        finally:
            for one in spooled:
                one.unlink(missing_ok=True)
        return InProcessResponse(response)

    def _body(self, body: Any, headers: dict[str, str], spooled: list[Path]) -> Parts:
        if body is None:
            return Parts(b"", {}, {})
        if isinstance(body, MultipartYielder | ReadableMultiparts):
            stream: Any = body
            if isinstance(body, MultipartYielder):
                stream = ReadableMultiparts(body)  # type: ignore[no-untyped-call]  # the client is half typed
            return parse_multipart(stream.read, headers.get("content-type", ""), self._application.files.spool, spooled)
        return Parts(body.encode() if isinstance(body, str) else bytes(body), {}, {})


def body_of(response: Response) -> bytes:
    """Give the body of an answer, from disk if it is a file."""
    if response.file is None:
        return response.body
    path, start, length = response.file
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read(length)
