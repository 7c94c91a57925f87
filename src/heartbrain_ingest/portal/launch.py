"""Run a function: what fits the selection, its parameters, what would happen, one button."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heartbrain_ingest.errors import DatabaseError
from heartbrain_ingest.portal.centres import Centres
from heartbrain_ingest.portal.diary import note
from heartbrain_ingest.portal.following import read_by_names
from heartbrain_ingest.portal.forms import Field, make_fields, read_form
from heartbrain_ingest.portal.kinds import PLAIN
from heartbrain_ingest.portal.pages import Translate, go, logged_in, render, settings_of, tell, translator
from heartbrain_ingest.portal.patience import SlowError
from heartbrain_ingest.portal.plain import duration, size, translate
from heartbrain_ingest.portal.rights import is_refusal, may_change
from heartbrain_ingest.portal.selections import Selection, read_selection
from heartbrain_ingest.portal.visitors import Visitor
from heartbrain_ingest.postprocessing import bridge, registration
from heartbrain_ingest.postprocessing.catalogue import Misfit, Reason, fill_parameters, misfits, newest
from heartbrain_ingest.postprocessing.errors import BridgeSettingsError, ParametersError
from heartbrain_ingest.postprocessing.inputs import InputReader, InputRecord
from heartbrain_ingest.postprocessing.registration import Item, Preflight
from heartbrain_ingest.postprocessing.requests import Status
from hpc_bridge.errors import BridgeError
from hpc_bridge.protocol import Description

_SELECTION_SECONDS = 60.0
#: So many of what exists are linked one by one, so many reasons are named.
_SHOWN, _REASONS = 20, 6
_TOKEN = 24
#: More settings than these are shown when they are asked for.
_FEW_FIELDS = 3
#: Two clicks of the same visitor at the same moment follow each other.
_LOCKS = [threading.Lock() for _ in range(16)]


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Why a function does not fit some of the selected records, in plain words."""

    text: str
    count: int
    #: Whether somebody can mend it: what is of the wrong kind stays so.
    is_mendable: bool


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A function, and how it fits what is selected."""

    function: Description
    title: str
    description: str
    fitting: tuple[int, ...]
    obstacles: tuple[Obstacle, ...]
    #: Why nobody can run it at the moment.
    unavailable: str = ""


@dataclass(frozen=True, kw_only=True)
class Existing:
    """A request for the same that has a result or is under way."""

    record: InputRecord
    request: str
    is_finished: bool
    result: int | None


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a click would do."""

    ready: int
    time_each: str
    time_all: str
    size: str
    existing: tuple[Existing, ...]
    existing_count: int
    obstacles: tuple[Obstacle, ...]
    errors: Mapping[str, str]

    @property
    def can_run(self) -> bool:
        """Whether there is something to run."""
        return self.ready > 0 and not self.errors


@dataclass(frozen=True, kw_only=True)
class _Desk:
    """All that the pages of this part start from."""

    selection: Selection
    records: Mapping[int, InputRecord]
    reader: InputReader
    offers: tuple[Offer, ...]
    refused: tuple[Offer, ...]
    chosen: Offer | None

    @property
    def are_images(self) -> bool:
        """Whether all selected records are images."""
        return all(self.reader.is_a(one, ("MRImage",)) for one in self.records.values())


def show(request: Request) -> Response:
    """GET /run."""
    desk = _desk(request, request.query_params)
    return _page(request, desk, given=None, token=secrets.token_urlsafe(_TOKEN))


async def run(request: Request) -> Response:
    """POST /run: make the requests, or with `check` look at the page again."""
    form = await request.form()
    words = {key: str(value) for key, value in form.items()}
    return await run_in_threadpool(_run, request, words)


async def check(request: Request) -> Response:
    """POST /run/check: what a click would do now, as part of the page."""
    form = await request.form()
    words = {key: str(value) for key, value in form.items()}
    return await run_in_threadpool(_check, request, words)


def _check(request: Request, words: Mapping[str, str]) -> Response:
    desk = _desk(request, words)
    if desk.chosen is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    outlook, fields = _look_ahead(request, desk, desk.chosen, words)
    return render(
        request,
        "run_check.html",
        desk=desk,
        outlook=outlook,
        fields=fields,
        may_run=may_change(logged_in(request)),
        responsible=settings_of(request).responsible,
    )


