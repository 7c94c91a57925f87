"""DICOM that is stored and not published, because its images show a face. It lies in the identified zone."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

from heartbrain_ingest.filesystem import EXPERIMENTAL_DATA, sync_tree

#: Begins a place of the ledger that is no published one; the site can move, so what follows is relative.
MARK = "withheld:"


def withheld_place(project: str, folder: str, archive: str) -> str:
    """Give the place of an archive of instances as the ledger writes it."""
    return f"{MARK}{project}/{folder}/{archive}"


def find_stored(place: str | None, *, archive: Path, withheld: Path) -> tuple[Path, str] | None:
    """Give zip file and member of a stored instance; None where the place is none of an instance.

    Parameters
    ----------
    place
        As the ledger writes it, `ZIP!MEMBER`.
    archive
        The published tree.
    withheld
        Folder of what is not published.
    """
    path, mark, member = (place or "").rpartition("!")
    if not mark:
        return None
    root, relative = (withheld, path.removeprefix(MARK)) if path.startswith(MARK) else (archive, path)
    return root / relative, member


class Withheld:
    """The folder of it: one folder for each published one that lacks some of its DICOM.

    Parameters
    ----------
    folder
        In the identified zone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._staging = folder.with_name(f"{folder.name}-staged")

    def staged(self, work: Path) -> Path:
        """Give the folder in which a build puts what may be withheld; the build makes it where it needs it."""
        return self._staging / work

    def of(self, target: str) -> Path:
        """Give the folder that belongs to a published one, which is given relative to the archive."""
        return self._folder / PurePosixPath(target).relative_to(EXPERIMENTAL_DATA)

    def keep(self, staged: Path, target: str) -> None:
        """Put what a build withholds into its place: it is there before the session is published.

        What is there already was left by a run that was killed before it published, or is the same.
        """
        place = self.of(target)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync_tree(staged)
        former = self._staging / "former" / place.name
        if place.exists():
            former.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            place.rename(former)
        staged.rename(place)
        shutil.rmtree(former, ignore_errors=True)

    def forget(self, target: str) -> None:
        """Take away what belongs to a folder that was not published."""
        shutil.rmtree(self.of(target), ignore_errors=True)

    def clear(self, work: Path | None = None) -> None:
        """Take away what a build left, or what all did."""
        shutil.rmtree(self._staging if work is None else self._staging / work, ignore_errors=True)
