"""What a run is asked to do, how it shows where it is, and what it says at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from heartbrain_ingest.issues import ISSUES, Severity
from heartbrain_ingest.ledger import Outcome


class Progress(Protocol):
    """What shows how far a run is."""

    def begin(self, what: str, total: int | None) -> None:
        """Start a new stage of so many steps (None: unknown)."""

    def advance(self, steps: int = 1) -> None:
        """Count steps."""


class NoProgress:
    """Shows nothing."""

    def begin(self, what: str, total: int | None) -> None:
        """Show nothing."""

    def advance(self, steps: int = 1) -> None:
        """Show nothing."""


@dataclass(kw_only=True)
class RunReport:
    """What a run did."""

    #: Files in the inbox.
    seen: int = 0
    #: Files that were not there, or other ones, at the last run.
    new: int = 0
    #: Files of this inbox by (outcome, code).
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Folders published by this run, relative to the archive.
    published: list[str] = field(default_factory=list)
    #: Folders that a dry run would have published.
    announced: list[str] = field(default_factory=list)
    inserted: int = 0
    updated: int = 0
    #: Codes noted for what is published all the same.
    warnings: Counter[str] = field(default_factory=Counter)
    #: Deliveries that are not complete yet.
    waiting: int = 0
    #: Deliveries that this run refused, by code.
    refused: Counter[str] = field(default_factory=Counter)
    #: Files that this run kept back when it built their sessions, by code; also such that are in the inbox no more.
    kept_back: Counter[str] = field(default_factory=Counter)
    #: Why records of published folders could not be made; the next run tries again.
    trouble: str | None = None
    #: Requests that rules made, by rule.
    requests: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 when all is well, 1 when the steward should look at something that this run met, 2 without records."""
        if self.trouble:
            return 2
        refused = any(
            ISSUES[code].severity is Severity.QUARANTINE
            for (outcome, code), count in self.outcomes.items()
            if outcome == Outcome.QUARANTINED and count
        )
        return 1 if refused or self.refused or self.kept_back or self.warnings.get("UNCLASSIFIED") else 0


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What the command line can ask of a run."""

    inbox: Path | None = None
    #: Say what would be done; write nothing but the ledger's knowledge of files.
    dry_run: bool = False
    #: Only the session with this label, such as `ses-20230504`.
    session: str | None = None
    jobs: int | None = None
