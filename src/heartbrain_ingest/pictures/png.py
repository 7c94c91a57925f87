"""Greyscale and colour PNG files, the same bytes for the same pixels on every machine."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR = 0, 2
_LEVEL: Final = 6


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Write an image file (PNG specification, third edition).

    Parameters
    ----------
    pixels
        Rows from top to bottom, columns from left to right: (height, width) for grey, (height, width, 3) for colour.
    """
    import deflate  # noqa: PLC0415 - only where a picture is made

    height, width = pixels.shape[:2]
    colour = _GREY if pixels.ndim == 2 else _COLOUR  # noqa: PLR2004 - rows and columns
    # Every row begins with its filter type; 0 is none.
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"".join((
        _SIGNATURE,
        _chunk(b"IHDR", header),
        _chunk(b"IDAT", bytes(deflate.zlib_compress(rows, _LEVEL))),
        _chunk(b"IEND", b""),
    ))  # fmt: skip


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
