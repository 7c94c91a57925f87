"""Which file stands for an instance, or a recording, that came more than once."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from heartbrain_ingest.ledger import FileRow, Outcome


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A file that goes no further."""

    row: FileRow
    outcome: Outcome
    code: str
    #: None where the file can't be read.
    sha256: str | None


@dataclass(kw_only=True)
class ChosenInstances:
    """One file of each instance, and what becomes of the others."""

    kept: list[FileRow] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)


def choose_instances(rows: Sequence[FileRow], lets_pass: Callable[[str, str | None], bool]) -> ChosenInstances:
    """Keep one file of each instance; identical copies are ignored, contradicting ones refused.

    Parameters
    ----------
    rows
        The files of a session.
    lets_pass
        Says of a code and a checksum whether the steward released the file.
    """
    by_instance: dict[str, list[FileRow]] = {}
    for row in rows:
        by_instance.setdefault(row.instance or row.path, []).append(row)
    chosen = ChosenInstances()
    for same in by_instance.values():
        if len(same) == 1:
            chosen.kept.append(same[0])
        else:
            _choose(same, lets_pass, chosen)
    return chosen


def choose_recordings(rows: Sequence[FileRow]) -> ChosenInstances:
    """Keep one file of each recording: byte-identical copies of it are ignored, first of all of a published one."""
    chosen = ChosenInstances()
    known: set[str] = {row.sha256 for row in rows if row.sha256 and row.outcome is Outcome.STORED}
    for row in rows:
        if row.outcome is Outcome.STORED or row.sha256 is None or row.sha256 not in known:
            chosen.kept.append(row)
            known |= {row.sha256} if row.sha256 else set()
        else:
            chosen.settled.append(
                Settled(row=row, outcome=Outcome.IGNORED, code="DUPLICATE_RECORDING", sha256=row.sha256)
            )
    return chosen


def _choose(rows: Sequence[FileRow], lets_pass: Callable[[str, str | None], bool], chosen: ChosenInstances) -> None:
    digests = {row.id: row.sha256 or _digest(row.path) for row in rows}
    unreadable = [row for row in rows if digests[row.id] is None and row.outcome is not Outcome.CONVERTED]
    chosen.settled += [_settled(row, Outcome.QUARANTINED, "UNREADABLE_FILE", digests) for row in unreadable]
    rows = [row for row in rows if row not in unreadable]
    if not rows:
        return
    published = [row for row in rows if row.outcome is Outcome.CONVERTED]
    released = [row for row in rows if lets_pass("CONFLICTING_INSTANCE", digests[row.id])]
    if released:
        first = min(released, key=lambda row: row.outcome is not Outcome.CONVERTED)
    elif published:
        first = published[0]
    elif all(_is_copy(row, rows[0], digests) for row in rows):
        first = rows[0]
    else:
        chosen.settled += [_settled(row, Outcome.QUARANTINED, "CONFLICTING_INSTANCE", digests) for row in rows]
        return
    chosen.kept.append(first)
    for row in rows:
        if row is first:
            continue
        if _is_copy(row, first, digests):
            chosen.settled.append(_settled(row, Outcome.IGNORED, "DUPLICATE_INSTANCE", digests))
        elif released:
            chosen.settled.append(_settled(row, Outcome.IGNORED, "REPLACED_INSTANCE", digests))
        else:
            chosen.settled.append(_settled(row, Outcome.QUARANTINED, "CONFLICTING_INSTANCE", digests))


def _settled(row: FileRow, outcome: Outcome, code: str, digests: dict[int, str | None]) -> Settled:
    return Settled(row=row, outcome=outcome, code=code, sha256=digests[row.id])


def _is_copy(one: FileRow, other: FileRow, digests: dict[int, str | None]) -> bool:
    """Say whether two files hold the same bytes, one of them perhaps packed."""
    if digests[one.id] == digests[other.id]:
        return True
    contents = [{digests[row.id], _unpacked_digest(row.path)} - {None} for row in (one, other)]
    return not contents[0].isdisjoint(contents[1])


def _unpacked_digest(path: str) -> str | None:
    """Give the SHA-256 of what a file compressed with gzip holds; None for any other, or one that is gone."""
    try:
        with gzip.open(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, EOFError, zlib.error):
        return None


def _digest(path: str) -> str | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a plain read
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # it was taken away or locked since its header was read
        return None
