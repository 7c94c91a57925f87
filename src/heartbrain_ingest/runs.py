"""The runs that were, a line of JSON each: when, how long, how many files, how it ended; for the steward."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from heartbrain_ingest.report import RunReport
from heartbrain_ingest.settings import Settings

FILE = "runs.jsonl"
#: Read from the end of the file: some hundred runs.
_TAIL = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """One run of the past."""

    began: datetime
    seconds: float
    #: None for one that could not work, or was interrupted.
    exit_code: int | None
    seen: int = 0
    new: int = 0
    published: int = 0
    refused: int = 0


@contextmanager
def noted(settings: Settings) -> Iterator[list[RunReport]]:
    """Write down the run that happens in the block, which appends its report to what it is given."""
    began, start = datetime.now(UTC), time.monotonic()
    reports: list[RunReport] = []
    try:
        yield reports
    finally:
        line: dict[str, Any] = {
            "began": began.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - start, 1),
            "exit_code": None,
        }
        for report in reports:
            line |= {
                "exit_code": report.exit_code,
                "seen": report.seen,
                "new": report.new,
                "published": len(report.published),
                "refused": sum(report.refused.values()),
            }
        _append(settings.folders.logs / FILE, line)


def last_runs(settings: Settings, most: int = 10) -> list[PastRun]:
    """Give the last runs, newest first; a line that was cut off is left out."""
    try:
        with (settings.folders.logs / FILE).open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL))
            lines = stream.read().splitlines()
    except OSError:
        return []
    runs: list[PastRun] = []
    for line in reversed(lines):
        try:
            facts = json.loads(line)
            runs.append(PastRun(**{**facts, "began": datetime.fromisoformat(facts["began"])}))
        except (ValueError, TypeError, KeyError):
            continue
        if len(runs) == most:
            break
    return runs


def _append(file: Path, line: dict[str, Any]) -> None:
    try:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
    except OSError:
        # The run itself says what it met; a full disk must not hide that.
        return
