"""Tells open pages what changed of requests: server-sent events, one look at LinkAhead for all pages of a visitor."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.portal import requests_page
from heartbrain_ingest.portal.centres import Centres, Queue
from heartbrain_ingest.portal.following import Line, Row, read_by_ids, read_queue
from heartbrain_ingest.portal.ids import read_id
from heartbrain_ingest.portal.pages import logged_in, render
from heartbrain_ingest.portal.rights import may_change
from heartbrain_ingest.portal.security import COOKIE
from heartbrain_ingest.portal.visitors import Visitor, Visitors, acting_as
from heartbrain_ingest.postprocessing.linkahead_store import RECORD_TYPE
from heartbrain_ingest.postprocessing.requests import Request as Asked

_LOG = logging.getLogger(__name__)
_MOST_IDS = 1_200
#: Pages that one log-in may have open; a browser opens no more by itself.
MOST_STREAMS = 30
#: So often is looked while something may change, and while nothing can but new requests.
_BUSY_SECONDS, _IDLE_SECONDS = 2.0, 10.0
#: A line that means nothing, so that proxies do not take a quiet stream for a dead one.
_QUIET_SECONDS = 15.0
#: Looks at LinkAhead at the same time, so that a slow one does not take the threads of the pages.
_LOOKS_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen at a look."""

    number: int = 0
    requests: tuple[Asked, ...] = ()
    queue: Queue = field(default_factory=Queue)
    #: How many requests there are.
    total: int = 0


class Watch:
    """Looks at the requests that the open pages of one log-in show.

    Parameters
    ----------
    visitor
        Whose rights count.
    """

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.ids: Counter[int] = Counter()
        self.streams = 0
        self.is_over = False
        self.seen = Seen()
        self.task: asyncio.Task[None] | None = None
        self._mark: tuple[Any, ...] | None = None
        self._bell = asyncio.Event()

    async def next(self, number: int, seconds: float) -> Seen | None:
        """Give what was seen since a look; None when nothing changed for so long, or there is nothing more to see."""
        if self.seen.number == number and not self.is_over:
            try:
                await asyncio.wait_for(self._bell.wait(), seconds)
            except TimeoutError:
                return None
        return None if self.is_over or self.seen.number == number else self.seen

    def ring(self) -> None:
        """Let the streams look what is new."""
        self._bell.set()
        self._bell = asyncio.Event()

    @property
    def is_busy(self) -> bool:
        """Whether something that is shown may change by itself."""
        return self.seen.number == 0 or any(not one.is_settled for one in self.seen.requests)

    def look(self, ids: Sequence[int], centres: Centres) -> None:
        """Look once; in a thread."""
        with acting_as(self.visitor):
            question = db.Query(f"COUNT RECORD '{RECORD_TYPE}'")
            total = int(question.execute())
            # LinkAhead's mark of its content: where it is the same, nothing was written.
            mark = (question.etag, tuple(ids))
            is_same = question.etag is not None and mark == self._mark
            requests = self.seen.requests if is_same else tuple(read_by_ids(ids))
            queue = read_queue(self.visitor, centres, requests)
        self._mark = mark
        before = self.seen
        if before.number and (before.requests, before.queue, before.total) == (requests, queue, total):
            return
        self.seen = Seen(number=before.number + 1, requests=requests, queue=queue, total=total)


class Board:
    """All watches.

    Parameters
    ----------
    visitors
        Who is logged in.
    centres
        The computing centres.
    """

    def __init__(self, visitors: Visitors, centres: Centres) -> None:
        self._visitors = visitors
        self._centres = centres
        self._watches: dict[int, Watch] = {}
        self._limit: anyio.CapacityLimiter | None = None
        self.is_closed = False

    def join(self, visitor: Visitor, secret: str, ids: Sequence[int]) -> Watch | None:
        """Let one more page look; None when there are too many."""
        watch = self._watches.get(id(visitor))
        if self.is_closed or (watch is not None and watch.streams >= MOST_STREAMS):
            return None
        if watch is None:
            watch = self._watches[id(visitor)] = Watch(visitor)
            watch.task = asyncio.create_task(self._keep_looking(watch, secret))
        watch.streams += 1
        watch.ids.update(ids)
        return watch

    def leave(self, watch: Watch, ids: Sequence[int]) -> None:
        """End a page's look; with the last one nobody looks any more."""
        watch.streams -= 1
        watch.ids.subtract(ids)
        watch.ids += Counter()
        if watch.streams == 0:
            self._watches.pop(id(watch.visitor), None)
            if watch.task is not None:
                watch.task.cancel()

    def close(self) -> None:
        """End all streams: the server stops."""
        self.is_closed = True
        for watch in self._watches.values():
            watch.is_over = True
            watch.ring()

    @property
    def looking(self) -> int:
        """How many log-ins are looked for."""
        return len(self._watches)

    async def _keep_looking(self, watch: Watch, secret: str) -> None:
        if self._limit is None:
            self._limit = anyio.CapacityLimiter(_LOOKS_AT_ONCE)
        known: tuple[int, ...] = ()
        waited = _IDLE_SECONDS
        while self._visitors.knows(secret):
            ids = tuple(sorted(+watch.ids))
            if ids != known or waited >= (_BUSY_SECONDS if watch.is_busy else _IDLE_SECONDS):
                known, waited = ids, 0.0
                number = watch.seen.number
                try:
                    await anyio.to_thread.run_sync(watch.look, ids, self._centres, limiter=self._limit)
                except Exception as problem:  # noqa: BLE001 - whatever it is, the pages that follow go on
                    _LOG.warning("Requests can't be followed at the moment: %s", type(problem).__name__)
                if watch.seen.number != number:
                    watch.ring()
            await asyncio.sleep(_BUSY_SECONDS / 4)
            waited += _BUSY_SECONDS / 4
        watch.is_over = True
        watch.ring()


