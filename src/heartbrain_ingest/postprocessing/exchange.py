"""One exchange: what is to be done for each request, decided apart from how it is done.

`next_step` is the whole of the deciding. `Exchange` carries it out; it may die after any line, and several may work at
the same time: every step may be repeated, and the rename that publishes a result is what accepts it, once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from typing import Any, Protocol

from heartbrain_ingest.errors import DatabaseError, HeartbrainError
from heartbrain_ingest.postprocessing.errors import NotSendableError, UnavailableFunctionError
from heartbrain_ingest.postprocessing.requests import OF_STATE, WORDS, Request, Status
from heartbrain_ingest.postprocessing.store import RequestStore
from heartbrain_ingest.postprocessing.transports.base import JobStatus, Order, Outcome, Transport
from hpc_bridge.errors import (
    BridgeError,
    BucketError,
    DocumentError,
    LostRaceError,
    RefusedError,
    SignatureError,
    TooLargeError,
    UnclearError,
    VerificationError,
)
from hpc_bridge.protocol import State

log = logging.getLogger(__name__)

#: What says that nothing of a result may be believed.
_UNBELIEVABLE = (DocumentError, SignatureError, RefusedError, VerificationError, TooLargeError)
#: So many requests in a row that the database refuses mean that it does not work at all.
_PATIENCE = 3


class Step(Enum):
    """What is to be done next for a request."""

    #: Nothing.
    REST = auto()
    #: Prepare and publish it.
    SEND = auto()
    #: Write down where its job stands.
    FOLLOW = auto()
    #: Pass the wish to cancel on.
    CANCEL = auto()
    #: Take the result of its job, then tidy the job away.
    COLLECT = auto()
    #: Its job is not among the open ones: look whether it was tidied away.
    RECALL = auto()
    #: Begin the next attempt.
    RESTART = auto()
    #: Nobody brought its job to an end in time.
    EXPIRE = auto()


def next_step(request: Request, job: JobStatus | None, *, overdue: bool) -> Step:
    """Decide what is to be done.

    Parameters
    ----------
    request
        As the store has it.
    job
        The job of its present attempt; None when it is not open.
    overdue
        Whether the job should have come to an end long ago.
    """
    wish = request.status
    if job is None or job.state is State.CLOSED:
        if wish is Status.RETRY:
            return Step.RESTART
        if wish is Status.NEW and job is None and not request.job:
            return Step.SEND
        return Step.REST if request.is_settled and job is None else Step.RECALL
    if job.is_over:
        return Step.COLLECT
    if overdue:
        return Step.EXPIRE
    if wish is Status.CANCEL or (wish is Status.CANCELLING and not job.cancel_wished):
        return Step.CANCEL
    if wish is Status.CANCELLING or wish is OF_STATE[job.state]:
        return Step.REST
    return Step.FOLLOW


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A request, checked and completed."""

    version: str
    #: Filled with the defaults, as JSON and as values.
    parameters_text: str
    parameters: Mapping[str, Any]
    #: File by name in the job.
    inputs: Mapping[str, Path]
    project: str


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What was made of a result."""

    results: tuple[int, ...] = ()
    logs: tuple[int, ...] = ()


class Desk(Protocol):
    """Checks and completes requests before they are sent."""

    def prepare(self, request: Request) -> Prepared:
        """Give what is to be sent.

        NotSendableError when something is missing or does not fit, UnavailableFunctionError when it has to wait.
        """
        ...


class Shelf(Protocol):
    """Where results are put."""

    def accept(self, request: Request, outcome: Outcome, bring: Callable[[Path], None]) -> Accepted:
        """Put a result, or a failed job's logs, into place; done again it changes nothing.

        `bring` fetches the files into a folder, verified.
        """
        ...

    def note_closed(self, job: str) -> None:
        """Remember that the data of a job may be deleted after the retention time."""
        ...


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long is too long."""

    #: From asking to the end of a job, all waiting included.
    lost_after: timedelta = timedelta(days=30)
    #: A job of ours that no request knows is left alone for so long.
    orphan_after: timedelta = timedelta(days=1)


