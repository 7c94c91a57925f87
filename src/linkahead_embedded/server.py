"""The HTTP transport: a small threading server for the loopback interface.

Each answer leaves in one piece with TCP_NODELAY, because Nagle's algorithm and delayed acknowledgements would else
cost 40 ms a request. Request lines may be long: identification queries and lists of ids live in the URL.
"""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import cast

from .app import Application
from .auth import ADMINISTRATION, MAX_PASSWORD, set_password
from .bootstrap import open_application
from .errors import EmbeddedError, RequestError
from .exchange import MAX_BODY, Request, Response, error_response
from .multipart import Parts, parse_multipart

_LOG = logging.getLogger(__name__)
MAX_LINE = 1 << 20
MAX_HEADERS = 1 << 16
MAX_CONNECTIONS = 128
IDLE_S = 120.0
GRACE_S = 2.0
"""How long the rest of a multipart body may take after as many bytes as were announced."""
_LINGER_S = 1.0
_LINGER_BYTES = 1 << 24
_BLOCK = 1 << 16
_MAX_DIGITS = 18
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/xml; charset=UTF-8\r\nContent-Length: 0\r\n"
    b"Retry-After: 1\r\nConnection: close\r\n\r\n"
)
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD"})


class PasswordMissingError(EmbeddedError):
    """The user has no password yet. Start the server once with a password (HEARTBRAIN_LINKAHEAD_PASSWORD)."""


