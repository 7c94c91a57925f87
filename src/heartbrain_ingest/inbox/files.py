"""Walk an inbox and read its files, whatever the shape of the folders."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"

#: A file of this name says that everything beside and below it has arrived.
COMPLETE_NAME = ".complete"


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """One file as the file system describes it."""

    path: str
    size: int
    mtime_ns: int
    #: False for what can't be opened: links out of the inbox, devices, files without read permission.
    readable: bool = True


class UnpackedTooLargeError(Exception):
    """A compressed file unpacks to more than the settings allow."""


def walk(inbox: Path) -> Iterator[FoundFile]:
    """Give every file below a folder, sorted within each folder; links that lead out of it are not followed.

    Parameters
    ----------
    inbox
        Folder to walk, or a single file.
    """
    root = inbox.resolve()
    if root.is_file():
        yield _describe(str(root), root)
        return
    stack = [str(root)]
    while stack:
        folder = stack.pop()
        subfolders: list[str] = []
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            yield FoundFile(path=folder, size=0, mtime_ns=0, readable=False)
            continue
        for entry in entries:
            if entry.name == COMPLETE_NAME:
                continue
            if entry.is_dir(follow_symlinks=False):
                subfolders.append(entry.path)
            else:
                yield _describe(entry.path, root)
        stack.extend(reversed(subfolders))


def _describe(path: str, root: Path) -> FoundFile:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        target = Path(os.path.realpath(path))
        if not target.is_relative_to(root) or not target.is_file():
            return FoundFile(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns, readable=False)
        status = target.stat()
    readable = stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK)
    return FoundFile(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns, readable=readable)


def read_content(path: str, *, limit: int) -> bytes:
    """Read a whole file; one that was compressed with gzip is unpacked, see `unpacked`."""
    with open(path, "rb") as file:  # noqa: PTH123 - called for every input file; a str needs no Path
        return unpacked(file.read(), limit=limit)


def unpacked(content: bytes, *, limit: int) -> bytes:
    """Give what a file holds: the same object unless it was compressed with gzip.

    Parameters
    ----------
    content
        The whole file.
    limit
        Largest number of unpacked bytes.

    Raises
    ------
    UnpackedTooLargeError
        When there is more (a decompression bomb).
    zlib.error
        When the compressed content is damaged.
    """
    if not content.startswith(GZIP_MAGIC):
        return content
    parts: list[bytes] = []
    size = 0
    while content.startswith(GZIP_MAGIC):
        stream = zlib.decompressobj(wbits=31)
        part = stream.decompress(content, max(limit - size, 0) + 1)
        size += len(part)
        if size > limit:
            raise UnpackedTooLargeError
        parts.append(part)
        if not stream.eof:
            raise zlib.error("the compressed data end too early")
        content = stream.unused_data
    return b"".join(parts)
