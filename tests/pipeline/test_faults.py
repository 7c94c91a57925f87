"""Disk full, archive read-only, database gone, lock held: nothing is lost and the next run ends with the same tree."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heartbrain_ingest.filesystem import publish
from heartbrain_ingest.lock import LOCK_NAME, Owner, lock_owner
from heartbrain_ingest.settings import load_settings
from heartbrain_ingest.shown import report_lines
from tests.pipeline.conftest import TakenIn
from tests.pipeline.scans import make_slice, write, write_series
from tests.pipeline.site import PROGRAM, Done, Site

#: In a mount namespace of its own: only this process and its children see what it mounts.
UNSHARE = ("unshare", "--mount", *(() if os.getuid() == 0 else ("--map-root-user",)))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> TakenIn:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_series(folder / "study" / "a")
    write_series(folder / "study" / "b", PatientID="HB0100", SeriesDescription="t2_tse_tra", InversionTime=None)
    site = Site.make(folder / "site")
    return TakenIn(site=site, inbox=folder / "study", done=site.ingest(folder / "study"), seconds=0)


def _assert_same(site: Site, undisturbed: TakenIn) -> None:
    assert site.tree() == undisturbed.site.tree()
    assert site.content() == undisturbed.site.content()
    outcomes = [[(row.path, row.outcome, row.destination) for row in one.files()] for one in (site, undisturbed.site)]
    assert outcomes[0] == outcomes[1]
    assert list((site.folder / "staging").iterdir()) == []


def _in_mount_namespace(site: Site, mount: str, inbox: Path) -> Done:
    """Run an ingest where something is mounted that nobody else sees."""
    script = f'{mount} && exec "$@"'
    argv = [*UNSHARE, "sh", "-c", script, "sh", *site.argv("ingest", "--json", "--jobs", "1", "--inbox", inbox)]
    done = subprocess.run(argv, capture_output=True, text=True, env=site.environment(), timeout=120, check=False)
    return Done(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture(scope="module")
def mounting() -> None:
    probe = subprocess.run([*UNSHARE, "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("this machine lets nobody mount in a namespace")


# the disk


@pytest.mark.parametrize("kilobytes", [16, 48])
@pytest.mark.usefixtures("mounting")
def test_a_full_staging_disk_ends_the_run_and_the_next_one_completes(
    undisturbed: TakenIn, tmp_path: Path, kilobytes: int
) -> None:
    site = Site.make(tmp_path / "site")
    # Archive and staging on one small disk, as they have to be; what it holds goes with the process.
    work = site.folder / "staging"
    full = _in_mount_namespace(site, f"mount -t tmpfs -o size={kilobytes}k none {work}", undisturbed.inbox)
    assert full.code == 2, full.out
    assert full.err.startswith("heartbrain: ")
    assert "Traceback" not in full.err
    assert site.tree() == {}
    site.ingest(undisturbed.inbox)
    _assert_same(site, undisturbed)


def test_a_state_folder_that_takes_no_more_ends_the_run_and_the_next_one_completes(
    undisturbed: TakenIn, tmp_path: Path
) -> None:
    site = Site.make(tmp_path / "site")

    def small_files() -> None:  # as when a quota or a disk is used up in the middle of a file
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        site.argv("ingest", "--json", "--jobs", "1", "--inbox", undisturbed.inbox),
        capture_output=True,
        text=True,
        env=site.environment(),
        preexec_fn=small_files,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith("heartbrain: The ledger can't be read or written")
    site.ingest(undisturbed.inbox)
    _assert_same(site, undisturbed)


@pytest.mark.usefixtures("mounting")
def test_a_read_only_archive_ends_the_run_and_the_next_one_completes(undisturbed: TakenIn, tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site")
    archive = site.archive
    mount = f"mount --bind {archive} {archive} && mount -o remount,ro,bind {archive}"
    refused = _in_mount_namespace(site, mount, undisturbed.inbox)
    assert refused.code == 2
    assert "A folder could not be published" in refused.err
    assert site.tree() == {}
    site.ingest(undisturbed.inbox)
    _assert_same(site, undisturbed)


@pytest.mark.usefixtures("mounting")
def test_staging_on_another_disk_is_said_before_anything_is_lost(undisturbed: TakenIn, tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site")
    refused = _in_mount_namespace(site, f"mount -t tmpfs none {site.folder / 'staging'}", undisturbed.inbox)
    assert refused.code == 2
    assert "cross-device" in refused.err
    assert site.tree() == {}
    site.ingest(undisturbed.inbox)
    _assert_same(site, undisturbed)


# the database


@contextmanager
def _server(site: Site, port: int) -> Iterator[str]:
    database = site.folder / "server.db"
    argv = [PROGRAM, "linkahead", "serve", "--database", database, "--port", str(port), "--settings", site.settings]
    environment = site.environment() | {"HEARTBRAIN_LINKAHEAD_PASSWORD": "secret"}
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield line.split(" at ")[1].split()[0]
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_server_that_is_gone_costs_only_the_records_and_the_next_run_makes_them(
    undisturbed: TakenIn, tmp_path: Path
) -> None:
    site = Site.make(tmp_path / "site")
    with _server(site, 0) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
    ini = "[Connection]\nurl = {}\nusername = heartbrain\npassword = secret\npassword_method = plain\ntimeout = 20\n"
    (site.folder / "pylinkahead.ini").write_text(ini.format(f"http://127.0.0.1:{port}/"), encoding="ascii")
    site.settings.write_text("linkahead: {ini: pylinkahead.ini}\n", encoding="utf-8")
    gone = site.run("ingest", "--json", "--inbox", undisturbed.inbox)
    assert gone.code == 2, gone.out + gone.err
    assert len(gone.report["published"]) == 2
    assert gone.report["trouble"]
    assert site.tree() == undisturbed.site.tree()
    assert {row["state"] for row in site.ledger_rows("deliveries")} == {"published"}
    site.settings.write_text("", encoding="utf-8")  # an embedded one takes its place: the records are still owed
    again = site.run("ingest", "--json", "--inbox", undisturbed.inbox)
    assert (again.code, again.report["new"], again.report["published"]) == (0, 0, [])
    _assert_same(site, undisturbed)


def test_a_database_that_somebody_locks_for_a_while_is_waited_for(undisturbed: TakenIn, tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site")
    site.take_in()
    site.find("FIND ENTITY")
    holder = sqlite3.connect(site.database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    argv = site.argv("ingest", "--json", "--jobs", "1", "--inbox", undisturbed.inbox)
    run = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=site.environment())
    deadline = time.monotonic() + 60
    while not site.sessions() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    assert run.poll() is None
    holder.execute("ROLLBACK")
    holder.close()
    out, _ = run.communicate(timeout=120)
    assert run.returncode == 0, out
    _assert_same(site, undisturbed)


def test_a_damaged_ledger_stops_the_run_before_it_does_anything(undisturbed: TakenIn, tmp_path: Path) -> None:
    site = Site.make(tmp_path / "site")
    (site.folder / "state" / "ledger.db").write_bytes(b"no database" * 100)
    done = site.run("ingest", "--json", "--inbox", undisturbed.inbox)
    assert done.code == 2
    assert done.err.startswith("heartbrain: The ledger can't be read or written")
    assert site.tree() == {}


# one run at a time

HOLDER = """
import sys, time
from pathlib import Path
from heartbrain_ingest.lock import exclusive
from heartbrain_ingest.settings import load_settings

