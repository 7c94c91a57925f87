"""What the bridge's benchmark counts; times are the machine's and are not held to anything."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bridge import Overhead, Transfer, measure_batch, measure_ticks, tables


def test_a_tick_costs_the_same_however_many_jobs_ever_ran(tmp_path: Path) -> None:
    assert [one.requests for one in measure_ticks(tmp_path, (0, 10, 2000))] == [{"list": 1}] * 3


def test_a_job_of_a_batch_costs_a_constant_number_of_requests(tmp_path: Path) -> None:
    small, large = measure_batch(tmp_path, 2), measure_batch(tmp_path, 6)
    for one, many in ((small.rdm_requests, large.rdm_requests), (small.agent_requests, large.agent_requests)):
        for name in ("create", "get", "delete"):
            assert one.get(name, 0) * large.jobs == many.get(name, 0) * small.jobs, name
    assert large.per_job < 65


def test_the_tables_show_what_was_measured(tmp_path: Path) -> None:
    shown = tables(
        measure_ticks(tmp_path, (3,)),
        [Overhead(how="local", bridge_s=0.5, plain_s=0.25)],
        Transfer(store="moto", bytes=2_000_000, up_s=1.0, down_s=0.5, boto3_up_s=0.5, boto3_down_s=0.5),
        measure_batch(tmp_path, 1),
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown.splitlines()]
    assert ["local", "0.50", "0.25", "0.25"] in rows
    assert ["up", "2", "4", "2.00"] in rows
    assert ["3", "1 list"] in [row[:2] for row in rows]
