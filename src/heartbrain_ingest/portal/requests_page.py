"""Follow requests: all of them, one of them, end one, try one again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heartbrain_ingest.errors import DatabaseError
from heartbrain_ingest.portal import asking, following
from heartbrain_ingest.portal.centres import Centres, Queue
from heartbrain_ingest.portal.diary import note
from heartbrain_ingest.portal.files import find_published
from heartbrain_ingest.portal.following import Line
from heartbrain_ingest.portal.forms import unit_words
from heartbrain_ingest.portal.ids import read_id
from heartbrain_ingest.portal.pages import go, logged_in, render, settings_of, tell, translator
from heartbrain_ingest.portal.patience import SlowError
from heartbrain_ingest.portal.rights import is_refusal, may_change
from heartbrain_ingest.postprocessing import bridge
from heartbrain_ingest.postprocessing.errors import BridgeSettingsError
from heartbrain_ingest.postprocessing.requests import Request as Asked
from heartbrain_ingest.postprocessing.requests import Status
from heartbrain_ingest.postprocessing.wishes import wish_for
from hpc_bridge.errors import BridgeError
from hpc_bridge.protocol import Description

_TAIL_BYTES = 64 * 1024
_MOST_LOGS = 12
_MOST_CHANGED = 1_000
#: What one looks into first.
_LOG_ORDER = ("stderr.txt", "stdout.txt")


def show_all(request: Request) -> Response:
    """GET /requests."""
    visitor, settings = logged_in(request), settings_of(request)
    wishes = request.query_params
    state = wishes.get("state", "") if wishes.get("state") in following.STATES else ""
    mine = "mine" in wishes
    older = read_id(wishes["older"]) if wishes.get("older") else None
    if older is None and wishes.get("older"):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    question = following.question_of(mine=visitor.name if mine else "", state=state)
    page = following.read_page(question, older=older, lines=settings.portal.page_size)
    lines, silent = look(request, page.requests)
    narrowed = {**({"state": state} if state else {}), **({"mine": "1"} if mine else {})}
    return render(
        request,
        "requests.html",
        lines=lines,
        silent=silent,
        total=page.total,
        older=_address({**narrowed, "older": str(page.older)}) if page.older is not None else "",
        newest=_address(narrowed) if older is not None else "",
        state=state,
        is_mine=mine,
        address=lambda **changed: _address({**narrowed, **changed}),
        stream=_stream(lines, more=older is None),
        may=may_change(visitor),
    )


def show_one(request: Request) -> Response:
    """GET /requests/{name}."""
    asked = _find(request)
    (line,), silent = look(request, [asked])
    return render(
        request,
        "request.html",
        row=line.rows[0],
        silent=silent,
        parameters=_parameters(request, asked),
        logs=_logs(request, asked),
        results=_results(asked),
        stream=_stream([line], one=True),
        may=may_change(logged_in(request)),
    )


async def change(request: Request) -> Response:
    """POST /requests/change: end requests, or try them again."""
    form = await request.form()
    words = {key: str(value) for key, value in form.items()}
    return await run_in_threadpool(_change, request, words)


def _change(request: Request, words: Mapping[str, str]) -> Response:
    _ = translator(request)
    wish = {"cancel": Status.CANCEL, "retry": Status.RETRY}.get(words.get("wish", ""))
    ids = [read_id(word.strip()) for word in words.get("ids", "").split(",") if word.strip()]
    known = [one for one in ids if one is not None]
    if len(known) < len(ids):
        raise HTTPException(HTTPStatus.BAD_REQUEST, _("This is no list of record numbers."))
    if len(known) > _MOST_CHANGED:
        raise HTTPException(HTTPStatus.BAD_REQUEST, _("These are too many records to name them one by one."))
    rows = [row for line in make_lines(request, following.read_by_ids(known), Queue()) for row in line.rows]
    if wish is None or not rows:
        raise HTTPException(HTTPStatus.BAD_REQUEST, _("Nothing was chosen."))
    meant = [row for row in rows if (row.may_cancel if wish is Status.CANCEL else row.may_retry)]
    try:
        answers = wish_for([str(row.request.id) for row in meant], wish)
    except DatabaseError as problem:
        if is_refusal(problem):
            raise HTTPException(
                HTTPStatus.FORBIDDEN,
                _("Your account may look at requests, but not change them. Ask %(who)s.")
                % {"who": settings_of(request).responsible},
            ) from None
        raise
    granted = sum(one.is_granted for one in answers)
    if granted:
        note(request, str(wish), requests=[row.request.name for row in meant][:200])
        bridge.wake(settings_of(request))
        said = _("Will be ended: %(count)s.") if wish is Status.CANCEL else _("Will be tried again: %(count)s.")
        tell(request, said % {"count": granted})
    if left := len(rows) - granted:
        tell(
            request,
            _("Left as it is, because it is over or changed at this moment: %(count)s.") % {"count": left},
            failed=True,
        )
    return go(_page_before(request))


def _page_before(request: Request) -> str:
    """Give the page of requests that the visitor came from."""
    before = urlsplit(request.headers.get("referer", ""))
    is_ours = before.path == "/requests" or before.path.startswith("/requests/")
    if not is_ours or before.netloc != request.headers.get("host"):
        return "/requests"
    return urlunsplit(("", "", before.path, before.query, ""))


def look(request: Request, requests: Sequence[Asked]) -> tuple[list[Line], datetime | None]:
    """Give the lines of requests, newest first, and since when a computing centre is silent."""
    queue = following.read_queue(logged_in(request), request.app.state.centres, requests)
    return make_lines(request, requests, queue), queue.silent_since


def make_lines(request: Request, requests: Sequence[Asked], queue: Queue) -> list[Line]:
    """Give the lines of requests in the visitor's language."""
    return following.make_lines(
        requests,
        queue=queue,
        names=following.name_inputs(logged_in(request), requests),
        titles={one.name: one.title for one in _catalogue(request)},
        responsible=settings_of(request).responsible,
        _=translator(request),
    )


