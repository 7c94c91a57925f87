"""Publication: one rename makes a staged folder visible; what is published never changes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from heartbrain_ingest.errors import HeartbrainError

#: Bytes of the largest file that `folder_digest` reads.
_SMALL = 1 << 20


class PublishError(HeartbrainError):
    """A folder could not be published: look at the free space and the permissions of the archive, then run again."""


def files_below(folder: Path) -> Iterator[Path]:
    """Give every file below a folder, in a fixed order."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(root) / name


def checksum_list(folder: Path) -> str:
    """Give the SHA-256 of every file below a folder, in the format of `sha256sum`."""
    lines = []
    for path in files_below(folder):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    return "".join(lines)


def folder_digest(folder: Path) -> str:
    """Give what tells a session or delivery from any other: the names and sizes of its files, and what small ones hold.

    The same input gives the same digest; the small files hold the checksums of the large ones.
    """
    digest = hashlib.sha256()
    for path in files_below(folder):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
        if size <= _SMALL:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def sync_tree(folder: Path) -> None:
    """Force everything below a folder to the disk, so that the rename never shows a file without its content."""
    for root, _folders, names in os.walk(folder):
        for name in names:
            _sync(Path(root) / name)
        _sync(Path(root))


def publish(staged: Path, target: Path) -> None:
    """Make a staged folder visible by one rename.

    Raises
    ------
    PublishError
        When the target exists or the rename fails.
    """
    if target.exists():
        raise PublishError("a folder of that name is already published")
    made = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sync_tree(staged)
        staged.rename(target)
        _sync(target.parent)
        # A folder that was made for it has its name in the one above.
        for folder in made:
            _sync(folder.parent)
    except OSError as error:
        raise PublishError(error.strerror or "") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
