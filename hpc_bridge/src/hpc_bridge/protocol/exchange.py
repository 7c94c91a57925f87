"""What the RDM side does with one job in the bucket. Each step can be repeated after a death anywhere in it.

The order for a job: `publish`, then any number of `Journal.standings`, `conclude` when its state is final, `fetch`,
the RDM system's own accepting of the files, `close`, and after the retention time `sweep`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hpc_bridge.bucket.base import Conditions
from hpc_bridge.bucket.files import holds
from hpc_bridge.digests import digest, file_digest
from hpc_bridge.errors import (
    DocumentError,
    GoneError,
    LostRaceError,
    RefusedError,
    TooLargeError,
    VerificationError,
)
from hpc_bridge.protocol import keys
from hpc_bridge.protocol.documents import (
    MAX_DOCUMENT_BYTES,
    MAX_LOG_BYTES,
    EventRecord,
    FileEntry,
    History,
    JobSpec,
    Manifest,
    Receipt,
    read_manifest,
    sign_spec,
)
from hpc_bridge.protocol.journal import Journal, Standing, ask
from hpc_bridge.protocol.lifecycle import FINAL, Event, State
from hpc_bridge.protocol.signing import SigningKey, VerifyKey, canonical, parse

T = TypeVar("T")
_PARALLEL = 8
#: A manifest may list 100,000 files.
MAX_MANIFEST_BYTES = 1 << 26
#: An agent sends five logs of a job; with what a program adds to them these are enough.
MAX_UNSIGNED_LOGS = 16


@dataclass(frozen=True)
class Conclusion:
    """How a job ended: its events, and the verified list of its result when it finished."""

    job: str
    state: State
    events: tuple[EventRecord, ...]
    manifest: Manifest | None

    @property
    def attempt(self) -> str | None:
        """The last attempt that was handed to a batch system."""
        return next((event.attempt for event in reversed(self.events) if event.attempt), None)

    @property
    def message(self) -> str:
        """The plain sentence of the last event that has one."""
        return next((event.message for event in reversed(self.events) if event.message), "")

    @property
    def logs(self) -> tuple[FileEntry, ...]:
        """The log files that are in the bucket.

        Those of a job without a manifest are named by events, which nobody signs: of them only what an agent sends.
        """
        if self.manifest:
            return self.manifest.logs
        named = next((event.logs for event in reversed(self.events) if event.logs), ())
        return tuple(one for one in named if one.size <= MAX_LOG_BYTES)[:MAX_UNSIGNED_LOGS]


def describe_file(path: Path, name: str) -> FileEntry:
    """Give the entry of a file for a specification."""
    return FileEntry(name=name, size=path.stat().st_size, sha256=file_digest(path))


def publish(journal: Journal, spec: JobSpec, key: SigningKey, files: Mapping[str, Path]) -> Standing:
    """Upload the inputs, then the signed specification, then the first event; give where the job stands.

    Several exchanges may do this at once for one job: the first specification stays, and it must ask for the same.

    Raises
    ------
    RefusedError
        When another request has this job's name.
    """
    bucket = journal.bucket
    if (there := journal.standing(spec.job)) is not None and not there.is_debris:
        return there
    if bucket.get(keys.history(spec.job), limit=MAX_MANIFEST_BYTES) is not None:
        return Standing(spec.job, 0, State.CLOSED)
    stored = bucket.get(keys.spec(spec.job), limit=MAX_DOCUMENT_BYTES)
    if stored is None:
        _upload(journal, spec, files)
        body = sign_spec(spec, key)
        if len(body) > MAX_DOCUMENT_BYTES:
            raise RefusedError("the specification is larger than a document may be")
        bucket.create(keys.spec(spec.job), body)
        stored = bucket.get(keys.spec(spec.job), limit=MAX_DOCUMENT_BYTES)
    if stored is None or _wish(parse(stored)) != _wish(spec.to_dict()):
        raise RefusedError(f"the job {spec.job} was published for something else")
    try:
        standing = journal.add(ask(spec.job), Event.ASK)
        if bucket.get(keys.history(spec.job), limit=MAX_MANIFEST_BYTES) is not None:
            # Asked late: meanwhile other exchanges brought the job to its end. Agents refuse it as well.
            standing = expire(journal, standing, "It was over already.")
    except LostRaceError:
        return journal.standing(spec.job) or Standing(spec.job, 0, State.CLOSED)
    return standing


def _wish(document: dict[str, object]) -> bytes:
    return canonical({k: v for k, v in document.items() if k not in {"created", "expires", "nonce", "signature"}})


def _upload(journal: Journal, spec: JobSpec, files: Mapping[str, Path]) -> None:
    if missing := [entry.name for entry in spec.inputs if entry.name not in files]:
        raise RefusedError(f"no file for the inputs {', '.join(missing[:5])}")

    def send(entry: FileEntry) -> None:
        journal.bucket.upload(files[entry.name], keys.input_file(spec.job, entry.name), sha256=entry.sha256)

    in_parallel(send, spec.inputs)


def wish_cancel(journal: Journal, job: str) -> None:
    """Ask that a job ends; a job that no agent took up is cancelled at once where the store honours conditions."""
    standing = journal.standing(job)
    if standing is None or standing.state in FINAL or standing.state is State.CLOSED:
        return
    journal.bucket.put(keys.cancel(job), b"")
    if standing.state is State.NEW and journal.bucket.conditions is Conditions.HONOURED:
        try:
            journal.add(standing, Event.CANCEL, message="Cancelled before an agent took it up.")
        except LostRaceError:
            return


def expire(journal: Journal, standing: Standing, message: str) -> Standing:
    """Give a job up that no agent brought to an end; raises LostRaceError when one just did."""
    return journal.add(standing, Event.EXPIRE, message=message)


def conclude(journal: Journal, standing: Standing, agents: Mapping[str, VerifyKey]) -> Conclusion:
    """Read how a job ended; of a finished one also the manifest, verified against specification and agents' keys.

    Raises
    ------
    GoneError
        When another exchange has closed it meanwhile.
    DocumentError, SignatureError, RefusedError
        When what is in the bucket can't be believed.
    """
    events = journal.history(standing.job, standing.number)
    state = events[-1].state
    if state not in FINAL:
        raise DocumentError(f"{standing.job} is not over")
    if state is not State.FINISHED:
        return Conclusion(standing.job, state, events, None)
    spec = journal.bucket.get(keys.spec(standing.job), limit=MAX_DOCUMENT_BYTES)
    body = journal.bucket.get(keys.manifest(standing.job), limit=MAX_MANIFEST_BYTES)
    if spec is None or body is None:
        raise DocumentError(f"{standing.job} has no specification or no manifest")
    if digest(body) != events[-1].manifest:
        raise DocumentError(f"{standing.job}: the manifest is not the one that the last event names")
    return Conclusion(standing.job, state, events, read_result(spec, body, agents, job=standing.job))


def read_result(spec: bytes, manifest: bytes, agents: Mapping[str, VerifyKey], *, job: str) -> Manifest:
    """Check and read the manifest of a job, and that it lists no more than the specification allows.

    Raises
    ------
    SignatureError, RefusedError, DocumentError
        When nothing of it may be believed.
    """
    read = read_manifest(manifest, dict(agents), job=job, spec=digest(spec))
    document = parse(spec)
    document.pop("signature", None)
    allowed = JobSpec.from_dict(document).outputs
    if len(read.outputs) > allowed.max_files or sum(one.size for one in read.outputs) > allowed.max_bytes:
        raise RefusedError("the manifest lists more outputs than the request allows")
    if any(one.size > MAX_LOG_BYTES for one in read.logs):
        raise RefusedError("the manifest lists a log that is larger than an agent sends")
    return read


def fetch(journal: Journal, conclusion: Conclusion, folder: Path) -> None:
    """Bring outputs to `folder`/output and logs to `folder`/logs, each file verified; what is there already is kept.

    Raises
    ------
    VerificationError
        When a file is not what the manifest says. Nothing may be accepted then.
    """
    job, attempt = conclusion.job, conclusion.manifest.attempt if conclusion.manifest else conclusion.attempt
    if attempt is None:
        return
    outputs = conclusion.manifest.outputs if conclusion.manifest else ()
    work = [(keys.output_file(job, attempt, one.name), folder / "output" / one.name, one) for one in outputs]
    logs = [(keys.log_file(job, attempt, one.name), folder / "logs" / one.name, one) for one in conclusion.logs]

    def bring(item: tuple[str, Path, FileEntry]) -> None:
        key, path, entry = item
        if not holds(path, size=entry.size, sha256=entry.sha256):
            journal.bucket.download(key, path, size=entry.size, sha256=entry.sha256)

    in_parallel(bring, [*work, *logs])
    for _, path, entry in (*work, *logs):
        if not path.is_file() or path.is_symlink() or path.stat().st_size != entry.size:
            raise VerificationError(entry.name)


def close(journal: Journal, standing: Standing) -> None:
    """Keep a job's events as history, mark it closed and delete its keys below open/; goes on where a death left it.

    A job that has a history is over, whatever late writers add to it: then its keys are deleted as they are.
    The history of a job with events that can't be believed ends before them: who closes it has made nothing of it.
    The closed hint goes last and the first event last before it: a half-done clean-up shows no earlier state.
    """
    job, bucket = standing.job, journal.bucket
    if standing.state is not State.CLOSED and bucket.get(keys.history(job), limit=MAX_MANIFEST_BYTES) is None:
        if standing.state not in FINAL:
            raise DocumentError(f"{job} is not over")
        try:
            bucket.create(keys.history(job), _history(journal, standing).to_bytes())
            journal.add(standing, Event.CLOSE)
        except (GoneError, LostRaceError):
            now = journal.standing(job)
            if now is not None and now.state is not State.CLOSED:
                return
    _delete_open(journal, standing)


def _history(journal: Journal, standing: Standing) -> History:
    job = standing.job
    try:
        return History(job=job, events=journal.history(job, standing.number))
    except GoneError:
        raise
    except (DocumentError, TooLargeError):
        return History(job=job, events=journal.believable(job, standing.number))


def _delete_open(journal: Journal, standing: Standing) -> None:
    bucket, job = journal.bucket, standing.job
    there = {entry.key for entry in bucket.listing(keys.open_prefix(job))}
    closed = {key for key in there if key.endswith(f".{State.CLOSED.value}")}
    first = keys.event(job, 1)
    if first in there and not closed:
        number = max(parsed[1] or 0 for key in there if (parsed := keys.parse_open(key)))
        closed = {keys.hint(job, number, State.CLOSED)}
        for key in closed:
            bucket.put(key, b"")
    bucket.delete(sorted(there - closed - {first}, reverse=True))
    bucket.delete([first])
    bucket.delete(sorted(closed))


def sweep(journal: Journal, job: str) -> Receipt:
    """Delete the data of a closed job from the bucket; specification, history and the receipt stay.

    They stay until the specification has expired, so that nobody can publish the job once more.
    """
    bucket = journal.bucket
    if bucket.get(keys.history(job), limit=MAX_MANIFEST_BYTES) is None or journal.standing(job) is not None:
        raise DocumentError(f"{job} is not closed")
    kept = {keys.spec(job), keys.history(job), keys.receipt(job)}
    entries = [entry for entry in bucket.listing(keys.job_prefix(job)) if entry.key not in kept]
    receipt = Receipt(
        job=job, place="bucket", files=len(entries), bytes=sum(entry.size for entry in entries), time=journal.clock()
    )
    bucket.create(keys.receipt(job), receipt.to_bytes())
    bucket.delete(entry.key for entry in entries)
    return receipt


def in_parallel(work: Callable[[T], None], items: Sequence[T]) -> None:
    """Do the work for each item, several at once where there are several; the first error is raised."""
    if len(items) <= 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(min(_PARALLEL, len(items))) as pool:
        for _ in pool.map(work, items):
            pass
