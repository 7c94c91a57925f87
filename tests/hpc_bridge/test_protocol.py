"""The life-cycle of a job."""

from __future__ import annotations

import itertools

import pytest

from hpc_bridge.protocol import FINAL, TRANSITIONS, Event, State, TransitionError, advance


def test_a_job_that_goes_well_passes_every_state_to_finished() -> None:
    state = State.NEW
    for event in (Event.TAKE, Event.STAGED, Event.SUBMITTED, Event.ENDED, Event.UPLOADED):
        state = advance(state, event)
    assert state is State.FINISHED


def test_nothing_leaves_a_final_state() -> None:
    for state, event in itertools.product(FINAL, Event):
        with pytest.raises(TransitionError):
            advance(state, event)


def test_every_state_that_is_not_final_can_be_cancelled() -> None:
    for state in set(State) - FINAL:
        assert advance(state, Event.CANCEL) is State.CANCELLED


def test_every_state_is_reached_from_new() -> None:
    reached = {State.NEW}
    while more := {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached:
        reached |= more
    assert reached == set(State)


def test_only_what_the_batch_system_may_have_seen_can_be_lost() -> None:
    assert {before for (before, event) in TRANSITIONS if event is Event.VANISH} == {State.SUBMITTING, State.RUNNING}


def test_an_event_out_of_turn_names_event_and_state() -> None:
    with pytest.raises(TransitionError, match="uploaded in state new"):
        advance(State.NEW, Event.UPLOADED)
