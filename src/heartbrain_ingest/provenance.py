"""Where a result comes from: one walk from its folder to every input, down to the DICOM files and their checksums.

All of it is read from the published files, so it needs no database and holds for a copy of the archive as well.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from heartbrain_ingest.errors import HeartbrainError
from heartbrain_ingest.filesystem import DATA_ANALYSIS, EXPERIMENTAL_DATA

RESULT: Final = "result.json"
_SUMS: Final = "SHA256SUMS"
_DICOM: Final = Path("sourcedata", "dicom")
_BLOCK: Final = 1 << 20
_SHORT: Final = 12


class NoResultError(HeartbrainError):
    """No result is known by that name: `heartbrain query "FIND AnalysisResult"` lists them."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One DICOM file in a series' archive."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Series:
    """The stored DICOM of one series.

    Attributes
    ----------
    place
        From the archive's root.
    recorded, present
        SHA-256 that was written down when it was published, and that of the file now.
    """

    place: str
    recorded: str
    present: str
    members: tuple[Member, ...]


@dataclass(frozen=True, kw_only=True)
class Input:
    """One file that was sent to the computing centre.

    Attributes
    ----------
    place
        From the archive's root.
    sent, present
        SHA-256 of what was sent, as signed, and of the file now; empty when it is gone.
    rule
        Naming rule that decided what the image is.
    series
        Where it was converted from; None for what was not made of DICOM.
    """

    place: str
    sent: str
    present: str
    rule: str = ""
    series: Series | None = None

    @property
    def is_unchanged(self) -> bool:
        """Whether the file still is what was computed on."""
        return self.sent == self.present


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A result and all that it was made of."""

    folder: Path
    place: str
    content: Mapping[str, Any]
    manifest: Mapping[str, Any]
    signer: str
    inputs: tuple[Input, ...]

    @property
    def values(self) -> dict[str, tuple[object, str]]:
        """Values by name, with their unit."""
        found = [one for one in self.content.get("Values", []) if isinstance(one, dict)]
        return {str(one["name"]): (one.get("value"), str(one.get("unit") or "")) for one in found}

    def lines(self) -> list[str]:
        """Say it in plain words."""
        content, seconds = self.content, self.manifest.get("cost", {}).get("wall_seconds", 0)
        lines = [f"type: {content.get('ResultType')}"]
        first = list(self.values.items())[:_SHORT]
        lines += [f"value: {name} = {value} {unit}".rstrip() for name, (value, unit) in first]
        if len(self.values) > _SHORT:
            lines.append(f"value: ... and {len(self.values) - _SHORT} more in {RESULT}")
        lines += [
            f"made by: {content.get('Function')} {content.get('Version')}, digest {content.get('Digest')}",
            *([f"in container image: sha256 {content['ContainerDigest']}"] if content.get("ContainerDigest") else []),
            f"parameters: {json.dumps(content.get('Parameters', {}), sort_keys=True)}",
            f"asked for by: request {content.get('Request')}, signed with key {self.signer or 'unknown'}",
            f"run as: job {content.get('Job')} by agent {self.manifest.get('agent', 'unknown')}, {seconds:.0f} s",
        ]
        for one in self.inputs:
            state = "" if one.is_unchanged else (" - IT WAS CHANGED SINCE" if one.present else " - IT IS GONE")
            lines.append(f"input: {one.place}{state}")
            lines.append(f"  sha256 {one.sent}")
            if one.rule:
                lines.append(f"  named by rule {one.rule}")
            if one.series is not None:
                series = one.series
                changed = "" if series.recorded == series.present else " - IT WAS CHANGED SINCE"
                lines.append(f"  converted from {series.place}, {len(series.members)} DICOM files{changed}")
                lines.append(f"    sha256 {series.recorded}")
        return lines


def find_results(archive: Path, what: str) -> list[Path]:
    """Give the folders of the results that a path, a folder's name or a request's name means."""
    path = Path(what)
    if (path / RESULT).is_file() and path.resolve().is_relative_to((archive / DATA_ANALYSIS).resolve()):
        return [path.resolve()]
    name = path.name
    if not name or any(sign in name for sign in "*?["):
        return []
    folders = (archive / DATA_ANALYSIS).glob("*/*")
    fits = (one for one in folders if name in {one.name, *one.name.split("_", 2)[2:]})
    return sorted(one for one in fits if (one / RESULT).is_file())


def only_result(archive: Path, what: str) -> Path:
    """Give the one folder that is meant.

    Raises
    ------
    NoResultError
        There is none, or more than one.
    """
    found = find_results(archive, what)
    if len(found) != 1:
        raise NoResultError(f"{len(found)} results are called {what!r}")
    return found[0]


def trace(archive: Path, folder: Path) -> Trace:
    """Walk from a result to its inputs and their DICOM files; reads and checks every one of them.

    Parameters
    ----------
    archive
        Root of the published tree.
    folder
        Of the result.
    """
    archive = archive.resolve()
    content = _object(folder / RESULT)
    specification = _object(folder / "specification.json")
    sent = {str(one["name"]): str(one["sha256"]) for one in specification.get("inputs", [])}
    inputs = [_input(archive, place, sha) for place, sha in _places(archive, content, sent)]
    return Trace(
        folder=folder,
        place="/" + folder.resolve().relative_to(archive).as_posix(),
        content=content,
        manifest=_object(folder / "manifest.json"),
        signer=str(specification.get("signature", {}).get("key", "")),
        inputs=tuple(inputs),
    )


def compare(first: Trace, second: Trace) -> list[tuple[str, str, str]]:
    """Give what two results say differently: (name, first, second); versions, parameters and values."""
    rows = [
        (name, str(first.content.get(name)), str(second.content.get(name)))
        for name in ("Function", "Version", "Digest", "ContainerDigest", "Parameters")
    ]
    rows.append(("inputs", _sums_of(first), _sums_of(second)))
    for name in sorted({*first.values, *second.values}):
        one, other = (" ".join(map(str, side.values.get(name, ("-", "")))).strip() for side in (first, second))
        rows.append((name, one, other))
    return [row for row in rows if row[1] != row[2]]


def _sums_of(side: Trace) -> str:
    return ", ".join(sorted(one.sent[:_SHORT] for one in side.inputs))


def _places(archive: Path, content: Mapping[str, Any], sent: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give where each sent file lies: beside the main files that the result names."""
    mains = [str(one) for one in content.get("Inputs", [])]
    for name, sha in sent.items():
        session = next((place for place in mains if _folder_of(place) and _lies_in(archive, place, name)), None)
        if session is not None:
            yield f"{_folder_of(session)}/{_plain(name)}", sha
        else:
            yield name, sha


