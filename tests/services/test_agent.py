"""The agent with a real Slurm and a real S3 server: what it does when all goes well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hpc_bridge.protocol import FINAL, State, wish_cancel
from tests.services.centre import Centre
from tests.services.daemon import wait_until
from tests.services.slurm import Slurm

NewCentre = Callable[..., Centre]


def text(folder: Path, name: str) -> str:
    return (folder / name).read_text()


def token(centre: Centre, job: str) -> str:
    """Give the name of a job's batch job."""
    events = centre.rdm.history(job, centre.standing(job).number)
    return next(event.attempt for event in events if event.attempt).partition(".")[0]


def test_a_request_becomes_a_batch_job_and_its_result_comes_back(
    new_centre: NewCentre, slurm: Slurm, tmp_path: Path
) -> None:
    centre = new_centre()
    job = centre.ask("one", folder=tmp_path)
    reports = centre.tick_until_over(job)
    assert [problem for report in reports for problem in report.problems] == []
    conclusion = centre.result(job, tmp_path / "result")
    assert conclusion.state is State.FINISHED, conclusion.message
    assert text(tmp_path, "result/output/report.txt") == "input of one\none\n"
    attempt = conclusion.attempt or ""
    ran = {done.name: done for done in slurm.completions()}[attempt.partition(".")[0]]
    assert (ran.state, ran.exit_code) == ("COMPLETED", "0:0")
    assert ran.job in {event.scheduler_id for event in conclusion.events}
    assert {"stdout.txt", "stderr.txt", "environment.json"} <= {log.name for log in conclusion.logs}
    centre.close(job)
    centre.tick()
    assert centre.states() == {}
    assert not list((centre.home / "scratch").rglob("report.txt"))


def test_many_alike_requests_become_one_array_job(new_centre: NewCentre, slurm: Slurm, tmp_path: Path) -> None:
    centre = new_centre()
    jobs = [centre.ask(f"r{number}", folder=tmp_path) for number in range(8)]
    before = len({done.name for done in slurm.completions()})
    centre.tick_until_over(*jobs, seconds=90)
    assert {centre.states()[job] for job in jobs} == {State.FINISHED}
    assert sorted(centre.starts()) == sorted(f"r{number}" for number in range(8))
    done = slurm.completions()
    assert len({one.name for one in done}) - before == 1
    for number, job in enumerate(jobs):
        centre.result(job, tmp_path / job)
        assert text(tmp_path, f"{job}/output/report.txt") == f"input of r{number}\nr{number}\n"


def test_a_wish_to_cancel_ends_the_batch_job(new_centre: NewCentre, slurm: Slurm, tmp_path: Path) -> None:
    centre = new_centre()
    job = centre.ask("endless", seconds=600, folder=tmp_path)
    centre.tick_until(lambda: centre.starts() == ["endless"])
    wish_cancel(centre.rdm, job)
    centre.tick_until_over(job)
    assert centre.states()[job] is State.CANCELLED
    assert slurm.command("squeue", "--noheader", "--states=PENDING,RUNNING", "--name", token(centre, job)) == ""


def test_a_program_that_fails_is_told_with_its_last_words(new_centre: NewCentre, tmp_path: Path) -> None:
    centre = new_centre()
    (centre.functions / "report" / "fail").touch()
    job = centre.ask("bad", folder=tmp_path)
    centre.tick_until_over(job)
    conclusion = centre.result(job, tmp_path / "result")
    assert conclusion.state is State.FAILED
    assert "exit status 7" in conclusion.message
    assert text(tmp_path, "result/logs/stderr.txt") == "told to fail\n"


def test_a_function_in_a_container_gives_the_same_result(
    new_centre: NewCentre, container_image: Path, tmp_path: Path
) -> None:
    centre = new_centre(image=container_image)
    job = centre.ask("boxed", folder=tmp_path)
    centre.tick_until_over(job)
    conclusion = centre.result(job, tmp_path / "result")
    assert conclusion.state is State.FINISHED, conclusion.message
    assert text(tmp_path, "result/output/report.txt") == "input of boxed\nboxed\n"


def test_two_users_with_two_agents_see_nothing_of_each_other(new_centre: NewCentre, tmp_path: Path) -> None:
    first, second = new_centre(user="anna"), new_centre(user="ben")
    jobs = {centre.agent: centre.ask(centre.agent, folder=tmp_path) for centre in (first, second)}
    first.tick_until_over(jobs[first.agent])
    assert first.starts() == [first.agent]
    assert second.starts() == []
    assert second.states() == {jobs[second.agent]: State.NEW}
    second.tick_until_over(jobs[second.agent])
    assert {**first.states(), **second.states()} == dict.fromkeys(jobs.values(), State.FINISHED)


def test_without_accounting_the_exit_file_is_enough(
    new_centre: NewCentre, forgetful_slurm: Slurm, tmp_path: Path
) -> None:
    centre = new_centre(slurm=forgetful_slurm, accounting="none")
    job = centre.ask("forgotten", seconds=5, folder=tmp_path)
    centre.tick_until(lambda: centre.starts() == ["forgotten"])
    by_name = ("squeue", "--noheader", "--states=all", "--name", token(centre, job))
    wait_until(lambda: forgetful_slurm.command(*by_name) == "", seconds=60, what="Slurm to forget the job")
    assert centre.states()[job] not in FINAL
    centre.tick_until_over(job)
    assert centre.states()[job] is State.FINISHED
