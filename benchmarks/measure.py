"""Run one command as a whole process tree; say how long it took, what it computed and how much memory it held.

`python -m benchmarks.measure RESULT.json OUTPUT ERRORS TIMEOUT -- COMMAND ...` does it in a process of its own, so that
what the tree leaves behind (workers of a fork server) is waited for and counted, and nothing else is.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

#: Seconds between two looks at the memory of the process tree.
SAMPLING_S = 0.2
#: Seconds that processes which outlive the command may take to end.
GRACE_S = 10.0
TIMED_OUT = 124
_SET_CHILD_SUBREAPER = 36  # prctl(2)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one command cost.

    Attributes
    ----------
    wall_s
        From start to end of the command, in seconds.
    cpu_s
        User and system time of the command and all its descendants, in seconds.
    peak_mb
        Largest sum over the process tree, sampled; shared pages are counted once (PSS). MB; 0 where it can't be read.
    code
        Exit code; 124 when it was stopped for taking too long.
    reason
        Last line that it wrote, when it failed.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    code: int
    reason: str = ""


def measure(
    command: Sequence[str],
    *,
    scratch: Path,
    environment: Mapping[str, str],
    timeout_s: float,
    good: Sequence[int] = (0,),
    reports: bool = False,
) -> Measurement:
    """Run a command in a measuring process.

    Parameters
    ----------
    command
        Argument vector.
    scratch
        Existing folder for what it prints: `output` and `errors` of the latest command.
    environment
        Its environment variables.
    timeout_s
        It is stopped after this time. Unit: seconds.
    good
        Exit codes that are no failure.
    reports
        Whether it prints a JSON object when it worked.
    """
    result, output, errors = scratch / "measurement.json", scratch / "output", scratch / "errors"
    result.unlink(missing_ok=True)
    own = [sys.executable, "-m", "benchmarks.measure", str(result), str(output), str(errors), str(timeout_s), "--"]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([*own, *command], cwd=root, env=dict(environment), check=False)
    if done.returncode or not result.is_file():
        return Measurement(wall_s=0.0, cpu_s=0.0, peak_mb=0.0, code=done.returncode or 1, reason="can't be started")
    measured = Measurement(**json.loads(result.read_text(encoding="utf-8")))
    if measured.code in good and not (reports and not _is_report(output)):
        return measured
    reason = "took too long" if measured.code == TIMED_OUT else _last_line(errors) or _last_line(output)
    return Measurement(**asdict(measured) | {"reason": reason or f"exit code {measured.code}"})


def _is_report(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except ValueError:
        return False


def _last_line(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def main(arguments: Sequence[str]) -> int:
    """Run what stands after `--` and write the measurement."""
    result, output, errors, timeout_s, separator, *command = arguments
    if separator != "--" or not command:
        return 2
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    memory = _PeakMemory()
    with Path(output).open("wb") as out, Path(errors).open("wb") as err:
        before = _cpu_of_children()
        began = time.perf_counter()
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        except OSError:
            return 1
        memory.start()
        try:
            code = process.wait(float(timeout_s))
        except subprocess.TimeoutExpired:
            code = TIMED_OUT
            _kill_descendants()
            process.wait()
        wall = time.perf_counter() - began
    memory.stop()
    _reap()
    measured = Measurement(wall_s=wall, cpu_s=_cpu_of_children() - before, peak_mb=memory.peak_mb, code=code)
    Path(result).write_text(json.dumps(asdict(measured)), encoding="utf-8")
    return 0


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _reap() -> None:
    """Wait for what outlived the command, so that its time counts; end what does not end by itself."""
    deadline = time.monotonic() + GRACE_S
    with suppress(ChildProcessError):
        while True:
            pid, _status = os.waitpid(-1, os.WNOHANG)
            if pid:
                continue
            if time.monotonic() > deadline:
                _kill_descendants()
            time.sleep(0.02)


def _kill_descendants() -> None:
    for pid in list(_descendants(os.getpid())):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in path.read_text().split():
                yield int(child)
                yield from _descendants(int(child))


class _PeakMemory:
    """Looks at the memory of the descendants of this process from time to time."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, sum(_pss_mb(pid) for pid in _descendants(os.getpid())))
            if self._stopped.wait(SAMPLING_S):
                return


def _pss_mb(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        return 0.0  # it has just ended
    return 0.0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
