"""Thousands of ways to fail at the worst moment: what was promised of requests holds all the same."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest

from heartbrain_ingest.postprocessing.exchange import Accepted
from heartbrain_ingest.postprocessing.requests import Status
from heartbrain_ingest.postprocessing.transports.bucket import BucketTransport
from tests.hpc_bridge.simulation import BrokenPromiseError
from tests.postprocessing import simulation
from tests.postprocessing.simulation import simulate

#: More runs: HEARTBRAIN_SIMULATION_RUNS=5000 pytest tests/postprocessing/test_simulation.py
RUNS = int(os.environ.get("HEARTBRAIN_SIMULATION_RUNS", "60"))


@pytest.mark.slow
@pytest.mark.parametrize("racy", [False, True], ids=["compare-and-set", "last writer wins"])
def test_each_request_ends_and_no_result_is_accepted_twice_whatever_fails(racy: bool) -> None:
    ends: Counter[Status] = Counter()
    for seed in range(RUNS):
        world = simulate(seed, racy=racy)
        ends.update(request.status for request in world.store.all())
    assert sum(ends.values()) == 3 * RUNS
    # A simulation in which nothing finishes, or nothing goes wrong, would prove nothing.
    assert {Status.FINISHED, Status.FAILED, Status.CANCELLED} <= set(ends)


def _breaks_within(runs: int, **options: Any) -> bool:
    for seed in range(runs):
        try:
            simulate(seed, **options)
        except BrokenPromiseError:
            return True
    return False


@pytest.mark.slow
def test_the_simulation_finds_a_shelf_that_looks_before_it_leaps(monkeypatch: pytest.MonkeyPatch) -> None:
    def accept(self: simulation.SimulatedShelf, request: Any, outcome: Any, bring: Any) -> Accepted:
        world = self._world
        if not outcome.outputs:
            return Accepted()
        if outcome.job not in world.accepted:
            world.at_call("before", "database accept")
            world.accepted.append(outcome.job)  # no rename: several may be here
            world.at_call("after", "database accept")
        return Accepted(results=(1000,))

    monkeypatch.setattr(simulation.SimulatedShelf, "accept", accept)
    assert _breaks_within(150)


@pytest.mark.slow
def test_the_simulation_finds_an_exchange_that_forgets_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BucketTransport, "recall", lambda *_: None)
    assert _breaks_within(150)
