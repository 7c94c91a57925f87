"""The life-cycle of a job."""

from __future__ import annotations

import itertools

import pytest

from hpc_bridge.errors import TransitionError
from hpc_bridge.protocol import FINAL, TRANSITIONS, WRITERS, Event, Side, State, advance


def test_a_job_that_goes_well_passes_every_state_to_closed() -> None:
    state = None
    good = (Event.ASK, Event.TAKE, Event.STAGED, Event.SUBMITTED, Event.ENDED, Event.UPLOADED, Event.CLOSE)
    seen = [state := advance(state, event) for event in good]
    assert [one.value for one in seen] == [
        "new", "staging", "submitting", "running", "uploading", "finished", "closed",
    ]  # fmt: skip


def test_a_final_state_can_only_be_closed_and_nothing_leaves_closed() -> None:
    for state, event in itertools.product([*FINAL, State.CLOSED], Event):
        if event is Event.CLOSE and state is not State.CLOSED:
            assert advance(state, event) is State.CLOSED
        else:
            with pytest.raises(TransitionError):
                advance(state, event)


def test_every_state_that_is_not_over_can_be_cancelled_and_given_up() -> None:
    for state in set(State) - FINAL - {State.CLOSED}:
        assert advance(state, Event.CANCEL) is State.CANCELLED
        assert advance(state, Event.EXPIRE) is State.LOST


def test_every_state_is_reached_from_new() -> None:
    reached = {State.NEW}
    while more := {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached:
        reached |= more
    assert reached == set(State)


def test_only_what_the_batch_system_may_have_seen_can_vanish() -> None:
    assert {before for (before, event) in TRANSITIONS if event is Event.VANISH} == {State.SUBMITTING, State.RUNNING}


def test_only_the_rdm_side_asks_gives_up_and_closes_and_only_agents_say_how_a_job_went() -> None:
    assert {event for event in Event if WRITERS[event] == {Side.RDM}} == {Event.ASK, Event.EXPIRE, Event.CLOSE}
    assert {event for event in Event if Side.RDM in WRITERS[event] and Side.AGENT in WRITERS[event]} == {Event.CANCEL}


def test_an_event_out_of_turn_names_event_and_state() -> None:
    with pytest.raises(TransitionError, match="uploaded in state new"):
        advance(State.NEW, Event.UPLOADED)