with exclusive(load_settings(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def _holding(site: Site) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", HOLDER, str(site.settings)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_run_waits_for_nobody_but_says_who_holds_the_archive(site: Site) -> None:
    with _holding(site) as holder:
        refused = site.run("ingest")
        assert refused.code == 2
        assert f"process {holder.pid} on {socket.gethostname()}, for " in refused.err
        assert site.run("quarantine", "release", "1").code == 2
        assert site.run("remap").code == 2
        assert json.loads(site.run("status", "--json").out)["running"].startswith(f"process {holder.pid} on")


def test_the_lock_of_a_killed_run_is_taken_over(site: Site) -> None:
    with _holding(site) as holder:
        holder.kill()
        holder.wait()
        owner, held = lock_owner(load_settings(site.settings))
        assert owner is not None
        assert (owner.pid, owner.is_alive, held) == (holder.pid, False, False)
        assert site.run("ingest").code == 0
    assert "taking over the lock of process" in site.log
    assert lock_owner(load_settings(site.settings)) == (None, False)


def test_a_process_that_got_the_number_of_a_dead_owner_holds_nothing(site: Site) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        reused = {"host": socket.gethostname(), "pid": sleeper.pid, "process_start": "1", "since": time.time()}
        (site.folder / "state" / LOCK_NAME).write_text(json.dumps(reused), encoding="ascii")
        assert Owner(**reused).is_alive is False
        assert site.run("ingest").code == 0
    finally:
        sleeper.kill()
        sleeper.wait()


def test_two_sites_do_not_publish_into_one_archive_at_a_time(site: Site, tmp_path: Path) -> None:
    other = Site.make(tmp_path / "other", f"folders: {{archive: {site.archive}}}\n")
    with _holding(site):
        refused = other.run("ingest")
    assert refused.code == 2
    assert "the same archive" in refused.err
    assert other.run("ingest").code == 0


# on the disk before it shows

WATCHED = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from heartbrain_ingest.filesystem import publish

events = []
synced, renamed = os.fsync, os.rename


def fsync(descriptor):
    events.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
    synced(descriptor)


def watch(name, arguments):
    if name == "os.rename":
        events.append(("rename", str(arguments[1])))


os.fsync = fsync
sys.addaudithook(watch)
publish(Path(sys.argv[1]), Path(sys.argv[2]))
for event in events:
    print(*event)
"""


def test_every_file_and_folder_is_on_the_disk_before_the_rename_and_the_name_after_it(tmp_path: Path) -> None:
    staged, target = tmp_path / "staged" / "session", tmp_path / "archive" / "a" / "b" / "session"
    for name in ("README.md", "sub-A/anat/x.nii.gz", "sourcedata/dicom/1.zip"):
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        (staged / name).write_text(name)
    everything = {str(staged), *(str(path) for path in staged.rglob("*"))}
    (tmp_path / "archive").mkdir()
    argv = [sys.executable, "-c", textwrap.dedent(WATCHED), str(staged), str(target), *sys.path]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    rename = lines.index(f"rename {target}")
    assert {line.removeprefix("sync ") for line in lines[:rename]} >= everything
    after = {line.removeprefix("sync ") for line in lines[rename + 1 :]}
    assert {str(target.parent), str(tmp_path / "archive" / "a"), str(tmp_path / "archive")} <= after


def test_nothing_is_published_over_what_is_published(tmp_path: Path) -> None:
    for name in ("staged", "archive/session"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
    with pytest.raises(Exception, match="already published"):
        publish(tmp_path / "staged", tmp_path / "archive" / "session")
    assert (tmp_path / "archive" / "session" / "file").read_text() == "archive/session"
    assert (tmp_path / "staged" / "file").read_text() == "staged"


def test_input_that_goes_away_between_two_moments_of_a_run_is_accounted_for(site: Site, tmp_path: Path) -> None:
    inbox = tmp_path / "study"
    write_series(inbox)

    def away(function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            shutil.rmtree(inbox, ignore_errors=True)
            inbox.mkdir(exist_ok=True)
            return function(*arguments, **options)

        return wrapped

    from heartbrain_ingest import workers  # noqa: PLC0415 - patched for this test

    with pytest.MonkeyPatch.context() as patch:  # between reading the headers and reading the files
        patch.setattr(workers, "clean_instances", away(workers.clean_instances))
        report = site.take_in(inbox)
    assert report.published == []
    assert set(site.fates(inbox).values()) == {("quarantined", "UNREADABLE_FILE")}
    site.take_in(inbox)
    assert set(site.fates(inbox).values()) == {("ignored", "FILE_GONE")}


def test_copies_of_an_instance_that_are_gone_with_their_disk_refuse_their_session_and_not_the_night(
    site: Site, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    write_series(disk / "a")
    write(make_slice(1, ImageComments="another"), disk / "b" / "copy")
    site.take_in(disk, session="ses-20000101")  # notes what is there, and nothing of it is asked for
    shutil.rmtree(disk)
    write_series(site.inbox / "other", PatientID="HB0100", PatientName="Else^Some")
    (site.inbox / ".complete").touch()
    report = site.take_in()
    assert (len(report.published), dict(report.refused)) == (1, {"UNREADABLE_FILE": 1})
    assert set(site.fates(disk).values()) == {("quarantined", "UNREADABLE_FILE")}
    assert any(line.split()[:2] == ["5", "UNREADABLE_FILE:"] for line in report_lines(report))
