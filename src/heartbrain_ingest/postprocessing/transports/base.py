"""What the exchange asks of a way to a computing centre."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from hpc_bridge.protocol import FINAL, Description, State


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be run."""

    #: The name that `Transport.job_name` gives.
    job: str
    function: str
    version: str
    parameters: Mapping[str, Any]
    #: File at this side by its name in the job.
    inputs: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """Where a job stands, as one listing shows it."""

    job: str
    state: State
    #: Grows with every step.
    number: int
    cancel_wished: bool = False

    @property
    def is_over(self) -> bool:
        """Whether the computing centre is done with it and it waits to be fetched."""
        return self.state in FINAL


@dataclass(frozen=True, kw_only=True)
class JobDetail:
    """What is known of a job beside its state."""

    message: str = ""
    scheduler_id: str = ""
    asked: datetime | None = None
    submitted: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a job ended; everything in it was verified."""

    job: str
    state: State
    message: str = ""
    scheduler_id: str = ""
    submitted: datetime | None = None
    began: datetime | None = None
    ended: datetime | None = None
    #: Core hours.
    cost: float | None = None
    #: The signed documents as they are, for the archive.
    specification: bytes = b""
    manifest: bytes = b""
    history: bytes = b""
    #: Digest of the function's files and image as they were run.
    function_digest: str = ""
    #: Digest of the container image that it ran in; nothing without one.
    container_digest: str = ""
    #: Agent that ran it.
    agent: str = ""
    #: Versions of the programs that ran.
    versions: Mapping[str, str] = field(default_factory=dict)
    #: Names of the outputs and log files that `Transport.fetch` brings.
    outputs: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AgentReport:
    """What an agent last said of itself."""

    name: str
    at: datetime
    #: Whether it takes up new jobs.
    is_accepting: bool
    message: str = ""
    #: Progress of its running jobs, 0 to 1; None where the job tells none.
    jobs: Mapping[str, float | None] = field(default_factory=dict)
    #: What the batch system says of each, in its own words.
    batch_states: Mapping[str, str] = field(default_factory=dict)


class Transport(Protocol):
    """A way to a computing centre. Everything may be repeated after a death anywhere in it.

    Methods raise `hpc_bridge.errors.BridgeError`; `DeniedError` and `BucketError` say that nothing works now.
    """

    def job_name(self, request: str, attempt: int) -> str:
        """Give the one name of an attempt at a request."""
        ...

    def publish(self, order: Order) -> JobStatus:
        """Send a job; a job that is there already stays as it is."""
        ...

    def status(self) -> dict[str, JobStatus]:
        """Give all jobs that are not tidied away, by name."""
        ...

    def agents(self) -> list[AgentReport]:
        """Give what the agents last said of themselves."""
        ...

    def progress(self) -> dict[str, float]:
        """Give how far running jobs are, 0 to 1, where that is known."""
        ...

    def detail(self, status: JobStatus) -> JobDetail:
        """Give more about one job."""
        ...

    def outcome(self, status: JobStatus) -> Outcome:
        """Give how a job that is over ended, verified."""
        ...

    def recall(self, job: str) -> Outcome | None:
        """Give how a job ended that is tidied away; None when there never was one."""
        ...

    def fetch(self, outcome: Outcome, folder: Path) -> None:
        """Bring outputs to `folder`/output and logs to `folder`/logs, verified."""
        ...

    def cancel(self, job: str) -> None:
        """Ask that a job ends."""
        ...

    def expire(self, status: JobStatus, message: str) -> None:
        """Give a job up that nobody brought to an end."""
        ...

    def close(self, status: JobStatus) -> None:
        """Tidy a job away whose result was taken or is not wanted; its history stays."""
        ...

    def sweep(self, job: str) -> int:
        """Delete the data of a job that was tidied away; give the number of bytes."""
        ...

    def born(self, job: str) -> datetime | None:
        """Give when a job was made if this side made it; None for others' jobs."""
        ...

    def catalogue(self) -> list[Description]:
        """Give what can be run."""
        ...
