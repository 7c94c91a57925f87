"""Check what is published: the Standardized Filesystem, the checksums of the stored DICOM, and BIDS."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heartbrain_ingest import bids, lab
from heartbrain_ingest.filesystem import EXPERIMENTAL_DATA, check_tree
from heartbrain_ingest.issues import ISSUES
from heartbrain_ingest.ledger import Ledger
from heartbrain_ingest.settings import Settings
from heartbrain_ingest.withheld import MARK


@dataclass(kw_only=True)
class CheckResult:
    """What was checked and what is wrong."""

    folders: int = 0
    checksums: int = 0
    datasets: int = 0
    #: One line each: place and message.
    problems: list[str] = field(default_factory=list)
    #: What a steward should know and that is no problem of what is published.
    notes: list[str] = field(default_factory=list)
    #: What a validator remarks without calling it an error, by code.
    remarks: dict[str, int] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "folders": self.folders,
            "checksums": self.checksums,
            "datasets": self.datasets,
            "problems": self.problems,
            "remarks": self.remarks,
            "notes": self.notes,
        }

    def lines(self) -> list[str]:
        """Say it in plain words."""
        lines = [
            f"{self.folders} published folders follow the Standardized Filesystem"
            if not self.problems
            else f"{self.folders} published folders looked at",
            f"{self.checksums} checksums of stored DICOM and recordings compared",
        ]
        if self.datasets:
            lines.append(f"{self.datasets} BIDS datasets composed and validated")
        if self.remarks:
            remarks = ", ".join(f"{code} ({count})" for code, count in sorted(self.remarks.items()))
            lines.append(f"The BIDS validator remarks: {remarks}")
        lines += self.notes
        lines += [f"PROBLEM {problem}" for problem in self.problems] or ["No problems."]
        return lines


def check_site(settings: Settings, *, with_bids: bool = True) -> CheckResult:
    """Check the archive of a site, what it withholds, and that all is there that the ledger knows.

    Parameters
    ----------
    settings
        The site.
    with_bids
        As in `check_archive`.
    """
    result = check_archive(settings.folders.archive, with_bids=with_bids)
    _check_withheld(settings.withheld, result)
    if settings.ledger.is_file():
        ledger = Ledger(settings.ledger)
        try:
            _check_presence(ledger.stored_places(), settings, result)
        finally:
            ledger.close()
    if any(settings.folders.archive.glob(f"{EXPERIMENTAL_DATA}/*/*/laboratory.tsv")):
        _note_ranges(settings.rules("lab.yml"), result)
    return result


def check_archive(archive: Path, *, with_bids: bool = True) -> CheckResult:
    """Check a whole archive for itself.

    Parameters
    ----------
    archive
        The published tree.
    with_bids
        Whether to compose each project's BIDS dataset and run the BIDS validator over it.
    """
    result = CheckResult()
    result.problems += [f"{finding.place}: {finding.message}" for finding in check_tree(archive)]
    result.folders = sum(1 for _ in archive.glob("*/*/*/README.md"))
    for folder in session_folders(archive):
        _check_checksums(archive, folder, result)
    if with_bids:
        _check_bids(archive, result)
    return result


def _check_presence(places: Iterable[tuple[str, int]], settings: Settings, result: CheckResult) -> None:
    """Name what is gone altogether: a folder once, or a file that no list of checksums in its folder misses."""
    gone: Counter[tuple[str, str]] = Counter()
    for place, count in places:
        is_withheld = place.startswith(MARK)
        root = settings.withheld if is_withheld else settings.folders.archive
        path = root / place.removeprefix(MARK)
        if path.is_file():
            continue
        # PROJECT/FOLDER/... there, and ExperimentalData/PROJECT/FOLDER/... here.
        folder = root.joinpath(*path.relative_to(root).parts[: 2 if is_withheld else 3])
        if not folder.is_dir():
            path = folder
        elif (path.parent / "SHA256SUMS").is_file():
            continue
        code, above = ("WITHHELD_GONE", root.parent) if is_withheld else ("PUBLISHED_GONE", root)
        gone[code, path.relative_to(above).as_posix()] += count
    for (code, name), count in sorted(gone.items()):
        issue = ISSUES[code]
        result.problems.append(f"{name}: {code}, {count} input files: {issue.meaning} {issue.action}")


def _note_ranges(rules: Path, result: CheckResult) -> None:
    known = lab.load_rules(rules)
    if known.unreviewed:
        result.notes.append(
            f"LOINC codes and reference ranges of {len(known.unreviewed)} of {len(known.analytes)} analytes in lab.yml"
            " were not reviewed by a laboratory (`reviewed` in lab.yml)"
        )


def session_folders(archive: Path, project: str = "*") -> list[Path]:
    """Give the published session folders of a project, or of all, sorted."""
    return sorted(path.parent for path in archive.glob(f"{EXPERIMENTAL_DATA}/{project}/*/session.json"))


def _check_checksums(archive: Path, folder: Path, result: CheckResult) -> None:
    listing = folder / "sourcedata" / "dicom" / "SHA256SUMS"
    place = folder.relative_to(archive).as_posix()
    if not listing.is_file():
        result.problems.append(f"{place}: sourcedata/dicom/SHA256SUMS is missing")
        return
    _compare(listing, place, result)
    recordings = folder / "sourcedata" / "physio" / "SHA256SUMS"
    if recordings.is_file():
        _compare(recordings, place, result)


def _check_withheld(withheld: Path, result: CheckResult) -> None:
    for folder in sorted(path for path in withheld.glob("*/*") if path.is_dir()):
        place = f"{withheld.name}/{folder.relative_to(withheld).as_posix()}"
        if (folder / "SHA256SUMS").is_file():
            _compare(folder / "SHA256SUMS", place, result)
        else:
            result.notes.append(f"{place}: an earlier version of the program withheld it and wrote no checksums")


def _compare(listing: Path, place: str, result: CheckResult) -> None:
    for digest, name in _entries(listing):
        result.checksums += 1
        path = listing.parent / name
        if not path.is_file():
            result.problems.append(f"{place}: {name} is missing")
            continue
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                result.problems.append(f"{place}: {name} has another checksum than when it was published")


def _entries(listing: Path) -> Iterator[tuple[str, str]]:
    for line in listing.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"([0-9a-f]{64})  (.+)", line):
            yield match[1], match[2]


def _check_bids(archive: Path, result: CheckResult) -> None:
    projects = sorted({folder.parent.name for folder in session_folders(archive)})
    for project in projects:
        with tempfile.TemporaryDirectory(prefix="heartbrain-bids-") as scratch:
            view = bids.compose_view(session_folders(archive, project), Path(scratch) / project, name=project)
            report = bids.validate(view)
        result.datasets += 1
        result.problems += [f"{project}: BIDS: {error}" for error in report.errors]
        for warning in report.warnings:
            code = getattr(warning, "code", str(warning))
            result.remarks[code] = result.remarks.get(code, 0) + 1
