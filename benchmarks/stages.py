"""Say where an ingest spends its time: `python -m benchmarks.stages SETTINGS INBOX RESULT.json`."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from types import ModuleType
from typing import Any

#: Functions of `heartbrain_ingest.crawl` that the main process calls while the workers go on with the next session.
IN_MAIN_PROCESS = ("connect", "load_datamodel", "crawl_delivery")


class StageClock:
    """A `Progress` that notes how long each stage of a run takes instead of showing it."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._what = "Starting"
        self._since = time.perf_counter()

    def begin(self, what: str, total: int | None) -> None:
        """End the stage before, start this one."""
        del total
        now = time.perf_counter()
        self.seconds[self._what] += now - self._since
        self._what, self._since = what, now

    def advance(self, steps: int = 1) -> None:
        """Count nothing."""


class MeasuringExecutor(Executor):
    """Hands work on and adds up how long each function was at work, in whichever process."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand on and give the future of the result alone."""
        outer: Future[Any] = Future()
        outer.set_running_or_notify_cancel()

        def settle(inner: Future[Any]) -> None:
            error = inner.exception()
            if error is not None:
                outer.set_exception(error)
                return
            seconds, result = inner.result()
            with self._lock:
                self.seconds[function.__name__] += seconds
                self.calls[function.__name__] += 1
            outer.set_result(result)

        self._inner.submit(timed, function, *args, **kwargs).add_done_callback(settle)
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut the workers down."""
        self._inner.shutdown(wait=wait, cancel_futures=cancel_futures)


def timed(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> tuple[float, Any]:
    """Call a function and say how long it took, in seconds."""
    began = time.perf_counter()
    result = function(*args, **kwargs)
    return time.perf_counter() - began, result


def _watched(package: ModuleType, name: str, seconds: dict[str, float]) -> Callable[..., Any]:
    """Stand for a function that the package loads on first use: importing it counts too."""

    def call(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return package.__getattr__(name)(*args, **kwargs)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began

    return call


def main(settings_file: Path, inbox: Path, result: Path) -> None:
    """Take an inbox in and write the seconds of each stage and of each function of the workers."""
    clock = StageClock()
    from heartbrain_ingest import crawl, workers  # noqa: PLC0415 - the time to import counts as a stage
    from heartbrain_ingest.pipeline import Run  # noqa: PLC0415 - the same
    from heartbrain_ingest.report import RunOptions  # noqa: PLC0415 - the same
    from heartbrain_ingest.settings import load_settings  # noqa: PLC0415 - the same

    make_pool = workers.make_pool
    pools: list[MeasuringExecutor] = []

    def measured_pool(setup: workers.WorkerSetup, processes: int) -> Executor:
        pools.append(MeasuringExecutor(make_pool(setup, processes)))
        return pools[-1]

    workers.make_pool = measured_pool
    main_process: dict[str, float] = {}
    for name in IN_MAIN_PROCESS:
        setattr(crawl, name, _watched(crawl, name, main_process))
    Run(load_settings(settings_file), RunOptions(inbox=inbox), clock).execute()
    clock.begin("", None)
    pool = pools[0]  # a run has one
    found = {"wall_s": clock.seconds, "main_s": main_process, "worker_s": pool.seconds, "worker_calls": pool.calls}
    result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
