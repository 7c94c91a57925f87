"""A worker process that somebody kills, such as a machine that is short of memory, costs only its own work."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from heartbrain_ingest import workers
from heartbrain_ingest.pipeline import Run
from heartbrain_ingest.report import NoProgress, RunOptions, RunReport
from heartbrain_ingest.settings import load_settings
from tests.pipeline.scans import make_slice, write, write_series
from tests.pipeline.site import Site

POISON = 7


@dataclass
class Killer(NoProgress):
    """Kills the workers in the middle of a session of so many files, so many times."""

    files: int
    times: int

    def advance(self, steps: int = 1) -> None:
        if steps == self.files and self.times:
            self.times -= 1
            for process in multiprocessing.active_children():
                if process.pid is not None:
                    os.kill(process.pid, signal.SIGKILL)


def _run(site: Site, inbox: Path, killer: Killer) -> RunReport:
    for number in range(3):
        write_series(inbox / f"{number}", PatientID=f"HB010{number}", PatientName=f"Else{number}^Some")
    write_series(inbox / "poison", slices=POISON, PatientID="HB0200", PatientName="Adam^Another")
    return Run(load_settings(site.settings), RunOptions(inbox=inbox, jobs=2), killer).execute()


def test_one_killed_worker_costs_no_session(site: Site, tmp_path: Path) -> None:
    report = _run(site, tmp_path / "study", Killer(files=POISON, times=1))
    assert (len(report.published), report.exit_code) == (4, 0)


def test_only_the_session_that_gets_the_workers_killed_each_time_is_kept_back(site: Site, tmp_path: Path) -> None:
    report = _run(site, tmp_path / "study", Killer(files=POISON, times=-1))
    assert (len(report.published), dict(report.refused)) == (3, {"INTERNAL_ERROR": 1})
    fates = site.fates(tmp_path / "study")
    kept_back = {fate for name, fate in fates.items() if name.startswith("poison")}
    assert kept_back == {("quarantined", "INTERNAL_ERROR")}


class Fragile(workers.SerialExecutor):
    """Is broken by the headers of one file, as a process that the file makes use up the memory."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if function is workers.scan_files and any("poison" in one.path for one in args[0]):
            future: Future[Any] = Future()
            future.set_exception(BrokenExecutor())
            return future
        return super().submit(function, *args, **kwargs)


def test_only_the_file_whose_header_gets_a_worker_killed_is_kept_back(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_pool(setup: workers.WorkerSetup, _processes: int) -> Fragile:
        workers.start(setup)
        return Fragile()

    monkeypatch.setattr(workers, "make_pool", make_pool)
    inbox = tmp_path / "study"
    write_series(inbox)
    write(make_slice(1, series=9), inbox / "poison")
    site.take_in(inbox, jobs=2)
    fates = site.fates(inbox)
    assert fates.pop("poison") == ("quarantined", "INVALID_DICOM")
    assert set(fates.values()) == {("converted", None)}
