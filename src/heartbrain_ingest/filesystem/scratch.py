"""Scratch space in memory: writing thousands of small files to a disk takes longer than all that is done with them."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps files in memory; the folder below is ours alone


def memory_folder(owner: Path) -> Path | None:
    """Give the folder in memory that belongs to one site and one user, made when absent; None where there is none.

    Parameters
    ----------
    owner
        The site's state folder: each site has a folder of its own.
    """
    name = hashlib.sha256(str(owner.resolve()).encode()).hexdigest()[:16]
    folder = SHARED_MEMORY / f"heartbrain-{os.getuid()}-{name}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    return folder if private else None
