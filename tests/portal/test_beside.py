"""The exchange beside the portal: it lives and dies with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from heartbrain_ingest.portal.beside import running
from tests.portal.site import PROGRAM, SampleSite


def wait_for(is_so: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.1)
    return False


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    text = "".join(file.read_text(encoding="ascii") for file in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(word) for word in text.split()]


def test_what_ends_by_itself_is_started_again_and_in_the_end_all_end(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    code = (
        f"import sys; open({str(marks)!r}, 'a').write('x'); sys.exit(3) if len(open({str(marks)!r}).read()) < 3 else 0"
    )
    command = [sys.executable, "-c", f"{code}; sys.stdin.read(); open({str(marks)!r}, 'a').write('end')"]
    with running(command, pause=0.05):
        assert wait_for(lambda: marks.exists() and marks.read_text(encoding="utf-8") == "xxx")
    assert marks.read_text(encoding="utf-8") == "xxxend"


def test_the_exchange_ends_with_the_portal_however_that_ends(sample_site: SampleSite) -> None:
    command = [str(PROGRAM), "serve", "--settings", str(sample_site.file), "--port", "0", "--exchange"]
    for end in (signal.SIGTERM, signal.SIGKILL):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path("/")) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert wait_for(lambda: bool(_children(process.pid)))
            (child,) = _children(process.pid)
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            assert b"--watch" in words
            lock = sample_site.settings.folders.state / "bridge" / "bridge.lock"
            assert wait_for(lock.exists)
            os.kill(process.pid, end)
            process.wait(timeout=20)
        assert wait_for(lambda: not _is_alive(child)), end  # noqa: B023 - called at once
