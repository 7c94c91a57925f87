"""The simulation keeps its promises for many seeds, and finds what breaks them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_bridge.bucket import Conditions, MemoryBucket
from hpc_bridge.desk import Desk
from hpc_bridge.protocol import Journal, keys
from hpc_bridge.protocol.documents import EventRecord
from tests.hpc_bridge.simulation import BrokenPromiseError, Request, World, simulate

#: All processes together; `HEARTBRAIN_SIMULATION_RUNS` makes it more.
RUNS = int(os.environ.get("HEARTBRAIN_SIMULATION_RUNS", "400"))
MOST_SEEDS = 400


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_hundreds_of_bad_days_break_no_promise(project_root: Path) -> None:
    processes = os.cpu_count() or 1
    share = -(-RUNS // processes)
    argv = [sys.executable, "-m", "tests.hpc_bridge.simulation"]
    running = [
        subprocess.Popen([*argv, str(index * share), str(share)], cwd=project_root, stdout=subprocess.PIPE, text=True)
        for index in range(processes)
    ]
    texts = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * processes, "\n".join(texts)


def test_a_seed_gives_the_same_run_again() -> None:
    one, two = simulate(11), simulate(11)
    assert one.trace
    assert [request.status for request in one.requests] == [request.status for request in two.requests]
    assert one.now == two.now
    assert [line[:40] for line in one.trace if "mishap" in line] == [
        line[:40] for line in two.trace if "mishap" in line
    ]


def _found(limit: int = MOST_SEEDS) -> str:
    for seed in range(limit):
        try:
            simulate(seed)
        except BrokenPromiseError as broken:
            return str(broken)
    return ""


def believe_any_412(patch: pytest.MonkeyPatch) -> None:
    """Break: after a lost race believe that one's own write had landed, without reading back."""

    def win(self: Journal, record: EventRecord) -> None:
        self.bucket.create(keys.event(record.job, record.number), record.to_bytes())

    patch.setattr(Journal, "_win", win)


def ignore_conditions(patch: pytest.MonkeyPatch) -> None:
    """Break: run several agents on a store that overwrites without a word."""
    begin = World.__init__

    def start(self: World, seed: int, folder: Path) -> None:
        begin(self, seed, folder)
        self.bucket.behaviour = Conditions.IGNORED

    patch.setattr(World, "__init__", start)


def hand_in_again_without_revoking(patch: pytest.MonkeyPatch) -> None:
    """Break: make the next attempt while the one before may still start."""
    patch.setattr(Desk, "revoke", lambda self, attempt: self.claim_of(attempt) != "started")


def forget_the_history_check(patch: pytest.MonkeyPatch) -> None:
    """Break: let late publishers and late agents act on jobs that are over."""
    get = MemoryBucket.get

    def blind(self: MemoryBucket, key: str, *, limit: int) -> bytes | None:
        found = get(self, key, limit=limit)
        return None if key.endswith("history.json") else found

    patch.setattr(MemoryBucket, "get", blind)
    patch.setattr(Desk, "spend", lambda *_: True)
    patch.setattr(Desk, "spent_by", lambda *_: None)


def accept_twice(patch: pytest.MonkeyPatch) -> None:
    """Break: let every exchange put a result into place, whoever was there before."""
    from tests.hpc_bridge.simulation import Exchange  # noqa: PLC0415 - what is broken here belongs to the test

    def accept(self: Exchange, request: Request, body: bytes) -> None:
        self.world.at_call("before", "database accept")
        request.accepted.append(body.decode())
        self.world.at_call("after", "database accept")

    patch.setattr(Exchange, "_accept", accept)


@pytest.mark.parametrize(
    "break_one_rule",
    [
        believe_any_412,
        ignore_conditions,
        hand_in_again_without_revoking,
        forget_the_history_check,
        accept_twice,
    ],
)
def test_the_simulation_finds_a_broken_rule(
    monkeypatch: pytest.MonkeyPatch, break_one_rule: Callable[[pytest.MonkeyPatch], None]
) -> None:
    break_one_rule(monkeypatch)
    assert "seed" in _found()
