"""The steward's page: runs, the ledger's sum, quarantine, what waits, the computing centre, disk."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heartbrain_ingest import quarantine
from heartbrain_ingest.errors import HeartbrainError
from heartbrain_ingest.overview import Status, Waiting, site_status
from heartbrain_ingest.portal.centres import SILENT_AFTER, Centres
from heartbrain_ingest.portal.diary import note
from heartbrain_ingest.portal.pages import Translate, go, logged_in, render, settings_of, tell, translator
from heartbrain_ingest.portal.visitors import roles_now
from heartbrain_ingest.runs import last_runs
from heartbrain_ingest.settings import Settings

#: Roles that LinkAhead told so long ago still count for looking. Unit: seconds.
_ROLES_SECONDS = 30.0
#: Less room than this, as a share of the disk, wants attention.
_LITTLE_ROOM = 0.1


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Room for some of the site's folders."""

    folders: tuple[str, ...]
    free: int
    total: int

    @property
    def is_short(self) -> bool:
        """Whether it is nearly full."""
        return self.free < _LITTLE_ROOM * self.total


def show(request: Request) -> Response:
    """GET /steward."""
    with_files = "files" in request.query_params
    _only_stewards(request, seconds=0.0 if with_files else _ROLES_SECONDS)
    settings = settings_of(request)
    _ = translator(request)
    centres: Centres = request.app.state.centres
    status = site_status(settings, with_requests=False)
    if with_files:
        note(request, "look at file names in quarantine")
    return render(
        request,
        "steward.html",
        runs=last_runs(settings),
        site=status,
        ledger=_ledger_words(status, _),
        waiting=[(one, _waiting_words(one, status, _)) for one in status.waiting],
        groups=quarantine.listed(settings, with_files=with_files),
        with_files=with_files,
        centres=centres.heard(),
        heard_since=datetime.now(UTC) - SILENT_AFTER,
        disks=_disks(settings),
    )


async def change(request: Request) -> Response:
    """POST /steward/quarantine: release or discard one group."""
    form = await request.form()
    return await run_in_threadpool(_change, request, form)


def _change(request: Request, form: FormData) -> Response:
    _only_stewards(request)
    _ = translator(request)
    settings = settings_of(request)
    action = str(form.get("action", ""))
    reason = str(form.get("reason", "")).strip()[:500]
    words = [word for word in str(form.get("files", "")).split(",") if word.isdigit()]
    if action not in {"release", "discard"} or not words:
        raise HTTPException(400, _("Nothing was chosen."))
    try:
        if action == "release":
            rows = quarantine.release(settings, words, reason or None)
            said = _("Files released: %(count)s. The next run takes them in again.")
        else:
            rows = quarantine.discard(settings, words, reason)
            said = _("Files left aside for good: %(count)s.")
    except HeartbrainError as problem:
        tell(request, str(problem).splitlines()[0], failed=True)
        return go("/steward")
    note(request, action, files=[row.id for row in rows], codes=sorted({row.code or "" for row in rows}))
    tell(request, said % {"count": len(rows)})
    return go("/steward")


def _only_stewards(request: Request, *, seconds: float = 0.0) -> None:
    # The ledger is no part of LinkAhead, which would look at the rights by itself.
    if settings_of(request).portal.steward_role not in roles_now(logged_in(request), seconds=seconds):
        raise HTTPException(403)


def _ledger_words(status: Status, _: Translate) -> list[tuple[str, int]]:
    words: Mapping[str, str] = {
        "converted": _("converted to images"),
        "stored": _("stored as they are"),
        "ignored": _("left aside by rule"),
        "quarantined": _("in quarantine"),
        "waiting": _("waiting"),
        "staged": _("being published"),
    }
    return [(words.get(outcome, outcome), count) for outcome, count in status.files.items()]


def _waiting_words(one: Waiting, status: Status, _: Translate) -> str:
    if one.quiet_s is None:
        return _("Its files are gone.")
    if one.quiet_s >= status.quiet_s:
        return _("Complete; the next run takes it.")
    return _("Quiet for %(quiet)s of %(needed)s minutes; or put a file named .complete beside it.") % {
        "quiet": round(one.quiet_s / 60),
        "needed": round(status.quiet_s / 60),
    }


def _disks(settings: Settings) -> list[Disk]:
    by_device: dict[int, dict[str, Any]] = {}
    for name, folder in settings.folders:
        if folder.is_dir():
            one = by_device.setdefault(folder.stat().st_dev, {"names": [], "folder": folder})
            one["names"].append(name)
    disks: list[Disk] = []
    for one in by_device.values():
        usage = shutil.disk_usage(one["folder"])
        disks.append(Disk(folders=tuple(one["names"]), free=usage.free, total=usage.total))
    return disks


ROUTES = [
    Route("/steward", show, methods=["GET"]),
    Route("/steward/quarantine", change, methods=["POST"]),
]
