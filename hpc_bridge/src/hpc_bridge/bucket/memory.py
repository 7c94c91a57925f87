"""A store in memory with the weaknesses of real ones to choose from: for tests and the simulation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hpc_bridge.bucket.base import Bucket, Conditions, Entry
from hpc_bridge.bucket.files import appearing, check
from hpc_bridge.errors import BucketError, TooLargeError, VerificationError

#: Called as hook(moment, operation, key) with moment "before" or "after" the effect; it may raise.
Hook = Callable[[str, str, str], None]


def _no_fault(moment: str, operation: str, key: str) -> None:
    del moment, operation, key


class MemoryBucket(Bucket):
    """Objects in a dictionary; several can share one by `view`, each with its own faults.

    `behaviour` is what the store truly does with put-if-absent; `stale_lists` how many listings lag behind.
    """

    def __init__(self, *, behaviour: Conditions = Conditions.HONOURED, stale: bool = False, versioned: bool = False):
        self.objects: dict[str, bytes] = {}
        self.behaviour = behaviour
        self.hook: Hook = _no_fault
        self.requests: dict[str, int] = {}
        self._stale = stale
        self._versioned = versioned
        self._lock = threading.Lock()
        self._listed: dict[str, bytes] = {}

    def view(self, hook: Hook) -> MemoryBucket:
        """Give the same objects as another client sees them: with faults of its own."""
        other = MemoryBucket(behaviour=self.behaviour, stale=self._stale, versioned=self._versioned)
        other.objects, other._lock, other._listed = self.objects, self._lock, self._listed
        other.conditions = self.conditions
        other.hook = hook
        return other

    @property
    def versioned(self) -> bool:
        """As constructed."""
        return self._versioned

    def _count(self, operation: str) -> None:
        self.requests[operation] = self.requests.get(operation, 0) + 1

    def listing(self, prefix: str) -> Iterator[Entry]:
        """Give what is there now, or, of a stale store, what was there at the listing before."""
        self._count("list")
        self.hook("before", "list", prefix)
        with self._lock:
            source = dict(self._listed if self._stale else self.objects)
            if self._stale:
                self._listed.clear()
                self._listed.update(self.objects)
        self.hook("after", "list", prefix)
        return iter([Entry(key, len(source[key])) for key in sorted(source) if key.startswith(prefix)])

    def get(self, key: str, *, limit: int) -> bytes | None:
        """Give an object's bytes."""
        self._count("get")
        self.hook("before", "get", key)
        body = self.objects.get(key)
        self.hook("after", "get", key)
        if body is not None and len(body) > limit:
            raise TooLargeError(f"{key}: {len(body)} bytes")
        return body

    def put(self, key: str, body: bytes) -> None:
        """Store bytes."""
        self._count("put")
        self.hook("before", "put", key)
        with self._lock:
            self.objects[key] = body
        self.hook("after", "put", key)

    def create(self, key: str, body: bytes) -> bool:
        """Store bytes where nothing is, as truly as `behaviour` says."""
        self._count("create")
        self.hook("before", "create", key)
        if self.conditions is not Conditions.HONOURED:
            free = key not in self.objects
            if free:
                self.objects[key] = body
        elif self.behaviour is Conditions.REFUSED:
            raise BucketError("501 NotImplemented: conditional writes")
        else:
            with self._lock:
                free = key not in self.objects or self.behaviour is Conditions.IGNORED
                if free:
                    self.objects[key] = body
        self.hook("after", "create", key)
        return free

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects one after the other, so that a fault can leave half of them."""
        for key in keys:
            self._count("delete")
            self.hook("before", "delete", key)
            with self._lock:
                self.objects.pop(key, None)
            self.hook("after", "delete", key)

    def upload(self, path: Path, key: str, *, sha256: str) -> None:
        """Store a file."""
        check(path, key, size=path.stat().st_size, sha256=sha256)
        self.put(key, path.read_bytes())

    def download(self, key: str, path: Path, *, size: int, sha256: str) -> None:
        """Fetch an object into a file."""
        body = self.get(key, limit=1 << 40)
        if body is None:
            raise VerificationError(f"{key}: absent")
        with appearing(path) as draft:
            draft.write_bytes(body)
            check(draft, key, size=size, sha256=sha256)
