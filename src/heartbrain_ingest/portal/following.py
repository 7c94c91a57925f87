"""Reads requests for the pages: newest first, in parts, batches as one line, each with its words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from linkahead.queries import count
from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.crawl.client import database_errors
from heartbrain_ingest.portal import asking
from heartbrain_ingest.portal.centres import Centres, Queue
from heartbrain_ingest.portal.pages import Translate
from heartbrain_ingest.portal.plain import COUNTED, Words, words_of
from heartbrain_ingest.portal.visitors import Visitor
from heartbrain_ingest.postprocessing.linkahead_store import RECORD_TYPE, LinkAheadStore
from heartbrain_ingest.postprocessing.registration import RULES_USER
from heartbrain_ingest.postprocessing.requests import ACTIVE, Request, Status

#: Requests are read in such parts, and so many at most for one page.
_PART, _MOST_READ = 200, 1_000
_IDS_AT_ONCE, _NAMES_AT_ONCE = 40, 20
_MOST_NAMES_KEPT = 20_000
_NAMES_SECONDS, _RANKS_SECONDS = 600.0, 4.0

#: What the page can be narrowed to.
STATES: Mapping[str, frozenset[Status]] = {
    "open": ACTIVE,
    "finished": frozenset({Status.FINISHED}),
    "ended": frozenset({Status.FAILED, Status.LOST, Status.REFUSED, Status.CANCELLED}),
}
_RETRIABLE = STATES["ended"]
_CANCELLABLE = ACTIVE - {Status.CANCEL, Status.CANCELLING}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One request as the page shows it."""

    request: Request
    title: str
    #: Number and name of each input.
    inputs: tuple[tuple[int, str], ...]
    words: Words
    #: Who asked.
    asker: str
    #: 0 to 100 while it runs, where the function tells.
    percent: int | None

    @property
    def may_cancel(self) -> bool:
        """Whether it can still be ended."""
        return self.request.status in _CANCELLABLE

    @property
    def may_retry(self) -> bool:
        """Whether it ended without a result."""
        return self.request.status in _RETRIABLE


@dataclass(frozen=True, kw_only=True)
class Line:
    """What was asked for at one moment: one request, or a batch."""

    rows: tuple[Row, ...]
    #: Number, tone and words of each kind of state.
    counts: tuple[tuple[int, str, str], ...]

    @property
    def key(self) -> int:
        """Names the line: the number of its newest request."""
        return self.rows[0].request.id

    @property
    def is_batch(self) -> bool:
        """Whether it opens."""
        return len(self.rows) > 1

    @property
    def ids(self) -> list[int]:
        """Numbers of its requests."""
        return [row.request.id for row in self.rows]

    @property
    def is_live(self) -> bool:
        """Whether something of it can still change by itself."""
        return any(not row.request.is_settled for row in self.rows)

    @property
    def done(self) -> int:
        """How many are over."""
        return sum(row.request.is_settled for row in self.rows)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A part of the requests."""

    requests: tuple[Request, ...]
    total: int
    #: Where the next page begins; None on the last.
    older: int | None


def question_of(*, mine: str = "", state: str = "") -> str:
    """Give the question for requests, of a user and in some states if wished."""
    conditions = []
    if mine:
        conditions.append(f"SubmittedBy='{escape_squoted_text(mine)}'")
    if state in STATES:
        conditions.append("(" + " OR ".join(f"Status='{one}'" for one in sorted(STATES[state])) + ")")
    where = f" WITH {' AND '.join(conditions)}" if conditions else ""
    return f"RECORD '{RECORD_TYPE}'{where}"


def read_page(question: str, *, older: int | None, lines: int) -> Page:
    """Read the newest requests before a place.

    Parameters
    ----------
    question
        What `question_of` gives.
    older
        Requests from this place on, counted from the oldest, are left out.
    lines
        So many lines, unless batches are large.
    """
    with database_errors("counting requests"):
        total = int(count(f"COUNT {question}"))
    end = total if older is None else max(0, min(older, total))
    found: list[Request] = []
    place = end
    while place > 0 and len(found) < _MOST_READ and len(batches(found)) <= lines:
        start = max(0, place - _PART)
        part = asking.retrieve(f"FIND {question}", start, place - start).entities
        found += reversed(LinkAheadStore().read(sorted(part, key=lambda one: int(one.id))))
        place = start
    groups = batches(found)
    # The oldest batch may go on before what was read.
    shown = groups[:lines] if place == 0 or len(groups) == 1 else groups[: min(lines, len(groups) - 1)]
    requests = tuple(one for group in shown for one in group)
    older = end - len(requests)
    return Page(requests=requests, total=total, older=older if requests and older > 0 else None)


def read_by_ids(ids: Iterable[int]) -> list[Request]:
    """Give requests by number, newest first; what is no request, or not the visitor's to see, is left out."""
    entities = asking.retrieve_entities(ids)
    records = [one for one in entities.values() if any(parent.name == RECORD_TYPE for parent in one.parents)]
    return sorted(LinkAheadStore().read(records), key=lambda one: one.id, reverse=True)


