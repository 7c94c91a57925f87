"""The agent's decisions with a real Slurm; tests/services has it with a real S3 server as well."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml

from hpc_bridge.bucket import MemoryBucket
from hpc_bridge.protocol import State, wish_cancel
from tests.hpc_bridge.site import Site
from tests.services.slurm import Slurm


def at(slurm: Slurm, monkeypatch: pytest.MonkeyPatch, folder: Path, accounting: str) -> Site:
    monkeypatch.setenv("SLURM_CONF", str(slurm.folder / "slurm.conf"))
    settings = {"scheduler": {"kind": "slurm", "accounting": accounting}, "times": {"grace_seconds": 8}}
    return Site(folder, MemoryBucket(), settings=settings)


@pytest.fixture
def site(slurm: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    return at(slurm, monkeypatch, tmp_path, "jobcomp")


def test_cancelling_one_of_a_batch_ends_that_one_alone(site: Site) -> None:
    jobs = [site.ask(f"R{index}", parameters={"wait": 6}).job for index in range(2)]
    for job in jobs:
        site.until(job, State.RUNNING, seconds=30)
    wish_cancel(site.rdm, jobs[0])
    assert site.until(jobs[0], seconds=30).state is State.CANCELLED
    assert site.until(jobs[1], seconds=60).state is State.FINISHED


def test_a_task_of_an_array_that_is_killed_is_failed_when_the_queue_has_forgotten_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies, lives = (site.ask(name, parameters={"wait": wait}).job for name, wait in (("dies", 8), ("lives", 0)))
    site.until(dies, State.RUNNING, seconds=30)
    [attempt] = site.agent().desk.attempts(dies)
    while (claim := site.home / "scratch" / "attempts" / attempt.token / str(attempt.task) / "claim").exists() is False:
        time.sleep(0.1)
    os.kill(json.loads(claim.read_text())["pid"], signal.SIGKILL)
    site.until(lives, seconds=60)
    empty = site.folder / "commands"
    empty.mkdir()
    for name in ("sbatch", "sacct", "scancel"):
        (empty / name).symlink_to(str(shutil.which(name)))
    (empty / "squeue").write_text("#!/bin/sh\nexit 0\n")  # as some minutes after the end
    (empty / "squeue").chmod(0o755)
    config = site.home / "config.yml"
    content = yaml.safe_load(config.read_text())
    content["scheduler"]["folder"] = str(empty)
    config.write_text(yaml.safe_dump(content))
    assert site.until(dies, seconds=60).state is State.FAILED
    assert "without writing its exit file" in site.conclusion(dies).message


def test_a_tick_that_died_after_sbatch_finds_its_job_by_name(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(BaseException):
        pass

    job = site.ask().job
    agent = site.agent()
    submit = agent.scheduler.submit

    def die(submission: object) -> str:
        submit(submission)
        raise Died

    monkeypatch.setattr(agent.scheduler, "submit", die)
    with pytest.raises(Died):
        agent.tick()
    assert site.standing(job).state is State.SUBMITTING
    assert site.until(job, seconds=60).state is State.FINISHED
    assert [event.state.value for event in site.conclusion(job).events].count("submitting") == 1


def test_a_job_refused_by_slurm_fails_with_slurms_words(site: Site) -> None:
    path = site.home / "functions" / "checksum-report" / "function.yml"
    entry = yaml.safe_load(path.read_text())
    entry["resources"]["partition"] = "nope"
    path.write_text(yaml.safe_dump(entry))
    job = site.ask().job
    assert site.until(job, seconds=30).state is State.FAILED
    assert "partition" in site.conclusion(job).message


def test_without_any_accounting_results_come_back_and_what_vanished_is_lost(
    forgetful_slurm: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = at(forgetful_slurm, monkeypatch, tmp_path, "none")
    good, gone = site.ask("good").job, site.ask("gone", parameters={"wait": 120}).job
    assert site.until(good, seconds=60).state is State.FINISHED
    site.until(gone, State.RUNNING)
    number = next(event.scheduler_id for event in site.rdm.history(gone, 4) if event.scheduler_id)
    while not list(site.home.glob("scratch/attempts/*/*/run-1")):
        time.sleep(0.2)
    forgetful_slurm.command("scancel", "--signal=KILL", "--full", str(number))
    time.sleep(6)
    assert site.until(gone, seconds=60).state in {State.LOST, State.FAILED}


def test_a_disk_that_is_full_lets_the_job_wait_and_go_on(small_disk: Path, tmp_path: Path) -> None:
    site = Site(tmp_path, MemoryBucket(), settings={"scratch": str(small_disk / "scratch")})
    big = site.file("big.nii", bytes(5_000_000))
    job = site.ask(files={"big.nii": big}).job
    report = site.tick()
    assert any("room in scratch" in text for text in report.problems)
    assert site.standing(job).state in {State.NEW, State.STAGING}
    small = site.ask("small").job
    assert site.until(small).state is State.FINISHED
