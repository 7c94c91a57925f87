"""The events of jobs in a bucket: read all with one listing, add one as the only winner of its number."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hpc_bridge.bucket.base import Bucket, Conditions
from hpc_bridge.digests import nonce
from hpc_bridge.errors import DocumentError, GoneError, LostRaceError, TooLargeError, TransitionError, UnclearError
from hpc_bridge.protocol import keys
from hpc_bridge.protocol.documents import MAX_DOCUMENT_BYTES, EventRecord
from hpc_bridge.protocol.lifecycle import WRITERS, Event, Side, State, advance

_PATIENCE = 4


@dataclass(frozen=True)
class Standing:
    """Where a job stands, as one listing shows it.

    `number` is the highest without a gap from 1; 0 is debris of a clean-up: nobody acts on it but who sweeps.
    One whose newest event has no hint and can't be read is `damaged` and shown as lost: no agent goes on with it, and
    the RDM side believes nothing of it and gives it up at its deadline.
    """

    job: str
    number: int
    state: State
    cancel_wished: bool = False
    damaged: bool = False

    @property
    def is_debris(self) -> bool:
        """Whether the first event is missing while nothing says closed: remains of a clean-up that was overtaken."""
        return self.number == 0 and self.state is State.CLOSED


@dataclass
class _Found:
    numbers: set[int] = field(default_factory=set)
    hints: dict[int, set[State]] = field(default_factory=dict)
    wish: bool = False

    def add(self, number: int | None, state: State | None) -> None:
        if number is None:
            self.wish = True
        elif state is None:
            self.numbers.add(number)
        else:
            self.hints.setdefault(number, set()).add(state)


class Journal:
    """The events in one bucket, as one writer sees and adds them."""

    def __init__(self, bucket: Bucket, *, writer: str, side: Side, clock: Callable[[], datetime]) -> None:
        self.bucket = bucket
        self.writer = writer
        self.side = side
        self.clock = clock

    def standings(self) -> dict[str, Standing]:
        """Give all jobs that are not over and swept: one LIST per 1,000 keys, and a GET only where a hint is missing.

        A job of which any key says closed is closed, so a half-done clean-up never shows an earlier state.
        """
        found: dict[str, _Found] = {}
        for entry in self.bucket.listing(keys.OPEN_PREFIX):
            parsed = keys.parse_open(entry.key)
            if parsed is not None:
                job, number, state = parsed
                found.setdefault(job, _Found()).add(number, state)
        return {job: self._standing(job, one) for job, one in found.items()}

    def standing(self, job: str) -> Standing | None:
        """Give one job's; None when it has no events."""
        one = _Found()
        entries = [
            parsed for entry in self.bucket.listing(keys.open_prefix(job)) if (parsed := keys.parse_open(entry.key))
        ]
        for _, number, state in entries:
            one.add(number, state)
        return self._standing(job, one) if entries else None

    def _standing(self, job: str, found: _Found) -> Standing:
        number = 0
        while number + 1 in found.numbers:
            number += 1
        if number == 0 or any(State.CLOSED in states for states in found.hints.values()):
            return Standing(job, number, State.CLOSED, found.wish)
        hints = found.hints.get(number, set())
        if len(hints) == 1:
            return Standing(job, number, next(iter(hints)), found.wish)
        try:
            record = self.read(job, number)
        except (DocumentError, TooLargeError):
            return Standing(job, number, State.LOST, found.wish, damaged=True)
        if record is None:  # a clean-up went on since the listing
            return Standing(job, 0, State.CLOSED, found.wish)
        self.bucket.put(keys.hint(job, number, record.state), b"")
        return Standing(job, number, record.state, found.wish)

    def read(self, job: str, number: int) -> EventRecord | None:
        """Read one event; None when it is not there."""
        body = self.bucket.get(keys.event(job, number), limit=MAX_DOCUMENT_BYTES)
        if body is None:
            return None
        record = EventRecord.from_bytes(body)
        if record.job != job or record.number != number:
            raise DocumentError(f"event {number} of {job} names another job or number")
        return record

    def history(self, job: str, upto: int) -> tuple[EventRecord, ...]:
        """Read the events 1 to `upto` and check that each step is one of the table.

        Raises
        ------
        GoneError
            When one is missing: a clean-up is going on.
        DocumentError
            When one is no step that its writer may take from the state before.
        """
        return tuple(self._verified(job, upto))

    def believable(self, job: str, upto: int) -> tuple[EventRecord, ...]:
        """Give the events before the first that is missing or can't be believed."""
        records: list[EventRecord] = []
        with contextlib.suppress(DocumentError, TooLargeError):
            for record in self._verified(job, upto):
                records.append(record)  # noqa: PERF402 - what came before an error counts
        return tuple(records)

    def _verified(self, job: str, upto: int) -> Iterator[EventRecord]:
        state: State | None = None
        for number in range(1, upto + 1):
            record = self.read(job, number)
            if record is None:
                raise GoneError(f"event {number} of {job}")
            try:
                state = advance(state, record.event)
            except TransitionError as problem:
                raise DocumentError(f"event {number} of {job}: {problem.detail}") from None
            if record.state is not state or record.side not in WRITERS[record.event]:
                raise DocumentError(f"event {number} of {job} is not its writer's to write")
            yield record

    def add(self, standing: Standing, event: Event, **facts: Any) -> Standing:
        """Add the next event as the only winner of its number, and give the new standing.

        Raises
        ------
        LostRaceError
            When another writer won the number: nothing was changed.
        UnclearError
            When the bucket does not say who won. Then it may have taken effect: read again before anything follows.
        TransitionError
            When the table has no such step.
        """
        return self.add_record(standing, event, **facts)[0]

    def add_record(self, standing: Standing, event: Event, **facts: Any) -> tuple[Standing, EventRecord]:
        """Do what `add` does, and give the event as well."""
        before = None if standing.number == 0 else standing.state
        if self.side not in WRITERS[event]:
            raise TransitionError(f"{event.value} is not for the {self.side.value} side to write")
        record = EventRecord(
            job=standing.job,
            number=standing.number + 1,
            event=event,
            state=advance(before, event),
            side=self.side,
            writer=self.writer,
            nonce=nonce(),
            time=self.clock(),
            **facts,
        )
        self._win(record)
        with contextlib.suppress(UnclearError):  # whoever lists next repairs it
            self.bucket.put(keys.hint(record.job, record.number, record.state), b"")
        return replace(standing, number=record.number, state=record.state), record

    def _win(self, record: EventRecord) -> None:
        key, body = keys.event(record.job, record.number), record.to_bytes()
        trouble: UnclearError | None = None
        for _ in range(_PATIENCE):
            try:
                created = self.bucket.create(key, body)
                if created and trouble is None and self.bucket.conditions is not Conditions.IGNORED:
                    return
                stored = self.bucket.get(key, limit=MAX_DOCUMENT_BYTES)
            except UnclearError as problem:
                trouble = problem
                continue
            if stored == body:
                return
            if stored is not None:
                raise LostRaceError(key)
        raise trouble or UnclearError(key)


def ask(job: str) -> Standing:
    """Give the standing of a job before its first event."""
    return Standing(job, 0, State.NEW)
