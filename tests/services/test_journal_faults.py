"""Events of jobs while the S3 server dies again and again under those who write them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hpc_bridge.bucket import BucketSettings, open_bucket
from hpc_bridge.bucket.s3 import S3Bucket
from hpc_bridge.errors import BucketError, DeniedError, LostRaceError, UnclearError
from hpc_bridge.protocol import Event, Journal, Side, SigningKey, Standing, State, keys, publish
from hpc_bridge.protocol.journal import ask
from tests.hpc_bridge.stores import make_spec
from tests.services.rgw import Credentials, Rgw

#: What an agent does next; in this order a job needs five events after the first.
NEXT = {
    State.NEW: Event.TAKE,
    State.STAGING: Event.STAGED,
    State.SUBMITTING: Event.SUBMITTED,
    State.RUNNING: Event.ENDED,
    State.UPLOADING: Event.UPLOADED,
}
JOBS = [keys.job_name("site", f"request-{number}", 1) for number in range(12)]


def now() -> datetime:
    return datetime.now(tz=UTC)


def wait_until(count: Callable[[], int], *, at_least: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while count() < at_least:
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


class Agent(threading.Thread):
    """Takes every job as far as it lets itself be taken, in a race with others who do the same."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(daemon=True)
        self.journal = journal
        self.won: set[tuple[str, int]] = set()
        self.troubles = 0
        self.problem: Exception | None = None

    def run(self) -> None:
        try:
            while self._tick():
                pass
        except Exception as problem:  # noqa: BLE001 - the test tells it
            self.problem = problem

    def _tick(self) -> bool:
        try:
            standings = self.journal.standings()
        except BucketError:
            self.troubles += 1
            time.sleep(0.1)
            return True
        for standing in standings.values():
            self._advance(standing)
        return any(standing.state in NEXT for standing in standings.values())

    def _advance(self, standing: Standing) -> None:
        if standing.state not in NEXT:
            return
        try:
            after = self.journal.add(standing, NEXT[standing.state])
        except LostRaceError:
            return
        except BucketError:
            self.troubles += 1
            return
        self.won.add((standing.job, after.number))


@pytest.mark.slow
def test_each_event_has_one_winner_who_knows_it_although_the_server_is_killed(fragile_rgw: Rgw, tmp_path: Path) -> None:
    owner = fragile_rgw.user("rdm")
    settings = BucketSettings(bucket=fragile_rgw.bucket(owner), **fragile_rgw.settings(owner, tmp_path))
    rdm = Journal(open_bucket(settings), writer="exchange", side=Side.RDM, clock=now)
    for job in JOBS:
        rdm.add(ask(job), Event.ASK)
    agents = [
        Agent(Journal(open_bucket(settings), writer=name, side=Side.AGENT, clock=now))
        for name in ("cluster-a", "cluster-b")
    ]
    for agent in agents:
        agent.start()

    def troubles() -> int:
        return sum(agent.troubles for agent in agents)

    for won in (5, 20, 35):  # of 60 events: there is work left whenever the server dies
        wait_until(lambda: sum(len(agent.won) for agent in agents), at_least=won)
        before = troubles()
        fragile_rgw.gateway.kill()
        wait_until(troubles, at_least=before + 1)
        fragile_rgw.start_gateway()
    for agent in agents:
        agent.join(timeout=90)
        assert not agent.is_alive()
        assert agent.problem is None
    standings = rdm.standings()
    assert {job: standing.state for job, standing in standings.items()} == dict.fromkeys(JOBS, State.FINISHED)
    for job in JOBS:
        for record in rdm.history(job, standings[job].number)[1:]:
            believers = [agent.journal.writer for agent in agents if (job, record.number) in agent.won]
            # A winner whose every reply was lost may not know; nobody else may believe it.
            assert believers in ([record.writer], [])


def test_a_job_is_published_completely_or_not_at_all_when_the_server_is_killed(
    fragile_rgw: Rgw, tmp_path: Path
) -> None:
    owner = fragile_rgw.user("rdm")
    settings = BucketSettings(bucket=fragile_rgw.bucket(owner), **fragile_rgw.settings(owner, tmp_path))
    rdm = Journal(open_bucket(settings), writer="exchange", side=Side.RDM, clock=now)
    rdm_key = SigningKey.generate()
    fragile_rgw.gateway.kill()
    with pytest.raises(UnclearError):
        publish(rdm, make_spec(now()), rdm_key, {})
    fragile_rgw.start_gateway()
    assert list(rdm.bucket.listing("")) == []
    standing = publish(rdm, make_spec(now()), rdm_key, {})
    assert (standing.state, standing.number) == (State.NEW, 1)


def test_a_credential_that_expired_is_said_to_be_one(rgw: Rgw, owner: Credentials, bucket_name: str) -> None:
    client = rgw.client(rgw.temporary(owner, seconds=2))
    bucket = S3Bucket(client, bucket_name)
    bucket.put("open/a", b"")
    time.sleep(2.5)
    with pytest.raises(DeniedError, match="renew them"):
        bucket.put("open/b", b"")
    with pytest.raises(DeniedError):
        list(bucket.listing("open/"))


def test_a_server_whose_certificate_nobody_vouches_for_is_not_used(
    rgw: Rgw, owner: Credentials, tmp_path: Path
) -> None:
    settings = {**rgw.settings(owner, tmp_path), "ca_file": None}
    with pytest.raises(BucketError, match="SSLError"):
        open_bucket(BucketSettings(bucket="any", **settings)).get("key", limit=1)