def _plain(name: str) -> str:
    """Take away the number that keeps inputs of the same name apart."""
    return name.split("/", 1)[1] if name.startswith("input-") else name


def _folder_of(place: str) -> str:
    """Give the session's folder, `/ExperimentalData/<project>/<session>`; empty when the place is of no session."""
    parts = place.split("/")
    return "/".join(parts[:4]) if parts[1:2] == [EXPERIMENTAL_DATA] else ""


def _lies_in(archive: Path, place: str, name: str) -> bool:
    return (archive / _folder_of(place).lstrip("/") / _plain(name)).is_file()


def _input(archive: Path, place: str, sha: str) -> Input:
    path = archive / place.lstrip("/")
    present = sha256_of(path) if path.is_file() else ""
    if not place.endswith((".nii.gz", ".nii", ".tsv.gz")):
        return Input(place=place, sent=sha, present=present)
    stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    sidecar = _object(path.with_name(f"{stem}.json"))
    session = archive / _folder_of(place).lstrip("/")
    series = sidecar.get("SourceSeries")
    return Input(
        place=place,
        sent=sha,
        present=present,
        rule=str(sidecar.get("NamingRule", "")),
        series=_series(archive, session, str(series)) if series else None,
    )


def _series(archive: Path, session: Path, name: str) -> Series | None:
    path = session / _DICOM / Path(name).name
    if not path.is_file():
        return None
    recorded = ""
    sums = path.with_name(_SUMS)
    for line in sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else []:
        value, _, file = line.partition("  ")
        if file == path.name:
            recorded = value
    return Series(
        place="/" + path.relative_to(archive).as_posix(),
        recorded=recorded,
        present=sha256_of(path),
        members=tuple(_members(path)),
    )


def _members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            total = hashlib.sha256()
            with archive.open(info) as file:
                while block := file.read(_BLOCK):
                    total.update(block)
            yield Member(name=info.filename, sha256=total.hexdigest())


def sha256_of(path: Path) -> str:
    """Give the checksum of a file as it is now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
