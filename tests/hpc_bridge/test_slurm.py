"""Slurm's commands: what is asked, and what recorded answers mean. The answers are those of Slurm 22.05."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hpc_bridge.errors import SchedulerBusyError, SchedulerError, SchedulerUnavailableError
from hpc_bridge.processes import Answer
from hpc_bridge.schedulers import Phase, Resources, Sighting, Submission
from hpc_bridge.schedulers.slurm import Sacct, Sbatch, Scancel, SlurmScheduler, Squeue, phase_of
from hpc_bridge.settings import SchedulerSettings

ONE, TWO = "hb-" + "1" * 32, "hb-" + "2" * 32
SETTINGS = SchedulerSettings(kind="slurm", partition="medium", account="lab", qos="short")
SINCE = datetime(2026, 3, 1, tzinfo=UTC)


def submission(folder: Path, *tasks: int, **needs: object) -> Submission:
    facts = {"minutes": 10, "memory_mb": 512, **needs}
    return Submission(ONE, folder, tasks, Resources(**facts))


def test_a_job_is_handed_in_by_its_name_with_what_it_needs(tmp_path: Path) -> None:
    argv = Sbatch(submission(tmp_path, 0, cpus=4, gpus=1), SETTINGS).argv(tmp_path / "job.sh")
    assert argv[0] == "sbatch"
    assert {f"--job-name={ONE}", "--no-requeue", "--time=10", "--mem=512M", "--cpus-per-task=4", "--gres=gpu:1"} <= set(
        argv
    )
    assert {"--partition=medium", "--account=lab", "--qos=short"} <= set(argv)
    assert argv[-1] == str(tmp_path / "job.sh")
    assert not any(item.startswith(("--array", "--export", "--wrap")) for item in argv)


def test_what_a_function_names_goes_before_what_the_site_names(tmp_path: Path) -> None:
    argv = Sbatch(submission(tmp_path, 0, partition="gpu"), SETTINGS).argv(tmp_path / "job.sh")
    assert [item for item in argv if "partition" in item] == ["--partition=gpu"]


def test_several_jobs_are_an_array_of_the_tasks_that_were_won(tmp_path: Path) -> None:
    assert "--array=0-2,5" in Sbatch(submission(tmp_path, 0, 1, 2, 5), SETTINGS).argv(tmp_path / "job.sh")
    assert "--array=3" in Sbatch(submission(tmp_path, 3), SETTINGS).argv(tmp_path / "job.sh")


def test_the_batch_script_is_the_same_for_all_requests(tmp_path: Path) -> None:
    script = Sbatch(submission(tmp_path / "a b", 0), SETTINGS).script()
    assert script.startswith("#!/bin/sh\nexec ")
    assert script.count("\n") == 2
    assert f"'{tmp_path}/a b'" in script


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(1, "", "sbatch: error: Invalid account or account/partition combination"), SchedulerError),
        (Answer(1, "", "sbatch: error: invalid partition specified: nope"), SchedulerError),
        (Answer(1, "", "sbatch: error: QOSMaxSubmitJobPerUserLimit"), SchedulerBusyError),
        (Answer(1, "", "sbatch: error: AssocMaxSubmitJobLimit"), SchedulerBusyError),
        (Answer(1, "", "sbatch: error: Unable to contact slurm controller"), SchedulerUnavailableError),
        (Answer(1, "", "sbatch: error: Socket timed out on send/recv operation"), SchedulerUnavailableError),
        (Answer(124, "", "sbatch: no answer in 60 s"), SchedulerUnavailableError),
        (Answer(0, "", ""), SchedulerUnavailableError),
    ],
)  # fmt: skip
def test_a_refusal_is_told_from_not_knowing(answer: Answer, error: type[SchedulerError]) -> None:
    with pytest.raises(SchedulerError) as caught:
        Sbatch.parse(answer)
    assert type(caught.value) is error


def test_the_number_is_read_with_and_without_a_cluster() -> None:
    assert Sbatch.parse(Answer(0, "1234\n", "")) == "1234"
    assert Sbatch.parse(Answer(0, "1234;goettingen\n", "")) == "1234"


def test_the_queue_shows_ours_by_name_and_nothing_else() -> None:
    text = (
        f"17|N/A|{ONE}|PENDING|Priority|17\n"
        f"18|0|{TWO}|RUNNING|None|19\n"
        f"18|1|{TWO}|COMPLETED|None|20\n"
        "21|N/A|somebody else's job|RUNNING|None|21\n"
        f"22|N/A|{ONE}x|RUNNING|None|22\n"
        "garbage\n"
    )
    assert Squeue.parse(text) == [
        Sighting(ONE, 0, "17", Phase.WAITING, "PENDING (Priority)"),
        Sighting(TWO, 0, "18_0", Phase.RUNNING, "RUNNING"),
        Sighting(TWO, 1, "18_1", Phase.ENDED, "COMPLETED"),
    ]
    assert {"--me", "--array", "--states=all"} <= set(Squeue().argv())


@pytest.mark.parametrize(
    ("state", "phase"),
    [("PENDING", Phase.WAITING), ("RUNNING", Phase.RUNNING), ("COMPLETING", Phase.RUNNING),
     ("SUSPENDED", Phase.RUNNING),
     ("CANCELLED by 1000", Phase.ENDED), ("CANCELLED+", Phase.ENDED), ("NODE_FAIL", Phase.ENDED),
     ("TIMEOUT", Phase.ENDED),
     ("OUT_OF_MEMORY", Phase.ENDED), ("A_STATE_OF_THE_FUTURE", Phase.RUNNING)],
)  # fmt: skip
def test_states_are_read_as_slurm_writes_them(state: str, phase: Phase) -> None:
    assert phase_of(state) is phase


def test_accounting_with_a_database_needs_a_known_end() -> None:
    text = f"17|{ONE}|FAILED|0:0|Unknown\n18_3|{TWO}|TIMEOUT|0:0|2026-03-01T10:00:00\n19|other|FAILED|1:0|x\n"
    assert Sacct(SINCE).parse(text) == [
        Sighting(ONE, 0, "17", Phase.RUNNING, "FAILED 0:0"),
        Sighting(TWO, 3, "18_3", Phase.ENDED, "TIMEOUT 0:0"),
    ]
    assert "--starttime=2026-03-01T00:00:00" in Sacct(SINCE).argv()


def test_the_completion_log_does_not_take_one_task_of_an_array_for_another() -> None:
    """It shows the tasks of an array under numbers of their own and one name (Slurm 22.05)."""
    scheduler = SlurmScheduler(
        SchedulerSettings(kind="slurm", accounting="jobcomp"),
        lambda argv: Answer(0, f"19|{ONE}|COMPLETED|0:0\n21|{ONE}|FAILED|1:0\n" if "sacct" in argv[0] else "", ""),
    )
    assert scheduler.survey([f"{ONE}.1", f"{ONE}.2"]) == {}


def test_the_completion_log_shows_those_tasks_of_an_array_whose_numbers_their_wrappers_wrote_down() -> None:
    scheduler = SlurmScheduler(
        SchedulerSettings(kind="slurm", accounting="jobcomp"),
        lambda argv: Answer(
            0, f"19|{ONE}|COMPLETED|0:0\n21|{ONE}|FAILED|0:9\n23|{TWO}|FAILED|1:0\n" if "sacct" in argv[0] else "", ""
        ),
        number_of={f"{ONE}.2": "21", f"{ONE}.3": "23"}.get,
    )
    seen = scheduler.survey([f"{ONE}.1", f"{ONE}.2", f"{ONE}.3"])
    assert {attempt: one.detail for attempt, one in seen.items()} == {f"{ONE}.2": "FAILED 0:9"}


def test_of_a_job_that_was_started_again_the_last_line_counts() -> None:
    lines = f"17|{ONE}|NODE_FAIL|0:0\n17|{ONE}|COMPLETED|0:0\n"
    scheduler = SlurmScheduler(
        SchedulerSettings(kind="slurm", accounting="jobcomp"),
        lambda argv: Answer(0, lines if "sacct" in argv[0] else "", ""),
    )
    assert scheduler.survey([f"{ONE}.0"])[f"{ONE}.0"].detail == "COMPLETED 0:0"


def test_a_number_that_was_given_again_to_another_name_is_not_ours() -> None:
    scheduler = SlurmScheduler(
        SchedulerSettings(kind="slurm", accounting="none"),
        lambda _: Answer(0, f"17|N/A|{TWO}|RUNNING|None|17\n", ""),
    )
    assert scheduler.survey([f"{ONE}.0"]) == {}


def test_a_survey_is_one_squeue_and_accounting_only_for_what_the_queue_does_not_show() -> None:
    asked: list[str] = []

    def runner(argv: Sequence[str]) -> Answer:
        asked.append(argv[0])
        return Answer(0, f"17|N/A|{ONE}|RUNNING|None|17\n" if argv[0] == "squeue" else "", "")

    scheduler = SlurmScheduler(SchedulerSettings(kind="slurm"), runner)
    assert set(scheduler.survey([f"{ONE}.0"])) == {f"{ONE}.0"}
    assert asked == ["squeue"]
    scheduler.survey([f"{ONE}.0", f"{TWO}.0", f"{TWO}.1"])
    assert asked == ["squeue", "squeue", "sacct"]


@pytest.mark.parametrize("silent", ["squeue", "sacct"])
def test_a_controller_or_database_that_is_down_concludes_nothing(silent: str) -> None:
    def runner(argv: Sequence[str]) -> Answer:
        return Answer(1 if argv[0] == silent else 0, "", "Unable to contact slurm controller")

    with pytest.raises(SchedulerUnavailableError):
        SlurmScheduler(SchedulerSettings(kind="slurm"), runner).survey([f"{ONE}.0"])


def test_cancelling_names_a_plain_job_so_that_a_reused_number_hits_nobody() -> None:
    assert Scancel(Sighting(ONE, 0, "18", Phase.RUNNING)).argv() == ["scancel", f"--name={ONE}", "18"]
    assert Scancel(Sighting(ONE, 2, "18_2", Phase.RUNNING)).argv() == ["scancel", "18_2"]
