"""The commands as a user runs them, killed and starved as a login node does it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from hpc_bridge import cli
from hpc_bridge.bucket import FolderBucket, MemoryBucket
from hpc_bridge.digests import file_digest
from hpc_bridge.errors import DeniedError
from hpc_bridge.protocol import SigningKey, State, close, fetch
from tests.hpc_bridge.site import Site, wall_clock


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, FolderBucket(tmp_path / "bucket"))


def run(*words: str, home: Path) -> int:
    return cli.main([words[0], "--home", str(home), *words[1:]])


def test_a_new_installation_says_what_is_missing_and_then_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "agent"
    assert run("init", "--folder", str(tmp_path / "bucket"), home=home) == 0
    said = capsys.readouterr().out
    assert "hpc-bridge-ed25519 " in said
    assert f"tick --home {home}" in said
    assert (home.stat().st_mode & 0o777, (home / "agent_key.pem").stat().st_mode & 0o777) == (0o700, 0o600)
    assert run("doctor", home=home) == 1
    assert "FIX  trusted keys" in capsys.readouterr().out
    assert run("tick", home=home) == 2
    assert "trusted_keys is empty" in capsys.readouterr().err
    (home / "trusted_keys").write_text(SigningKey.generate().public.line() + "\n")
    assert run("doctor", home=home) == 0
    assert "FIX" not in capsys.readouterr().out
    assert run("tick", "--json", home=home) == 0
    assert json.loads(capsys.readouterr().out) == {"steps": [], "problems": [], "jobs": {}}
    assert (tmp_path / "bucket/catalogue/checksum-report/1.0.json").is_file()
    assert run("functions", home=home) == 0
    assert capsys.readouterr().out.startswith("checksum-report 1.0  Checksum report")


def test_init_again_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "agent"
    run("init", home=home)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    run("init", home=home)
    assert "all is there" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_after_a_change_of_the_bucket_the_catalogue_is_told_to_the_new_one(site: Site, tmp_path: Path) -> None:
    config = site.home / "config.yml"
    said = [path.relative_to(tmp_path / "bucket") for path in _told(site, tmp_path / "bucket")]
    content = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**content, "bucket": {"kind": "folder", "folder": str(tmp_path / "other")}}))
    assert [path.relative_to(tmp_path / "other") for path in _told(site, tmp_path / "other")] == said
    assert {path.parts[0] for path in said} == {"agents", "catalogue"}


def _told(site: Site, bucket: Path) -> list[Path]:
    assert run("tick", "--quiet", home=site.home) == 0
    return sorted(path for name in ("agents", "catalogue") for path in (bucket / name).rglob("*.json"))


def test_a_wrong_setting_is_named(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    (site.home / "config.yml").write_text("agent: a\nbucket: {kind: folder, folder: x}\nlimits: {jobs: 3}\n")
    assert run("tick", home=site.home) == 2
    assert "limits.jobs" in capsys.readouterr().err


def test_watch_brings_a_job_to_its_end(site: Site) -> None:
    job = site.ask().job
    assert run("watch", "--every", "0.2", "--for", "4", "--quiet", home=site.home) == 0
    assert site.standing(job).state is State.FINISHED


def test_an_agent_that_is_killed_again_and_again_brings_each_job_to_one_result(site: Site) -> None:
    luck = random.Random(1)
    jobs = [site.ask(f"R{index}", parameters={"label": str(index)}).job for index in range(4)]
    argv = [sys.executable, "-m", "hpc_bridge.cli", "tick", "--home", str(site.home), "--quiet"]
    deadline = time.monotonic() + 90
    while any(site.standing(job).state is not State.FINISHED for job in jobs):
        assert time.monotonic() < deadline, [site.standing(job) for job in jobs]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(luck.uniform(0.4, 3))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    for index, job in enumerate(jobs):
        fetch(site.rdm, site.conclusion(job), site.folder / job)
        assert json.loads((site.folder / job / "output/report.json").read_text())["label"] == str(index)
        close(site.rdm, site.standing(job))
    started = [json.loads(path.read_text())["state"] for path in site.home.glob("scratch/attempts/*/*/claim")]
    assert started.count("started") == 4


def test_an_expired_credential_ends_the_tick_and_nothing_is_lost(tmp_path: Path) -> None:
    def expired(moment: str, operation: str, key: str) -> None:
        if operation in {"put", "create"}:
            raise DeniedError("ExpiredToken")

    store = MemoryBucket()
    site = Site(tmp_path, store)
    job = site.ask().job
    site.bucket = store.view(expired)
    with pytest.raises(DeniedError, match="renew them"):
        site.tick()
    site.bucket = store
    assert site.until(job).state is State.FINISHED


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_that_is_ten_minutes_off_does_no_harm(tmp_path: Path, minutes: int) -> None:
    site = Site(tmp_path, MemoryBucket())
    job = site.ask().job
    site.clock = lambda: wall_clock() + timedelta(minutes=minutes)
    assert site.until(job).state is State.FINISHED


def test_a_job_costs_a_constant_number_of_requests(tmp_path: Path) -> None:
    costs = []
    for before in (0, 3):
        folder = tmp_path / str(before)
        folder.mkdir()
        store = MemoryBucket()
        site = Site(folder, store)
        for index in range(before):
            close(site.rdm, site.until(site.ask(f"before-{index}").job))
        site.tick()
        job = site.ask("R").job
        store.requests.clear()
        site.tick()
        while not list(site.home.glob("scratch/attempts/*/*/exit.json")):
            time.sleep(0.05)
        site.tick()
        assert store.requests.pop("list") == 2
        costs.append(dict(store.requests))
        assert site.standing(job).state is State.FINISHED
    assert costs[0] == costs[1]


def test_an_image_that_was_exchanged_is_not_run(tmp_path: Path) -> None:
    site = Site(tmp_path, MemoryBucket())
    folder = site.home / "functions" / "checksum-report"
    image = folder / "tool.sif"
    image.write_bytes(b"image")
    entry = yaml.safe_load((folder / "function.yml").read_text())
    entry["container"] = {"runtime": "apptainer", "image": "tool.sif", "sha256": file_digest(image)}
    (folder / "function.yml").write_text(yaml.safe_dump(entry))
    image.write_bytes(b"other")
    job = site.ask().job
    site.tick()
    assert site.standing(job).state is State.FAILED
    assert "image" in site.conclusion(job).message
