"""An agent with real jobs: processes of this machine, on every store."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path

import pytest

from hpc_bridge.agent import DRAIN, STOP
from hpc_bridge.bucket import Bucket, MemoryBucket
from hpc_bridge.protocol import Heartbeat, Receipt, State, close, fetch, keys, wish_cancel
from tests.hpc_bridge.site import Site


@pytest.fixture
def site(bucket: Bucket, tmp_path: Path) -> Site:
    return Site(tmp_path, bucket)


@pytest.fixture
def quick(tmp_path: Path) -> Site:
    return Site(tmp_path, MemoryBucket())


def test_a_request_comes_back_as_a_verified_result(site: Site, tmp_path: Path) -> None:
    job = site.ask(parameters={"label": 'ä\n--help; $(id) "x"'}, environment={"REPORT_NOTE": "a;b"}).job
    assert site.until(job).state is State.FINISHED
    conclusion = site.conclusion(job)
    fetch(site.rdm, conclusion, tmp_path / "result")
    report = json.loads((tmp_path / "result/output/report.json").read_text())
    expected = hashlib.sha256(b"some input").hexdigest()
    assert report["files"] == [{"name": "sub/scan.nii", "size": 10, "checksum": expected}]
    assert (report["label"], report["note"]) == ('ä\n--help; $(id) "x"', "a;b")
    assert (tmp_path / "result/output/SHA256SUMS").read_text() == f"{expected}  sub/scan.nii\n"
    assert (tmp_path / "result/logs/stdout.txt").read_text() == "1 files\n"
    assert json.loads((tmp_path / "result/logs/environment.json").read_text())["job"]["REPORT_NOTE"] == "a;b"
    assert conclusion.manifest is not None
    assert conclusion.manifest.cost["wall_seconds"] > 0
    assert [event.state.value for event in conclusion.events] == [
        "new", "staging", "submitting", "running", "uploading", "finished",
    ]  # fmt: skip


def test_after_the_rdm_side_closed_a_job_scratch_is_empty_and_a_receipt_is_there(quick: Site) -> None:
    job = quick.ask().job
    close(quick.rdm, quick.until(job))
    quick.tick()
    scratch = quick.home / "scratch"
    assert [path for path in scratch.rglob("*") if path.is_file()] == []
    receipt = Receipt.from_bytes((quick.home / "state" / "receipts" / f"{job}.json").read_bytes())
    assert receipt.files >= 8
    assert not (quick.home / "state" / "jobs" / job).exists()


def test_a_tick_when_nothing_changed_is_one_listing(quick: Site) -> None:
    assert isinstance(quick.bucket, MemoryBucket)
    job = quick.ask(parameters={"wait": 30}).job
    quick.until(job, State.RUNNING)
    quick.tick()
    quick.bucket.requests.clear()
    quick.tick()
    assert quick.bucket.requests == {"list": 1}
    wish_cancel(quick.rdm, job)
    assert quick.until(job).state is State.CANCELLED


def test_a_job_of_which_nobody_ran_a_tick_for_long_has_gone_on(quick: Site, tmp_path: Path) -> None:
    job = quick.ask(parameters={"wait": 0.5}).job
    quick.tick()
    assert quick.standing(job).state is State.RUNNING
    time.sleep(1.5)
    assert quick.tick().jobs == {"running": 1}
    assert quick.standing(job).state is State.FINISHED


def test_cancelling_ends_the_process(quick: Site) -> None:
    job = quick.ask(parameters={"wait": 60}).job
    quick.until(job, State.RUNNING)
    claim = next(quick.home.glob("scratch/attempts/*/0/claim"))
    while not claim.exists():
        time.sleep(0.05)
    pid = json.loads(claim.read_text())["pid"]
    wish_cancel(quick.rdm, job)
    assert quick.until(job).state is State.CANCELLED
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()


def test_a_killed_job_fails_visibly_with_what_it_said(quick: Site, tmp_path: Path) -> None:
    job = quick.ask(parameters={"wait": 60}).job
    quick.until(job, State.RUNNING)
    claim = next(quick.home.glob("scratch/attempts/*/0/claim"))
    time.sleep(0.5)
    os.kill(json.loads(claim.read_text())["pid"], signal.SIGKILL)
    assert quick.until(job).state is State.FAILED
    conclusion = quick.conclusion(job)
    assert "without writing its exit file" in conclusion.message
    fetch(quick.rdm, conclusion, tmp_path / "result")
    assert not (tmp_path / "result/output").exists()


def test_an_event_that_cannot_be_read_stops_its_own_job_alone_and_kills_nothing(quick: Site) -> None:
    job = quick.ask(parameters={"wait": 60}).job
    broken = quick.until(job, State.RUNNING)
    quick.bucket.put(keys.event(job, broken.number), b"{")
    quick.bucket.delete([keys.hint(job, broken.number, State.RUNNING)])
    other = quick.ask("R2").job
    assert quick.until(other).state is State.FINISHED
    assert any(job in text and "can't be read" in text for text in quick.tick().problems)
    [claim] = [
        path for path in quick.home.glob("scratch/attempts/*/0/claim") if not (path.parent / "exit.json").exists()
    ]
    pid = json.loads(claim.read_text())["pid"]
    assert Path(f"/proc/{pid}").exists()
    close(quick.rdm, quick.standing(job))
    quick.tick()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()


def test_a_program_that_fails_says_so_with_its_logs(quick: Site, tmp_path: Path) -> None:
    function = quick.home / "functions" / "checksum-report"
    (function / "report.py").write_text("import sys\nsys.exit('the model did not converge')\n")
    job = quick.ask().job
    assert quick.until(job).state is State.FAILED
    conclusion = quick.conclusion(job)
    assert "exit status 1" in conclusion.message
    fetch(quick.rdm, conclusion, tmp_path / "result")
    assert "did not converge" in (tmp_path / "result/logs/stderr.txt").read_text()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import os; os.symlink('/etc/passwd', 'report.json')", "link or a device"),
        ("import os; os.mkfifo('report.json')", "link or a device"),
        ("pass", "required output report.json is missing"),
        ("open('report.json','w').write('x' * 2000)", "more outputs"),
        ("[open(f'{n}','w') for n in range(20)]", "more outputs"),
        ("open('report\\u00a0(1).json','w')", r"name can't be used: 'report\xa0(1).json'"),
        ("open('a\\\\b','w')", "name can't be used"),
        ("open('a\\nb','w')", "name can't be used"),
        ("open('x' * 201,'w')", "name can't be used"),
        ("open(b'\\xff','w')", r"name can't be used: '\udcff'"),
        ("import os; os.symlink('x', b'\\xff')", r"link or a device: '\udcff'"),
        ("import os; os.makedirs('d/' * 16); open('d/' * 16 + 'x', 'w')", "name can't be used"),
    ],
)
def test_outputs_that_are_not_what_was_agreed_are_no_result(quick: Site, script: str, reason: str) -> None:
    (quick.home / "functions" / "checksum-report" / "report.py").write_text(script)
    job = quick.ask(outputs={"max_bytes": 1000, "max_files": 10}).job
    assert quick.until(job).state is State.FAILED
    assert reason in quick.conclusion(job).message


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"run":"../../..","exit_code":0}',
        b'{"run":"run-1","exit_code":0,"outputs":[{"name":"../x","size":0,"sha256":"' + b"0" * 64 + b'"}]}',
    ],
)
def test_an_exit_file_that_cannot_be_read_ends_its_own_job_alone(quick: Site, tmp_path: Path, body: bytes) -> None:
    job = quick.ask(parameters={"wait": 60}).job
    quick.until(job, State.RUNNING)
    claim = next(quick.home.glob("scratch/attempts/*/0/claim"))
    (claim.parent / "exit.json").write_bytes(body)
    other = quick.ask("R2").job
    assert quick.until(job).state is State.FAILED
    assert "exit file can't be read" in quick.conclusion(job).message
    fetch(quick.rdm, quick.conclusion(job), tmp_path / "result")
    assert (tmp_path / "result/logs/stdout.txt").is_file()
    assert quick.until(other).state is State.FINISHED


def test_logs_that_no_record_can_hold_stay_where_they_are(quick: Site) -> None:
    (quick.home / "functions" / "checksum-report" / "report.py").write_text(
        "for n in range(100): open(f'../logs/{n:03d}', 'w')\nopen(b'../logs/\\xff', 'w')\nopen('report.json', 'w')\n"
        "open('SHA256SUMS', 'w')"
    )
    job = quick.ask().job
    assert quick.until(job).state is State.FINISHED
    assert [one.name for one in quick.conclusion(job).logs][:2] == ["000", "001"]
    assert len(quick.conclusion(job).logs) == 64


def test_a_job_has_no_network(quick: Site) -> None:
    script = "import socket, json; open('report.json','w').write(json.dumps([n for _, n in socket.if_nameindex()]))"
    (quick.home / "functions" / "checksum-report" / "report.py").write_text(script)
    job = quick.ask().job
    assert quick.until(job).state is State.FINISHED
    fetch(quick.rdm, quick.conclusion(job), quick.folder / "result")
    assert json.loads((quick.folder / "result/output/report.json").read_text()) == ["lo"]


def test_a_job_sees_nothing_of_the_agents_environment(quick: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    script = "import os, json; open('report.json','w').write(json.dumps(sorted(os.environ)))"
    (quick.home / "functions" / "checksum-report" / "report.py").write_text(script)
    job = quick.ask().job
    assert quick.until(job).state is State.FINISHED
    fetch(quick.rdm, quick.conclusion(job), quick.folder / "result")
    seen = set(json.loads((quick.folder / "result/output/report.json").read_text()))
    assert seen - {"LC_CTYPE"} == {"HOME", "LANG", "OMP_NUM_THREADS", "PATH"}


def test_alike_jobs_are_handed_in_together(quick: Site) -> None:
    jobs = [quick.ask(f"R{index}").job for index in range(4)]
    quick.tick()
    assert len(list((quick.home / "scratch" / "attempts").iterdir())) == 1
    assert {quick.until(job).state for job in jobs} == {State.FINISHED}


def test_limits_leave_the_rest_for_later(tmp_path: Path) -> None:
    site = Site(tmp_path, MemoryBucket(), settings={"limits": {"jobs_at_once": 2}})
    for index in range(3):
        site.ask(f"R{index}", parameters={"wait": 30})
    assert site.tick().jobs == {"new": 3}
    assert sorted(one.state.value for one in site.rdm.standings().values()) == ["new", "running", "running"]
    for job in site.rdm.standings():
        wish_cancel(site.rdm, job)
    for job in list(site.rdm.standings()):
        site.until(job)


def test_stop_keeps_new_jobs_out_and_follows_the_old(quick: Site) -> None:
    old = quick.ask("old", parameters={"wait": 0.3}).job
    quick.tick()
    (quick.home / STOP).touch()
    new = quick.ask("new").job
    assert quick.until(old).state is State.FINISHED
    quick.tick()
    assert quick.standing(new).state is State.NEW
    (quick.home / STOP).unlink()
    assert quick.until(new).state is State.FINISHED


def test_drain_brings_to_an_end_what_was_taken(quick: Site) -> None:
    (quick.home / STOP).touch()
    (quick.home / STOP).rename(quick.home / DRAIN)
    job = quick.ask().job
    report = quick.tick()
    assert quick.standing(job).state is State.NEW
    assert report.steps == []
    beat = Heartbeat.from_bytes(quick.bucket.get(keys.agent("cluster-1"), limit=10**6) or b"")
    assert not beat.accepting


def test_progress_and_queue_state_are_in_the_heartbeat(quick: Site) -> None:
    script = "import sys, time, pathlib; pathlib.Path(sys.argv[-1], 'progress').write_text('0.25'); time.sleep(60)"
    (quick.home / "functions" / "checksum-report" / "report.py").write_text(script)
    job = quick.ask().job
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        quick.tick()
        beat = Heartbeat.from_bytes(quick.bucket.get(keys.agent("cluster-1"), limit=10**6) or b"")
        if beat.jobs and beat.jobs[job].progress == 0.25:
            break
        time.sleep(0.2)
    assert beat.jobs[job].progress == 0.25
    assert beat.jobs[job].scheduler_state == "running"
    wish_cancel(quick.rdm, job)
    quick.until(job)


def test_a_full_scratch_lets_jobs_wait(tmp_path: Path) -> None:
    site = Site(tmp_path, MemoryBucket(), settings={"limits": {"free_bytes": 1 << 62}})
    job = site.ask().job
    report = site.tick()
    assert site.standing(job).state is State.NEW
    assert any("not enough room" in text and "lower limits.free_bytes" in text for text in report.problems)


def test_an_input_that_was_exchanged_is_never_run(quick: Site) -> None:
    job = quick.ask().job
    quick.bucket.put(keys.input_file(job, "sub/scan.nii"), b"SOME INPUT")
    assert quick.until(job).state is State.FAILED
    assert "checksum" in quick.conclusion(job).message
    assert not (quick.home / "scratch" / "attempts").exists()