def _run(request: Request, words: Mapping[str, str]) -> Response:
    _ = translator(request)
    visitor = logged_in(request)
    desk = _desk(request, words)
    token = words.get("token", "")
    if desk.chosen is None or not token or len(token) > 2 * _TOKEN:
        raise HTTPException(HTTPStatus.BAD_REQUEST, _("Choose a function first."))
    parameters, errors = _parameters(desk.chosen.function, words, _)
    if errors or "check" in words:
        return _page(request, desk, given=words, token=token)
    with _LOCKS[hash(visitor.name) % len(_LOCKS)]:
        plan = _plan(request, desk, desk.chosen, parameters)
        before = registration.registered_before(plan, user=visitor.name, token=token)
        try:
            names = before or registration.register(plan, user=visitor.name, token=token)
        except DatabaseError as problem:
            if is_refusal(problem):
                raise HTTPException(
                    HTTPStatus.FORBIDDEN,
                    _("Your account may look, but not run anything. Ask %(who)s.")
                    % {"who": settings_of(request).responsible},
                ) from None
            raise
    if not names:
        return _page(request, desk, given=words, token=token)
    if not before:
        note(
            request,
            "run",
            function=plan.function.name,
            version=plan.function.version,
            requests=len(names),
            first=names[0],
            parameters=dict(plan.parameters),
            inputs=[one.id for item in plan.ready for one in item.inputs][:200],
        )
        visitor.cache.clear()
        tell(request, _("Asked for. This page follows it by itself."))
    bridge.wake(settings_of(request))
    return go(f"/requests/{names[0]}") if len(names) == 1 else go("/requests")


def _page(request: Request, desk: _Desk, *, given: Mapping[str, str] | None, token: str) -> Response:
    visitor = logged_in(request)
    outlook, fields = (None, []) if desk.chosen is None else _look_ahead(request, desk, desk.chosen, given)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if outlook is not None and outlook.errors else HTTPStatus.OK
    return render(
        request,
        "run.html",
        status=status,
        desk=desk,
        address=lambda name: "/run?" + urlencode({**desk.selection.words, "function": name}),
        outlook=outlook,
        fields=fields,
        token=token,
        is_open=given is not None or len(fields) <= _FEW_FIELDS,
        may_run=may_change(visitor),
        responsible=settings_of(request).responsible,
    )


def _desk(request: Request, words: Mapping[str, str]) -> _Desk:
    _ = translator(request)
    visitor = logged_in(request)
    named = tuple(sorted((key, words[key]) for key in ("ids", "query", "group") if key in words))
    selection = visitor.cache.get(("selection", named), lambda: read_selection(words, _), seconds=_SELECTION_SECONDS)
    centres: Centres = request.app.state.centres
    reader = centres.reader
    records = visitor.cache.get(
        ("inputs", selection.ids), lambda: reader.read(selection.ids), seconds=_SELECTION_SECONDS
    )
    if not records:
        raise HTTPException(HTTPStatus.NOT_FOUND, _("Nothing is selected that you may see."))
    offers = [_offer(one, records, reader, _) for one in _catalogue(request, visitor)]
    # What is made for such records comes first, what takes anything last.
    offers.sort(key=lambda one: (not one.function.needs.record_types, -len(one.fitting), one.title.lower()))
    fitting = tuple(one for one in offers if one.fitting)
    wanted = words.get("function", "")
    chosen = next((one for one in fitting if one.function.name == wanted), None)
    if chosen is None and not wanted and len(fitting) == 1:
        chosen = fitting[0]
    return _Desk(
        selection=selection,
        records=records,
        reader=reader,
        offers=fitting,
        refused=tuple(one for one in offers if not one.fitting),
        chosen=chosen,
    )


def _catalogue(request: Request, visitor: Visitor) -> list[Description]:
    _ = translator(request)
    centres: Centres = request.app.state.centres
    try:
        return list(newest(centres.catalogue(visitor)).values())
    except (BridgeError, BridgeSettingsError, SlowError):
        raise HTTPException(
            HTTPStatus.SERVICE_UNAVAILABLE,
            _("The computing centre can't be asked at the moment. Try again in a minute; if it lasts, tell %(who)s.")
            % {"who": settings_of(request).responsible},
        ) from None


