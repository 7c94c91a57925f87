"""The agent while the batch system, the S3 server, the disk, the credential, the clock or itself fails."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_bridge.protocol import FINAL, State
from tests.services.centre import Centre
from tests.services.conftest import make_centre
from tests.services.daemon import need, wait_until
from tests.services.rgw import Rgw
from tests.services.slurm import Slurm

NewCentre = Callable[..., Centre]

#: What a job may come to when a fault may lose it: a result, or plainly none.
TOLD = {State.FINISHED, State.LOST, State.FAILED}


def accepted(centre: Centre, jobs: list[str], folder: Path) -> list[str]:
    """Verify and bring every finished result; give the labels that the results name."""
    labels = []
    for job in jobs:
        if centre.states()[job] is State.FINISHED:
            centre.result(job, folder / job)
            labels.append((folder / job / "output" / "report.txt").read_text().split()[-1])
    return labels


@pytest.mark.slow
def test_an_agent_that_is_killed_anywhere_goes_on_and_runs_each_job_once(new_centre: NewCentre, tmp_path: Path) -> None:
    centre = new_centre()
    labels = [f"k{number}" for number in range(6)]
    jobs = [centre.ask(label, folder=tmp_path) for label in labels]
    chance = random.Random(6)
    killed = 0
    for _ in range(12):
        process = centre.start_tick()
        try:
            process.communicate(timeout=chance.uniform(0.4, 1.6))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
    assert killed > 0
    centre.tick_until_over(*jobs, seconds=120)
    assert {centre.states()[job] for job in jobs} == {State.FINISHED}
    assert sorted(centre.starts()) == labels
    assert accepted(centre, jobs, tmp_path / "results") == labels


def test_two_ticks_at_once_do_no_harm(new_centre: NewCentre, tmp_path: Path) -> None:
    centre = new_centre()
    labels = [f"t{number}" for number in range(4)]
    jobs = [centre.ask(label, folder=tmp_path) for label in labels]
    for _ in range(3):
        processes = [centre.start_tick() for _ in range(3)]
        for process in processes:
            process.communicate(timeout=60)
    centre.tick_until_over(*jobs)
    assert {centre.states()[job] for job in jobs} == {State.FINISHED}
    assert sorted(centre.starts()) == labels


@pytest.mark.slow
def test_a_controller_that_is_killed_right_after_a_hand_in_loses_no_job_in_silence(
    fragile_slurm: Slurm, new_centre: NewCentre, tmp_path: Path
) -> None:
    centre = new_centre(slurm=fragile_slurm)
    job = centre.ask("one", seconds=1, folder=tmp_path)
    centre.tick_until(lambda: centre.states()[job] in {State.SUBMITTING, State.RUNNING, *FINAL})
    fragile_slurm.controller.kill()
    down = centre.tick()
    assert centre.states()[job] not in {State.LOST, State.FAILED}, down
    fragile_slurm.start_controller()
    centre.tick_until_over(job, seconds=120)
    assert centre.states()[job] in TOLD
    assert len(centre.starts()) <= 1
    assert accepted(centre, [job], tmp_path / "result") == centre.starts()[: centre.states()[job] is State.FINISHED]


def test_a_job_finishes_while_the_nodes_daemon_dies_and_comes_back(
    fragile_slurm: Slurm, new_centre: NewCentre, tmp_path: Path
) -> None:
    centre = new_centre(slurm=fragile_slurm)
    job = centre.ask("one", seconds=2, folder=tmp_path)
    centre.tick_until(lambda: centre.starts() == ["one"])
    fragile_slurm.node.kill()
    centre.tick()
    fragile_slurm.start_node()
    centre.tick_until_over(job)
    assert centre.states()[job] is State.FINISHED
    assert centre.starts() == ["one"]


@pytest.mark.slow
def test_an_agent_outlives_an_s3_server_that_dies_in_the_middle(fragile_rgw: Rgw, slurm: Slurm, tmp_path: Path) -> None:
    centre = make_centre(tmp_path, fragile_rgw, slurm)
    labels = [f"s{number}" for number in range(4)]
    jobs = [centre.ask(label, folder=tmp_path) for label in labels]
    for pause in (0.8, 1.0, 1.2):
        process = centre.start_tick()
        time.sleep(pause)
        fragile_rgw.gateway.kill()
        _, err = process.communicate(timeout=90)
        assert "Traceback" not in err
        fragile_rgw.start_gateway()
    centre.tick_until_over(*jobs, seconds=120)
    assert {centre.states()[job] for job in jobs} == {State.FINISHED}
    assert sorted(centre.starts()) == labels
    assert accepted(centre, jobs, tmp_path / "results") == labels


def test_a_job_waits_while_scratch_is_full(new_centre: NewCentre, small_disk: Path, tmp_path: Path) -> None:
    centre = new_centre(scratch=small_disk / "scratch")
    filler = small_disk / "filler"
    argv = ["dd", "if=/dev/zero", f"of={filler}", "bs=64k"]
    subprocess.run(argv, stderr=subprocess.DEVNULL, check=False)
    assert shutil.disk_usage(small_disk).free == 0
    job = centre.ask("one", folder=tmp_path)
    told = [*centre.tick().problems, *centre.tick().problems]
    assert any("room in scratch" in problem for problem in told)
    assert centre.states()[job] in {State.NEW, State.STAGING}
    assert centre.starts() == []
    filler.unlink()
    centre.tick_until_over(job)
    assert centre.states()[job] is State.FINISHED


def test_a_job_that_fills_the_disk_fails_and_says_so(new_centre: NewCentre, small_disk: Path, tmp_path: Path) -> None:
    centre = new_centre(scratch=small_disk / "scratch")
    (centre.functions / "report" / "work.sh").write_text('head -c 8000000 /dev/zero > "$2/report.txt"\n')
    job = centre.ask("big", folder=tmp_path)
    centre.tick_until_over(job)
    assert centre.states()[job] is State.FAILED
    conclusion = centre.result(job, tmp_path / "result")
    assert "exit status 1" in conclusion.message or "No space left" in conclusion.message


def test_with_an_expired_credential_the_agent_says_so_and_a_new_one_lets_it_go_on(
    new_centre: NewCentre, rgw: Rgw, tmp_path: Path
) -> None:
    centre = new_centre(user="late")
    job = centre.ask("one", seconds=1, folder=tmp_path)
    centre.tick_until(lambda: centre.starts() == ["one"])
    good = Path(centre.agent_bucket["credentials_file"])
    kept = good.read_text()
    rgw.withdraw(rgw.user("late"))
    refused = centre.run_tick()
    assert refused.code != 0
    assert "renew them" in refused.out + refused.err
    assert "Traceback" not in refused.err
    assert centre.states()[job] not in FINAL
    key = rgw.admin("key", "create", "--uid", "late", "--key-type", "s3", "--gen-access-key", "--gen-secret")["keys"][0]
    good.write_text(
        f"[default]\naws_access_key_id = {key['access_key']}\naws_secret_access_key = {key['secret_key']}\n"
    )
    assert good.read_text() != kept
    centre.tick_until_over(job)
    assert centre.states()[job] is State.FINISHED
    assert centre.starts() == ["one"]


@pytest.mark.parametrize("clock", ["-10m", "+10m"])
def test_a_clock_ten_minutes_off_does_no_harm(new_centre: NewCentre, clock: str, tmp_path: Path) -> None:
    need("faketime", package="faketime")
    centre = new_centre()
    job = centre.ask("one", folder=tmp_path)
    for _ in range(3):
        ticked = centre.run_tick(clock=clock)
        assert (ticked.code, ticked.err) == (0, "")
        wait_until(lambda: centre.starts() == ["one"], what="the job's start")
    wait_until(
        lambda: centre.run_tick(clock=clock).code == 0 and centre.states()[job] in FINAL,
        what="the job's end",
        seconds=60,
    )
    assert centre.states()[job] is State.FINISHED
    assert centre.starts() == ["one"]


def test_a_clock_twenty_minutes_off_is_said_to_be_wrong(new_centre: NewCentre, tmp_path: Path) -> None:
    need("faketime", package="faketime")
    centre = new_centre()
    job = centre.ask("one", folder=tmp_path)
    ticked = centre.run_tick(clock="+20m")
    assert ticked.code != 0
    assert "clock of this machine" in ticked.out + ticked.err
    assert centre.states()[job] is State.NEW


def test_a_job_that_the_batch_system_ends_early_is_failed_with_its_reason(
    new_centre: NewCentre, slurm: Slurm, tmp_path: Path
) -> None:
    centre = new_centre()
    job = centre.ask("ended", seconds=600, folder=tmp_path)
    centre.tick_until(lambda: centre.starts() == ["ended"])
    [number] = slurm.command("squeue", "--noheader", "--states=RUNNING", "--format=%A").split()
    slurm.command("scancel", number)
    wait_until(lambda: slurm.state(number) == "CANCELLED", what="Slurm to end the job")
    centre.tick_until_over(job)
    assert centre.states()[job] is State.FAILED
    conclusion = centre.result(job, tmp_path / "result")
    assert "batch system" in conclusion.message


def test_scratch_that_vanishes_under_a_running_job_is_told(new_centre: NewCentre, tmp_path: Path) -> None:
    centre = new_centre()
    job = centre.ask("gone", seconds=1, folder=tmp_path)
    centre.tick_until(lambda: centre.starts() == ["gone"])
    shutil.rmtree(centre.home / "scratch")
    centre.tick_until_over(job)
    assert centre.states()[job] in {State.FAILED, State.LOST}
