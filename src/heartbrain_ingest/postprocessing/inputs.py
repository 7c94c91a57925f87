"""The files of the records that a request works on. Only published, so de-identified data leave the site."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from heartbrain_ingest.crawl.client import database_errors, db
from heartbrain_ingest.crawl.model import ModelView, view_datamodel
from heartbrain_ingest.filesystem import DATA_ANALYSIS, EXPERIMENTAL_DATA

_CHUNK = 200
#: A folder of these categories was published by this program after its audit when it holds the named file.
_PROOFS = {EXPERIMENTAL_DATA: "certificate.json", DATA_ANALYSIS: "result.json"}
#: Category, project and delivery stand before the path inside a delivery.
_LEVELS = 3


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A published file."""

    path: Path
    #: Path in LinkAhead.
    place: str
    size: int

    @property
    def name(self) -> str:
        """The path inside its published folder: its name in a job."""
        return PurePosixPath(*PurePosixPath(self.place).parts[_LEVELS + 1 :]).as_posix()


@dataclass(frozen=True, kw_only=True)
class InputRecord:
    """An image or recording that a function may work on."""

    id: int
    name: str
    record_type: str
    project: str
    files: tuple[InputFile, ...]
    #: What keeps it from being sent, in plain words.
    problems: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


class InputReader:
    """Reads records and finds their files.

    Parameters
    ----------
    archive
        Root of the published tree.
    datamodel
        The data model file.
    properties
        Names of the properties whose files are sent.
    """

    def __init__(self, *, archive: Path, datamodel: Path, properties: Sequence[str]) -> None:
        self._archive = archive.resolve()
        self._datamodel = datamodel
        self._properties = tuple(properties)

    @functools.cached_property
    def _view(self) -> ModelView:
        return view_datamodel(self._datamodel)

    def read(self, numbers: Iterable[int]) -> dict[int, InputRecord]:
        """Give the records by number; one that is gone is absent."""
        with database_errors("reading the inputs"):
            records = _retrieve(numbers)
            files = _retrieve(
                number for record in records.values() for name in self._properties for number in _numbers(record, name)
            )
            projects = _retrieve(number for record in records.values() for number in _numbers(record, "Project"))
        return {number: self._record(record, files, projects) for number, record in records.items()}

    def is_a(self, record: InputRecord, types: Sequence[str]) -> bool:
        """Say whether a record is of one of the types, or of one below."""
        return not types or any(self._view.is_below(record.record_type, one) for one in types)

    def _record(self, record: Any, files: dict[int, Any], projects: dict[int, Any]) -> InputRecord:
        found: list[InputFile] = []
        problems: list[str] = []
        for name in self._properties:
            for number in _numbers(record, name):
                place = getattr(files.get(number), "path", None)
                try:
                    found.append(self._file(str(place)) if place else _missing(name))
                except NotPublishedError as problem:
                    problems.append(str(problem))
        if not found and not problems:
            problems.append("it has no files")
        project = next((projects[one].name for one in _numbers(record, "Project") if one in projects), "")
        return InputRecord(
            id=int(record.id),
            name=record.name or str(record.id),
            record_type=record.parents[0].name if record.parents else "",
            project=project or "",
            files=tuple(found),
            problems=tuple(problems),
        )

    def _file(self, place: str) -> InputFile:
        parts = PurePosixPath(place).parts[1:]
        if not place.startswith("/") or ".." in parts or len(parts) <= _LEVELS or parts[0] not in _PROOFS:
            raise NotPublishedError(f"{PurePosixPath(place).name} is not in a published folder")
        path = self._archive.joinpath(*parts)
        if not path.is_file():
            raise NotPublishedError(f"{path.name} is not in the archive any more")
        # A link could lead out of the published tree.
        if path.resolve() != path:
            raise NotPublishedError(f"{path.name} is not a plain file of the archive")
        if not self._archive.joinpath(*parts[:_LEVELS], _PROOFS[parts[0]]).is_file():
            raise NotPublishedError(f"{path.name} lies in a folder that this program did not publish")
        size = path.stat().st_size
        if size == 0:
            raise NotPublishedError(f"{path.name} is empty")
        return InputFile(path=path, place=place, size=size)


class NotPublishedError(Exception):
    """A file that may not, or can't, be sent."""


def _missing(name: str) -> InputFile:
    raise NotPublishedError(f"the file of {name} is not in LinkAhead any more")


def job_names(records: Sequence[InputRecord]) -> dict[str, InputFile]:
    """Give the files of some records by their names in a job; of two projects with the same names, by number."""
    named: dict[str, InputFile] = {}
    for number, record in enumerate(records, start=1):
        for file in record.files:
            name = file.name
            if name in named and named[name].path != file.path:
                name = f"input-{number}/{file.name}"
            named[name] = file
    return named


def _retrieve(numbers: Iterable[int]) -> dict[int, Any]:
    wanted = sorted(set(numbers))
    found: dict[int, Any] = {}
    for start in range(0, len(wanted), _CHUNK):
        container = db.Container().extend([db.Entity(id=one) for one in wanted[start : start + _CHUNK]])
        container.retrieve(unique=False, raise_exception_on_error=False)
        found |= {int(one.id): one for one in container if one.is_valid() and (one.name or one.role)}
    return found


def _numbers(record: Any, name: str) -> list[int]:
    prop = record.get_property(name)
    if prop is None or prop.value is None:
        return []
    values = prop.value if isinstance(prop.value, list) else [prop.value]
    texts = (str(getattr(value, "id", value)).partition("@")[0] for value in values)
    return [int(text) for text in texts if text.isdecimal()]
