"""Who uses the portal: sessions of LinkAhead, and a connection of the client that sends each visitor's own."""

from __future__ import annotations

import contextvars
import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

from linkahead.connection.connection import (
    _DefaultCaosDBServerConnection as DefaultConnection,  # the client names no public one
)
from linkahead.connection.interface import CaosDBHTTPResponse, CaosDBServerConnection
from linkahead.connection.utils import auth_token_to_cookie, parse_auth_token, urlencode
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException

from heartbrain_ingest.crawl.client import database_errors, db
from heartbrain_ingest.errors import DatabaseError
from heartbrain_ingest.settings import Settings

T = TypeVar("T")
#: Connections to a LinkAhead server that are kept open.
_POOL = 32
_CONNECT_SECONDS = 5.0
_MOST_VISITORS = 10_000
_UNAUTHORIZED, _FORBIDDEN = 401, 403


class Cache:
    """What one visitor was told a moment ago; nobody else's answers are in it."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, tuple[float, Any]] = OrderedDict()

    def get(self, key: object, make: Callable[[], T], *, seconds: float) -> T:
        """Give what was made for a key not longer ago than that, or make it."""
        now = time.monotonic()
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
        if known is not None and known[0] > now:
            found: T = known[1]
            return found
        made = make()
        with self._lock:
            self._kept[key] = (now + seconds, made)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made

    def clear(self) -> None:
        """Forget all: the visitor changed something."""
        with self._lock:
            self._kept.clear()


@dataclass(kw_only=True)
class Visitor:
    """Who is logged in."""

    name: str
    roles: frozenset[str]
    #: LinkAhead's session; sent with every question of this visitor, and with nobody else's.
    token: str = field(repr=False)
    cache: Cache = field(default_factory=Cache, repr=False)
    #: What the next page tells: (text, whether something failed).
    notices: list[tuple[str, bool]] = field(default_factory=list, repr=False)
    #: Moment after which the visitor logs in again, and the one after which nothing delays that any more.
    until: float = 0.0
    end: float = 0.0


_current: contextvars.ContextVar[Visitor | None] = contextvars.ContextVar("visitor", default=None)


@contextmanager
def acting_as(visitor: Visitor | None) -> Iterator[None]:
    """Let the client, in this context, speak for a visitor."""
    reset = _current.set(visitor)
    try:
        yield
    finally:
        _current.reset(reset)


class VisitorConnection(CaosDBServerConnection):
    """The client's one connection of the process, which sends the session of whoever asks.

    Parameters
    ----------
    inner
        Carries the requests.
    """

    def __init__(self, inner: CaosDBServerConnection) -> None:
        self.inner = inner

    def configure(self, **config: Any) -> None:
        """Configure what carries the requests; it keeps no cookies, so that nobody gets another's session."""
        self.inner.configure(**config)  # type: ignore[no-untyped-call]  # the client is half typed
        session = getattr(self.inner, "_session", None)
        if session is not None:
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            for prefix, adapter in list(session.adapters.items()):
                if type(adapter) is HTTPAdapter:
                    session.mount(prefix, HTTPAdapter(pool_connections=4, pool_maxsize=_POOL))

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None, **more: Any
    ) -> CaosDBHTTPResponse:
        """Send a request as the present visitor; as nobody where there is none."""
        named = {key: value for key, value in (headers or {}).items() if key.lower() != "cookie"}
        visitor = _current.get()
        if visitor is not None:
            named["Cookie"] = auth_token_to_cookie(visitor.token)
        try:
            response = self.inner.request(method=method, path=path, headers=named, body=body, **more)
            streamed = getattr(response, "response", None)
            if streamed is not None and not path.startswith("FileSystem"):
                # Read here: what breaks off later would be no exception of the client's.
                _ = streamed.content
            renewed = parse_auth_token(response.getheader("Set-Cookie"))
            if visitor is not None and renewed:
                visitor.token = renewed
            return response
        except RequestException as problem:
            # The client lets time-outs through as they are.
            raise db.LinkAheadConnectionError(type(problem).__name__) from problem


class LinkAheadGate:
    """Logs visitors in and out.

    Parameters
    ----------
    connection
        The connection that `open_gate` configured the client with.
    """

    def __init__(self, connection: VisitorConnection) -> None:
        self._connection = connection

    def log_in(self, name: str, password: str) -> Visitor | None:
        """Give the visitor; None when name and password do not fit.

        Raises
        ------
        DatabaseError
            When LinkAhead does not answer.
        """
        with acting_as(None), database_errors("logging in"):
            response = self._connection.request(
                "POST",
                "login",
                headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/xml"},
                body=urlencode({"username": name, "password": password}),
            )
            status = int(response.status)
            token = parse_auth_token(response.getheader("Set-Cookie"))
            response.read()
        if status in {_UNAUTHORIZED, _FORBIDDEN}:
            return None
        if token is None:
            raise DatabaseError(f"logging in: the server answered with status {status}")
        visitor = Visitor(name=name, roles=frozenset(), token=token)
        with acting_as(visitor):
            visitor.name, visitor.roles = _who_am_i(name)
        return visitor

    def log_out(self, visitor: Visitor) -> None:
        """End the visitor's session at LinkAhead, if it can be reached."""
        with acting_as(visitor):
            try:
                self._connection.request("DELETE", "logout").read()
            except db.LinkAheadException:
                return


