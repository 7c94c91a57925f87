"""Fetching into a file that appears complete and verified, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from hpc_bridge.digests import file_digest
from hpc_bridge.errors import VerificationError


def holds(path: Path, *, size: int, sha256: str) -> bool:
    """Say whether the file is there with these bytes; a link never is."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size == size and file_digest(path) == sha256


def check(path: Path, name: str, *, size: int, sha256: str) -> None:
    """Raise VerificationError unless the file holds these bytes."""
    if not path.is_file() or path.stat().st_size != size:
        raise VerificationError(f"{name}: not {size} bytes")
    if file_digest(path) != sha256:
        raise VerificationError(f"{name}: checksum differs")


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Give a place to write; if all goes well it becomes `path` at once, else it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.part")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_whole(path: Path, body: bytes) -> None:
    """Write bytes to a file that is never seen half-written."""
    with appearing(path) as draft:
        draft.write_bytes(body)
