"""Walk an inbox and read its files, whatever the shape of the folders."""

from __future__ import annotations

import os
import stat
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"

#: A file of this name says that everything beside and below it has arrived.
COMPLETE_NAME = ".complete"


#: So far ahead a clock can be, such as that of a file server in another time zone. Unit: seconds.
_SKEW = 86400.0


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """One file as the file system describes it."""

    path: str
    size: int
    mtime_ns: int
    #: Why it can't be opened, as an issue code: a link out of the inbox, no plain file, no permission.
    code: str | None = None
    #: What a steward released of it: (issue code, SHA-256 of the content that was looked at).
    waived: tuple[tuple[str, str], ...] = ()

    @property
    def readable(self) -> bool:
        """Say whether the file can be opened."""
        return self.code is None


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
        yield describe(str(root), root)
        return
    stack = [str(root)]
    while stack:
        folder = stack.pop()
        subfolders: list[str] = []
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            if not os.access(folder, os.X_OK, effective_ids=True):
                raise PermissionError  # its names can be read, and nothing of what they name
        except OSError:
            yield FoundFile(path=folder, size=0, mtime_ns=0, code="UNREADABLE_FILE")
            continue
        for entry in entries:
            if entry.name == COMPLETE_NAME:
                continue
            if entry.is_dir(follow_symlinks=False):
                subfolders.append(entry.path)
            else:
                try:
                    found = describe(entry.path, root)
                except FileNotFoundError:
                    continue  # what vanishes while one looks was renamed or taken away by who is writing it
                except OSError:
                    found = FoundFile(path=entry.path, size=0, mtime_ns=0, code="UNREADABLE_FILE")
                yield found
        stack.extend(reversed(subfolders))


def describe(path: str, root: Path) -> FoundFile:
    """Give a file as the file system describes it; a link that leads out of the root can't be read."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        target = Path(os.path.realpath(path))
        if not target.is_relative_to(root) or not target.is_file():
            return FoundFile(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns, code="LINK_OUTSIDE")
        status = target.stat()
    # Whether it may be read shows when it is: most files are known, and to ask for each costs as much as the rest.
    code = None if stat.S_ISREG(status.st_mode) else "NOT_A_FILE"
    return FoundFile(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns, code=code)


def arrival_time(path: str) -> float:
    """Give when a file came, in seconds since 1970: a copy keeps its modification time, so the change time counts too.

    A time of a far tomorrow says nothing: a scanner's clock was wrong. 0 for a file that is gone.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - called for every file that waits; a str needs no Path
    except OSError:
        return 0.0
    latest = time.time() + _SKEW
    return max((moment for moment in (status.st_mtime, status.st_ctime) if moment <= latest), default=0.0)


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
