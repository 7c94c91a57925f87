"""Keeps what takes long to make, for all visitors: nothing of it depends on who asks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Shelf(Generic[T]):
    """The last few things that were made.

    The same thing is not made by two threads at a time: the second waits for the first.

    Parameters
    ----------
    most
        So many are kept.
    at_once
        So many are made at the same time; others wait.
    """

    def __init__(self, *, most: int, at_once: int) -> None:
        self._most = most
        self._room = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Future[T]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Give what was made for a key, or make it. What can't be made is tried again by whoever asks next."""
        with self._lock:
            known = self._kept.get(key)
            thing = self._kept.setdefault(key, known or Future())
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        if known is None:
            try:
                with self._room:
                    thing.set_result(make())
            except BaseException as problem:
                with self._lock:
                    if self._kept.get(key) is thing:
                        del self._kept[key]
                thing.set_exception(problem)
                raise
        return thing.result()
