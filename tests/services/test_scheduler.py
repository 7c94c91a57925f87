"""The bridge's view of a real Slurm, of its queue and of what its completion plugin wrote."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpc_bridge.errors import SchedulerError, SchedulerUnavailableError
from hpc_bridge.processes import Answer, run
from hpc_bridge.schedulers import Phase, Resources, Submission
from hpc_bridge.schedulers.slurm import SlurmScheduler
from hpc_bridge.settings import SchedulerSettings
from tests.services.slurm import Slurm

JOBCOMP = SchedulerSettings(kind="slurm", accounting="jobcomp")


@pytest.fixture
def commands(slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Slurm's commands find the test cluster."""
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])


def token() -> str:
    return f"hb-{secrets.token_hex(16)}"


def forgetful(argv: Sequence[str]) -> Answer:
    """Run a command, but let the queue be empty as it is some minutes after a job's end."""
    return Answer(0, "", "") if argv[0] == "squeue" else run(argv)


@pytest.mark.usefixtures("commands")
def test_live_and_ended_jobs_are_found_by_their_name(slurm: Slurm) -> None:
    scheduler = SlurmScheduler(JOBCOMP)
    waits, ended = token(), token()
    numbers = {
        waits: slurm.sbatch("sleep 600", f"--job-name={waits}"),
        ended: slurm.sbatch("exit 3", f"--job-name={ended}"),
    }
    slurm.wait(numbers[waits], states=frozenset({"RUNNING"}))
    slurm.wait(numbers[ended])
    seen = scheduler.survey([f"{waits}.0", f"{ended}.0", f"{token()}.0"])
    assert {one.token: (one.scheduler_id, one.phase) for one in seen.values()} == {
        waits: (numbers[waits], Phase.RUNNING),
        ended: (numbers[ended], Phase.ENDED),
    }
    scheduler.cancel(seen[f"{waits}.0"])
    assert slurm.wait(numbers[waits]) == "CANCELLED"
    scheduler.cancel(seen[f"{ended}.0"])


@pytest.mark.usefixtures("commands")
def test_the_tasks_of_an_array_are_told_apart_in_the_queue(slurm: Slurm) -> None:
    name = token()
    number = slurm.sbatch("exit $SLURM_ARRAY_TASK_ID", f"--job-name={name}", "--array=0-2")
    slurm.wait(number)
    seen = SlurmScheduler(JOBCOMP).survey([f"{name}.{task}" for task in range(3)])
    assert {one.scheduler_id: one.detail for one in seen.values()} == {
        f"{number}_0": "COMPLETED",
        f"{number}_1": "FAILED (NonZeroExitCode)",
        f"{number}_2": "FAILED (NonZeroExitCode)",
    }


@pytest.mark.usefixtures("commands")
def test_cancelling_ends_one_task_of_an_array_alone(slurm: Slurm) -> None:
    scheduler, name = SlurmScheduler(JOBCOMP), token()
    number = slurm.sbatch("sleep 600", f"--job-name={name}", "--array=0-1")
    slurm.wait(number, states=frozenset({"RUNNING"}))
    seen = scheduler.survey([f"{name}.0", f"{name}.1"])
    scheduler.cancel(seen[f"{name}.1"])
    assert slurm.wait(f"{number}_1") == "CANCELLED"
    assert slurm.state(f"{number}_0") == "RUNNING"
    scheduler.cancel(seen[f"{name}.0"])
    assert slurm.wait(number) == "CANCELLED"


@pytest.mark.usefixtures("commands")
def test_after_the_purge_a_job_is_found_by_its_completion_and_an_arrays_task_is_not_guessed(slurm: Slurm) -> None:
    single, several = token(), token()
    slurm.wait(slurm.sbatch("exit 3", f"--job-name={single}"))
    slurm.wait(slurm.sbatch("true", f"--job-name={several}", "--array=0-2"))
    attempts = [f"{single}.0", *(f"{several}.{task}" for task in range(3))]
    seen = SlurmScheduler(JOBCOMP, forgetful).survey(attempts)
    assert {attempt: (one.phase, one.detail) for attempt, one in seen.items()} == {
        f"{single}.0": (Phase.ENDED, "FAILED 3:0")
    }


@pytest.mark.usefixtures("commands")
def test_a_refusal_is_told_from_a_controller_that_does_not_answer(
    fragile_slurm: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_CONF", fragile_slurm.env["SLURM_CONF"])
    scheduler = SlurmScheduler(JOBCOMP)
    too_much = Submission(token(), tmp_path, (0,), Resources(minutes=5, memory_mb=10**6))
    with pytest.raises(SchedulerError, match="node configuration is not available") as refusal:
        scheduler.submit(too_much)
    assert not isinstance(refusal.value, SchedulerUnavailableError)
    fragile_slurm.controller.kill()
    with pytest.raises(SchedulerUnavailableError):
        scheduler.submit(Submission(token(), tmp_path, (0,), Resources(minutes=5, memory_mb=50)))
