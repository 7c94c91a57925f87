"""Where requests are kept, and a store in memory for tests and the simulation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

from heartbrain_ingest.postprocessing.requests import Request


class RequestStore(Protocol):
    """Where requests are kept. LinkAhead's implementation is in `linkahead_store`."""

    def active(self) -> list[Request]:
        """Give the requests on which something is to be done, oldest first; each has a name that no other has."""
        ...

    def of_job(self, job: str) -> Request | None:
        """Give the request whose present attempt is a job."""
        ...

    def update(self, changed: Request, seen: Request) -> Request | None:
        """Write a request that still is as it was seen; None when somebody changed it since.

        A store may be unable to do both at once: then a change that comes in between is lost, and the next exchange
        goes on from what it finds.
        """
        ...


class MemoryStore:
    """Requests in a dictionary. `racy` makes it as weak as a database without conditional updates."""

    def __init__(self, requests: Collection[Request] = (), *, racy: bool = False) -> None:
        self._lock = threading.Lock()
        self._requests = {request.id: replace(request, revision="0") for request in requests}
        self._racy = racy
        self.hook: Callable[[str, str], None] = _no_fault

    def view(self, hook: Callable[[str, str], None]) -> MemoryStore:
        """Give the same requests as another client sees them: `hook(moment, operation)` may raise."""
        other = MemoryStore(racy=self._racy)
        other._lock, other._requests = self._lock, self._requests
        other.hook = hook
        return other

    def add(self, request: Request) -> None:
        """Insert a request."""
        with self._lock:
            self._requests[request.id] = replace(request, revision="0")

    def delete(self, number: int) -> None:
        """Delete a request."""
        with self._lock:
            del self._requests[number]

    def all(self) -> list[Request]:
        """Give all requests by number."""
        with self._lock:
            return [self._requests[number] for number in sorted(self._requests)]

    def active(self) -> list[Request]:
        """Give those that are not settled."""
        self.hook("before", "active")
        found = [request for request in self.all() if not request.is_settled]
        self.hook("after", "active")
        return found

    def of_job(self, job: str) -> Request | None:
        """Give the request whose present attempt is a job."""
        self.hook("before", "of_job")
        return next((request for request in self.all() if request.job == job), None)

    def update(self, changed: Request, seen: Request) -> Request | None:
        """Write, if it still is what was seen."""
        self.hook("before", "update")
        with self._lock:
            stored = self._requests[seen.id]
            if stored.revision != seen.revision:
                return None
        if self._racy:
            self.hook("between", "update")
        with self._lock:
            stored = self._requests[seen.id]
            if stored.revision != seen.revision and not self._racy:
                return None
            written = replace(changed, revision=str(int(stored.revision) + 1))
            self._requests[seen.id] = written
        self.hook("after", "update")
        return written


def _no_fault(moment: str, operation: str) -> None:
    del moment, operation