def _offer(function: Description, records: Mapping[int, InputRecord], reader: InputReader, _: Translate) -> Offer:
    fitting: list[int] = []
    found: list[Misfit] = []
    for number, record in records.items():
        problems = misfits(function, [record], reader)
        if problems:
            found.append(problems[0])
        else:
            fitting.append(number)
    about = " ".join(function.description.split())
    return Offer(
        function=function,
        title=_(function.title),
        description=_(about) if about else "",
        fitting=() if function.unavailable else tuple(fitting),
        obstacles=tuple(_obstacles(found, _)),
        unavailable=translate(function.unavailable, _) if fitting else "",
    )


def _obstacles(found: Sequence[Misfit], _: Translate) -> list[Obstacle]:
    counted = Counter((_reason(one, _), one.reason is not Reason.KIND) for one in found)
    return [
        Obstacle(text=text, count=count, is_mendable=is_mendable)
        for (text, is_mendable), count in counted.most_common(_REASONS)
    ]


def _reason(misfit: Misfit, _: Translate) -> str:
    if misfit.reason is Reason.KIND:
        needed = " / ".join(_kind(one, _) for one in misfit.need.split(" or "))
        return _("%(have)s; needed: %(need)s") % {"have": _kind(misfit.have, _), "need": needed}
    if misfit.reason is Reason.FILES:
        return f"{misfit.record}: {translate(misfit.have, _)}"
    if misfit.reason is Reason.NO_SUCH_FILE:
        return _("no file like %(pattern)s") % {"pattern": misfit.need}
    form = (
        _("%(have)s files; at most %(need)s")
        if misfit.reason is Reason.TOO_MANY_FILES
        else _("%(have)s GB; at most %(need)s GB")
    )
    return form % {"have": misfit.have, "need": misfit.need}


def _kind(name: str, _: Translate) -> str:
    return _(PLAIN[name]) if name in PLAIN else name


def _parameters(
    function: Description, words: Mapping[str, str] | None, _: Translate
) -> tuple[dict[str, Any], dict[str, str]]:
    if words is None:
        return {}, {}
    parameters, errors = read_form(function.parameters, words, _)
    if not errors:
        try:
            fill_parameters(function, parameters)
        except ParametersError as problem:
            errors = {"": translate(str(problem), _)}
    return parameters, errors


def _plan(request: Request, desk: _Desk, offer: Offer, parameters: Mapping[str, Any]) -> Preflight:
    return registration.preflight(
        settings_of(request),
        catalogue=[offer.function],
        function=offer.function.name,
        inputs=list(desk.records),
        parameters=parameters,
        reader=desk.reader,
        records=desk.records,
    )


def _look_ahead(
    request: Request, desk: _Desk, offer: Offer, given: Mapping[str, str] | None
) -> tuple[Outlook, list[Field]]:
    _ = translator(request)
    parameters, errors = _parameters(offer.function, given, _)
    fields = make_fields(offer.function.parameters, given, errors, _)
    ready: list[Item] = []
    existing: list[Item] = []
    if not errors:
        plan = _plan(request, desk, offer, parameters)
        ready = plan.ready
        existing = [item for item in plan.items if item.existing and not item.misfits]
    outlook = Outlook(
        ready=len(ready),
        time_each=duration(max((item.minutes for item in ready), default=0), _),
        time_all=duration(sum(item.minutes for item in ready), _),
        size=size(sum(item.size for item in ready), _),
        existing=tuple(_existing(existing[:_SHOWN])),
        existing_count=len(existing),
        obstacles=offer.obstacles,
        errors=errors,
    )
    return outlook, fields


def _existing(items: Sequence[Item]) -> list[Existing]:
    known = {one.name: one for one in read_by_names([item.existing for item in items])}
    return [
        Existing(
            record=item.inputs[0],
            request=item.existing,
            is_finished=item.existing_status is Status.FINISHED,
            result=next(iter(known[item.existing].results), None) if item.existing in known else None,
        )
        for item in items
    ]


ROUTES = [
    Route("/run", show, methods=["GET"]),
    Route("/run", run, methods=["POST"]),
    Route("/run/check", check, methods=["POST"]),
]
