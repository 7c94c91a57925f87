"""What an agent asks of a batch system, whichever it is."""

from __future__ import annotations

import abc
import enum
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Resources:
    """What a job needs."""

    minutes: int
    memory_mb: int
    cpus: int = 1
    gpus: int = 0
    partition: str | None = None
    account: str | None = None
    qos: str | None = None


@dataclass(frozen=True)
class Submission:
    """A batch job: its name, the folder that holds a folder for each task, and what a task needs.

    The tasks are those for which the hand-in was written down; one task is a plain job, several are an array.
    """

    token: str
    folder: Path
    tasks: tuple[int, ...]
    resources: Resources

    @property
    def is_array(self) -> bool:
        """Whether it is an array; a plain job is task 0, and no task of an array is."""
        return self.tasks != (0,)


class Phase(enum.Enum):
    """What a batch system says of a task."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True)
class Sighting:
    """A task as the batch system shows it. The name is what counts: numbers are given again to other jobs."""

    token: str
    task: int
    scheduler_id: str
    phase: Phase
    detail: str = ""

    @property
    def attempt(self) -> str:
        """How events name it."""
        return f"{self.token}.{self.task}"


class Scheduler(abc.ABC):
    """A batch system.

    Every method raises SchedulerUnavailableError when it does not answer; then nothing may be concluded.
    """

    name: str

    @abc.abstractmethod
    def submit(self, submission: Submission) -> str:
        """Hand a batch job in and give its number.

        Raises
        ------
        SchedulerBusyError
            When it takes no more now. It did not take this one.
        SchedulerError
            When it refuses the job for good.
        """

    @abc.abstractmethod
    def survey(self, attempts: Collection[str]) -> dict[str, Sighting]:
        """Give what it shows of these attempts, by attempt; what it does not know is missing."""

    @abc.abstractmethod
    def send_courier(self, name: str, script: Path, log: Path) -> None:
        """Have a script run that moves data, unless one of that name waits or runs.

        Raises
        ------
        SchedulerError
            When it is not taken.
        """

    @abc.abstractmethod
    def cancel(self, sighting: Sighting) -> None:
        """End a task; one that is over is no error."""
