"""Gzip files without name and time in their header, so that the same content gives the same bytes on every machine."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

#: Larger files are packed as a stream, so that memory stays bounded; smaller ones at once, which is faster.
AT_ONCE = 256 * 1024 * 1024
_BLOCK = 1 << 20


def pack(content: bytes, target: Path, *, level: int = 6) -> None:
    """Write a gzip file.

    Parameters
    ----------
    content
        What is packed.
    target
        The file, `.gz`.
    level
        Deflate level, 1 (fast) to 9 (small).
    """
    import deflate  # noqa: PLC0415 - only where something is written

    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(deflate.gzip_compress(content, level))


def pack_file(source: Path, target: Path, *, level: int = 6) -> None:
    """Write a gzip file of another file's content.

    libdeflate, which does it at once, gives the same bytes whatever the processor; so does zlib, which does it piece by
    piece.
    """
    if source.stat().st_size <= AT_ONCE:
        pack(source.read_bytes(), target, level=level)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        source.open("rb") as plain,
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=level, mtime=0) as packed,
    ):
        shutil.copyfileobj(plain, packed, _BLOCK)
