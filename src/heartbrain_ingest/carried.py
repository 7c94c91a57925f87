"""Take recordings over from a published session that is made again: their originals may be gone long since."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from heartbrain_ingest import physio
from heartbrain_ingest.pictures import picture_stem

_WHOLE = ("sourcedata", "physio")
#: What tells the images of a session apart, whatever their names.
_IDENTITY = ("SourceSeries", "SeriesInstanceUID", "AcquisitionTime", "EchoTime", "ImageType", "ImageShape")


def carry_recordings(published: Path, folder: Path) -> None:
    """Copy the recordings of a published session folder, with sidecars and drawings, into a new one.

    Whole recordings keep their names; the part that belongs to an image follows the image's name of now, and a part of
    an image that is no more is left out.

    Parameters
    ----------
    published, folder
        Session folders; the new one has its images already.
    """
    moved = {}
    for old, new in _renamed(published, folder):
        stems = physio.physio_stem(published / old), physio.physio_stem(folder / new)
        if stems[0] is not None and stems[1] is not None:
            before = PurePosixPath(stems[0].relative_to(published))
            after = PurePosixPath(stems[1].relative_to(folder))
            moved[before] = after
            moved[_drawn(before)] = _drawn(after)
    for path in sorted(published.rglob("*_recording-*_physio*.*")):
        below = PurePosixPath(path.relative_to(published))
        target: PurePosixPath | None = below
        if not any(below.parts[at : at + 2] == _WHOLE for at in range(len(below.parts))):
            stem = below.with_name(below.name.partition("_recording-")[0])
            name = moved.get(stem)
            target = name and name.with_name(name.name + below.name.removeprefix(stem.name))
        if target is not None:
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / target)


def _drawn(stem: PurePosixPath) -> PurePosixPath:
    return picture_stem(stem).parent / stem.name


def _renamed(published: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Give each image of a published folder with what it is called in the new one."""
    after = dict(_images(folder))
    for key, name in _images(published):
        if key in after:
            yield name, after[key]


def _images(folder: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    for path in sorted(folder.rglob("*.json")):
        image = path.with_name(path.name.removesuffix(".json") + ".nii.gz")
        if image.is_file():
            content = json.loads(path.read_text(encoding="utf-8"))
            yield tuple(str(content.get(name)) for name in _IDENTITY), image.relative_to(folder).as_posix()