async def follow(request: Request) -> Response:
    """GET /requests/events: a stream of changes of the requests `ids`; `one` where it is for the page of one."""
    wishes = request.query_params
    words = wishes.get("ids", "").split(",")[:_MOST_IDS]
    ids = [number for word in words if (number := read_id(word)) is not None]
    board: Board = request.app.state.board
    watch = board.join(logged_in(request), request.cookies.get(COOKIE, ""), ids)
    if watch is None:
        return Response(status_code=503, headers={"Retry-After": "30"})
    return StreamingResponse(
        _stream(request, board, watch, ids),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _stream(request: Request, board: Board, watch: Watch, ids: Sequence[int]) -> AsyncIterator[bytes]:
    page = _OpenPage(request, ids)
    number = 0
    try:
        yield b"retry: 5000\n\n"
        while not watch.is_over:
            seen = await watch.next(number, _QUIET_SECONDS)
            if seen is None:
                yield b": still here\n\n"
                continue
            number = seen.number
            if change := await run_in_threadpool(page.change, seen):
                yield _message("change", change)
            if page.is_settled:
                yield _message("over", "")
                return
    finally:
        board.leave(watch, ids)


class _OpenPage:
    """What a page in a browser shows at the moment."""

    def __init__(self, request: Request, ids: Sequence[int]) -> None:
        self._request = request
        self._ids = frozenset(ids)
        self._is_one = "one" in request.query_params
        self._shown: dict[str, str] = {}
        self._states: dict[int, str] = {}
        self._total: int | None = None
        self._may = False
        self.is_settled = False

    def change(self, seen: Seen) -> str:
        """Give the parts of the page that are new, and what is to be said aloud."""
        visitor = logged_in(self._request)
        with acting_as(visitor):
            requests = [one for one in seen.requests if one.id in self._ids]
            self._may = may_change(visitor)
            lines = requests_page.make_lines(self._request, requests, seen.queue)
        self.is_settled = "more" not in self._request.query_params and all(one.is_settled for one in requests)
        parts = [part for line in lines for part in self._new_parts(line)]
        said = [one for line in lines for row in line.rows if (one := self._news(row))]
        is_more = self._total is not None and seen.total > self._total and "more" in self._request.query_params
        self._total = seen.total if self._total is None else self._total
        if is_more:
            parts += self._if_new("more", self._render("request_more.html"))
        if said:
            parts.append(self._render("request_said.html", said=said[:3]))
        return "\n".join(parts)

    def _new_parts(self, line: Line) -> list[str]:
        if self._is_one:
            row = line.rows[0]
            # Its log is not on the page yet.
            reload = row.request.is_settled
            text = self._render("request_state.html", row=row, swap=True, reload=reload, may=self._may)
            return self._if_new(f"state-{row.request.id}", text)
        parts = []
        if line.is_batch:
            parts += self._if_new(f"sum-{line.key}", self._render("request_sum.html", line=line, swap=True))
        for row in line.rows:
            text = self._render("request_row.html", row=row, in_batch=line.is_batch, swap=True, may=self._may)
            parts += self._if_new(f"request-{row.request.id}", text)
        return parts

    def _news(self, row: Row) -> str:
        before = self._states.get(row.request.id)
        self._states[row.request.id] = row.words.text
        names = ", ".join(name for _, name in row.inputs)
        return f"{row.title}, {names}: {row.words.text}" if before not in {None, row.words.text} else ""

    def _if_new(self, key: str, text: str) -> list[str]:
        if self._shown.get(key) == text:
            return []
        self._shown[key] = text
        return [text]

    def _render(self, template: str, **facts: Any) -> str:
        return bytes(render(self._request, template, **facts).body).decode()


def _message(event: str, text: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in text.split("\n"))
    return f"event: {event}\n{lines}\n".encode()


ROUTES = [Route("/requests/events", follow, methods=["GET"])]
