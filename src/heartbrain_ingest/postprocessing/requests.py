"""Requests: who asked for what, where it stands, and how that reads in plain words."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from heartbrain_ingest.filesystem import safe_label
from hpc_bridge.protocol import State

#: Names that `request_name` makes.
OWN_NAME = re.compile(r"R-[0-9a-f]{12}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}")


class Status(StrEnum):
    """Where a request stands. A person writes `new`, `cancel` and `retry`; the bridge writes the others."""

    #: Asked for.
    NEW = "new"
    #: At the computing centre, seen by nobody there yet.
    SENT = "sent"
    #: The agent brings its inputs into place.
    STAGING = "staging"
    #: The agent hands it to the batch system.
    SUBMITTING = "submitting"
    #: The batch system has it.
    RUNNING = "running"
    #: Its results are on their way.
    UPLOADING = "uploading"
    #: Somebody does not want it any more; not passed on yet.
    CANCEL = "cancel"
    #: The wish is at the computing centre.
    CANCELLING = "cancelling"
    #: Somebody wants it tried once more.
    RETRY = "retry"
    #: Its result is in LinkAhead.
    FINISHED = "finished"
    #: It ended without a usable result.
    FAILED = "failed"
    #: Ended because somebody wished so.
    CANCELLED = "cancelled"
    #: Nobody can say what became of it.
    LOST = "lost"
    #: It was never sent: something is missing or does not fit.
    REFUSED = "refused"


#: Nothing more happens to a request in one of these until a person writes `retry`.
SETTLED = frozenset({Status.FINISHED, Status.FAILED, Status.CANCELLED, Status.LOST, Status.REFUSED})
ACTIVE = frozenset(Status) - SETTLED

#: What a job's state is called in a request.
OF_STATE = {
    State.NEW: Status.SENT,
    State.STAGING: Status.STAGING,
    State.SUBMITTING: Status.SUBMITTING,
    State.RUNNING: Status.RUNNING,
    State.UPLOADING: Status.UPLOADING,
    State.FINISHED: Status.FINISHED,
    State.FAILED: Status.FAILED,
    State.CANCELLED: Status.CANCELLED,
    State.LOST: Status.LOST,
}

#: What a person reads when the computing centre said nothing better.
WORDS = {
    Status.NEW: "Asked for; the next exchange sends it.",
    Status.SENT: "At the computing centre, waiting to be taken up.",
    Status.STAGING: "The computing centre brings the data into place.",
    Status.SUBMITTING: "The computing centre hands it to its batch system.",
    Status.RUNNING: "Waiting or running in the batch system.",
    Status.UPLOADING: "Done; the results are on their way.",
    Status.CANCEL: "To be cancelled; the next exchange passes it on.",
    Status.CANCELLING: "The computing centre was asked to end it.",
    Status.RETRY: "To be tried again; the next exchange sends it.",
    Status.FINISHED: "Finished; the result is in LinkAhead.",
    Status.FAILED: "Failed; the log files say more. Set the status to `retry` to try it once more.",
    Status.CANCELLED: "Cancelled.",
    Status.LOST: "Lost: nobody knows what became of it. Set the status to `retry` to try it once more.",
    Status.REFUSED: "Not sent.",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request, as a store gives it."""

    #: Number of the record.
    id: int
    #: What identifies it for ever; the name of its job and of its results' folder derive from it.
    name: str
    function: str
    #: Empty: the newest that the catalogue has, filled in before the request is sent.
    version: str = ""
    #: JSON; filled with the function's defaults before the request is sent.
    parameters: str = ""
    #: Numbers of the images or recordings to work on.
    inputs: tuple[int, ...] = ()
    status: Status = Status.NEW
    message: str = ""
    attempt: int = 1
    job: str = ""
    project: str = ""
    #: LinkAhead user; decides which bucket and agent serve it.
    submitted_by: str = ""
    requested: datetime | None = None
    submitted: datetime | None = None
    began: datetime | None = None
    ended: datetime | None = None
    #: 0 to 1.
    progress: float | None = None
    scheduler_id: str = ""
    #: Core hours.
    cost: float | None = None
    #: Numbers of the records and files that it brought.
    results: tuple[int, ...] = ()
    logs: tuple[int, ...] = ()
    #: What tells the store whether the record changed since it was read.
    revision: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether nothing more happens until a person writes `retry`."""
        return self.status in SETTLED

    @property
    def label(self) -> str:
        """The request in a folder's name; the attempt shows from the second on."""
        plain = self.name
        if not _PLAIN_NAME.fullmatch(plain):
            plain = f"{safe_label(plain, 24)}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"
        return plain if self.attempt == 1 else f"{plain}_attempt-{self.attempt}"


def parse_status(text: str | None) -> Status:
    """Read a status as a person may have written it; what is no status is `refused`, which says so in its message."""
    try:
        return Status((text or "").strip().lower())
    except ValueError:
        return Status.REFUSED


def request_name(*facts: object) -> str:
    """Give a name that follows from facts, so that whoever makes the same request gives it the same name."""
    return "R-" + hashlib.sha256("\n".join(str(fact) for fact in facts).encode()).hexdigest()[:12]