def _stream(lines: Sequence[Line], *, more: bool = False, one: bool = False) -> str:
    """Give the address of the stream for a page; empty where nothing on it can change.

    Parameters
    ----------
    more
        Whether it tells of new requests.
    one
        Whether it is for the page of one request.
    """
    ids = ",".join(str(number) for line in lines if line.is_live for number in line.ids)
    if not ids and not more:
        return ""
    return "/requests/events?" + urlencode(
        {"ids": ids, **({"more": "1"} if more else {}), **({"one": "1"} if one else {})}
    )


def _catalogue(request: Request) -> list[Description]:
    centres: Centres = request.app.state.centres
    try:
        return centres.catalogue(logged_in(request))
    except (BridgeError, BridgeSettingsError, SlowError):
        return []  # the pages do without titles


def _find(request: Request) -> Asked:
    name = str(request.path_params["name"])[:200]
    number = read_id(name)
    found = following.read_by_names([name]) if number is None else following.read_by_ids([number])
    if len(found) != 1:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return found[0]


def _parameters(request: Request, asked: Asked) -> list[tuple[str, str, str]]:
    """Give title, value and unit of each parameter."""
    _ = translator(request)
    try:
        given = json.loads(asked.parameters or "{}")
    except (ValueError, RecursionError):
        return [("", asked.parameters, "")]
    if not isinstance(given, dict):
        return [("", asked.parameters, "")]
    schema: Mapping[str, Any] = next(
        (one.parameters for one in _catalogue(request) if (one.name, one.version) == (asked.function, asked.version)),
        {},
    )
    known = schema.get("properties", {})
    words = {True: _("yes"), False: _("no")}
    return [
        (
            _(known.get(name, {}).get("title") or name),
            words[value] if isinstance(value, bool) else value if isinstance(value, str) else json.dumps(value),
            unit_words(known.get(name, {}).get("unit", "")),
        )
        for name, value in given.items()
    ]


def _results(asked: Asked) -> list[tuple[int, str]]:
    found = asking.retrieve_entities(asked.results)
    return [(number, found[number].name or str(number)) for number in asked.results if number in found]


def _logs(request: Request, asked: Asked) -> list[dict[str, Any]]:
    """Read the ends of the log files."""
    archive = settings_of(request).folders.archive
    entities = asking.retrieve_entities(asked.logs[:_MOST_LOGS]) if asked.logs else {}
    logs = []
    for number, entity in entities.items():
        place = str(getattr(entity, "path", None) or "")
        published = find_published(archive, place)
        if published is None:
            continue
        text, is_whole = tail(published.path)
        logs.append({"id": number, "name": Path(place).name, "text": text, "is_whole": is_whole})
    return sorted(logs, key=lambda one: (_rank(one["name"]), one["name"]))


def _rank(name: str) -> int:
    return _LOG_ORDER.index(name) if name in _LOG_ORDER else len(_LOG_ORDER)


def tail(path: Path) -> tuple[str, bool]:
    """Read the last lines of a text file, 64 kB at most; say whether it is all of it."""
    with path.open("rb") as stream:
        length = stream.seek(0, 2)
        stream.seek(max(0, length - _TAIL_BYTES))
        body = stream.read(_TAIL_BYTES)
    is_whole = length <= _TAIL_BYTES
    if not is_whole:
        body = body.partition(b"\n")[2] or body
    # A progress bar writes over its line: what it wrote last stays.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in body.decode(errors="replace").split("\n")]
    return "\n".join("".join(one for one in line if one.isprintable() or one == "\t") for line in lines).strip(
        "\n"
    ), is_whole


def _address(words: Mapping[str, str]) -> str:
    kept = {name: value for name, value in words.items() if value}
    return f"/requests?{urlencode(kept)}" if kept else "/requests"


ROUTES = [
    Route("/requests", show_all, methods=["GET"]),
    Route("/requests/change", change, methods=["POST"]),
    Route("/requests/{name}", show_one, methods=["GET"]),
]
