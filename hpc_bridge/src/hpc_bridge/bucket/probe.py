"""Find out at start-up what a store truly does, over the very address and bucket that will be used."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from hpc_bridge.bucket.base import Bucket, Conditions
from hpc_bridge.digests import nonce
from hpc_bridge.errors import BucketError, DeniedError, UnsuitableBucketError

#: Where the trials lie, followed by the time: no job has such a name.
PROBE_PREFIX = "open/probe-"
_TIME = "%Y%m%d%H%M%S"
#: What is older was left by a probe that was killed.
_OLD = timedelta(hours=1)
_RACERS = 8
_ROUNDS = 3


@dataclass(frozen=True)
class Probe:
    """What was found, and one plain sentence about it."""

    conditions: Conditions
    message: str


_MESSAGES = {
    Conditions.HONOURED: "The store honours conditional writes: any number of agents and exchanges.",
    Conditions.REFUSED: "The store refuses conditional writes: the RDM side must assign each job to one agent.",
    Conditions.IGNORED: "The store ignores conditional writes without a word: run ONE agent and ONE exchange only.",
}


def probe(bucket: Bucket) -> Probe:
    """Try put-if-absent twice and in a short race, and whether a listing shows what was just stored.

    Raises
    ------
    UnsuitableBucketError
        When the bucket is versioned or its listings lag.
    DeniedError, BucketError
        When it can't be used at all.
    """
    if bucket.versioned:
        raise UnsuitableBucketError("it keeps old versions")
    now = datetime.now(timezone.utc)
    place = f"{PROBE_PREFIX}{now:{_TIME}}-{nonce()}"
    used: list[str] = []
    bucket.conditions = Conditions.HONOURED
    try:
        used += _left_behind(bucket, now)
        _check_listing(bucket, place, used)
        conditions = _conditions(bucket, place, used)
    finally:
        with contextlib.suppress(BucketError):
            bucket.delete(used)
    bucket.conditions = conditions
    return Probe(conditions, _MESSAGES[conditions])


def _left_behind(bucket: Bucket, now: datetime) -> list[str]:
    """Give what probes left that were killed; another one's trials of this moment are left alone."""
    first, last = (f"{PROBE_PREFIX}{moment:{_TIME}}" for moment in (now - _OLD, now + _OLD))
    return [entry.key for entry in bucket.listing(PROBE_PREFIX) if not first <= entry.key < last]


def _check_listing(bucket: Bucket, place: str, used: list[str]) -> None:
    for index in range(5):
        key = f"{place}/list-{index}"
        used.append(key)
        bucket.put(key, b"listed")
        if key not in {entry.key for entry in bucket.listing(f"{place}/")}:
            raise UnsuitableBucketError("a listing does not show what was just stored")


def _conditions(bucket: Bucket, place: str, used: list[str]) -> Conditions:
    key = f"{place}/twice"
    used.append(key)
    try:
        bucket.create(key, b"first")
        second = bucket.create(key, b"second")
    except DeniedError:
        raise
    except BucketError as problem:
        if "501" in problem.detail or "NotImplemented" in problem.detail:
            return Conditions.REFUSED
        raise
    if second or bucket.get(key, limit=100) != b"first":
        return Conditions.IGNORED
    for index in range(_ROUNDS):
        key = f"{place}/race-{index}"
        used.append(key)
        if _winners(bucket, key) != 1:
            return Conditions.IGNORED
    return Conditions.HONOURED


def _winners(bucket: Bucket, key: str) -> int:
    won: list[bytes] = []
    start = threading.Barrier(_RACERS)

    def race(index: int) -> None:
        body = b"%d" % index
        start.wait()
        with contextlib.suppress(BucketError):
            if bucket.create(key, body):
                won.append(body)

    racers = [threading.Thread(target=race, args=(index,)) for index in range(_RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    stored = bucket.get(key, limit=100)
    # A lost reply makes a winner believe that it lost; then the stored body still is one writer's.
    return 1 if not won and stored is not None else len(won) if stored in won else len(won) + 1