class Server:
    """An HTTP server on an application. `serve_forever` blocks; `stop` may be called from another thread."""

    def __init__(self, application: Application, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = _TcpServer((host, port), _Handler)
        self._server.application = application
        self.host, self.port = self._server.server_address[:2]

    @property
    def url(self) -> str:
        """The base URL for the client."""
        host = self.host.decode() if isinstance(self.host, bytes | bytearray) else self.host
        return f"http://{host}:{self.port}/"

    def serve_forever(self) -> None:
        """Answer requests until `stop`."""
        try:
            self._server.serve_forever(poll_interval=0.1)
        finally:
            self._server.server_close()

    def stop(self) -> None:
        """End `serve_forever`, and close the connections that clients keep open."""
        self._server.shutdown()
        self._server.close_connections()


def serve(
    database: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 10443,
    file_root: str | Path | None = None,
    user: str = "heartbrain",
    password: str | None = None,
    scripts: str | Path | None = None,
    ready: Callable[[str], object] | None = None,
) -> None:
    """Serve a database over plain HTTP until interrupted.

    Parameters
    ----------
    database
        The SQLite file; created if it is absent.
    host, port
        Where to listen; port 0 takes a free one. Plain HTTP belongs on the loopback interface.
    file_root
        As for `linkahead_embedded.connect`.
    user, password
        A user with the role `administration`, made or given this password. Without a password the user has to exist.
    scripts
        Folder of the scripts that users with the permission `SCRIPTING:EXECUTE:<path in the folder>` may run.
    ready
        Called with the base URL as soon as requests are answered.

    Raises
    ------
    PasswordMissingError
        If there is no password, neither given nor stored.
    OSError
        If the port is taken.
    """
    application = open_application(database, file_root, scripts)
    admit(application, user, password)
    server = Server(application, host, port)
    if ready is not None:
        ready(server.url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        _LOG.info("Interrupted.")


def admit(application: Application, user: str, password: str | None) -> None:
    """Make sure that a user exists, has a password, and may do everything.

    Raises
    ------
    PasswordMissingError
        If there is no password, neither given nor stored.
    """
    with application.database.write() as connection:
        if password:
            set_password(connection, user, password[:MAX_PASSWORD])
        elif (
            connection.execute("SELECT 1 FROM user WHERE name = ? AND password IS NOT NULL", (user,)).fetchone() is None
        ):
            raise PasswordMissingError(PasswordMissingError.__doc__)
        connection.execute("INSERT OR IGNORE INTO user_role VALUES (?, ?)", (user, ADMINISTRATION))


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    application: Application

    def __init__(self, address: tuple[str, int], handler: type[_Handler]) -> None:
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        connection = cast("socket.socket", request)
        with self._lock:
            is_full = len(self._connections) >= MAX_CONNECTIONS
            if not is_full:
                self._connections.add(connection)
        if is_full:
            with suppress(OSError):
                connection.setblocking(False)
                connection.sendall(_FULL)
            self.shutdown_request(connection)
            return
        super().process_request(connection, client_address)

    def close_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        with self._lock:
            self._connections.discard(cast("socket.socket", request))
        super().close_request(request)

    def close_connections(self) -> None:
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class names them
        _LOG.debug("A connection broke.", exc_info=True)


class _ConnectionEndedError(Exception):
    """The client closed the connection, or it can't be used further."""


class _Handler(socketserver.StreamRequestHandler):
    rbufsize = _BLOCK
    timeout = IDLE_S
    disable_nagle_algorithm = True
    server: _TcpServer

    def handle(self) -> None:
        try:
            while self._handle_one():
                pass
        except (_ConnectionEndedError, ConnectionError, TimeoutError):
            pass
        finally:
            self.server.application.database.release()

    def _handle_one(self) -> bool:
        """Answer one request; tell whether the connection can carry another."""
        spooled: list[Path] = []
        method, keeps_alive, is_read = "GET", False, True
        try:
            method, path, version, headers = self._head()
            keeps_alive = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
            parts, is_exact = self._body(headers, spooled)
            keeps_alive = keeps_alive and is_exact
            request = Request(method, path, parts.body, headers, parts.uploads, parts.fields)
            response = self.server.application.handle(request)
        except RequestError as problem:
            keeps_alive, is_read = False, False
            response = error_response(problem.status, problem.description, problem.code)
        finally:
            for one in spooled:
                one.unlink(missing_ok=True)
        self._send(response, keeps_alive=keeps_alive, is_head=method == "HEAD")
        if not is_read:
            self._linger()
        return keeps_alive

    def _linger(self) -> None:
        """Take what is still being sent, for a moment: to close at once would reset the connection, answer and all."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_S)
            left = _LINGER_BYTES
            while left > 0 and (block := self.connection.recv(_BLOCK)):
                left -= len(block)

    def _head(self) -> tuple[str, str, str, dict[str, str]]:
        line = self.rfile.readline(MAX_LINE + 1)
        if line in (b"\r\n", b"\n"):
            line = self.rfile.readline(MAX_LINE + 1)
        if not line:
            raise _ConnectionEndedError
        if len(line) > MAX_LINE:
            raise RequestError(414, "The request line is too long.")
        words = line.decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, path, version
            raise RequestError(400, "This is no HTTP/1.1 request.")
        method, target, version = words
        headers: dict[str, str] = {}
        left = MAX_HEADERS
        while (line := self.rfile.readline(left + 1)) not in (b"\r\n", b"\n"):
            left -= len(line)
            if left < 0:
                raise RequestError(431, "The headers are too long.")
            name, colon, value = line.decode("latin-1").partition(":")
            if not line or not colon:
                raise RequestError(400, "A header is malformed.")
            key = name.strip().lower()
            if key in headers and key in {"content-length", "transfer-encoding"}:
                raise RequestError(400, f"The header {key} occurs twice.")
            headers[key] = value.strip()
        if method not in _METHODS:
            raise RequestError(501, f"The method {method[:20]} is not implemented.")
        return method, _relative(target), version, headers

    def _body(self, headers: dict[str, str], spooled: list[Path]) -> tuple[Parts, bool]:
        """Read the body; the last value tells whether it ended where it was announced to end."""
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        content_type = headers.get("content-type", "")
        if content_type.lower().startswith("multipart/"):
            read = self._chunks().read if "transfer-encoding" in headers else _Announced(self, headers).read
            return parse_multipart(read, content_type, self.server.application.files.spool, spooled), False
        if "transfer-encoding" in headers:
            if headers["transfer-encoding"].lower() != "chunked" or "content-length" in headers:
                raise RequestError(400, "The transfer encoding is not supported.")
            return Parts(self._chunks().read_all(), {}, {}), True
        length = _announced_length(headers)
        if length > MAX_BODY:
            raise RequestError(413, f"The body is longer than {MAX_BODY} bytes.")
        content = self.rfile.read(length) if length else b""
        if len(content) < length:
            raise _ConnectionEndedError
        return Parts(content, {}, {}), True

    def _chunks(self) -> _Chunked:
        return _Chunked(self)

    def _send(self, response: Response, *, keeps_alive: bool, is_head: bool) -> None:
        length = response.file[2] if response.file is not None else len(response.body)
        lines = [
            f"HTTP/1.1 {response.status} {_phrase(response.status)}",
            f"Content-Type: {response.content_type}",
            f"Content-Length: {length}",
            f"Connection: {'keep-alive' if keeps_alive else 'close'}",
            "X-Content-Type-Options: nosniff",
            *(f"{name}: {value}" for name, value in response.headers.items()),
        ]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        if is_head or response.file is None:
            self.connection.sendall(head if is_head else head + response.body)
            return
        path, start, count = response.file
        with path.open("rb") as stream:
            self.connection.sendall(head)
            self.connection.sendfile(stream, start, count)


class _Announced:
    """A multipart body: at least as long as announced, because the client counts characters instead of bytes.

    What is missing after that many bytes was sent together with them; if it does not come soon, it never will.
    """

    def __init__(self, handler: _Handler, headers: dict[str, str]) -> None:
        self._handler = handler
        self._left = _announced_length(headers)

    def read(self, size: int) -> bytes:
        """Read what has arrived, waiting only if that is nothing; nothing is the end."""
        self._handler.connection.settimeout(IDLE_S if self._left > 0 else GRACE_S)
        try:
            block: bytes = self._handler.rfile.read1(size)
        except TimeoutError:
            block = b""
        finally:
            self._handler.connection.settimeout(IDLE_S)
        self._left -= len(block)
        return block


class _Chunked:
    """A body in chunks."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler
        self._left = 0
        self._is_finished = False
        self._total = 0

    def read(self, size: int) -> bytes:
        if self._left == 0 and not self._is_finished:
            self._next()
        if self._is_finished:
            return b""
        block = self._handler.rfile.read(min(size, self._left))
        self._left -= len(block)
        if not block:
            raise _ConnectionEndedError
        if self._left == 0:
            self._handler.rfile.readline(3)
        return block

    def read_all(self) -> bytes:
        blocks = []
        while block := self.read(_BLOCK):
            self._total += len(block)
            if self._total > MAX_BODY:
                raise RequestError(413, f"The body is longer than {MAX_BODY} bytes.")
            blocks.append(block)
        return b"".join(blocks)

    def _next(self) -> None:
        try:
            self._left = int(self._handler.rfile.readline(100).split(b";")[0], 16)
        except ValueError:
            raise RequestError(400, "A chunk has no size.") from None
        if self._left < 0:
            raise RequestError(400, "A chunk has no size.")
        if self._left == 0:
            self._is_finished = True
            while self._handler.rfile.readline(MAX_HEADERS) not in (b"\r\n", b"\n", b""):
                pass


def _announced_length(headers: dict[str, str]) -> int:
    text = headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        raise RequestError(400, "The content length is no number.")
    return int(text)


def _relative(target: str) -> str:
    """Take scheme, host and leading slash off the target."""
    if target.startswith(("http://", "https://")):
        target = "/" + target.split("://", 1)[1].partition("/")[2]
    return target.removeprefix("/")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
