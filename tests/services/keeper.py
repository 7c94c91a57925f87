"""Run one program and, when the pipe at standard input closes, end it and everything that it ever started.

A daemon's children may leave its process group (Slurm's job steps do); as the nearest subreaper this process inherits
them all the same. The pipe closes too when the test run itself is killed, so nothing is left behind then either.

Used as ``python keeper.py PROGRAM ARGUMENT...``; prints the program's process id, and nothing more.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def children_of(parents: set[int]) -> set[int]:
    """Give the process ids below `parents`, of every generation."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (folder / "stat").read_text(errors="replace")
                children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(folder.name))
    found: set[int] = set()
    queue = list(parents)
    while queue:
        new = [child for child in children.get(queue.pop(), []) if child not in found]
        found.update(new)
        queue.extend(new)
    return found


def reap() -> bool:
    """Collect the children that have ended; say whether any still lives."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def main(argv: list[str]) -> int:
    """Keep one program."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wake)
    program = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True)
    print(program.pid, flush=True)  # noqa: T201 - the one answer
    while sys.stdin not in (ready := select.select([sys.stdin, ended], [], [])[0]) and ended in ready:
        os.read(ended, 4096)
        reap()
    while reap():
        for pid in children_of({os.getpid()}):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
