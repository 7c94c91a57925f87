"""What stands before every page: headers, the log-in, proof that a change comes from our own page, limits."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heartbrain_ingest.portal.visitors import Visitors, acting_as

COOKIE = "heartbrain"
#: What a browser keeps before the log-in. Never the same cookie: a visitor who follows a link from elsewhere sends none
#: (SameSite=Strict), and a new one in its place would end the session.
DOOR_COOKIE = "heartbrain-door"
#: Form bodies are read whole before a page sees them.
MOST_BODY = 1 << 20
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Open without a log-in. The agent's call proves itself by its signature.
_OPEN = ("/login", "/static/", "/language")
_CALLBACK = "/callback/"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    # The viewer draws into data and blob addresses of its own.
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """Lets a request pass to the pages, with who asks in `scope["visitor"]`, or answers in their place.

    Parameters
    ----------
    app
        The pages.
    visitors
        Who is logged in.
    is_tls
        Whether browsers reach the portal by https.
    explain
        Makes the page for an error that nobody foresaw.
    """

    def __init__(
        self, app: ASGIApp, *, visitors: Visitors, is_tls: bool, explain: Callable[[Request, Exception], Response]
    ) -> None:
        self._app = app
        self._explain = explain
        self._visitors = visitors
        self._is_tls = is_tls
        self._key = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = scope["path"]
        secret = _cookie(headers, COOKIE)
        visitor = self._visitors.find(secret) if secret else None
        fresh = ""
        if visitor is None:
            secret = _cookie(headers, DOOR_COOKIE) or (fresh := secrets.token_urlsafe(32))
        scope["visitor"] = visitor
        scope["csrf"] = hmac.new(self._key, secret.encode(), hashlib.sha256).hexdigest()
        send = self._with_headers(send, fresh, is_static=path.startswith("/static/"))
        if path.startswith(_CALLBACK):
            await self._pass(scope, receive, send)
            return
        if scope["method"] not in _SAFE:
            body = await _read(receive)
            if body is None:
                await _refuse(413, "The form is too large.")(scope, receive, send)
                return
            if not self._is_ours(headers, body, scope["csrf"]):
                await _refuse(403, "The form is too old. Go back, load the page again and repeat it.")(
                    scope, receive, send
                )
                return
            receive = _replay(body, receive)
        if visitor is None and _comes_from_elsewhere(scope, headers):
            await HTMLResponse(_AGAIN)(scope, receive, send)
            return
        if visitor is None and not path.startswith(_OPEN):
            await self._to_login(scope, headers)(scope, receive, send)
            return
        with acting_as(visitor):
            await self._pass(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_begun = False

        async def sending(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as problem:
            if is_begun:
                raise
            await self._explain(Request(scope), problem)(scope, receive, send)

    @staticmethod
    def _to_login(scope: Scope, headers: Headers) -> Response:
        if headers.get("hx-request"):
            # Parts of a page can't be redirected: the whole page is.
            return Response(status_code=401, headers={"HX-Redirect": "/login"})
        target = scope["path"]
        if scope["method"] not in _SAFE:
            target = "/"
        elif scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        return RedirectResponse("/login" if target == "/" else f"/login?to={quote(target, safe='')}", status_code=303)

    @staticmethod
    def _is_ours(headers: Headers, body: bytes, expected: str) -> bool:
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return False
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return False
        given = headers.get("x-csrf-token")
        if given is None and headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            try:
                given = parse_qs(body.decode(), max_num_fields=10_000).get("csrf", [""])[0]
            except ValueError:
                return False
        return hmac.compare_digest((given or "").encode(), expected.encode())

    def _with_headers(self, send: Send, fresh: str, *, is_static: bool) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if self._is_tls:
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
                is_kept = is_static and message["status"] in {200, 304}
                headers.setdefault("Cache-Control", "public, max-age=31536000" if is_kept else "no-store")
                if fresh and not is_static:
                    headers.append("Set-Cookie", session_cookie(fresh, is_tls=self._is_tls, name=DOOR_COOKIE))
            await send(message)

        return sending


#: Loads itself again: then the request comes from our own page, and the browser sends its cookie.
_AGAIN = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0"><title>Heartbrain</title>'


def _comes_from_elsewhere(scope: Scope, headers: Headers) -> bool:
    """Tell whether somebody followed a link in a mail or on another site."""
    is_page = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return is_page and headers.get("sec-fetch-site") in {"cross-site", "same-site"}


def session_cookie(secret: str, *, is_tls: bool, name: str = COOKIE) -> str:
    """Write the header that lets a browser keep its secret; an empty one takes it away."""
    parts = [f"{name}={secret}", "Path=/", "HttpOnly", "SameSite=Strict"]
    if is_tls:
        parts.append("Secure")
    if not secret:
        parts.append("Max-Age=0")
    return "; ".join(parts)


_MINUTE = 60.0


class FailureLimit:
    """Counts attempts by name, so that nobody tries passwords fast.

    Parameters
    ----------
    most
        Failures in a minute.
    clock
        Seconds that only grow.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def attempt(self, name: str) -> int:
        """Count an attempt as a failure until `forgive`; give the seconds to wait where there were too many, else 0."""
        now = self._clock()
        with self._lock:
            attempts = self._failures.setdefault(name, deque(maxlen=self._most))
            self._failures.move_to_end(name)
            if len(attempts) == self._most and now - attempts[0] < _MINUTE:
                return int(_MINUTE - (now - attempts[0])) + 1
            attempts.append(now)
            while len(self._failures) > 10_000:  # noqa: PLR2004 - a limit of memory
                self._failures.popitem(last=False)
            return 0

    def forgive(self, name: str) -> None:
        """Take the last attempt back: it was none."""
        with self._lock:
            if attempts := self._failures.get(name):
                attempts.pop()


def _cookie(headers: Headers, name: str) -> str:
    jar = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except Exception:  # noqa: BLE001 - whatever a browser sends is no reason to fail
        return ""
    return jar[name].value if name in jar else ""


async def _read(receive: Receive) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BODY:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def replaying() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replaying


def _refuse(status: int, text: str) -> Response:
    return PlainTextResponse(text, status_code=status)
