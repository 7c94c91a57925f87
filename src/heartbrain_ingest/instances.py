"""Which file stands for an instance that came more than once."""

from __future__ import annotations

import hashlib
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
    elif len(set(digests.values())) == 1:
        first = rows[0]
    else:
        chosen.settled += [_settled(row, Outcome.QUARANTINED, "CONFLICTING_INSTANCE", digests) for row in rows]
        return
    chosen.kept.append(first)
    for row in rows:
        if row is first:
            continue
        if digests[row.id] == digests[first.id]:
            chosen.settled.append(_settled(row, Outcome.IGNORED, "DUPLICATE_INSTANCE", digests))
        elif released:
            chosen.settled.append(_settled(row, Outcome.IGNORED, "REPLACED_INSTANCE", digests))
        else:
            chosen.settled.append(_settled(row, Outcome.QUARANTINED, "CONFLICTING_INSTANCE", digests))


def _settled(row: FileRow, outcome: Outcome, code: str, digests: dict[int, str | None]) -> Settled:
    return Settled(row=row, outcome=outcome, code=code, sha256=digests[row.id])


def _digest(path: str) -> str | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a plain read
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # it was taken away or locked since its header was read
        return None
