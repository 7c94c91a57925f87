"""Nothing that a test run started outlives it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.services.daemon import Daemon, wait_until

#: A daemon's child that leaves its session and its parent, as Slurm's job steps do.
ESCAPES = "(setsid sh -c 'echo $$ > {pid}; exec sleep 600' &) ; sleep 600"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def read_pid(file: Path) -> int:
    wait_until(lambda: file.exists() and file.read_text().strip(), what="a process id")
    return int(file.read_text())


def test_closing_ends_a_daemon_and_a_child_that_fled_from_it(tmp_path: Path) -> None:
    daemon = Daemon(["sh", "-c", ESCAPES.format(pid=tmp_path / "pid")], log=tmp_path / "log")
    daemon.start()
    child = read_pid(tmp_path / "pid")
    daemon.close()
    assert not daemon.runs()
    assert not alive(child)


def test_a_killed_daemon_leaves_its_children_until_it_is_closed(tmp_path: Path) -> None:
    daemon = Daemon(["sh", "-c", ESCAPES.format(pid=tmp_path / "pid")], log=tmp_path / "log")
    daemon.start()
    child = read_pid(tmp_path / "pid")
    daemon.kill()
    assert alive(child)
    daemon.close()
    assert not alive(child)


def test_a_test_run_that_is_killed_leaves_nothing_behind(tmp_path: Path, project_root: Path) -> None:
    script = f"""
import signal
from pathlib import Path
from tests.services.daemon import Daemon
here = Path({str(tmp_path)!r})
Daemon(["sh", "-c", {ESCAPES.format(pid=tmp_path / "pid")!r}], log=here / "log").start()
signal.pause()
"""
    run = subprocess.Popen([sys.executable, "-c", script], cwd=project_root)
    child = read_pid(tmp_path / "pid")
    run.send_signal(signal.SIGKILL)
    run.wait()
    wait_until(lambda: not alive(child), what="the end of the daemon's child")
