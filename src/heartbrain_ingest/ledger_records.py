"""What the ledger holds, row by row."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """Where an input file went."""

    #: Seen; its delivery is not complete or not done yet.
    WAITING = "waiting"
    #: An image was made of it and its de-identified copy is stored.
    CONVERTED = "converted"
    #: Kept in the published folder without an image of its own.
    STORED = "stored"
    #: Not published; the code says why.
    QUARANTINED = "quarantined"
    #: Not wanted; the code is the rule that says so.
    IGNORED = "ignored"


class DeliveryState(StrEnum):
    """How far a delivery came."""

    #: Files arrived that are not published.
    WAITING = "waiting"
    #: Its folder is complete in the staging area and about to be renamed into place.
    PUBLISHING = "publishing"
    #: Its folder is in the archive; the crawl is still to come.
    PUBLISHED = "published"
    #: Its records are in LinkAhead.
    CRAWLED = "crawled"
    #: The audit refused it.
    QUARANTINED = "quarantined"
    #: The steward does not want it.
    DISCARDED = "discarded"


#: Where the files are that a published folder is made of.
PUBLISHED = (Outcome.CONVERTED, Outcome.STORED)
#: Codes of files that wait without a delivery: the next run looks at them again.
LOOK_AGAIN = ("FILE_GROWING", "RELEASED")
#: Codes of files that no session is made of any more.
OUT = ("DISCARDED", "FILE_GONE")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRow:
    """What the ledger knows of one input file."""

    path: str
    size: int
    mtime_ns: int
    kind: str
    outcome: Outcome
    code: str | None = None
    sha256: str | None = None
    delivery: int | None = None
    series: str | None = None
    instance: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    destination: str | None = None
    id: int = 0


#: What a file becomes: (file id, outcome, code, destination, sha256 or None to keep the known one).
Settled = tuple[int, Outcome, str | None, str | None, str | None]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a steward decided; it holds for the content that the file had, or for a place of a refused session."""

    action: str
    code: str
    file: int | None
    sha256: str | None
    delivery: int | None
    place: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One unit of work: a session or a laboratory table."""

    id: int
    key: str
    kind: str
    subject: str | None
    session: str | None
    project: str | None
    state: DeliveryState
    #: Number of folders that were published of it.
    revision: int
    #: The newest published folder, relative to the archive.
    folder: str | None
    #: The folder that is about to be published.
    target: str | None
    #: Its `filesystem.folder_digest`; None where an earlier version of the program wrote the target.
    target_digest: str | None
    code: str | None
