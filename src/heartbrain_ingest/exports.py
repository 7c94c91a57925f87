"""Give a researcher what a question finds as a BIDS dataset of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heartbrain_ingest import bids
from heartbrain_ingest.answers import QuestionError, found_entities
from heartbrain_ingest.settings import Settings

#: Property -> what its file is.
_MAIN_FILES = ("ImageFile", "RecordingFile")
#: Records whose images and recordings are meant when they are found: the property by which those refer to them.
_OWNERS = ("Session", "Subject", "Project")
#: Entities asked for at once.
_BATCH = 200


class NothingToExportError(QuestionError):
    """The question finds nothing that has images: ask for images, recordings, sessions, subjects or projects."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was exported."""

    dataset: str
    images: int
    recordings: int
    subjects: int
    sessions: int
    #: What the BIDS validator calls an error; empty when it was not asked.
    errors: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Say it in plain words."""
        what = f"{self.images} images and {self.recordings} recordings of {self.subjects} subjects"
        return [
            f"{what} in {self.sessions} sessions: {self.dataset}",
            *(f"PROBLEM BIDS: {error}" for error in self.errors),
        ]


def export(settings: Settings, question: str, target: Path, *, copy: bool, check: bool) -> Export:
    """Compose a BIDS dataset of what a question finds.

    Parameters
    ----------
    settings
        The site.
    question
        `FIND ...`. Found images and recordings are exported; of found sessions, subjects and projects all of theirs.
    target
        A new or empty folder.
    copy
        Copy the files instead of linking to the archive.
    check
        Run the BIDS validator over the dataset.

    Raises
    ------
    QuestionError
        When LinkAhead does not understand the question, or it finds nothing that has images.
    ViewError
        When the folder is not empty.
    """
    bids.refuse_occupied(target)
    paths = _published_files(settings, question)
    root = settings.folders.archive.resolve()
    # Category, project, session: the three levels of the Standardized Filesystem.
    folders = sorted({root.joinpath(*path.relative_to(root).parts[:3]) for path in paths})
    bids.compose_view(folders, target, name=target.resolve().name, images=paths, copy=copy, question=question)
    errors = tuple(str(error) for error in bids.validate(target).errors) if check else ()
    images = [path for path in paths if path.name.endswith((".nii.gz", ".nii"))]
    return Export(
        dataset=str(target),
        images=len(images),
        recordings=len(paths) - len(images),
        subjects=len(list(target.glob("sub-*"))),
        sessions=len(list(target.glob("sub-*/ses-*"))),
        errors=errors,
    )


def _published_files(settings: Settings, question: str) -> list[Path]:
    """Give the main files of all images and recordings that a question means."""
    found = found_entities(settings, question)
    files: set[int] = set()
    for entity in found:
        names = {parent.name for parent in entity.parents}
        owner = next((name for name in _OWNERS if name in names), None)
        records = _acquisitions(owner, entity.id) if owner else [entity]
        files.update(_references(records))
    root = settings.folders.archive.resolve()
    paths = sorted({(root / path.lstrip("/")).resolve() for path in _paths(sorted(files))})
    if not paths:
        raise NothingToExportError(f"{len(found)} entities were found")
    return paths


def _acquisitions(owner: str, identifier: int) -> Sequence[Any]:
    from linkahead.queries import query  # noqa: PLC0415 - the client takes 0.4 s to load

    records: Sequence[Any] = query(f"FIND RECORD 'Acquisition' WITH '{owner}'='{identifier}'")
    return records


def _references(records: Iterable[Any]) -> set[int]:
    properties = (record.get_property(name) for record in records for name in _MAIN_FILES)
    return {int(prop.value) for prop in properties if prop is not None and prop.value is not None}


def _paths(identifiers: Sequence[int]) -> list[str]:
    import linkahead  # noqa: PLC0415 - the same

    client: Any = linkahead
    paths = []
    for start in range(0, len(identifiers), _BATCH):
        container = client.Container().extend([client.File(id=one) for one in identifiers[start : start + _BATCH]])
        container.retrieve()
        paths += [str(file.path) for file in container]
    return paths
