"""Inputs into scratch, outputs and logs into the bucket; each file verified on the way."""

from __future__ import annotations

import errno
import fnmatch
import os
from pathlib import Path

from hpc_bridge.bucket import Bucket
from hpc_bridge.bucket.files import check, holds
from hpc_bridge.desk import Desk, ExitRecord
from hpc_bridge.digests import file_digest
from hpc_bridge.errors import RefusedError, SpaceError, VerificationError
from hpc_bridge.protocol import FileEntry, JobSpec, keys
from hpc_bridge.protocol.documents import MAX_LOG_BYTES, MAX_LOGS, OutputEntry
from hpc_bridge.protocol.exchange import in_parallel
from hpc_bridge.wrapper import is_plain


def bring_inputs(bucket: Bucket, desk: Desk, spec: JobSpec, keep_free: int) -> Path:
    """Bring a job's inputs into scratch, read-only, and give their folder; what is there already is kept.

    Raises
    ------
    VerificationError
        When an input is not what the specification says.
    SpaceError
        When there is not enough room.
    """
    folder = desk.input_folder(spec.job)
    missing = [one for one in spec.inputs if not holds(folder / one.name, size=one.size, sha256=one.sha256)]
    if sum(one.size for one in missing) + keep_free > desk.free_bytes():
        raise SpaceError(f"inputs of {spec.job}")

    def bring(entry: FileEntry) -> None:
        path = folder / entry.name
        bucket.download(keys.input_file(spec.job, entry.name), path, size=entry.size, sha256=entry.sha256)
        path.chmod(0o444)

    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        in_parallel(bring, missing)
    except OSError as problem:
        raise full_disk(problem, spec.job) from None
    return folder


def full_disk(problem: OSError, what: str) -> SpaceError:
    """Give a full disk's error as ours; any other stays what it is."""
    if problem.errno in {errno.ENOSPC, errno.EDQUOT}:
        return SpaceError(what)
    raise problem


def send_logs(bucket: Bucket, desk: Desk, job: str, attempt: str) -> tuple[FileEntry, ...]:
    """Store all that was said about an attempt, and give its list."""
    folder = desk.attempt_folder(attempt)
    record = desk.exit_of(attempt)
    runs = [folder / record.run] if record and record.run else sorted(folder.glob("run-*"))[-1:]
    paths = {path.name: path for run in runs for path in sorted((run / "logs").glob("*"))}
    paths |= {path.name: path for path in sorted(folder.glob("*.out"))}
    entries: list[FileEntry] = []
    for name, path in paths.items():
        if path.is_symlink() or not path.is_file() or not is_plain(name) or len(entries) == MAX_LOGS:
            continue  # a job without a container can put there what it likes
        ready = _shortened(path)
        entry = FileEntry(name=name, size=ready.stat().st_size, sha256=file_digest(ready))
        bucket.upload(ready, keys.log_file(job, attempt, name), sha256=entry.sha256)
        entries.append(entry)
    return tuple(entries)


def _shortened(path: Path) -> Path:
    size = path.stat().st_size
    if size <= MAX_LOG_BYTES:
        return path
    short = path.with_name(f".{path.name}.end")
    with path.open("rb") as source, short.open("wb") as target:
        source.seek(-MAX_LOG_BYTES, os.SEEK_END)
        target.write(source.read(MAX_LOG_BYTES))
    return short


def check_outputs(record: ExitRecord, wanted: tuple[OutputEntry, ...]) -> None:
    """Refuse a result that lacks a required output."""
    names = [one.name for one in record.outputs]
    for output in wanted:
        if output.required and not any(fnmatch.fnmatchcase(name, output.name) for name in names):
            raise RefusedError(f"the required output {output.name} is missing")


def send_outputs(bucket: Bucket, desk: Desk, job: str, attempt: str, record: ExitRecord) -> None:
    """Check each output against the list that the wrapper wrote, and store it."""
    folder = desk.attempt_folder(attempt) / record.run / "output"

    def send(entry: FileEntry) -> None:
        path = folder / entry.name
        if path.is_symlink():
            raise VerificationError(entry.name)
        check(path, entry.name, size=entry.size, sha256=entry.sha256)
        bucket.upload(path, keys.output_file(job, attempt, entry.name), sha256=entry.sha256)

    in_parallel(send, record.outputs)
