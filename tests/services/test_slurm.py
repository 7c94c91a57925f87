"""The Slurm of these tests is a real one, and does what a bridge has to live with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.services.daemon import ServiceError, wait_until
from tests.services.slurm import Slurm

RUNNING = frozenset({"RUNNING"})


def output(slurm: Slurm, job: str, name: str = "test") -> str:
    return (slurm.folder / "home" / f"{name}-{job}.out").read_text()


def test_a_job_runs_and_its_output_and_exit_status_are_kept(slurm: Slurm) -> None:
    job = slurm.sbatch("echo node $SLURMD_NODENAME; exit 7")
    assert slurm.wait(job) == "FAILED"
    assert output(slurm, job) == "node n1\n"
    [line] = [line for line in slurm.completions() if line.job == job]
    assert (line.state, line.exit_code) == ("FAILED", "7:0")


def test_an_array_job_runs_each_of_its_tasks_once(slurm: Slurm) -> None:
    job = slurm.sbatch("echo task $SLURM_ARRAY_TASK_ID", "--array=1-5", "--output=array-%a.out")
    assert slurm.wait(job) == "COMPLETED"
    written = sorted((slurm.folder / "home").glob("array-*.out"))
    assert [file.read_text() for file in written] == [f"task {task}\n" for task in range(1, 6)]


def test_a_job_is_found_by_its_name(slurm: Slurm) -> None:
    job = slurm.sbatch("true", "--job-name=token-1f3a")
    slurm.wait(job)
    found = slurm.command("squeue", "--noheader", "--states=all", "--name=token-1f3a", "--format=%A").split()
    assert found == [job]


def test_a_cancelled_job_ends_and_what_it_started_with_it(slurm: Slurm) -> None:
    pid_file = slurm.folder / "home" / "child.pid"
    job = slurm.sbatch(f"sleep 600 & echo $! > {pid_file}; wait")
    slurm.wait(job, states=RUNNING)
    wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), what="the job's child")
    slurm.command("scancel", job)
    assert slurm.wait(job) == "CANCELLED"
    child = Path("/proc") / pid_file.read_text().strip()
    wait_until(lambda: not child.exists(), what="the end of the job's child")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as two users")
def test_users_have_their_own_jobs_and_cannot_end_anothers(slurm: Slurm) -> None:
    mine, theirs = (slurm.sbatch("id --user; exec sleep 600", user=user) for user in ("games", "nobody"))
    for job in (mine, theirs):
        slurm.wait(job, states=RUNNING)
    assert slurm.command("squeue", "--me", "--noheader", "--format=%A", user="games").split() == [mine]
    with pytest.raises(ServiceError, match="Access/permission denied"):
        slurm.command("scancel", theirs, user="games")
    assert slurm.state(theirs) == "RUNNING"
    slurm.command("scancel", mine, user="games")
    slurm.command("scancel", theirs, user="nobody")
    assert {slurm.wait(mine), slurm.wait(theirs)} == {"CANCELLED"}
    assert output(slurm, mine) != output(slurm, theirs)


@pytest.mark.slow
def test_a_job_over_its_time_limit_is_ended(slurm: Slurm) -> None:
    job = slurm.sbatch("sleep 600")
    slurm.wait(job, states=RUNNING)
    slurm.scontrol("update", f"jobid={job}", "endtime=now+1second")
    assert slurm.wait(job, seconds=120) == "TIMEOUT"


def test_an_impossible_request_is_refused_and_yet_leaves_a_record(slurm: Slurm) -> None:
    with pytest.raises(ServiceError, match="Requested node configuration is not available"):
        slurm.sbatch("true", "--job-name=impossible", "--mem=1T")


def test_a_job_whose_disk_is_full_fails_and_its_output_is_cut(slurm: Slurm, small_disk: Path) -> None:
    job = slurm.sbatch("head -c 8000000 /dev/zero", f"--output={small_disk}/out")
    assert slurm.wait(job) == "FAILED"
    assert (small_disk / "out").stat().st_size <= 4 << 20


def test_without_accounting_a_job_is_soon_forgotten(forgetful_slurm: Slurm) -> None:
    job = forgetful_slurm.sbatch("true")
    forgetful_slurm.wait(job)
    wait_until(lambda: forgetful_slurm.state(job) == "", seconds=60, what="the controller to forget the job")
    with pytest.raises(ServiceError, match="Invalid job id"):
        forgetful_slurm.command("squeue", "--jobs", job)
    with pytest.raises(ServiceError, match="accounting storage is disabled"):
        forgetful_slurm.command("sacct", "--jobs", job)


def test_a_job_survives_the_sudden_death_of_the_controller(fragile_slurm: Slurm) -> None:
    marker = fragile_slurm.folder / "home" / "go"
    job = fragile_slurm.sbatch(f"until test -e {marker}; do sleep 0.1; done; echo done")
    fragile_slurm.wait(job, states=RUNNING)
    fragile_slurm.scontrol("update", f"jobid={job}", "comment=on-disk")
    saved = fragile_slurm.folder / "state" / "job_state"
    wait_until(lambda: b"on-disk" in saved.read_bytes(), what="the controller to save its state")
    fragile_slurm.controller.kill()
    assert "is DOWN" in fragile_slurm.scontrol("ping", check=False)
    marker.touch()
    fragile_slurm.start_controller()
    assert fragile_slurm.wait(job, seconds=90) == "COMPLETED"
    assert output(fragile_slurm, job) == "done\n"


def test_a_job_survives_the_sudden_death_of_the_nodes_daemon(fragile_slurm: Slurm) -> None:
    marker = fragile_slurm.folder / "home" / "go"
    job = fragile_slurm.sbatch(f"until test -e {marker}; do sleep 0.1; done; echo done")
    fragile_slurm.wait(job, states=RUNNING)
    fragile_slurm.node.kill()
    fragile_slurm.start_node()
    assert fragile_slurm.state(job) == "RUNNING"
    marker.touch()
    assert fragile_slurm.wait(job) == "COMPLETED"
    assert output(fragile_slurm, job) == "done\n"
