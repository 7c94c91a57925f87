"""Events and exchanges on every store."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hpc_bridge.bucket import Bucket, MemoryBucket
from hpc_bridge.digests import digest, file_digest
from hpc_bridge.errors import (
    BridgeError,
    DocumentError,
    LostRaceError,
    RefusedError,
    SignatureError,
    TooLargeError,
    TransitionError,
    UnclearError,
    VerificationError,
)
from hpc_bridge.protocol import (
    Event,
    EventRecord,
    FileEntry,
    History,
    Journal,
    Manifest,
    OutputRules,
    Side,
    SigningKey,
    Standing,
    State,
    close,
    conclude,
    describe_file,
    expire,
    fetch,
    keys,
    publish,
    sign_manifest,
    sweep,
    wish_cancel,
)
from tests.hpc_bridge.conftest import Clock
from tests.hpc_bridge.stores import make_spec

ATTEMPT = "hb-" + "a" * 32 + ".0"


def ask(rdm: Journal, key: SigningKey, folder: Path, **changes: object) -> Standing:
    file = folder / "in.txt"
    file.write_bytes(b"some input")
    spec = make_spec(rdm.clock(), inputs=(describe_file(file, "sub/in.txt"),), **changes)
    return publish(rdm, spec, key, {"sub/in.txt": file})


def run(hpc: Journal, standing: Standing, key: SigningKey, folder: Path) -> Standing:
    """Do by hand what an agent does."""
    for event in (Event.TAKE, Event.STAGED, Event.SUBMITTED, Event.ENDED):
        standing = hpc.add(standing, event, attempt=ATTEMPT)
    output, log = folder / "out.txt", folder / "log.txt"
    output.write_bytes(b"the result")
    log.write_bytes(b"all good")
    hpc.bucket.upload(output, keys.output_file(standing.job, ATTEMPT, "a/out.txt"), sha256=file_digest(output))
    hpc.bucket.upload(log, keys.log_file(standing.job, ATTEMPT, "stdout.txt"), sha256=file_digest(log))
    body = sign_manifest(
        Manifest(
            job=standing.job,
            spec=digest(hpc.bucket.get(keys.spec(standing.job), limit=10**6) or b""),
            agent="cluster",
            attempt=ATTEMPT,
            function="checksum-report",
            version="1.0",
            function_digest="0" * 64,
            outputs=(describe_file(output, "a/out.txt"),),
            logs=(describe_file(log, "stdout.txt"),),
        ),
        key,
    )
    hpc.bucket.create(keys.manifest(standing.job), body)
    return hpc.add(standing, Event.UPLOADED, manifest=digest(body))


def open_keys(bucket: Bucket) -> list[str]:
    return [entry.key for entry in bucket.listing("open/")]


def test_a_job_goes_from_request_to_history(
    rdm: Journal, hpc: Journal, rdm_key: SigningKey, agent_key: SigningKey, tmp_path: Path
) -> None:
    standing = ask(rdm, rdm_key, tmp_path)
    assert (standing.state, standing.number) == (State.NEW, 1)
    run(hpc, standing, agent_key, tmp_path)
    standing = rdm.standings()[standing.job]
    assert standing == Standing(standing.job, 6, State.FINISHED)
    conclusion = conclude(rdm, standing, {agent_key.public.name: agent_key.public})
    fetch(rdm, conclusion, tmp_path / "fetched")
    fetch(rdm, conclusion, tmp_path / "fetched")
    assert (tmp_path / "fetched/output/a/out.txt").read_bytes() == b"the result"
    assert (tmp_path / "fetched/logs/stdout.txt").read_bytes() == b"all good"
    close(rdm, standing)
    assert open_keys(rdm.bucket) == []
    assert rdm.standings() == {}
    receipt = sweep(rdm, standing.job)
    assert (receipt.files, receipt.bytes > 0) == (4, True)
    left = [entry.key.rpartition("/")[2] for entry in rdm.bucket.listing("jobs/")]
    assert left == ["history.json", "receipt.json", "spec.json"]


def test_one_listing_shows_all_states_and_reads_nothing_else(clock: Clock, rdm_key: SigningKey, tmp_path: Path) -> None:
    store = MemoryBucket()
    rdm = Journal(store, writer="exchange", side=Side.RDM, clock=clock)
    for index in range(20):
        ask(rdm, rdm_key, tmp_path, job=keys.job_name("site", "many", index))
    store.requests.clear()
    assert len(rdm.standings()) == 20
    assert store.requests == {"list": 1}


def test_publishing_again_changes_nothing(rdm: Journal, rdm_key: SigningKey, tmp_path: Path) -> None:
    first = ask(rdm, rdm_key, tmp_path)
    body = rdm.bucket.get(keys.spec(first.job), limit=10**6)
    assert ask(rdm, rdm_key, tmp_path) == first
    assert rdm.bucket.get(keys.spec(first.job), limit=10**6) == body
    rdm.bucket.delete(open_keys(rdm.bucket))
    with pytest.raises(RefusedError, match="something else"):
        ask(rdm, rdm_key, tmp_path, parameters={"other": 1})


def test_a_job_that_is_over_is_not_published_again(
    rdm: Journal, hpc: Journal, rdm_key: SigningKey, agent_key: SigningKey, tmp_path: Path
) -> None:
    standing = run(hpc, ask(rdm, rdm_key, tmp_path), agent_key, tmp_path)
    close(rdm, standing)
    assert ask(rdm, rdm_key, tmp_path).state is State.CLOSED
    assert open_keys(rdm.bucket) == []


def test_of_two_writers_of_one_number_one_wins(rdm: Journal, hpc: Journal, rdm_key: SigningKey, tmp_path: Path) -> None:
    standing = ask(rdm, rdm_key, tmp_path)
    hpc.add(standing, Event.TAKE)
    with pytest.raises(LostRaceError):
        Journal(hpc.bucket, writer="other", side=Side.AGENT, clock=hpc.clock).add(standing, Event.TAKE)
    assert rdm.history(standing.job, 2)[-1].writer == "cluster"


def test_a_missing_hint_is_repaired_by_whoever_lists(
    rdm: Journal, hpc: Journal, rdm_key: SigningKey, tmp_path: Path
) -> None:
    standing = hpc.add(ask(rdm, rdm_key, tmp_path), Event.TAKE)
    rdm.bucket.delete([keys.hint(standing.job, 2, State.STAGING)])
    assert rdm.standings()[standing.job].state is State.STAGING
    assert keys.hint(standing.job, 2, State.STAGING) in open_keys(rdm.bucket)


def _scribble(bucket: Bucket, standing: Standing, body: bytes = b"{") -> None:
    """Do what somebody with a stolen key of the bucket can."""
    bucket.put(keys.event(standing.job, standing.number), body)
    bucket.delete([keys.hint(standing.job, standing.number, standing.state)])


@pytest.mark.parametrize("body", [b"{", b"x" * 2_000_000], ids=["malformed", "large"])
def test_a_job_whose_newest_event_cannot_be_read_is_damaged_and_the_others_go_on(
    rdm: Journal, hpc: Journal, rdm_key: SigningKey, tmp_path: Path, body: bytes
) -> None:
    broken = hpc.add(ask(rdm, rdm_key, tmp_path), Event.TAKE)
    other = ask(rdm, rdm_key, tmp_path, job=keys.job_name("site", "R2", 1))
    _scribble(rdm.bucket, broken, body)
    standings = rdm.standings()
    assert (standings[broken.job].damaged, standings[other.job]) == (True, other)
    with pytest.raises((DocumentError, TooLargeError)):
        conclude(rdm, standings[broken.job], {})
    close(rdm, standings[broken.job])
    assert set(rdm.standings()) == {other.job}
    history = rdm.bucket.get(keys.history(broken.job), limit=10**6) or b""
    assert [event.event for event in History.from_bytes(history).events] == [Event.ASK]


def test_a_job_with_an_event_out_of_turn_can_be_closed(rdm: Journal, rdm_key: SigningKey, tmp_path: Path) -> None:
    standing = ask(rdm, rdm_key, tmp_path)
    genuine = rdm.read(standing.job, 1)
    assert genuine is not None
    forged = genuine.model_copy(update={"number": 2, "event": Event.UPLOADED, "state": State.FINISHED})
    rdm.bucket.put(keys.event(standing.job, 2), forged.to_bytes())
    close(rdm, rdm.standings()[standing.job])
    assert open_keys(rdm.bucket) == []


def test_of_two_hints_for_a_number_the_event_decides(
    rdm: Journal, hpc: Journal, rdm_key: SigningKey, tmp_path: Path
) -> None:
    standing = hpc.add(ask(rdm, rdm_key, tmp_path), Event.TAKE)
    rdm.bucket.put(keys.hint(standing.job, 2, State.FINISHED), b"")
    assert rdm.standings()[standing.job].state is State.STAGING


def test_a_wish_to_cancel_ends_a_job_that_nobody_took(rdm: Journal, rdm_key: SigningKey, tmp_path: Path) -> None:
    standing = ask(rdm, rdm_key, tmp_path)
    wish_cancel(rdm, standing.job)
    assert rdm.standings()[standing.job] == Standing(standing.job, 2, State.CANCELLED, cancel_wished=True)


def test_a_wish_to_cancel_a_taken_job_waits_for_its_agent(
    rdm: Journal, hpc: Journal, rdm_key: SigningKey, tmp_path: Path
) -> None:
    standing = hpc.add(ask(rdm, rdm_key, tmp_path), Event.TAKE)
    wish_cancel(rdm, standing.job)
    assert rdm.standings()[standing.job] == Standing(standing.job, 2, State.STAGING, cancel_wished=True)


def test_a_side_cannot_write_the_other_sides_events(
    rdm: Journal, hpc: Journal, rdm_key: SigningKey, tmp_path: Path
) -> None:
    standing = ask(rdm, rdm_key, tmp_path)
    with pytest.raises(TransitionError):
        rdm.add(standing, Event.TAKE)
    with pytest.raises(TransitionError):
        hpc.add(standing, Event.EXPIRE)
    assert expire(rdm, standing, "no agent came").state is State.LOST


def test_a_result_whose_manifest_another_key_signed_is_not_believed(
    rdm: Journal, hpc: Journal, rdm_key: SigningKey, agent_key: SigningKey, tmp_path: Path
) -> None:
    standing = run(hpc, ask(rdm, rdm_key, tmp_path), SigningKey.generate(), tmp_path)
    with pytest.raises(SignatureError):
        conclude(rdm, standing, {agent_key.public.name: agent_key.public})


def test_a_result_that_was_exchanged_afterwards_is_not_accepted(
    rdm: Journal, hpc: Journal, rdm_key: SigningKey, agent_key: SigningKey, tmp_path: Path
) -> None:
    standing = run(hpc, ask(rdm, rdm_key, tmp_path), agent_key, tmp_path)
    trusted = {agent_key.public.name: agent_key.public}
    conclusion = conclude(rdm, standing, trusted)
    rdm.bucket.put(keys.output_file(standing.job, ATTEMPT, "a/out.txt"), b"the ReSULT")
    with pytest.raises(VerificationError):
        fetch(rdm, conclusion, tmp_path / "fetched")
    rdm.bucket.put(keys.manifest(standing.job), b"{}")
    with pytest.raises(DocumentError, match="not the one"):
        conclude(rdm, standing, trusted)


def test_a_manifest_that_lists_more_than_the_request_allows_is_not_believed(
    rdm: Journal, hpc: Journal, rdm_key: SigningKey, agent_key: SigningKey, tmp_path: Path
) -> None:
    allowed = OutputRules(max_bytes=len(b"the result") - 1)
    standing = run(hpc, ask(rdm, rdm_key, tmp_path, outputs=allowed), agent_key, tmp_path)
    with pytest.raises(RefusedError, match="more outputs than the request allows"):
        conclude(rdm, standing, {agent_key.public.name: agent_key.public})


def test_of_the_logs_that_nobody_signed_no_more_is_fetched_than_an_agent_sends(
    rdm: Journal, hpc: Journal, rdm_key: SigningKey, tmp_path: Path
) -> None:
    standing = hpc.add(ask(rdm, rdm_key, tmp_path), Event.TAKE)
    huge = FileEntry(name="huge.txt", size=(8 << 20) + 1, sha256="0" * 64)
    empty = hashlib.sha256(b"").hexdigest()
    small = tuple(FileEntry(name=f"{n:02d}.txt", size=0, sha256=empty) for n in range(63))
    for one in small:
        hpc.bucket.put(keys.log_file(standing.job, ATTEMPT, one.name), b"")
    standing = hpc.add(standing, Event.FAIL, attempt=ATTEMPT, logs=(huge, *small))
    fetch(rdm, conclude(rdm, standing, {}), tmp_path / "fetched")
    fetched = sorted(path.name for path in (tmp_path / "fetched/logs").iterdir())
    assert fetched == [f"{n:02d}.txt" for n in range(16)]


def test_an_event_whose_logs_would_lie_on_each_other_is_not_believed(
    rdm: Journal, rdm_key: SigningKey, tmp_path: Path
) -> None:
    genuine = rdm.read(ask(rdm, rdm_key, tmp_path).job, 1)
    assert genuine is not None
    logs = [{"name": name, "size": 0, "sha256": "0" * 64} for name in ("a", "a/b")]
    with pytest.raises(DocumentError, match="a file and a folder"):
        EventRecord.from_dict({**genuine.to_dict(), "logs": logs})


def test_a_forged_event_out_of_turn_is_not_believed(
    rdm: Journal, rdm_key: SigningKey, agent_key: SigningKey, tmp_path: Path
) -> None:
    standing = ask(rdm, rdm_key, tmp_path)
    genuine = rdm.read(standing.job, 1)
    assert genuine is not None
    forged = genuine.model_copy(
        update={"number": 2, "event": Event.UPLOADED, "state": State.FINISHED, "side": Side.AGENT}
    )
    rdm.bucket.put(keys.event(standing.job, 2), forged.to_bytes())
    with pytest.raises(DocumentError, match="uploaded in state new"):
        conclude(rdm, rdm.standings()[standing.job], {})


@pytest.mark.parametrize("deaths", range(12))
def test_a_clean_up_that_dies_anywhere_shows_no_earlier_state_and_goes_on(
    clock: Clock, rdm_key: SigningKey, agent_key: SigningKey, tmp_path: Path, deaths: int
) -> None:
    class Died(BaseException):
        pass

    store = MemoryBucket()
    rdm, hpc = (Journal(store, writer=side.value, side=side, clock=clock) for side in (Side.RDM, Side.AGENT))
    standing = run(hpc, ask(rdm, rdm_key, tmp_path), agent_key, tmp_path)
    left = deaths

    def die(moment: str, operation: str, key: str) -> None:
        nonlocal left
        if moment == "after" and operation in {"put", "create", "delete"}:
            if left == 0:
                raise Died
            left -= 1

    with pytest.raises(Died):
        close(Journal(store.view(die), writer="rdm", side=Side.RDM, clock=clock), standing)
    now = rdm.standings().get(standing.job)
    assert now is None or now.state in {State.FINISHED, State.CLOSED}
    if now:
        close(rdm, now)
    assert open_keys(store) == []
    assert store.get(keys.history(standing.job), limit=10**6) is not None


def test_what_a_late_writer_leaves_after_the_clean_up_is_debris_that_is_swept(
    rdm: Journal, hpc: Journal, rdm_key: SigningKey, agent_key: SigningKey, tmp_path: Path
) -> None:
    standing = ask(rdm, rdm_key, tmp_path)
    taken = hpc.add(standing, Event.TAKE)
    close(rdm, expire(rdm, taken, "given up"))
    hpc.add(taken, Event.STAGED, attempt=ATTEMPT)
    debris = rdm.standings()[standing.job]
    assert debris.is_debris
    close(rdm, debris)
    assert open_keys(rdm.bucket) == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("operation", ["create", "get", "put"])
def test_one_fault_in_writing_an_event_does_no_harm(
    clock: Clock, rdm_key: SigningKey, tmp_path: Path, moment: str, operation: str
) -> None:
    store = MemoryBucket()
    rdm = Journal(store, writer="exchange", side=Side.RDM, clock=clock)
    standing = ask(rdm, rdm_key, tmp_path)
    faults = [1]

    def fail(when: str, what: str, key: str) -> None:
        if (when, what) == (moment, operation) and faults:
            faults.pop()
            raise UnclearError("no reply")

    hpc = Journal(store.view(fail), writer="cluster", side=Side.AGENT, clock=clock)
    assert hpc.add(standing, Event.TAKE).number == 2
    assert rdm.standings()[standing.job] == Standing(standing.job, 2, State.STAGING)


def test_a_bucket_that_never_answers_leaves_it_open_who_won(clock: Clock, rdm_key: SigningKey, tmp_path: Path) -> None:
    store = MemoryBucket()
    standing = ask(Journal(store, writer="exchange", side=Side.RDM, clock=clock), rdm_key, tmp_path)

    def fail(when: str, what: str, key: str) -> None:
        if when == "after":
            raise UnclearError("no reply")

    with pytest.raises(UnclearError):
        Journal(store.view(fail), writer="cluster", side=Side.AGENT, clock=clock).add(standing, Event.TAKE)


def test_inputs_without_a_file_are_refused_before_anything_is_stored(rdm: Journal, rdm_key: SigningKey) -> None:
    spec = make_spec(rdm.clock(), inputs=(FileEntry(name="a", size=1, sha256="0" * 64),))
    with pytest.raises(BridgeError, match="no file"):
        publish(rdm, spec, rdm_key, {})
    assert list(rdm.bucket.listing("")) == []