def roles_now(visitor: Visitor, *, seconds: float = 0.0) -> frozenset[str]:
    """Ask LinkAhead for the roles of the present visitor: they may have changed since the log-in.

    Parameters
    ----------
    visitor
        Who asks.
    seconds
        An answer may be so old.
    """
    if seconds:
        visitor.name, visitor.roles = visitor.cache.get("roles", lambda: _who_am_i(visitor.name), seconds=seconds)
    else:
        visitor.name, visitor.roles = _who_am_i(visitor.name)
    return visitor.roles


def _who_am_i(name: str) -> tuple[str, frozenset[str]]:
    with database_errors("asking who logged in"):
        user = db.Info().user_info
    if user is None:
        raise DatabaseError("asking who logged in: no answer")
    return str(user.name or name), frozenset(map(str, user.roles or ()))


def open_gate(settings: Settings) -> LinkAheadGate:
    """Connect this process's client to LinkAhead for many visitors.

    From then on nothing in this process may connect the client in another way.

    Raises
    ------
    DatabaseError
        When the configuration can't be read or the database can't be opened.
    """
    from linkahead.connection.connection import configure_connection  # noqa: PLC0415 - with the client

    connection = VisitorConnection(_carrier(settings))
    timeout = (min(_CONNECT_SECONDS, settings.portal.linkahead_seconds), settings.portal.linkahead_seconds)
    options: dict[str, Any] = {"timeout": timeout, "password_method": "unauthenticated"}
    ini = settings.linkahead.ini
    with database_errors("connecting"):
        if ini is None:
            options["url"] = "http://localhost/"
        elif not ini.is_file():
            raise DatabaseError(f"{ini} does not exist")
        else:
            try:
                db.configuration.configure(str(ini))
            except Exception as error:  # of the parser, of the schema of the options, and built-in ones
                raise DatabaseError(f"{ini}: {error}") from error
        configure_connection(implementation=lambda: connection, **options)  # type: ignore[no-untyped-call]
    return LinkAheadGate(connection)


def _carrier(settings: Settings) -> CaosDBServerConnection:
    if settings.linkahead.ini is not None:
        inner: CaosDBServerConnection = DefaultConnection()  # type: ignore[no-untyped-call]
        return inner
    from linkahead_embedded.bootstrap import open_application  # noqa: PLC0415 - only without a server
    from linkahead_embedded.errors import EmbeddedError  # noqa: PLC0415 - the same
    from linkahead_embedded.inprocess import InProcessConnection  # noqa: PLC0415 - the same

    try:
        return InProcessConnection(open_application(settings.database, settings.folders.archive), None)
    except EmbeddedError as error:
        raise DatabaseError(f"opening {settings.database}: {error}") from error


class Visitors:
    """The visitors that are logged in, by the secret that their browsers keep.

    Parameters
    ----------
    hours
        Who does nothing for so long logs in again. Unit: hours.
    longest_hours
        Everybody does after so long. Unit: hours.
    clock
        Seconds that only grow.
    """

    def __init__(
        self, *, hours: float, longest_hours: float = 24.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = hours * 3600
        self._longest = longest_hours * 3600
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Visitor] = OrderedDict()

    def admit(self, visitor: Visitor) -> str:
        """Remember a visitor; give the secret for the browser's cookie."""
        secret = secrets.token_urlsafe(32)
        now = self._clock()
        visitor.until, visitor.end = now + self._seconds, now + self._longest
        with self._lock:
            self._known[_digest(secret)] = visitor
            while len(self._known) > _MOST_VISITORS:
                self._known.popitem(last=False)
        return secret

    def find(self, secret: str) -> Visitor | None:
        """Give the visitor of a cookie, who then may stay longer; None for nobody."""
        now = self._clock()
        with self._lock:
            key = _digest(secret)
            visitor = self._known.get(key)
            if visitor is None:
                return None
            if visitor.until <= now:
                del self._known[key]
                return None
            visitor.until = min(now + self._seconds, visitor.end)
            self._known.move_to_end(key)
            return visitor

    def knows(self, secret: str) -> bool:
        """Say whether a cookie is a visitor's; unlike `find` it lets nobody stay longer."""
        with self._lock:
            visitor = self._known.get(_digest(secret))
            return visitor is not None and visitor.until > self._clock()

    def dismiss(self, secret: str) -> None:
        """Forget a visitor."""
        with self._lock:
            self._known.pop(_digest(secret), None)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
