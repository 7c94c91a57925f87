"""Subprocesses of this machine as a batch system: they survive the agent's exit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hpc_bridge import wrapper
from hpc_bridge.errors import SchedulerError
from hpc_bridge.processes import run
from hpc_bridge.schedulers.base import Phase, Scheduler, Sighting, Submission


class LocalScheduler(Scheduler):
    """What runs is told from the claims that wrappers leave in the attempts' folders."""

    name = "local"

    def __init__(self, attempts: Path) -> None:
        self.attempts = attempts

    def submit(self, submission: Submission) -> str:
        """Start a process for each task, in a session of its own."""
        for task in submission.tasks:
            argv = [sys.executable, "-I", str(Path(wrapper.__file__)), str(submission.folder), str(task), "--detach"]
            answer = run(argv)
            if answer.code != 0:
                raise SchedulerError(answer.err[-300:])
        return submission.token[3:11]

    def survey(self, attempts: Collection[str]) -> dict[str, Sighting]:
        """Look at each attempt's claim and whether its process lives."""
        found = {}
        for attempt in attempts:
            token, _, task = attempt.partition(".")
            claim = self._claim(token, int(task))
            if claim is not None:
                phase = Phase.RUNNING if _lives(claim) else Phase.ENDED
                found[attempt] = Sighting(token, int(task), str(claim["pid"]), phase)
        return found

    def cancel(self, sighting: Sighting) -> None:
        """End the wrapper's process; it ends what it started."""
        claim = self._claim(sighting.token, sighting.task)
        if claim is not None and _lives(claim):
            with contextlib.suppress(ProcessLookupError):
                os.kill(claim["pid"], signal.SIGTERM)

    def send_courier(self, name: str, script: Path, log: Path) -> None:
        """Start a process in a session of its own."""
        mark = script.with_name(f"{name}.json")
        with contextlib.suppress(OSError, ValueError):
            if _lives(json.loads(mark.read_text())):
                return
        line = 'setsid /bin/sh "$0" >>"$1" 2>&1 </dev/null & echo $!'
        answer = run(["/bin/sh", "-c", line, str(script), str(log)])
        if answer.code != 0 or not answer.out.strip().isdigit():
            raise SchedulerError(answer.err[-300:])
        pid = int(answer.out)
        mark.write_text(json.dumps({"pid": pid, "ticks": wrapper.start_ticks(pid)}), encoding="ascii")

    def _claim(self, token: str, task: int) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, ValueError):
            claim = json.loads((self.attempts / token / str(task) / wrapper.CLAIM).read_text())
            if claim.get("state") == "started" and claim.get("boot") == wrapper.boot():
                return dict(claim)
            if claim.get("state") == "started":
                return {**claim, "ticks": -1}
        return None


def _lives(claim: dict[str, Any]) -> bool:
    ticks = wrapper.start_ticks(claim["pid"])
    return ticks != 0 and ticks == claim["ticks"]
