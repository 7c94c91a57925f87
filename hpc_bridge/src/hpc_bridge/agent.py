"""One tick of an agent: read where all jobs stand, do the next step of each that is its own, and end.

Nothing is kept in memory between ticks, no lock is trusted, and two ticks at once do no harm: every step that counts is
an event that one writer wins. Of a job's hand-in the order is: attempt written down here, event won, then `sbatch`; so
each batch job's name is handed in at most once, and one that was not seen again is revoked before the next is made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hpc_bridge.bucket import Bucket
from hpc_bridge.catalog import Function
from hpc_bridge.cleanup import clean_up
from hpc_bridge.desk import Desk, Note
from hpc_bridge.digests import digest
from hpc_bridge.errors import (
    BridgeError,
    DeniedError,
    DocumentError,
    LostRaceError,
    SchedulerUnavailableError,
    UnclearError,
)
from hpc_bridge.handin import HandIn, Ready
from hpc_bridge.heartbeat import beat
from hpc_bridge.protocol import (
    FINAL,
    OPEN,
    Event,
    JobSpec,
    Journal,
    Side,
    SigningKey,
    Standing,
    State,
    VerifyKey,
    keys,
    read_spec,
)
from hpc_bridge.protocol.documents import CLOCK_TOLERANCE, MAX_DOCUMENT_BYTES
from hpc_bridge.results import Results
from hpc_bridge.schedulers import Phase, Scheduler, Sighting
from hpc_bridge.settings import AgentSettings
from hpc_bridge.steps import Steps

STOP, DRAIN = "STOP", "DRAIN"
#: So many requests without an answer end a tick.
_ENOUGH = 4


@dataclass
class Report:
    """What a tick did, for a person and for `--json`."""

    steps: list[dict[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    jobs: dict[str, int] = field(default_factory=dict)

    def step(self, job: str, state: State, message: str = "") -> None:
        """Note a step."""
        self.steps.append({"job": job, "state": state.value, "message": message})

    def problem(self, text: str) -> None:
        """Note what did not work."""
        self.problems.append(text)


@dataclass
class Agent:
    """All that a tick works with, and what every step of it needs."""

    settings: AgentSettings
    home: Path
    bucket: Bucket
    scheduler: Scheduler
    desk: Desk
    key: SigningKey
    trusted: dict[str, VerifyKey]
    catalogue: dict[tuple[str, str], Function]
    clock: Callable[[], datetime]
    #: Whether this tick moves data; where a batch job does that, the login node's ticks don't.
    moves_data: bool = True
    #: Whether this tick hands jobs in; a courier on a compute node does not.
    hands_in: bool = True
    report: Report = field(default_factory=Report)

    def __post_init__(self) -> None:
        self.name = self.settings.agent
        self.journal = Journal(self.bucket, writer=self.name, side=Side.AGENT, clock=self.clock)
        #: Staged jobs, to be handed in at the end of the tick.
        self.ready: list[Ready] = []
        #: Set where a batch job has to move data.
        self.transfers_waiting = False
        #: What the batch system shows; None: it does not answer.
        self.seen: dict[str, Sighting] | None = {}
        self._asked: set[str] = set()
        self._unclear = 0

    def tick(self) -> Report:
        """Do the next step of every job that is this agent's.

        Raises
        ------
        BucketError
            When the bucket does not answer at all; the next tick goes on.
        """
        standings = self.journal.standings()
        notes = {job: self._note(standing) for job, standing in standings.items()}
        mine = {job: note for job, note in notes.items() if note and note.writer == self.name}
        self._survey(mine)
        stopped, draining = (self.home / STOP).exists(), (self.home / DRAIN).exists()
        room = self.settings.limits.jobs_at_once - sum(standings[job].state in OPEN for job in mine)
        for job in sorted(standings, key=lambda one: (standings[one].state is State.NEW, one)):
            note, standing = notes[job], standings[job]
            if standing.damaged:
                self.report.problem(f"{job}: its newest event can't be read; the RDM side gives it up")
                continue
            if note is None or (standing.state is State.NEW and (stopped or draining or room <= 0)):
                continue
            with self.guarded(job):
                now = self._step(standing, note, stopped=stopped)
                room -= standing.state is State.NEW and now.state is State.STAGING
        if self.ready and self.hands_in and not stopped:
            HandIn(self).hand_in(self.ready[: self.settings.limits.submissions_per_tick])
        clean_up(self, standings)
        for standing in standings.values():
            self.report.jobs[standing.state.value] = self.report.jobs.get(standing.state.value, 0) + 1
        beat(self, {job for job in mine if standings[job].state is State.RUNNING}, accepting=not (stopped or draining))
        return self.report

    def _step(self, standing: Standing, note: Note, *, stopped: bool) -> Standing:
        state, mine = standing.state, note.writer == self.name
        if state is State.CLOSED or note.foreign:
            return standing
        if state is State.NEW:
            return Steps(self).take(standing)
        if state in FINAL:
            Results(self).finish(standing, note)
        elif state is State.STAGING and not mine:
            return self._take_over(standing, note, stopped=stopped)
        elif mine and standing.cancel_wished:
            return Results(self).cancel(standing, note)
        elif mine:
            return Steps(self).next(standing, note)
        return standing

    def _take_over(self, standing: Standing, note: Note, *, stopped: bool) -> Standing:
        """Take a job over whose agent was not heard of while it staged: nothing was handed in yet."""
        stale = timedelta(seconds=self.settings.times.staging_stale_seconds)
        if stopped or self.clock() < note.time + stale + CLOCK_TOLERANCE:
            return standing
        spec, _ = self.specification(standing.job)
        if spec.agent not in {None, self.name}:
            return standing
        now = self.add(standing, Event.TAKE, f"Agent {self.name} takes over from {note.writer}.")
        fresh = self.desk.note(standing.job)
        return Steps(self).next(now, fresh) if fresh else now

    @contextlib.contextmanager
    def guarded(self, job: str) -> Iterator[None]:
        """Let one job's trouble not keep the tick from the others; a bucket that refuses us ends it."""
        try:
            yield
        except DeniedError:
            raise
        except UnclearError as problem:
            self._unclear += 1
            if self._unclear >= _ENOUGH:
                raise
            self.report.problem(f"{job}: {problem}")
        except LostRaceError:
            self.report.problem(f"{job}: another writer was faster; the next tick looks again")
        except BridgeError as problem:
            self.report.problem(f"{job}: {problem}")
        except OSError as problem:
            self.report.problem(f"{job}: {type(problem).__name__}: {problem.strerror}")
        except ValueError as problem:  # what a job left that no record can hold; the values may be anybody's
            self.report.problem(f"{job}: {type(problem).__name__}: what it left can't be used")

    def _note(self, standing: Standing) -> Note | None:
        """Give what is known of a job; read its newest event only when the listing shows one that is not known."""
        note = self.desk.note(standing.job)
        known = note is not None and note.number == standing.number
        if known or standing.damaged or standing.state is State.CLOSED:
            return note
        if standing.state is State.NEW:
            return Note(number=standing.number, state=State.NEW, writer="", time=self.clock())
        fresh: Note | None = None
        with self.guarded(standing.job):
            record = self.journal.read(standing.job, standing.number)
            if record is not None:
                writer = record.writer if record.side is Side.AGENT else ""
                kept = note.kept() if note else {}
                facts = {"attempt": record.attempt or kept.pop("attempt", None), "scheduler_id": record.scheduler_id}
                fresh = Note(number=record.number, state=record.state, writer=writer, time=record.time)
                fresh = fresh.model_copy(update={**kept, **facts})
                self.desk.write_note(standing.job, fresh)
        return fresh

    def _survey(self, notes: Mapping[str, Note]) -> None:
        """Ask the batch system once, and only when something of ours may be in it."""
        waiting = {State.SUBMITTING, State.RUNNING} | FINAL
        live: set[str] = set()
        for job, note in notes.items():
            if note.attempt and note.state in waiting and not note.over_since:
                with self.guarded(job):
                    if self.desk.exit_of(note.attempt) is None:
                        live.add(note.attempt)
        if not live:
            return
        try:
            self.seen = self.scheduler.survey(live)
            self._asked = live
        except SchedulerUnavailableError as problem:
            self.seen = None
            self.report.problem(str(problem))

    # What steps use

    def sighting(self, attempt: str) -> Sighting | None:
        """Give what the batch system shows of an attempt; asks again only for one that was not asked for.

        Raises
        ------
        SchedulerUnavailableError
            When it does not answer: then nothing is concluded.
        """
        if self.seen is None:
            raise SchedulerUnavailableError("it did not answer in this tick")
        if attempt not in self._asked:
            self._asked.add(attempt)
            self.seen.update(self.scheduler.survey([attempt]))
        return self.seen.get(attempt)

    def end_attempts(self, job: str) -> None:
        """See that nothing of a job runs any more: revoke what has not started, end what has."""
        for attempt in self.desk.attempts(job):
            if self.desk.exit_of(attempt.name) is None:
                self.desk.revoke(attempt.name)
                if (sighting := self.sighting(attempt.name)) is not None and sighting.phase is not Phase.ENDED:
                    self.scheduler.cancel(sighting)

    def specification(self, job: str) -> tuple[JobSpec, str]:
        """Read and verify what is asked for; with its digest."""
        body = self.bucket.get(keys.spec(job), limit=MAX_DOCUMENT_BYTES)
        if body is None:
            raise DocumentError("there is no specification")
        return read_spec(body, self.trusted, job=job), digest(body)

    def add(self, standing: Standing, event: Event, message: str = "", **facts: Any) -> Standing:
        """Win the next event, note it, and report it."""
        old = self.desk.note(standing.job)
        now, record = self.journal.add_record(standing, event, message=message[:4000], **facts)
        kept = old.kept() if old else {}
        note = Note(number=now.number, state=now.state, writer=self.name, time=record.time)
        changes = {**kept, **({"attempt": record.attempt} if record.attempt else {})}
        self.desk.write_note(standing.job, note.model_copy(update=changes))
        self.report.step(standing.job, now.state, message)
        return now

    def remember(self, job: str, **facts: Any) -> None:
        """Note something more of a job."""
        if (note := self.desk.note(job)) is not None:
            self.desk.write_note(job, note.model_copy(update=facts))
