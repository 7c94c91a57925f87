"""Whether a tree follows the Guidelines for a Standardized Filesystem Layout (Spreckelsen et al. 2020)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from heartbrain_ingest.filesystem.layout import CATEGORIES
from heartbrain_ingest.filesystem.readme import ReadmeHeader, read_header

_PROJECT = re.compile(r"\d{4}_[\w.-]+")
_DELIVERY = re.compile(r"\d{4}-\d{2}-\d{2}(_[\w.-]+)?")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One place where a tree does not follow the guidelines."""

    #: Relative to the archive.
    place: str
    #: What is wrong, in plain words.
    message: str


def check_tree(archive: Path) -> list[Finding]:
    """Check the names of the three levels, and the README header of every delivery and its file references."""
    findings: list[Finding] = []
    if not archive.is_dir():
        return findings
    for category in sorted(archive.iterdir()):
        if category.name not in CATEGORIES:
            findings.append(_finding(archive, category, f"is none of {', '.join(CATEGORIES)}"))
            continue
        for project in sorted(category.iterdir()):
            if not _PROJECT.fullmatch(project.name):
                findings.append(_finding(archive, project, "is not named YYYY_project"))
            for delivery in sorted(project.iterdir()):
                findings += _check_delivery(archive, delivery)
    return findings


def _check_delivery(archive: Path, delivery: Path) -> list[Finding]:
    findings = []
    if not _DELIVERY.fullmatch(delivery.name):
        findings.append(_finding(archive, delivery, "is not named YYYY-MM-DD_tag"))
    content = read_header(delivery)
    if content is None:
        findings.append(_finding(archive, delivery, "has no README.md with a YAML header"))
        return findings
    try:
        header = ReadmeHeader.model_validate(content)
    except ValidationError as error:
        names = ", ".join(".".join(str(part) for part in problem["loc"]) for problem in error.errors())
        findings.append(_finding(archive, delivery, f"README.md: check {names}"))
        return findings
    findings += [
        _finding(archive, delivery, f"README.md names {entry.file}, which is not there")
        for entry in (*header.sources, *header.scripts, *header.results)
        if not (delivery / entry.file).exists()
    ]
    if header.revisionOf and not (delivery.parent / header.revisionOf).is_dir():
        findings.append(_finding(archive, delivery, "README.md names a revision that is not there"))
    return findings


def _finding(archive: Path, place: Path, message: str) -> Finding:
    return Finding(place=place.relative_to(archive).as_posix(), message=message)
