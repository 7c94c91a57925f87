"""Asks what may be slow or dead, so that no page hangs on it: each thing once at a time, the last answer meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from heartbrain_ingest.errors import HeartbrainError

T = TypeVar("T")
_FAILED_SECONDS = 10.0


class SlowError(HeartbrainError):
    """There is no answer yet: try again in a minute."""


@dataclass
class _Question:
    """What is known of one thing, and whether it is being asked."""

    answer: Any = None
    problem: Exception | None = None
    is_answered: bool = False
    #: Moment after which it is asked again.
    until: float = 0.0
    #: When the present asking began; None when nobody asks.
    since: float | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Patience:
    """Waits a moment for answers, then gives those of before.

    Parameters
    ----------
    seconds
        So long is waited for one answer.
    """

    def __init__(self, seconds: float = 3.0) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._questions: dict[Hashable, _Question] = {}

    def get(self, key: Hashable, ask: Callable[[], T], *, keep: float) -> T:
        """Give an answer that is not older than that; an older one while the new one is late.

        Parameters
        ----------
        key
            Names the question.
        ask
            Asks, in a thread of its own.
        keep
            So long an answer is good. Unit: seconds.

        Raises
        ------
        SlowError
            When nothing was ever answered and nothing is in time.
        Exception
            What `ask` raised, where nothing was ever answered.
        """
        now = time.monotonic()
        with self._lock:
            question = self._questions.setdefault(key, _Question())
            if question.until <= now and question.since is None:
                question.since, question.done = now, threading.Event()
                worker = threading.Thread(target=self._ask, args=(question, ask, keep), name=f"ask {key}", daemon=True)
                worker.start()
            since, done = question.since, question.done
        if since is not None:
            # Who comes later waits for the rest only: a dead service costs one wait, not one for each page.
            done.wait(max(0.0, since + self._seconds - now))
        if question.is_answered:
            known: T = question.answer
            return known
        if question.problem is not None:
            raise question.problem
        raise SlowError

    def _ask(self, question: _Question, ask: Callable[[], Any], keep: float) -> None:
        try:
            question.answer = ask()
            question.problem, question.is_answered = None, True
        except Exception as problem:  # noqa: BLE001 - it is raised where the answer is wanted
            question.problem, keep = problem, _FAILED_SECONDS
        with self._lock:
            question.until, question.since = time.monotonic() + keep, None
        question.done.set()