@dataclass
class ExchangeReport:
    """What one exchange did."""

    sent: int = 0
    refused: int = 0
    followed: int = 0
    cancelled: int = 0
    finished: int = 0
    failed: int = 0
    #: Jobs of ours without a request that were ended or tidied away.
    orphans: int = 0
    #: Requests that are at the computing centre after this exchange.
    open: int = 0
    #: What went wrong, one line each; the next exchange tries again.
    troubles: list[str] = field(default_factory=list)

    @property
    def did_anything(self) -> bool:
        """Whether anything changed."""
        return any((self.sent, self.refused, self.followed, self.cancelled, self.finished, self.failed, self.orphans))

    def add(self, other: ExchangeReport) -> None:
        """Add another's counts."""
        for name in ("sent", "refused", "followed", "cancelled", "finished", "failed", "orphans", "open"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.troubles += other.troubles


class Exchange:
    """Brings the requests of a store and the jobs of a transport together.

    Parameters
    ----------
    store, transport, desk, shelf
        What it works with.
    clock
        Gives the time, with a zone.
    limits
        How long is too long.
    """

    def __init__(
        self,
        *,
        store: RequestStore,
        transport: Transport,
        desk: Desk,
        shelf: Shelf,
        clock: Callable[[], datetime],
        limits: Limits = Limits(),
    ) -> None:
        self._store = store
        self._transport = transport
        self._desk = desk
        self._shelf = shelf
        self._clock = clock
        self._limits = limits
        self._report = ExchangeReport()
        self._refusals = 0

    def run(self) -> ExchangeReport:
        """Do one exchange. What goes wrong with one request does not stop the others.

        Raises
        ------
        BucketError
            When the store at the other side does not answer at all.
        DatabaseError
            When LinkAhead does not answer at all.
        """
        self._report, self._refusals = ExchangeReport(), 0
        # The jobs first: whatever made one of them had read its request before.
        jobs = self._transport.status()
        requests = self._store.active()
        known: set[str] = set()
        for request in requests:
            name = self._job_of(request)
            known.add(name)
            self._guarded(request.name, lambda: self._serve(request, jobs.get(name)))  # noqa: B023 - called at once
        self._show_progress(jobs)
        for name in sorted(jobs.keys() - known):
            self._guarded(name, lambda: self._settle(jobs[name]))  # noqa: B023 - called at once
        return self._report

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
            self._refusals = 0
        except LostRaceError:
            log.info("%s: another exchange was faster", name)
        except (UnclearError, TooLargeError) as problem:
            self._trouble(name, problem)
        except BucketError:
            raise
        except DatabaseError as problem:
            self._trouble(name, problem)
            self._refusals += 1
            if self._refusals >= _PATIENCE:
                raise
        except (BridgeError, HeartbrainError, OSError) as problem:
            self._trouble(name, problem)

    def _trouble(self, name: str, problem: Exception) -> None:
        log.warning("%s: %s", name, problem)
        self._report.troubles.append(f"{name}: {problem}")

    # one request

    def _serve(self, request: Request, job: JobStatus | None) -> None:
        steps = {
            Step.SEND: self._send,
            Step.FOLLOW: self._follow,
            Step.CANCEL: self._cancel,
            Step.COLLECT: self._collect,
            Step.RECALL: self._recall,
            Step.RESTART: self._restart,
            Step.EXPIRE: self._expire,
        }
        step = next_step(request, job, overdue=job is not None and self._is_overdue(request, job))
        if step in steps:
            steps[step](request, job)
        if job is not None and not job.is_over and job.state is not State.CLOSED:
            self._report.open += 1

    def _job_of(self, request: Request) -> str:
        """Give the job of the present attempt; once it was sent a new name of the record changes nothing."""
        return request.job or self._transport.job_name(request.name, request.attempt)

    def _is_overdue(self, request: Request, job: JobStatus) -> bool:
        now, limit = self._clock(), self._limits.lost_after
        if job.is_over or (request.requested is not None and request.requested + limit > now):
            return False
        try:
            asked = self._transport.detail(job).asked  # a later attempt is younger than its request
        except _UNBELIEVABLE:
            return True
        return asked is not None and asked + limit <= now

    def _send(self, request: Request, job: JobStatus | None) -> None:
        del job
        try:
            prepared = self._desk.prepare(request)
        except NotSendableError as problem:
            if self._write(request, status=Status.REFUSED, message=problem.detail):
                self._report.refused += 1
            return
        except UnavailableFunctionError as problem:
            message = f"It waits until the computing centre can run it: {problem.detail}"
            if request.message != message:
                self._write(request, message=message)
            return
        name = self._job_of(request)
        # What is sent is written down before: the next exchange sends the same, whatever is newest then.
        written = self._write(
            request,
            version=prepared.version,
            parameters=prepared.parameters_text,
            project=prepared.project,
            requested=request.requested or self._clock(),
        )
        if written is None:
            return
        order = Order(
            job=name,
            function=request.function,
            version=prepared.version,
            parameters=prepared.parameters,
            inputs=prepared.inputs,
        )
        try:
            job = self._transport.publish(order)
        except RefusedError as problem:
            if self._write(written, status=Status.REFUSED, message=f"It can't be sent: {problem.detail}."):
                self._report.refused += 1
            return
        self._report.sent += 1
        if not job.is_over and job.state is not State.CLOSED:
            self._report.open += 1
            status = OF_STATE[job.state]
            self._write(written, job=name, status=status, message=WORDS[status])
        elif job.is_over:
            self._collect(replace(written, job=name), job)
        else:
            self._recall(replace(written, job=name), None)

    def _follow(self, request: Request, job: JobStatus | None) -> None:
        assert job is not None  # noqa: S101 - next_step gives FOLLOW with a job only
        status = OF_STATE[job.state]
        detail = self._transport.detail(job)
        message = detail.message or WORDS[status]
        if request.status is Status.RETRY:
            message = f"It is still at work, so it is not tried again. {message}"
        if self._write(
            request,
            job=job.job,
            status=status,
            message=message,
            scheduler_id=detail.scheduler_id,
            submitted=detail.submitted,
            requested=request.requested or detail.asked,
        ):
            self._report.followed += 1

    def _cancel(self, request: Request, job: JobStatus | None) -> None:
        assert job is not None  # noqa: S101 - next_step gives CANCEL with a job only
        self._transport.cancel(job.job)
        if request.status is not Status.CANCELLING:
            self._write(request, job=job.job, status=Status.CANCELLING, message=WORDS[Status.CANCELLING])
        self._report.cancelled += 1

    def _expire(self, request: Request, job: JobStatus | None) -> None:
        assert job is not None  # noqa: S101 - next_step gives EXPIRE with a job only
        days = self._limits.lost_after.days
        self._transport.expire(job, f"No computing centre brought it to an end within {days} days.")
        fresh = self._transport.status().get(job.job)
        if fresh is not None and fresh.is_over:
            self._collect(request, fresh)

    def _collect(self, request: Request, job: JobStatus | None) -> None:
        assert job is not None  # noqa: S101 - next_step gives COLLECT with a job only
        try:
            # A late exchange may have asked once more for what was over: then its history says how it ended.
            outcome = self._transport.recall(job.job) or self._transport.outcome(job)
            settled = self._take(request, outcome)
        except _UNBELIEVABLE as problem:
            settled = self._doubt(request, job, problem)
        if settled:
            self._tidy(job)

    def _tidy(self, job: JobStatus) -> None:
        self._shelf.note_closed(job.job)
        self._transport.close(job)

    def _take(self, request: Request, outcome: Outcome) -> bool:
        """Accept what a job brought and write it down; say whether the job can be tidied away."""
        accepted = self._shelf.accept(request, outcome, lambda folder: self._transport.fetch(outcome, folder))
        status = OF_STATE[outcome.state]
        message = outcome.message if outcome.message and status is not Status.FINISHED else WORDS[status]
        facts: dict[str, Any] = {
            "job": outcome.job,
            "scheduler_id": outcome.scheduler_id or request.scheduler_id,
            "submitted": outcome.submitted,
            "began": outcome.began,
            "ended": outcome.ended,
            "cost": outcome.cost,
            "results": accepted.results,
            "logs": accepted.logs,
            "progress": 1.0 if status is Status.FINISHED else request.progress,
        }
        if request.status is Status.RETRY:
            # Somebody wanted another attempt before this one was tidied away.
            return self._write(request, **facts) is not None
        if self._is_written(request, status, facts):
            return True
        if self._write(request, status=status, message=message, **facts) is None:
            return False
        if status is Status.FINISHED:
            self._report.finished += 1
        else:
            self._report.failed += 1
        return True

    @staticmethod
    def _is_written(request: Request, status: Status, facts: Mapping[str, Any]) -> bool:
        return request.status is status and all(
            getattr(request, name) == facts[name] for name in ("job", "results", "logs")
        )

    def _doubt(self, request: Request, job: JobStatus, problem: Exception) -> bool:
        """Accept nothing; try again until the job is overdue, then call it failed."""
        detail = problem.detail if isinstance(problem, BridgeError) else str(problem)
        self._trouble(request.name, problem)
        if self._is_overdue_result(request):
            message = f"Failed: what came back can't be believed ({detail}). Tell who runs the agent."
            return self._write(request, job=job.job, status=Status.FAILED, message=message) is not None
        message = f"A result came back but can't be believed yet ({detail}); it is not used and fetched again."
        if request.message != message:
            self._write(request, job=job.job, message=message)
        return False

    def _is_overdue_result(self, request: Request) -> bool:
        return request.requested is None or request.requested + self._limits.lost_after <= self._clock()

    def _recall(self, request: Request, job: JobStatus | None) -> None:
        name = self._job_of(request)
        try:
            outcome = self._transport.recall(name)
            settled = outcome is not None and self._take(request, outcome)
        except _UNBELIEVABLE as problem:
            self._trouble(request.name, problem)
            message = "Its job is over, but what it brought is not to be had any more. Set the status to `retry`."
            settled = self._write(request, job=name, status=Status.LOST, message=message) is not None
            outcome = None
        else:
            if outcome is None and job is None:
                # Never published, or only half: nothing was run for it.
                if request.status in {Status.CANCEL, Status.CANCELLING}:
                    self._write(request, status=Status.CANCELLED, message="Cancelled before it was sent.")
                    self._report.cancelled += 1
                else:
                    self._send(request, None)
                return
        if job is not None and (settled or outcome is None):
            self._tidy(job)

    def _restart(self, request: Request, job: JobStatus | None) -> None:
        if job is not None:
            self._tidy(job)
        self._write(
            request,
            attempt=request.attempt + (1 if request.job else 0),
            status=Status.NEW,
            message=WORDS[Status.NEW],
            job="",
            scheduler_id="",
            submitted=None,
            began=None,
            ended=None,
            progress=None,
            cost=None,
            results=(),
            logs=(),
        )

    def _write(self, request: Request, **changes: Any) -> Request | None:
        changed = replace(request, **changes)
        return self._store.update(changed, request)

    # what is not about one active request

    def _show_progress(self, jobs: Mapping[str, JobStatus]) -> None:
        if not any(job.state is State.RUNNING for job in jobs.values()):
            return
        progress = self._transport.progress()
        if not progress:
            return
        for request in self._store.active():
            value = progress.get(request.job)
            if value is not None and value != request.progress and request.status is Status.RUNNING:
                self._write(request, progress=value)

    def _settle(self, job: JobStatus) -> None:
        """Tidy away a job that no active request has: its request is settled, or nobody knows it."""
        request = self._store.of_job(job.job)
        if request is not None:
            self._serve_settled(request, job)
            return
        born = self._transport.born(job.job)
        if born is None and job.state is not State.CLOSED:
            return  # of another RDM system
        if born is not None and born + self._limits.orphan_after > self._clock():
            return
        if job.is_over or job.state is State.CLOSED:
            self._tidy(job)
        else:
            self._transport.cancel(job.job)
        self._report.orphans += 1

    def _serve_settled(self, request: Request, job: JobStatus) -> None:
        if job.is_over:
            # An exchange died between writing down what came and tidying away.
            self._collect(request, job)
        elif job.state is State.CLOSED:
            self._tidy(job)
        elif self._transport.recall(job.job) is not None:
            self._transport.cancel(job.job)  # a late exchange asked once more for what was over
        else:
            self._serve(request, job)
