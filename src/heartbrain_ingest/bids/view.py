"""Compose one BIDS dataset from published session folders."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from heartbrain_ingest.bids.tables import Session, write_dataset_files, write_derivative_files, write_scans
from heartbrain_ingest.errors import HeartbrainError
from heartbrain_ingest.pictures import picture_stem

_SUBJECT_LEVEL = "bids::"
# Below sourcedata/: what the images were made of.
_INSTANCES = "dicom"

#: A session and its files: published path -> path in the dataset.
_Plan = tuple[Session, list[tuple[Path, Path]]]


class ViewError(HeartbrainError):
    """A BIDS dataset can't be composed there: name an empty or new folder, and published session folders."""


def compose_view(
    session_folders: Iterable[Path],
    dest: Path,
    *,
    name: str,
    images: Collection[Path] | None = None,
    copy: bool = False,
    question: str | None = None,
) -> Path:
    """Merge published sessions into one BIDS dataset.

    Of a session that was published several times, the highest revision counts.

    Parameters
    ----------
    session_folders
        Published session folders (each with its session.json).
    dest
        Where the dataset goes: a new or empty folder.
    name
        Name of the dataset.
    images
        Only these files (paths of published ``.nii.gz`` or ``_physio.tsv.gz``) with all that belongs to them: sidecars,
        b-tables, aslcontext, physiology. All when None.
    copy
        Copy the files instead of linking to them.
    question
        What found the images, for the README.

    Returns
    -------
    Path
        The dataset's folder.

    Raises
    ------
    ViewError
        When the folder is not empty, a session folder can't be read, or an image of `images` is not in the newest
        revision of a session.
    """
    refuse_occupied(dest)
    plans = [(session, list(_files(session))) for session in newest_revisions(session_folders)]
    if images is not None:
        plans = _narrow(plans, frozenset(image.resolve() for image in images))
    dest.mkdir(parents=True, exist_ok=True)
    for _, files in plans:
        for file, target in files:
            _place(file, dest / target, copy=copy)
    _drop_dangling_references(dest)
    sessions = [session for session, _ in plans]
    for dataset in sorted(path for path in dest.glob("derivatives/*") if path.is_dir()):
        write_derivative_files(dataset, name)
    for session in sessions:
        target = dest / session.subject / session.session
        target.mkdir(parents=True, exist_ok=True)
        write_scans(session, target)
    write_dataset_files(dest, sessions, name, question)
    return dest


def refuse_occupied(dest: Path) -> None:
    """Raise a `ViewError` when a folder is there and holds anything."""
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise ViewError(f"{dest} is not empty")


def newest_revisions(session_folders: Iterable[Path]) -> list[Session]:
    """Read the sessions and keep the highest revision of each, ordered by subject and session."""
    newest: dict[tuple[str, str], Session] = {}
    for folder in session_folders:
        try:
            session = Session.read(folder)
        except (OSError, ValueError, KeyError) as error:
            raise ViewError(f"{folder.name}: session.json can't be read ({type(error).__name__})") from error
        key = (session.subject, session.session)
        if key not in newest or newest[key].revision < session.revision:
            newest[key] = session
    return [newest[key] for key in sorted(newest)]


def _narrow(plans: Iterable[_Plan], images: frozenset[Path]) -> list[_Plan]:
    """Keep only the images and what belongs to them, and only the sessions of which something is left."""
    wanted = frozenset(_belonging(images))
    narrowed = [(session, [pair for pair in files if pair[0] in wanted]) for session, files in plans]
    missing = sorted(image.name for image in images - {file for _, files in narrowed for file, _ in files})
    if missing:
        raise ViewError(f"{len(missing)} images are not there, or a newer revision replaced them: {missing[0]} ...")
    return [(session, files) for session, files in narrowed if files]


def _files(session: Session) -> Iterator[tuple[Path, Path]]:
    """Give every file of a session that belongs into the dataset, and where it goes."""
    folder = session.folder.resolve()
    for file in sorted((folder / session.subject).rglob("*")):
        if file.is_file():
            yield file, file.relative_to(folder)
    computed = folder / "derivatives"
    for file in sorted(computed.rglob("*")):
        if file.is_file():
            yield file, Path("derivatives", file.relative_to(computed))
    source = folder / "sourcedata"
    for file in sorted(source.rglob("*")):
        inside = file.relative_to(source)
        if file.is_file() and inside.parts[0] != _INSTANCES:
            yield file, Path("sourcedata", session.subject, session.session, inside)


def _place(file: Path, target: Path, *, copy: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if copy:
        shutil.copyfile(file, target)
    else:
        target.symlink_to(os.path.realpath(file))


def _belonging(images: frozenset[Path]) -> Iterator[Path]:
    """Give the files, all that BIDS ties to each of them by its name, and their pictures."""
    from bids.layout import parse_file_entities  # noqa: PLC0415 - pybids takes half a second to import

    for image in (image for image in images if image.exists()):
        yield from _pictures(image)
        entities = _entities(parse_file_entities(f"/{image.name}"))
        for file in sorted(image.parent.iterdir()):
            if _stem(file) == _stem(image):
                yield file
                continue
            parsed = parse_file_entities(f"/{file.name}")
            if (
                parsed.get("suffix") in {"physio", "aslcontext", "events"}
                and _entities(parsed).items() <= entities.items()
            ):
                yield file


def _pictures(image: Path) -> Iterator[Path]:
    folder = next((parent for parent in image.parents if (parent / "session.json").is_file()), None)
    if folder is not None:
        stem = folder / picture_stem(PurePosixPath(image.parent.relative_to(folder), _stem(image)))
        yield from (file for file in stem.parent.glob("*") if file.name.rpartition("_")[0] == stem.name)


def _entities(parsed: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in parsed.items() if key not in {"suffix", "extension", "datatype", "recording"}}


def _stem(file: Path) -> str:
    return file.name.partition(".")[0]


def _drop_dangling_references(dest: Path) -> None:
    """Take out of IntendedFor what a part of a session does not hold; the published sidecar stays as it is."""
    for sidecar in sorted(dest.glob("sub-*/ses-*/fmap/*.json")):
        content = json.loads(sidecar.read_text(encoding="utf-8"))
        intended = content.get("IntendedFor")
        if not isinstance(intended, list):
            continue
        present = [uri for uri in intended if (dest / uri.removeprefix(_SUBJECT_LEVEL)).exists()]
        if present == intended:
            continue
        if present:
            content["IntendedFor"] = present
        else:
            del content["IntendedFor"]
        sidecar.unlink()
        sidecar.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
