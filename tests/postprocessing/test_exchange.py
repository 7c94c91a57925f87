"""What an exchange decides, and what it does when the other side lies, is late or is gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heartbrain_ingest.postprocessing.exchange import (
    Accepted,
    Exchange,
    ExchangeReport,
    Limits,
    Prepared,
    Step,
    next_step,
)
from heartbrain_ingest.postprocessing.requests import OF_STATE, SETTLED, Request, Status
from heartbrain_ingest.postprocessing.store import MemoryStore
from heartbrain_ingest.postprocessing.transports.base import JobStatus, Outcome
from heartbrain_ingest.postprocessing.transports.bucket import BucketTransport, Terms
from hpc_bridge.bucket import MemoryBucket
from hpc_bridge.errors import BucketError
from hpc_bridge.protocol import FINAL, OPEN, Event, Journal, Side, SigningKey, State, keys
from tests.hpc_bridge.test_exchange import run as run_by_hand

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Bench:
    """An exchange with a store and a bucket in memory, and an agent played by hand."""

    def __init__(self, folder: Path, *requests: Request) -> None:
        self.folder = folder
        self.now = START
        self.store = MemoryStore(requests or [Request(id=1, name="R1", function="checksum-report", requested=START)])
        self.bucket = MemoryBucket()
        self.key, self.agent_key = SigningKey.generate(), SigningKey.generate()
        self.accepted: list[str] = []
        self.closed: list[str] = []
        self.input = folder / "input.nii"
        self.input.write_bytes(b"voxels")
        self.agent = Journal(self.bucket, writer="cluster", side=Side.AGENT, clock=lambda: self.now)
        self.transport = self.make_transport()

    def make_transport(self) -> BucketTransport:
        public = self.agent_key.public
        return BucketTransport(
            self.bucket,
            key=self.key,
            agents={public.name: public},
            terms=Terms(site="site", lifetime=timedelta(days=1)),
            writer="exchange",
            clock=lambda: self.now,
        )

    def exchange(self) -> ExchangeReport:
        return Exchange(
            store=self.store,
            transport=self.transport,
            desk=self,
            shelf=self,
            clock=lambda: self.now,
            limits=Limits(lost_after=timedelta(days=2)),
        ).run()

    def prepare(self, request: Request) -> Prepared:
        return Prepared(
            version=request.version or "1.0",
            parameters_text="{}",
            parameters={},
            inputs={"sub/in.nii": self.input},
            project="P",
        )

    def accept(self, request: Request, outcome: Outcome, bring: Callable[[Path], None]) -> Accepted:  # noqa: ARG002
        if outcome.state is State.FINISHED and outcome.job not in self.accepted:
            bring(self.folder / outcome.job)
            self.accepted.append(outcome.job)
        return Accepted(results=(7,) if outcome.state is State.FINISHED else ())

    def note_closed(self, job: str) -> None:
        self.closed.append(job)

    @property
    def request(self) -> Request:
        return self.store.all()[0]

    @property
    def job(self) -> str:
        return keys.job_name("site", "R1", self.request.attempt)

    def run_job(self, key: SigningKey | None = None) -> None:
        standing = self.agent.standings()[self.job]
        run_by_hand(self.agent, standing, key or self.agent_key, self.folder)

    def open_keys(self) -> list[str]:
        return [key for key in self.bucket.objects if key.startswith("open/")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def _request(status: Status, job: str = "") -> Request:
    return Request(id=1, name="R1", function="f", status=status, job=job)


def _job(state: State, *, wished: bool = False) -> JobStatus:
    return JobStatus(job="j", state=state, number=1, cancel_wished=wished)


def test_every_combination_of_status_and_state_has_a_step_that_leads_on() -> None:
    for status in Status:
        for job in [None, *(_job(state) for state in State)]:
            step = next_step(_request(status), job, overdue=False)
            at_rest = (job is None and status in SETTLED) or (
                job is not None and job.state in OPEN and status is OF_STATE[job.state]
            )
            assert (step is Step.REST) == at_rest, (status, job)
            if job is not None and job.state in FINAL:
                assert step is Step.COLLECT
            if job is not None and job.state in OPEN:
                assert next_step(_request(status), job, overdue=True) is Step.EXPIRE


def test_a_wish_to_cancel_that_is_known_there_is_not_repeated() -> None:
    assert next_step(_request(Status.CANCELLING), _job(State.RUNNING), overdue=False) is Step.CANCEL
    assert next_step(_request(Status.CANCELLING), _job(State.RUNNING, wished=True), overdue=False) is Step.REST


def test_when_nothing_changed_an_exchange_is_one_listing(bench: Bench) -> None:
    bench.exchange()
    bench.bucket.requests.clear()
    assert not bench.exchange().did_anything
    assert bench.bucket.requests == {"list": 1}


def test_a_thousand_open_requests_cost_one_listing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *(Request(id=n, name=f"R{n}", function="f", requested=START) for n in range(1000)))
    assert bench.exchange().sent == 1000
    bench.bucket.requests.clear()
    assert bench.exchange().open == 1000
    assert bench.bucket.requests == {"list": 1}


def test_a_result_is_taken_once_and_its_job_tidied_away(bench: Bench) -> None:
    bench.exchange()
    bench.run_job()
    assert bench.exchange().finished == 1
    assert (bench.request.status, bench.request.results, bench.closed) == (Status.FINISHED, (7,), [bench.job])
    assert bench.request.ended is not None
    assert bench.open_keys() == []
    assert not bench.exchange().did_anything
    assert bench.accepted == [bench.job]


def test_a_result_that_another_key_signed_is_never_taken(bench: Bench) -> None:
    bench.exchange()
    bench.run_job(SigningKey.generate())
    for _ in range(3):
        report = bench.exchange()
        assert "its key is not on the list" in report.troubles[0]
    assert bench.request.status is Status.SENT
    assert "can't be believed yet" in bench.request.message
    bench.now += timedelta(days=3)
    bench.exchange()
    assert (bench.request.status, bench.accepted, bench.open_keys()) == (Status.FAILED, [], [])
    assert "Tell who runs the agent" in bench.request.message


def test_an_agent_whose_key_comes_later_is_believed_then(bench: Bench) -> None:
    bench.exchange()
    known, bench.agent_key = bench.agent_key, SigningKey.generate()
    bench.run_job()
    bench.agent_key, late = known, bench.agent_key
    bench.exchange()
    assert bench.accepted == []
    bench.agent_key = late
    bench.transport = bench.make_transport()
    bench.exchange()
    assert bench.request.status is Status.FINISHED


def test_a_job_that_nobody_takes_up_is_lost_in_the_end_and_can_be_retried(bench: Bench) -> None:
    bench.exchange()
    bench.now += timedelta(days=3)
    bench.exchange()
    assert bench.request.status is Status.LOST
    assert bench.request.message == "No computing centre brought it to an end within 2 days."
    assert bench.open_keys() == []
    bench.store.update(Request(**{**vars(bench.request), "status": Status.RETRY}), bench.request)
    bench.exchange()
    bench.exchange()
    assert (bench.request.status, bench.request.attempt) == (Status.SENT, 2)
    bench.run_job()
    bench.exchange()
    assert bench.request.status is Status.FINISHED


def test_a_job_of_ours_that_no_request_knows_is_ended_after_a_day_and_others_jobs_are_left_alone(bench: Bench) -> None:
    bench.exchange()
    other = Bench(bench.folder)
    other.bucket.objects = bench.bucket.objects
    other.exchange()  # the same request of an RDM system with another key: its job is there already
    bench.store.delete(1)
    assert bench.exchange().orphans == 0
    bench.now += timedelta(days=1, minutes=1)
    stranger = Bench(bench.folder)
    stranger.store.delete(1)
    stranger.bucket.objects, stranger.now = bench.bucket.objects, bench.now
    assert stranger.exchange().orphans == 0
    assert bench.exchange().orphans == 1
    bench.exchange()
    assert bench.open_keys() == []


def test_an_event_of_10_mb_stops_its_own_job_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path, *(Request(id=n, name=f"R{n}", function="f", requested=START) for n in (1, 2)))
    bench.exchange()
    standing = bench.agent.add(bench.agent.standings()[bench.job], Event.TAKE)
    bench.bucket.objects[keys.event(standing.job, 2)] = b"x" * 10_000_000
    second = keys.job_name("site", "R2", 1)
    bench.agent.add(bench.agent.standings()[second], Event.TAKE)
    report = bench.exchange()
    assert (len(report.troubles), report.followed) == (1, 1)
    assert bench.store.all()[1].status is Status.STAGING


@pytest.mark.parametrize("hinted", [True, False])
def test_a_job_whose_event_cannot_be_read_is_told_and_given_up_at_its_deadline(tmp_path: Path, hinted: bool) -> None:
    bench = Bench(tmp_path, *(Request(id=n, name=f"R{n}", function="f", requested=START) for n in (1, 2)))
    bench.exchange()
    standing = bench.agent.add(bench.agent.standings()[bench.job], Event.TAKE)
    bench.bucket.put(keys.event(standing.job, 2), b"{")
    if not hinted:
        bench.bucket.delete([keys.hint(standing.job, 2, State.STAGING)])
    bench.agent.add(bench.agent.standings()[keys.job_name("site", "R2", 1)], Event.TAKE)
    report = bench.exchange()
    assert (report.followed, len(report.troubles)) == (1, 1)
    assert report.troubles[0].startswith("R1: A document in the bucket can't be read")
    bench.now += timedelta(days=3)
    bench.exchange()
    assert bench.request.status is Status.FAILED
    assert "can't be believed" in bench.request.message
    assert not any(standing.job in key for key in bench.open_keys())
    assert bench.accepted == []


def test_a_bucket_that_does_not_answer_changes_nothing(bench: Bench) -> None:
    bench.exchange()

    def fail(moment: str, operation: str, key: str) -> None:
        raise BucketError("503")

    bench.bucket.hook = fail
    with pytest.raises(BucketError):
        bench.exchange()
    assert bench.request.status is Status.SENT


def test_sweeping_deletes_the_data_and_leaves_what_forbids_to_publish_once_more(bench: Bench) -> None:
    bench.exchange()
    bench.run_job()
    bench.exchange()
    assert bench.transport.sweep(bench.job) > 0
    left = sorted(key.rpartition("/")[2] for key in bench.bucket.objects)
    assert left == ["history.json", "receipt.json", "spec.json"]
    bench.store.update(Request(**{**vars(bench.request), "status": Status.RUNNING, "results": ()}), bench.request)
    bench.exchange()
    assert bench.request.status is Status.FINISHED  # what is on the shelf already needs no second fetch
    assert bench.accepted == [bench.job]
