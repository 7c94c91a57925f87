"""Programs that run in the background while tests use them: found, started, killed, started again, ended."""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import pytest

#: Set where an absent service must fail the tests instead of skipping them.
REQUIRE = "HEARTBRAIN_REQUIRE_SERVICES"

#: Where daemons live; an ordinary user's PATH often lacks the `sbin` folders.
PATH = os.pathsep.join(["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])

KEEPER = Path(__file__).with_name("keeper.py")


class ServiceError(Exception):
    """A program that a test needs did not do what it should; its own last words follow."""


def absent(reason: str) -> NoReturn:
    """Skip the test, or fail it where the services are required."""
    if os.environ.get(REQUIRE, "0") not in {"", "0"}:
        pytest.fail(f"{reason}, and {REQUIRE} says that it must be there", pytrace=False)
    pytest.skip(reason)


def need(*programs: str, package: str) -> None:
    """Skip or fail the test when one of the `programs` of these Debian `package`s is not installed."""
    missing = [program for program in programs if shutil.which(program, path=PATH) is None]
    if missing:
        absent(f"{', '.join(missing)} not installed (apt install {package})")


def environment(**more: str) -> dict[str, str]:
    """Give a small environment for a daemon: nothing of the test run's own leaks into it."""
    return {"PATH": PATH, "HOME": "/", "LANG": "C.UTF-8", "USER": "root", **more}


def wait_until(true: Callable[[], object], *, seconds: float = 20, what: str = "the condition") -> None:
    """Wait until `true()` holds; complain that `what` did not come to be."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise ServiceError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Give `count` neighbouring TCP ports that nobody listens on, below those that the kernel hands out by itself."""
    while True:
        first = random.randrange(15000, 32000 - count)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return list(range(first, first + count))


def listens(port: int) -> bool:
    """Say whether something accepts connections on this port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Daemon:
    """One program in the foreground of its own keeper, which ends all that descends from it (see keeper.py)."""

    def __init__(self, argv: list[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        self._argv = argv
        self._env = dict(env) if env is not None else environment()
        self._keepers: list[subprocess.Popen[bytes]] = []
        self.log = log
        #: Process id of the program that was started last.
        self.pid = 0

    def start(self) -> None:
        """Start the program, also once more after its end."""
        with self.log.open("ab") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(KEEPER), *self._argv],
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._keepers.append(keeper)
        assert keeper.stdout
        answer = keeper.stdout.readline()
        keeper.stdout.close()
        if not answer:
            raise ServiceError(f"{self._argv[0]} does not start: {self.last_words()}")
        self.pid = int(answer)

    def runs(self) -> bool:
        """Say whether the program is there and not a zombie."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
        except (FileNotFoundError, ProcessLookupError):
            return False

    def kill(self) -> None:
        """End the program as a power cut would (SIGKILL); what it started goes on."""
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self.runs(), what=f"the end of {self._argv[0]}")

    def wait_for(self, ready: Callable[[], object], *, seconds: float = 30) -> None:
        """Wait until the program is `ready`; tell its last words when it ends before, or is too slow."""
        name = Path(self._argv[0]).name
        end = time.monotonic() + seconds
        while not ready():
            if not self.runs():
                raise ServiceError(f"{name} ended: {self.last_words()}")
            if time.monotonic() > end:
                raise ServiceError(f"{name} is not ready after {seconds:g} s: {self.last_words()}")
            time.sleep(0.02)

    def last_words(self, lines: int = 12) -> str:
        """Give the end of what it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def close(self) -> None:
        """End the program and all its descendants, of every start."""
        for keeper in self._keepers:
            assert keeper.stdin
            keeper.stdin.close()
        for keeper in self._keepers:
            keeper.wait(timeout=20)
        self._keepers.clear()


def run(
    argv: list[str], *, env: Mapping[str, str], seconds: float = 60, stdin: str = "", user: str | None = None
) -> str:
    """Run a command to its end, as another `user` if root wants, and give what it printed.

    Raises
    ------
    ServiceError
        With its complaint, when it fails.
    """
    done = subprocess.run(
        argv,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        user=user,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
    )
    if done.returncode != 0:
        words = done.stderr.strip() or done.stdout.strip()
        raise ServiceError(f"{' '.join(argv)}: exit {done.returncode}: {words}")
    return done.stdout
