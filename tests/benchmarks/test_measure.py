from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.floor import copy
from benchmarks.measure import TIMED_OUT, Measurement, measure

SPIN = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"


def run(
    tmp_path: Path, code: str, *, timeout_s: float = 60.0, good: tuple[int, ...] = (0,), reports: bool = False
) -> Measurement:
    argv = (sys.executable, "-c", code)
    return measure(argv, scratch=tmp_path, environment=os.environ, timeout_s=timeout_s, good=good, reports=reports)


def test_the_time_of_a_child_that_nobody_waited_for_counts(tmp_path: Path) -> None:
    code = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {SPIN!r}], start_new_session=True)"
    assert run(tmp_path, code).cpu_s >= 0.4


def test_memory_is_that_of_the_whole_tree(tmp_path: Path) -> None:
    held = "import time\nheld = bytearray(60_000_000)\nheld[::4096] = b'x' * len(held[::4096])\ntime.sleep(1.5)"
    code = f"import subprocess, sys\nargv = [sys.executable, '-c', {held!r}]\n"
    code += "for one in [subprocess.Popen(argv), subprocess.Popen(argv)]: one.wait()"
    assert run(tmp_path, code).peak_mb > 120


def test_a_failing_command_gives_its_code_and_its_last_line(tmp_path: Path) -> None:
    measured = run(tmp_path, "raise SystemExit('first\\nno such series')")
    assert (measured.code, measured.reason) == (1, "no such series")


def test_an_exit_code_that_is_allowed_is_no_failure(tmp_path: Path) -> None:
    assert run(tmp_path, "raise SystemExit(1)", good=(0, 1)).reason == ""


def test_a_crash_with_an_allowed_exit_code_is_a_failure_where_a_report_is_due(tmp_path: Path) -> None:
    good = (0, 1)
    assert run(tmp_path, "import nothing_of_this_name", good=good, reports=True).reason.startswith(
        "ModuleNotFoundError"
    )
    assert run(tmp_path, "print('{}'); raise SystemExit(1)", good=good, reports=True).reason == ""


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    marker = tmp_path / "late"
    late = f"import pathlib, time; time.sleep(3); pathlib.Path({str(marker)!r}).touch()"
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {late!r}])"
    measured = run(tmp_path, code, timeout_s=1.0)
    assert (measured.code, measured.reason) == (TIMED_OUT, "took too long")
    assert measured.wall_s < 2.5
    assert not marker.exists()


def test_a_program_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    measured = measure((str(tmp_path / "no"),), scratch=tmp_path, environment=os.environ, timeout_s=5.0)
    assert measured.reason == "can't be started"


def test_the_floor_copies_every_byte_and_checksums_it(tmp_path: Path) -> None:
    (tmp_path / "from" / "deep").mkdir(parents=True)
    (tmp_path / "from" / "deep" / "a").write_bytes(b"abc")
    assert copy(tmp_path / "from", tmp_path / "to") == 1
    assert (tmp_path / "to" / "deep" / "a").read_bytes() == b"abc"
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (tmp_path / "to" / "SHA256SUMS").read_text() == f"{digest}  deep/a\n"
