"""What the bridge asks of a store, whichever it is."""

from __future__ import annotations

import abc
import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


class Conditions(enum.Enum):
    """What a store does with put-if-absent (`If-None-Match: *`); found out by `probe`."""

    #: One of several writers wins: any number of agents and exchanges.
    HONOURED = "honoured"
    #: It refuses such a request (501): each key has one writer, so the RDM side assigns each job to one agent.
    REFUSED = "refused"
    #: It overwrites without a word: one agent and one exchange only.
    IGNORED = "ignored"


@dataclass(frozen=True)
class Entry:
    """One object in a listing."""

    key: str
    size: int


class Bucket(abc.ABC):
    """A store of bytes by key. Keys are those of `protocol.keys`, without the configured prefix.

    Every method raises BucketError; UnclearError where the request may or may not have taken effect, DeniedError where
    the credentials don't do.
    """

    #: Set by who opens the bucket, from `probe`.
    conditions: Conditions = Conditions.HONOURED

    @abc.abstractmethod
    def listing(self, prefix: str) -> Iterator[Entry]:
        """Give all objects whose key begins with the prefix, by key; one request for each 1,000."""

    @abc.abstractmethod
    def get(self, key: str, *, limit: int) -> bytes | None:
        """Give an object's bytes, None when there is none; TooLargeError beyond `limit` bytes."""

    @abc.abstractmethod
    def put(self, key: str, body: bytes) -> None:
        """Store bytes, whatever was there."""

    @abc.abstractmethod
    def create(self, key: str, body: bytes) -> bool:
        """Store bytes where nothing is; False when something was there (it may be one's own lost reply: read back).

        Where the store does not honour conditions this looks first and then stores.
        """

    @abc.abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, in any order; absent ones are no error."""

    @abc.abstractmethod
    def upload(self, path: Path, key: str, *, sha256: str) -> None:
        """Store a file of any size; taken up again where a break left it."""

    @abc.abstractmethod
    def download(self, key: str, path: Path, *, size: int, sha256: str) -> None:
        """Fetch an object into a file that appears complete and verified or not at all.

        Raises
        ------
        VerificationError
            When it is absent, or its size or checksum is another.
        """

    @property
    @abc.abstractmethod
    def versioned(self) -> bool:
        """Whether the store keeps old versions; conditions can't be trusted on such a bucket."""
