"""What is decided before a session is built, and what comes out of building it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from heartbrain_ingest.bids import NamingRules
from heartbrain_ingest.deidentify import Identifiers, Rules, Subject
from heartbrain_ingest.ledger import FileRow, Outcome
from heartbrain_ingest.physio import PhysioRules
from heartbrain_ingest.settings import Defacing


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a steward let pass after looking at it."""

    #: The code that is no reason any more.
    code: str
    #: SHA-256 of the file that was looked at; None for a place.
    sha256: str | None
    #: Kind and place of a hit of the leak audit, as the audit calls them; None for a file.
    place: str | None
    #: Why, in the steward's words; stands in the certificate, so it must name nobody.
    reason: str


@dataclass(frozen=True, kw_only=True)
class SessionPlan:
    """What is to be built, decided before anything is read again."""

    project: str
    subject: Subject
    #: Session label without `ses-`.
    session: str
    #: Shifted date; None for an undated session.
    day: date | None
    #: True day; None for an undated session.
    studied: date | None = field(repr=False)
    #: Age in whole years at the scan, None when unknown.
    age: float | None
    revision: int
    #: Name of the folder that this one replaces.
    revision_of: str | None
    #: Name of the folder that will be published.
    folder_name: str
    rows: Sequence[FileRow]
    recordings: Sequence[FileRow]
    identifiers: Identifiers
    #: Codes to note for the whole session, such as SUBJECT_CONFLICT.
    codes: tuple[str, ...] = ()
    releases: tuple[Release, ...] = ()
    #: The published folder that is made again of its own stored DICOM; None where files of the inbox are taken in.
    again: Path | None = None

    def lets_pass(self, code: str, sha256: str | None) -> bool:
        """Say whether a file of this content was released although the code stands."""
        return any(one.code == code and one.sha256 == sha256 is not None for one in self.releases)


@dataclass(frozen=True, kw_only=True)
class FileOutcome:
    """Where one input file went."""

    file_id: int
    outcome: Outcome
    code: str | None = None
    destination: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class SeriesReport:
    """What happened to one series, for `heartbrain explain`."""

    uid: str
    number: int
    code: str | None
    report: dict[str, Any]


@dataclass(kw_only=True)
class BuiltSession:
    """A staged session folder and where every input file went."""

    #: The folder to publish; None when nothing of the session can be published.
    folder: Path | None
    outcomes: list[FileOutcome] = field(default_factory=list)
    series: list[SeriesReport] = field(default_factory=list)
    #: Why nothing is published.
    code: str | None = None
    #: Folder of the DICOM that is stored and not published; None where all is.
    withheld: Path | None = None
    #: What the audit refused, for the steward to look at.
    refused: Path | None = None
    #: Nothing came that is not published already.
    unchanged: bool = False
    #: Codes of what is published all the same.
    warnings: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True)
class BuildTools:
    """What building needs of the settings."""

    pool: Executor
    naming: NamingRules
    physio: PhysioRules
    #: Those of de-identification.
    rules: Rules
    responsible: str
    #: Every how many-th series is converted from its original files too and compared; 0 for none.
    compared: int
    defacing: Defacing
    #: Folder in the identified zone for the DICOM of defaced images.
    withheld: Path
    compression_level: int
    timeout_s: float
    #: Bytes of memory that one session may use as scratch space.
    memory_scratch: int
    archive: Path
