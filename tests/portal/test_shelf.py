"""What takes long to make is made once, by few at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from heartbrain_ingest.portal.shelf import Shelf


class Maker:
    """Makes things slowly, and counts.

    Parameters
    ----------
    seconds
        For each.
    """

    def __init__(self, seconds: float = 0.05) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self.made = self.now = self.most_at_once = 0

    def make(self) -> int:
        with self._lock:
            self.made += 1
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
            number = self.made
        time.sleep(self._seconds)
        with self._lock:
            self.now -= 1
        return number


def test_what_many_ask_for_at_the_same_moment_is_made_once() -> None:
    shelf: Shelf[int] = Shelf(most=2, at_once=2)
    maker = Maker()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: shelf.get("same", maker.make), range(8)))
    assert (found, maker.made) == ([1] * 8, 1)


def test_only_so_many_things_are_made_at_the_same_time() -> None:
    shelf: Shelf[int] = Shelf(most=8, at_once=2)
    maker = Maker()
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda key: shelf.get(key, maker.make), range(8)))
    assert (len(found), maker.most_at_once) == (8, 2)


def test_the_things_asked_for_last_are_kept() -> None:
    shelf: Shelf[int] = Shelf(most=2, at_once=1)
    maker = Maker(0)
    assert [shelf.get(key, maker.make) for key in "abacab"] == [1, 2, 1, 3, 1, 4]


def test_what_could_not_be_made_is_tried_again() -> None:
    shelf: Shelf[float] = Shelf(most=2, at_once=1)
    for _turn in range(3):
        with pytest.raises(ZeroDivisionError):
            shelf.get("x", lambda: 1 / 0)
    assert shelf.get("x", lambda: 1.5) == 1.5
