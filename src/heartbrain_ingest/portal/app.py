"""The portal as one ASGI application."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from linkahead.exceptions import LinkAheadConnectionError, LinkAheadException, LoginFailedError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from heartbrain_ingest.errors import DatabaseError, HeartbrainError
from heartbrain_ingest.portal import (
    callback,
    completion,
    doors,
    events,
    groups,
    launch,
    record,
    requests_page,
    search,
    steward,
    thumbnails,
)
from heartbrain_ingest.portal.centres import Centres
from heartbrain_ingest.portal.diary import Diary
from heartbrain_ingest.portal.pages import render, translator
from heartbrain_ingest.portal.security import FailureLimit, Guard
from heartbrain_ingest.portal.visitors import LinkAheadGate, Visitors, open_gate
from heartbrain_ingest.settings import Settings

_LOG = logging.getLogger(__name__)
DIARY = "portal-diary.jsonl"
#: A ward's computers may share one address.
_NAMES_PER_ADDRESS = 6
_LOG_INS_AT_ONCE = 4

#: The pages; each module holds the routes of one.
_PARTS: tuple[list[Route], ...] = (
    doors.ROUTES,
    record.ROUTES,
    search.ROUTES,
    completion.ROUTES,
    groups.ROUTES,
    thumbnails.ROUTES,
    launch.ROUTES,
    events.ROUTES,
    requests_page.ROUTES,
    steward.ROUTES,
    callback.ROUTES,
)


def make_app(settings: Settings) -> Starlette:
    """Make the portal of a site. It connects this process's LinkAhead client: a process serves one portal.

    Raises
    ------
    DatabaseError
        When LinkAhead's configuration can't be read or its database can't be opened.
    BridgeSettingsError
        When a secret for the agents' calls is missing or may be read by others.
    """
    gate: LinkAheadGate = open_gate(settings)
    visitors = Visitors(hours=settings.portal.session_hours, longest_hours=settings.portal.longest_session_hours)
    middleware = [Middleware(Guard, visitors=visitors, is_tls=is_tls(settings), explain=_surprise)]
    if settings.portal.hosts:
        middleware.insert(0, Middleware(TrustedHostMiddleware, allowed_hosts=list(settings.portal.hosts)))
    app = Starlette(
        routes=[
            # Pages are not packed: a token beside words that a visitor chose could be told from the length.
            Mount("/static", GZipMiddleware(StaticFiles(packages=[("heartbrain_ingest.portal", "static")]))),
            *(route for part in _PARTS for route in part),
        ],
        middleware=middleware,
        exception_handlers=_HANDLERS,
    )
    app.state.settings = settings
    app.state.gate = gate
    app.state.visitors = visitors
    app.state.is_tls = is_tls(settings)
    app.state.failures_by_name = FailureLimit(settings.portal.logins_per_minute)
    app.state.failures_by_address = FailureLimit(settings.portal.logins_per_minute * _NAMES_PER_ADDRESS)
    app.state.log_ins = ThreadPoolExecutor(_LOG_INS_AT_ONCE, thread_name_prefix="log-in")
    app.state.diary = Diary(settings.folders.logs / DIARY)
    app.state.centres = Centres(settings)
    app.state.board = events.Board(visitors, app.state.centres)
    app.state.doorbell = callback.open_bell(settings)
    return app


def is_tls(settings: Settings) -> bool:
    """Tell whether browsers reach the portal by https."""
    return settings.portal.behind_tls or settings.portal.certificate is not None


def _http_problem(request: Request, problem: Exception) -> Response:
    status = problem.status_code if isinstance(problem, HTTPException) else 500
    _ = translator(request)
    words = {
        404: _("There is no such page, or it is not yours to see."),
        403: _("You may not do this. Ask your data steward."),
        405: _("This page can't be used in this way."),
    }
    text = words.get(status) or HTTPStatus(status).phrase
    if isinstance(problem, HTTPException) and problem.detail != HTTPStatus(status).phrase:
        text = problem.detail
    return render(request, "problem.html", status=status, title=_("That did not work"), text=text, reference="")


def _silence(request: Request, problem: Exception) -> Response:
    """Say that LinkAhead does not answer, or not in a way that can be used."""
    if _is_logged_out(problem):
        request.app.state.visitors.dismiss(request.cookies.get("heartbrain", ""))
        headers = {"HX-Redirect": "/login"} if request.headers.get("hx-request") else {"Location": "/login?ended=1"}
        return Response(status_code=401 if request.headers.get("hx-request") else 303, headers=headers)
    _ = translator(request)
    _LOG.warning("LinkAhead: %s", type(problem.__cause__ or problem).__name__)
    if isinstance(problem.__cause__ or problem, LinkAheadConnectionError):
        text = _("LinkAhead does not answer. Try again in a minute; if it lasts, tell your data steward.")
        return render(request, "problem.html", status=503, title=_("Please wait"), text=text, reference="")
    text = _("LinkAhead refused:") + " " + _first_line(problem)
    return render(request, "problem.html", status=502, title=_("That did not work"), text=text, reference="")


def _plain(request: Request, problem: Exception) -> Response:
    """Show an error of ours as it is: it is written for people."""
    _ = translator(request)
    return render(
        request, "problem.html", status=400, title=_("That did not work"), text=_first_line(problem), reference=""
    )


def _surprise(request: Request, problem: Exception) -> Response:
    reference = secrets.token_hex(4)
    _LOG.error("A page failed, reference %s.", reference, exc_info=problem)
    _ = translator(request)
    text = _("Something went wrong inside the portal. Tell your data steward this number:")
    return render(request, "problem.html", status=500, title=_("That did not work"), text=text, reference=reference)


def _is_logged_out(problem: BaseException | None) -> bool:
    while problem is not None:
        if isinstance(problem, LoginFailedError):
            return True
        problem = problem.__cause__
    return False


def _first_line(problem: Exception) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:500]


_HANDLERS: dict[Any, Callable[[Request, Exception], Response]] = {
    HTTPException: _http_problem,
    DatabaseError: _silence,
    LinkAheadException: _silence,
    HeartbrainError: _plain,
}
