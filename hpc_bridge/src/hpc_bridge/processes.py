"""Run an external command: an argument vector, a small environment, a time limit, never a shell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: What batch commands need of the agent's environment; nothing else of it reaches a job.
_KEPT = ("HOME", "USER", "LOGNAME", "PATH", "SLURM_CONF", "TMPDIR", "TZ")


@dataclass(frozen=True)
class Answer:
    """What a command gave."""

    code: int
    out: str
    err: str


Runner = Callable[[Sequence[str]], Answer]


def clean_environment() -> dict[str, str]:
    """Give the small environment of external commands."""
    return {"LANG": "C.UTF-8", **{name: os.environ[name] for name in _KEPT if name in os.environ}}


def run(argv: Sequence[str], *, seconds: float = 60) -> Answer:
    """Run a command to its end; a missing program answers 127, a time-out 124, as shells have it."""
    try:
        done = subprocess.run(
            list(argv),
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        return Answer(127, "", f"{argv[0]}: not found")
    except subprocess.TimeoutExpired:
        return Answer(124, "", f"{argv[0]}: no answer in {seconds:g} s")
    return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
