"""One run at a time per archive: a lock that says whose it is, and that ends with the process that holds it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

from heartbrain_ingest.errors import BusyError
from heartbrain_ingest.settings import Settings

log = logging.getLogger(__name__)

LOCK_NAME = "run.lock"
#: Place of the start time among the fields of /proc/PID/stat that follow the program's name (proc(5)).
_START_FIELD = 19


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds the lock, or held it last without giving it back."""

    host: str
    pid: int
    #: When the process started, in clock ticks since the boot: another process that got its number has another one.
    process_start: str
    #: When it took the lock, seconds since 1970.
    since: float

    @classmethod
    def this_process(cls) -> Self:
        """Describe this process."""
        pid = os.getpid()
        return cls(host=socket.gethostname(), pid=pid, process_start=_process_start(pid), since=time.time())

    @property
    def is_alive(self) -> bool | None:
        """Say whether the process is still there; None when it is one of another machine."""
        if self.host != socket.gethostname():
            return None
        return bool(self.process_start) and _process_start(self.pid) == self.process_start

    def described(self) -> str:
        """Say who it is and for how long, in plain words."""
        alive = {None: "", True: "", False: "; it has ended, but a process that it started holds the lock"}
        return f"process {self.pid} on {self.host}, for {_shown(time.time() - self.since)}{alive[self.is_alive]}"


@contextmanager
def exclusive(settings: Settings) -> Iterator[None]:
    """Hold a site's state and archive for one run.

    The locks are the kernel's: they end with the process that holds them, however that ends, so there is no stale lock
    to remove by hand and no process number to trust. What stands in the file only tells people who it is.

    Raises
    ------
    BusyError
        When another run holds one of them; says which process, where and for how long.
    """
    state, archive = settings.folders.state, settings.folders.archive
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    archive.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        file = stack.enter_context((state / LOCK_NAME).open("a+", encoding="utf-8"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _read(file)
            raise BusyError(owner.described() if owner else "its process is not known") from None
        _lock_archive(stack, archive)
        former = _read(file)
        if former is not None:
            log.warning("taking over the lock of process %d on %s, which ended in the middle", former.pid, former.host)
        file.truncate(0)
        json.dump(asdict(Owner.this_process()), file)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def lock_owner(settings: Settings) -> tuple[Owner | None, bool]:
    """Give who stands in the lock file, and whether the lock is held at this moment."""
    try:
        with (settings.folders.state / LOCK_NAME).open("r", encoding="utf-8") as file:
            owner = _read(file)
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return owner, True
            return owner, False
    except OSError:
        return None, False


def _lock_archive(stack: ExitStack, archive: Path) -> None:
    """Lock the archive itself: two sites with folders of their own may publish into one archive."""
    descriptor = os.open(archive, os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError("a run of another site that publishes into the same archive") from None
    except OSError:
        # Some network file systems lock no folders; the state's own lock stands.
        log.info("the file system of the archive can't lock a folder")


def _read(file: IO[str]) -> Owner | None:
    file.seek(0)
    try:
        return Owner(**json.load(file))
    except (ValueError, TypeError):
        return None


def _process_start(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[_START_FIELD]


def _shown(seconds: float) -> str:
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{max(seconds, 0):.0f} s"
    return f"{minutes} min" if minutes < 180 else f"{minutes // 60} h"  # noqa: PLR2004 - minutes still say something
