"""The life-cycle of a job, as both sides of the bridge see it: one table, and nothing else decides."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from hpc_bridge.errors import TransitionError


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
    #: The batch system does not know it any more, or its agent was not heard of again; never repeated in silence.
    LOST = "lost"
    #: The RDM side has what it wants of it; its events are being deleted.
    CLOSED = "closed"


class Event(enum.Enum):
    """What can happen to a job."""

    #: The RDM side asks for it: the first event of every job.
    ASK = "ask"
    #: An agent takes it up, or takes it over from one that was not heard of while it staged.
    TAKE = "take"
    #: Its inputs are in place and verified; with the token it will be handed in under.
    STAGED = "staged"
    #: The batch system accepted it.
    SUBMITTED = "submitted"
    #: The hand-in was made void before anything started; it can be handed in again under another token.
    REVOKED = "revoked"
    #: It ended, with or without success.
    ENDED = "ended"
    #: The manifest of its outputs is in the bucket.
    UPLOADED = "uploaded"
    #: Something made a result impossible.
    FAIL = "fail"
    #: The RDM side does not want it any more.
    CANCEL = "cancel"
    #: Neither queue nor accounting knew it for longer than the grace period.
    VANISH = "vanish"
    #: No agent brought it to an end before the RDM side's deadline.
    EXPIRE = "expire"
    #: The RDM side has fetched what it wants.
    CLOSE = "close"


class Side(enum.Enum):
    """Who writes an event."""

    RDM = "rdm"
    AGENT = "agent"


#: States in which nothing more happens at the HPC side.
FINAL: frozenset[State] = frozenset({State.FINISHED, State.FAILED, State.CANCELLED, State.LOST})
#: States in which a job waits for an agent or its batch system.
OPEN: frozenset[State] = frozenset(State) - FINAL - {State.CLOSED}

TRANSITIONS: Mapping[tuple[State | None, Event], State] = MappingProxyType(
    {
        (None, Event.ASK): State.NEW,
        (State.NEW, Event.TAKE): State.STAGING,
        (State.NEW, Event.FAIL): State.FAILED,
        (State.NEW, Event.CANCEL): State.CANCELLED,
        (State.NEW, Event.EXPIRE): State.LOST,
        (State.STAGING, Event.TAKE): State.STAGING,
        (State.STAGING, Event.STAGED): State.SUBMITTING,
        (State.STAGING, Event.FAIL): State.FAILED,
        (State.STAGING, Event.CANCEL): State.CANCELLED,
        (State.STAGING, Event.EXPIRE): State.LOST,
        (State.SUBMITTING, Event.SUBMITTED): State.RUNNING,
        (State.SUBMITTING, Event.REVOKED): State.STAGING,
        (State.SUBMITTING, Event.FAIL): State.FAILED,
        (State.SUBMITTING, Event.CANCEL): State.CANCELLED,
        (State.SUBMITTING, Event.VANISH): State.LOST,
        (State.SUBMITTING, Event.EXPIRE): State.LOST,
        (State.RUNNING, Event.ENDED): State.UPLOADING,
        (State.RUNNING, Event.CANCEL): State.CANCELLED,
        (State.RUNNING, Event.VANISH): State.LOST,
        (State.RUNNING, Event.EXPIRE): State.LOST,
        (State.UPLOADING, Event.UPLOADED): State.FINISHED,
        (State.UPLOADING, Event.FAIL): State.FAILED,
        (State.UPLOADING, Event.CANCEL): State.CANCELLED,
        (State.UPLOADING, Event.EXPIRE): State.LOST,
        (State.FINISHED, Event.CLOSE): State.CLOSED,
        (State.FAILED, Event.CLOSE): State.CLOSED,
        (State.CANCELLED, Event.CLOSE): State.CLOSED,
        (State.LOST, Event.CLOSE): State.CLOSED,
    }
)

#: Which side may write which event.
WRITERS: Mapping[Event, frozenset[Side]] = MappingProxyType(
    {
        **dict.fromkeys(Event, frozenset({Side.AGENT})),
        Event.ASK: frozenset({Side.RDM}),
        Event.CLOSE: frozenset({Side.RDM}),
        Event.EXPIRE: frozenset({Side.RDM}),
        Event.CANCEL: frozenset({Side.RDM, Side.AGENT}),
    }
)


def advance(state: State | None, event: Event) -> State:
    """Give the state that follows; `None` is the state of a job that nobody asked for yet.

    Raises
    ------
    TransitionError
        When the table has no such step.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        before = state.value if state else "before the first event"
        raise TransitionError(f"{event.value} in state {before}") from None
