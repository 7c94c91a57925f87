"""Log in, log out, choose a language."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from heartbrain_ingest.portal.pages import LANGUAGE_COOKIE, go, render, translator, visitor_of
from heartbrain_ingest.portal.security import COOKIE, FailureLimit, session_cookie
from heartbrain_ingest.portal.texts import LANGUAGES
from heartbrain_ingest.portal.visitors import LinkAheadGate, Visitors

_MOST_NAME, _MOST_PASSWORD = 200, 1024
_YEAR = 365 * 24 * 3600


def show_login(request: Request) -> Response:
    """GET /login."""
    _ = translator(request)
    hint = _("Your session has ended. Log in again.") if "ended" in request.query_params else ""
    return _login_page(request, hint=hint)


async def log_in(request: Request) -> Response:
    """POST /login."""
    form = await request.form()
    name, password = str(form.get("name", ""))[:_MOST_NAME], str(form.get("password", ""))
    target = _local(str(form.get("to", "")))
    # Passwords are slow to check: many at once must not keep others from their pages.
    few: ThreadPoolExecutor = request.app.state.log_ins
    spoken = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(few, spoken.run, _try, request, name, password, target)


def _try(request: Request, name: str, password: str, target: str) -> Response:
    _ = translator(request)
    state = request.app.state
    by_name: FailureLimit = state.failures_by_name
    by_address: FailureLimit = state.failures_by_address
    address = request.client.host if request.client else ""
    if seconds := by_address.attempt(address) or by_name.attempt(name):
        hint = _("Too many attempts. Wait %(seconds)s seconds.") % {"seconds": seconds}
        page = _login_page(request, hint=hint, status=429)
        page.headers["Retry-After"] = str(seconds)
        return page
    gate: LinkAheadGate = state.gate
    visitor = gate.log_in(name, password) if name and len(password) <= _MOST_PASSWORD else None
    if visitor is None:
        state.diary.write(name, "log-in refused")
        return _login_page(request, hint=_("Name and password do not fit."), status=401)
    by_name.forgive(name)
    by_address.forgive(address)
    visitors: Visitors = state.visitors
    visitors.dismiss(request.cookies.get(COOKIE, ""))
    state.diary.write(visitor.name, "log in")
    answer = RedirectResponse(target, status_code=303)
    # A new secret: one that somebody planted before the log-in is worth nothing.
    answer.headers.append("Set-Cookie", session_cookie(visitors.admit(visitor), is_tls=state.is_tls))
    return answer


def log_out(request: Request) -> Response:
    """POST /logout."""
    visitor = visitor_of(request)
    state = request.app.state
    state.visitors.dismiss(request.cookies.get(COOKIE, ""))
    if visitor is not None:
        state.gate.log_out(visitor)
        state.diary.write(visitor.name, "log out")
    answer = go("/login")
    answer.headers.append("Set-Cookie", session_cookie("", is_tls=state.is_tls))
    # Whoever uses this browser next sees nothing of what was shown; browsers obey behind TLS only.
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


async def choose_language(request: Request) -> Response:
    """POST /language."""
    form = await request.form()
    language = str(form.get("language", ""))
    answer = go(_local(str(form.get("to", ""))))
    if language in LANGUAGES:
        answer.set_cookie(LANGUAGE_COOKIE, language, max_age=_YEAR, samesite="strict", secure=request.app.state.is_tls)
    return answer


def _login_page(request: Request, *, hint: str = "", status: int = 200) -> Response:
    target = _local(request.query_params.get("to", ""))
    return render(request, "login.html", status=status, hint=hint, target=target)


def _local(target: str) -> str:
    """Give a path of this portal; the front page for anything that leads elsewhere."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    is_local = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return target if is_local and not parts.netloc and not parts.scheme else "/"


ROUTES = [
    Route("/login", show_login, methods=["GET"]),
    Route("/login", log_in, methods=["POST"]),
    Route("/logout", log_out, methods=["POST"]),
    Route("/language", choose_language, methods=["POST"]),
]
