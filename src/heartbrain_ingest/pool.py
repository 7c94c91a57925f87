"""The worker processes of a run: started when there is work, and anew after one of them was killed."""

from __future__ import annotations

from concurrent.futures import Executor

from heartbrain_ingest import workers


class WorkerPool:
    """Gives the processes that do the work.

    Parameters
    ----------
    setup
        What each process needs to know.
    processes
        How many; with 1 the work is done in this process.
    """

    def __init__(self, setup: workers.WorkerSetup, processes: int) -> None:
        self._setup = setup
        self._processes = processes
        self._executor: Executor | None = None

    @property
    def is_serial(self) -> bool:
        """Say whether the work is done in this process."""
        return self._processes == 1

    def executor(self) -> Executor:
        """Give the processes; they are started when they are asked for first."""
        if self._executor is None:
            self._executor = workers.make_pool(self._setup, self._processes)
        return self._executor

    def renew(self, broken: Executor) -> None:
        """Take other processes from now on: one of these was killed, and no work can be given to the rest."""
        if self._executor is broken:
            broken.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def close(self) -> None:
        """End the processes."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
