"""A batch system in memory with the weaknesses of real ones, for tests and the simulation; with the real interface."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from hpc_bridge.errors import SchedulerError
from hpc_bridge.schedulers.base import Phase, Scheduler, Sighting, Submission

#: Called as hook(moment, operation) with moment "before" or "after" the effect; it may raise.
Hook = Callable[[str, str], None]


def _no_fault(moment: str, operation: str) -> None:
    del moment, operation


@dataclass
class Batch:
    """The jobs that several clients see."""

    tasks: dict[str, Sighting]
    submissions: dict[str, Submission]
    counter: int = 0

    @staticmethod
    def empty() -> Batch:
        """Give one without jobs."""
        return Batch({}, {})

    def set_phase(self, attempt: str, phase: Phase, detail: str = "") -> None:
        """Let a task go on."""
        self.tasks[attempt] = replace(self.tasks[attempt], phase=phase, detail=detail)

    def forget(self, attempt: str) -> None:
        """Lose a task, as a purge or a killed controller does; the number goes to the next job."""
        if self.tasks.pop(attempt, None):
            self.counter -= 1


class MemoryScheduler(Scheduler):
    """One client of a batch system in memory."""

    name = "memory"

    def __init__(self, batch: Batch, hook: Hook = _no_fault) -> None:
        self.batch = batch
        self.hook = hook

    def submit(self, submission: Submission) -> str:
        """Take the job; a name that it has taken already is an error of who calls."""
        self.hook("before", "submit")
        if submission.token in self.batch.submissions:
            raise SchedulerError(f"{submission.token} was handed in before")
        self.batch.counter += 1
        number = str(self.batch.counter)
        self.batch.submissions[submission.token] = submission
        for task in submission.tasks:
            sighting = Sighting(submission.token, task, number, Phase.WAITING, "PENDING")
            self.batch.tasks[sighting.attempt] = sighting
        self.hook("after", "submit")
        return number

    def survey(self, attempts: Collection[str]) -> dict[str, Sighting]:
        """Show what is there."""
        self.hook("before", "survey")
        found = {attempt: self.batch.tasks[attempt] for attempt in attempts if attempt in self.batch.tasks}
        self.hook("after", "survey")
        return found

    def cancel(self, sighting: Sighting) -> None:
        """End a task."""
        self.hook("before", "cancel")
        there = self.batch.tasks.get(sighting.attempt)
        if there is not None and there.phase is not Phase.ENDED:
            self.batch.set_phase(sighting.attempt, Phase.ENDED, "CANCELLED")
        self.hook("after", "cancel")

    def send_courier(self, name: str, script: Path, log: Path) -> None:  # noqa: ARG002 - the interface
        """Refuse: nothing runs here."""
        raise SchedulerError(f"{name}: nothing runs here")
