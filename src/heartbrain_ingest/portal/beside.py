"""Lets `heartbrain bridge --watch` run beside the portal: a process of its own, for it connects LinkAhead as itself."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_LOG = logging.getLogger(__name__)
_PAUSE_SECONDS = 30.0
_PATIENCE_SECONDS = 20.0


def exchange_command(settings: Path) -> list[str]:
    """Give the command that exchanges until its standard input ends."""
    program = [sys.executable, "-m", "heartbrain_ingest.cli"]
    return [*program, "bridge", "--watch", "--attached", "--settings", str(settings.resolve())]


@contextmanager
def running(command: Sequence[str], *, pause: float = _PAUSE_SECONDS) -> Iterator[None]:
    """Keep a program running. The end of its standard input tells it to end; it comes however this process ends.

    Parameters
    ----------
    command
        What to run, without a shell.
    pause
        After it ended by itself it is started again so much later. Unit: seconds.
    """
    is_over = threading.Event()
    current: list[subprocess.Popen[bytes]] = []
    lock = threading.Lock()

    def keep() -> None:
        while not is_over.is_set():
            with lock:
                if is_over.is_set():
                    return
                # A session of its own: Ctrl-C is for the portal, which then ends this one in good order.
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
                )
                current[:] = [process]
            code = process.wait()
            if process.stdin is not None:
                process.stdin.close()
            if not is_over.is_set():
                _LOG.warning("The exchange ended with status %s; it is started again in %g s.", code, pause)
                is_over.wait(pause)

    keeper = threading.Thread(target=keep, name="exchange", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        with lock:
            for process in current:
                _end(process)
        keeper.join(_PATIENCE_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