def read_by_names(names: Sequence[str]) -> list[Request]:
    """Give requests by name."""
    records: list[Any] = []
    for start in range(0, len(names), _NAMES_AT_ONCE):
        meant = " OR ".join(f"name='{escape_squoted_text(one)}'" for one in names[start : start + _NAMES_AT_ONCE])
        records += asking.retrieve(f"FIND RECORD '{RECORD_TYPE}' WITH {meant}", 0, 2 * _NAMES_AT_ONCE).entities
    return LinkAheadStore().read(records)


def batches(requests: Sequence[Request]) -> list[list[Request]]:
    """Put together what was asked for at the same moment by the same user."""
    return [
        list(group)
        for _, group in groupby(
            requests, lambda one: (one.requested, one.submitted_by, one.function, one.version, one.parameters)
        )
    ]


def read_queue(visitor: Visitor, centres: Centres, requests: Iterable[Request]) -> Queue:
    """Ask how far the computing centres are, where a request waits there."""
    if not any(one.job and not one.is_settled for one in requests):
        return Queue()
    return centres.queue(visitor.cache.get("ranks", _ranks, seconds=_RANKS_SECONDS))


def _ranks() -> dict[str, int]:
    found = asking.retrieve(f"FIND RECORD '{RECORD_TYPE}' WITH Status='{Status.RUNNING}'", 0, _MOST_READ).entities
    known = [one for one in LinkAheadStore().read(found) if one.submitted is not None]
    known.sort(key=lambda one: (one.submitted, _natural(one.scheduler_id)))
    return {one.job: rank for rank, one in enumerate(known)}


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", text)]


def make_lines(
    requests: Sequence[Request],
    *,
    queue: Queue,
    names: Mapping[int, str],
    titles: Mapping[str, str],
    responsible: str,
    _: Translate,
) -> list[Line]:
    """Make what the pages show of requests.

    Parameters
    ----------
    requests
        Newest first.
    queue
        How far the computing centres are.
    names
        Names of the inputs by number.
    titles
        Titles of the functions by name.
    responsible
        Whom to tell of what one can't mend.
    """
    lines = []
    for group in batches(requests):
        rows = tuple(
            Row(
                request=one,
                title=_(titles.get(one.function, one.function)),
                inputs=tuple((number, names.get(number, str(number))) for number in one.inputs),
                words=words_of(one, queue.stand(one.job), _, responsible=responsible),
                asker=_("a rule of this site") if one.submitted_by == RULES_USER else one.submitted_by,
                percent=_percent(one),
            )
            for one in group
        )
        counts = tuple(
            (number, tone, _(text))
            for tone, text, states in COUNTED
            if (number := sum(one.status in states for one in group))
        )
        lines.append(Line(rows=rows, counts=counts))
    return lines


def _percent(request: Request) -> int | None:
    if request.status is not Status.RUNNING or request.progress is None:
        return None
    return max(0, min(100, round(request.progress * 100)))


def name_inputs(visitor: Visitor, requests: Iterable[Request]) -> dict[int, str]:
    """Give the names of inputs by number; what was asked a moment ago is not asked again."""
    known: dict[int, str] = visitor.cache.get("names of inputs", dict, seconds=_NAMES_SECONDS)
    if len(known) > _MOST_NAMES_KEPT:
        known.clear()
    missing = sorted({number for one in requests for number in one.inputs} - known.keys())
    for start in range(0, len(missing), _IDS_AT_ONCE):
        part = missing[start : start + _IDS_AT_ONCE]
        meant = " OR ".join(f"id={number}" for number in part)
        question = f"SELECT name FROM RECORD WITH {meant}"  # noqa: S608 - LinkAhead's language, and numbers only
        _, root = asking.retrieve_xml(question, 0, len(part))
        known |= {int(one.get("id")): one.get("name") or one.get("id") for one in root.iterfind("Record")}
        known |= {number: str(number) for number in part if number not in known}
    return dict(known)
