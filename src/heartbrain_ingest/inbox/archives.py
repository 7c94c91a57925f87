"""Unpack zip and tar files of the inbox, trusting neither their names nor their sizes."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from heartbrain_ingest.filesystem import sync_tree

MOST_MEMBERS = 1_000_000
_BLOCK = 1 << 20
_TAR_MAGIC = b"ustar"
_TAR_MAGIC_AT = 257


class ArchiveError(Exception):
    """An archive can't be unpacked; `code` is an entry of the issue catalogue."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def looks_like_archive(head: bytes) -> bool:
    """Say whether a file's first bytes (unpacked, if it was compressed) are those of a zip or tar file."""
    return head.startswith(b"PK\x03\x04") or head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + len(_TAR_MAGIC)] == _TAR_MAGIC


def unpack(archive: Path, target: Path, *, limit: int) -> None:
    """Unpack the plain files of a zip or tar (also compressed) into a folder, which appears only when it is complete.

    Names start in the folder, also absolute ones; links and devices are left out; a second member of one name gets a
    number.

    Parameters
    ----------
    archive
        The file.
    target
        Folder to make; one that exists was made by an earlier run and is left as it is.
    limit
        Largest number of bytes of all members together.

    Raises
    ------
    ArchiveError
        TOO_LARGE, UNSAFE_NAME for a name with `..`, or DAMAGED_ARCHIVE (also for an encrypted one).
    """
    if target.is_dir():
        return
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    left = limit
    try:
        for number, (name, stream) in enumerate(_members(archive)):
            if number >= MOST_MEMBERS:
                raise ArchiveError("TOO_LARGE")
            left -= _copy(stream, _place(partial, name), left)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ArchiveError("DAMAGED_ARCHIVE") from error
    except ArchiveError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_tree(partial)
    partial.rename(target)


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in sorted(zipped.infolist(), key=lambda one: one.filename):
                if not info.is_dir():
                    with zipped.open(info) as stream:
                        yield info.filename, stream
        return
    with tarfile.open(archive, "r:*") as tape:
        for member in tape:
            content = tape.extractfile(member) if member.isreg() else None
            if content is not None:
                yield member.name, content


def _place(folder: Path, name: str) -> Path:
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in {"/", "."}]
    if ".." in parts:
        raise ArchiveError("UNSAFE_NAME")
    # A component as long as the file system allows leaves no room for a number.
    path = folder.joinpath(*(part.replace("\0", "_")[:200] for part in parts or ["member"]))
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{number}_{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:  # a file of that name is where a folder should be
        path = folder / f"{number}_{parts[-1][:200]}"
    return path


def _copy(stream: IO[bytes], path: Path, left: int) -> int:
    size = 0
    with path.open("wb") as file:
        while block := stream.read(_BLOCK):
            size += len(block)
            if size > left:
                raise ArchiveError("TOO_LARGE")
            file.write(block)
    return size
