"""The life-cycle of a job, as both sides of the bridge see it: one table, and nothing else decides."""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import Mapping  # noqa: UP035 - Python 3.10 on HPC login nodes


class BridgeError(Exception):
    """The bridge can't go on; the text after the colon says what is wrong."""


class TransitionError(BridgeError):
    """The event can't happen to a job in that state: another party wrote first, so read the job's events again."""


class State(enum.Enum):
    """Where a job is on its way."""

    #: Asked for by the RDM side, seen by nobody yet.
    NEW = "new"
    #: An agent brings its inputs into place.
    STAGING = "staging"
    #: An agent is about to hand it to the batch system; the token in this event is the name to look for after a crash.
    SUBMITTING = "submitting"
    #: The batch system has it.
    RUNNING = "running"
    #: It ended; its outputs are on their way into the bucket.
    UPLOADING = "uploading"
    #: Its outputs are in the bucket and their manifest is complete.
    FINISHED = "finished"
    #: It ended without a usable result.
    FAILED = "failed"
    #: Ended at the request of the RDM side.
    CANCELLED = "cancelled"
    #: The batch system does not know it any more; never repeated in silence.
    LOST = "lost"


class Event(enum.Enum):
    """What can happen to a job."""

    #: An agent takes it up.
    TAKE = "take"
    #: Its inputs are in place and verified.
    STAGED = "staged"
    #: The batch system accepted it.
    SUBMITTED = "submitted"
    #: The batch system says that it ended.
    ENDED = "ended"
    #: The manifest of its outputs is in the bucket.
    UPLOADED = "uploaded"
    #: Something made a result impossible.
    FAIL = "fail"
    #: The RDM side does not want it any more.
    CANCEL = "cancel"
    #: Neither queue nor accounting knew it for longer than the grace period.
    VANISH = "vanish"


TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.NEW, Event.TAKE): State.STAGING,
        (State.NEW, Event.CANCEL): State.CANCELLED,
        (State.STAGING, Event.STAGED): State.SUBMITTING,
        (State.STAGING, Event.FAIL): State.FAILED,
        (State.STAGING, Event.CANCEL): State.CANCELLED,
        (State.SUBMITTING, Event.SUBMITTED): State.RUNNING,
        (State.SUBMITTING, Event.FAIL): State.FAILED,
        (State.SUBMITTING, Event.CANCEL): State.CANCELLED,
        (State.SUBMITTING, Event.VANISH): State.LOST,
        (State.RUNNING, Event.ENDED): State.UPLOADING,
        (State.RUNNING, Event.FAIL): State.FAILED,
        (State.RUNNING, Event.CANCEL): State.CANCELLED,
        (State.RUNNING, Event.VANISH): State.LOST,
        (State.UPLOADING, Event.UPLOADED): State.FINISHED,
        (State.UPLOADING, Event.FAIL): State.FAILED,
        (State.UPLOADING, Event.CANCEL): State.CANCELLED,
    }
)

#: States that nothing leaves.
FINAL: frozenset[State] = frozenset({State.FINISHED, State.FAILED, State.CANCELLED, State.LOST})


def advance(state: State, event: Event) -> State:
    """Give the state that follows.

    Raises
    ------
    TransitionError
        When the table has no such step.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise TransitionError(f"{event.value} in state {state.value}") from None
