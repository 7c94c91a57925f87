"""Killed anywhere and started again, the program ends where an undisturbed run ends."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from heartbrain_ingest.filesystem import memory_folder
from heartbrain_ingest.lock import exclusive
from heartbrain_ingest.settings import load_settings
from tests.pipeline.conftest import TakenIn
from tests.pipeline.scans import write_series
from tests.pipeline.site import Site

KILLS = 10

#: Runs an ingest that ends itself without warning at a moment that is named, not timed.
DYING = """
import os, signal, sys
from pathlib import Path
import linkahead
from heartbrain_ingest import crawl, pipeline
from heartbrain_ingest.settings import load_settings

settings, inbox, moment, number = sys.argv[1:]
calls = 0


def die_at(function, *, before):
    def wrapped(*arguments, **options):
        global calls
        calls += 1
        last = calls == int(number)
        if last and before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


owner, name, before = {
    "scan": (pipeline.Ledger, "record", False),
    "decision": (pipeline.Ledger, "stage_outcomes", False),
    "rename": (pipeline, "publish", True),
    "renamed": (pipeline, "publish", False),
    "insert": (linkahead.Container, "insert", False),
    "crawled": (crawl, "crawl_delivery", False),
}[moment]
setattr(owner, name, die_at(getattr(owner, name), before=before))
pipeline.Run(load_settings(Path(settings)), pipeline.RunOptions(inbox=Path(inbox), jobs=1)).execute()
"""


def _is_killed_after(seconds: float, site: Site, inbox: Path) -> bool:
    """Start an ingest and kill it with all its processes; False when it ended before."""
    process = subprocess.Popen(
        site.argv("ingest", "--inbox", inbox),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=site.environment(),
        start_new_session=True,
    )
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def _scratch(site: Site) -> list[Path]:
    """Give the places, on disk and in memory, where a site works on identified files."""
    memory = memory_folder(site.folder / "state")
    return [site.folder / "state" / "scratch", *([memory] if memory else [])]


def _assert_same_end(site: Site, undisturbed: Site) -> None:
    assert site.tree() == undisturbed.tree()
    assert site.content() == undisturbed.content()
    assert [(row.path, row.outcome, row.code, row.destination, row.sha256) for row in site.files()] == [
        (row.path, row.outcome, row.code, row.destination, row.sha256) for row in undisturbed.files()
    ]
    assert list((site.folder / "staging").iterdir()) == []
    for scratch in _scratch(site):
        assert list(scratch.rglob("*")) == []
        scratch.rmdir()


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_ends_as_if_nothing_had_happened(sample: TakenIn, tmp_path: Path) -> None:
    chance = random.Random(20230504)
    moments = [sample.seconds * (tenth + chance.random()) / KILLS for tenth in range(KILLS)]
    chance.shuffle(moments)
    finished: list[Site] = []
    site = Site.make(tmp_path / "site0")
    kills = 0
    while kills < KILLS:
        if _is_killed_after(moments[kills], site, sample.inbox):
            kills += 1
            continue
        finished.append(site)  # the earlier interrupted runs had left too little to do
        assert len(finished) < 2 * KILLS
        site = Site.make(tmp_path / f"site{len(finished)}")
        # The machine was busier when the undisturbed run was timed.
        moments = [0.7 * moment for moment in moments]
    site.ingest(sample.inbox)
    for one in (*finished, site):
        _assert_same_end(one, sample.site)


def test_workers_end_with_the_process_that_is_killed(sample: TakenIn, tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site")
    process = subprocess.Popen(
        site.argv("ingest", "--inbox", sample.inbox, "--jobs", "2"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=site.environment(),
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not any(next(scratch.rglob("*.dcm"), None) for scratch in _scratch(site)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)  # this process alone; its workers notice by themselves
    process.wait()
    while _members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _members(process.pid) == []
    for scratch in _scratch(site):
        shutil.rmtree(scratch, ignore_errors=True)


def _members(group: int) -> list[str]:
    """Give the running processes of a process group."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(status.parent.name)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> TakenIn:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_series(folder / "study" / "a")
    write_series(folder / "study" / "b", StudyDate="20230601", SeriesDescription="t2_tse_tra", InversionTime=None)
    site = Site.make(folder / "site")
    return TakenIn(site=site, inbox=folder / "study", done=site.ingest(folder / "study"), seconds=0)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("scan", 1),
        ("decision", 2),
        ("rename", 2),
        ("renamed", 1),
        ("insert", 3),
        ("crawled", 2),
    ],
)
def test_killed_at_the_worst_moments_it_ends_as_if_nothing_had_happened(
    undisturbed: TakenIn, tmp_path: Path, moment: str, number: int
) -> None:
    site = Site.make(tmp_path / "site")
    argv = [sys.executable, "-c", DYING, str(site.settings), str(undisturbed.inbox), moment, str(number)]
    done = subprocess.run(argv, capture_output=True, text=True, env=site.environment(), timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    site.take_in(undisturbed.inbox)
    _assert_same_end(site, undisturbed.site)


def test_a_second_run_at_the_same_time_says_so_and_does_nothing(undisturbed: TakenIn, tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site")
    work = [folder / "of the first run" for folder in (site.folder / "staging", *_scratch(site))]
    for path in work:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with exclusive(load_settings(site.settings)):
        second = site.run("ingest", "--inbox", undisturbed.inbox)
    assert [path.exists() for path in work] == [True] * len(work)
    assert second.code == 2
    assert "Another run works on this archive: wait until it ends, or stop it. (process " in second.err
    assert f"process {os.getpid()} on {socket.gethostname()}, for " in second.err
    assert site.tree() == {}
    assert site.run("ingest", "--inbox", undisturbed.inbox).code == 0


def _restore_ledger(site: Site, backup: bytes) -> None:
    for path in (site.folder / "state").glob("ledger.db*"):
        path.unlink()
    (site.folder / "state" / "ledger.db").write_bytes(backup)


def _backup_of_ledger(site: Site) -> bytes:
    with closing(sqlite3.connect(site.folder / "state" / "ledger.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (site.folder / "state" / "ledger.db").read_bytes()


def test_with_a_ledger_from_an_older_backup_what_is_published_already_is_taken_over_as_it_is(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "study"
    write_series(inbox / "a")
    site.take_in(inbox)
    backup = _backup_of_ledger(site)
    write_series(inbox / "b", series=5)
    site.take_in(inbox)
    tree, files = site.tree(), site.files()
    _restore_ledger(site, backup)
    report = site.take_in(inbox)
    assert (report.exit_code, len(report.published)) == (0, 1)
    assert (site.tree(), site.files()) == (tree, files)


def test_with_a_ledger_from_an_older_backup_no_file_is_called_published_that_is_not(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox / "a")
    site.take_in(inbox)
    backup = _backup_of_ledger(site)
    write_series(inbox / "b", series=5)
    site.take_in(inbox)
    tree = site.tree()
    _restore_ledger(site, backup)
    shutil.rmtree(inbox / "b")
    write_series(inbox / "c", series=7)
    for night in (1, 2):
        report = site.take_in(inbox)
        assert report.exit_code == 1, night
        assert {row.code for row in site.files() if row.path.is_relative_to(inbox / "c")} == {"TARGET_TAKEN"}
        assert {row.outcome for row in site.files() if row.path.is_relative_to(inbox / "a")} == {"converted"}
    assert site.tree() == tree
    places = {row.destination.partition("!")[0] for row in site.files() if row.destination}
    assert all((site.archive / place).is_file() for place in places)


def test_after_a_restored_backup_a_session_that_was_kept_back_is_published_once_the_other_folder_is_out_of_the_way(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "study"
    write_series(inbox / "a")
    site.take_in(inbox)
    backup = _backup_of_ledger(site)
    write_series(inbox / "b", series=5)
    site.take_in(inbox)
    _restore_ledger(site, backup)
    shutil.rmtree(inbox / "b")
    write_series(inbox / "c", series=7)
    site.take_in(inbox)
    (taken,) = [folder for folder in site.sessions() if folder.name.endswith("_rev-2")]
    told = site.run("quarantine", "explain", "TARGET_TAKEN").out
    assert f"found in {taken.relative_to(site.archive).as_posix()}" in told
    # As docs/howto-steward.md says.
    taken.rename(tmp_path / taken.name)
    assert site.run("quarantine", "release", "TARGET_TAKEN").out.startswith("4 files released")
    report = site.take_in(inbox)
    assert (report.published, report.exit_code) == ([taken.relative_to(site.archive).as_posix()], 0)
    assert {row.outcome for row in site.files()} == {"converted"}
    assert site.run("check", "--no-bids").code == 0
    assert "TARGET_TAKEN" not in site.run("explain", taken.name).out
    assert site.count("RECORD Session") == 1
    assert sorted(path.name for path in taken.rglob("*.zip")) == ["0002_t1_mprage_tra.zip", "0007_t1_mprage_tra.zip"]
    assert site.count("RECORD MRImage") == 2


def test_a_run_that_was_killed_before_its_rename_does_not_take_another_folder_for_its_own(
    site: Site, tmp_path: Path
) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)
    argv = [sys.executable, "-c", DYING, str(site.settings), str(inbox), "rename", "1"]
    died = subprocess.run(argv, env=site.environment(), check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL
    (delivery,) = site.ledger_rows("deliveries")
    assert delivery["state"] == "publishing"
    other = site.archive / delivery["target"]
    other.mkdir(parents=True)
    (other / "README.md").write_text("something else")
    report = site.take_in(inbox)
    assert report.published == []
    assert {(row.outcome, row.code) for row in site.files()} == {("quarantined", "TARGET_TAKEN")}
