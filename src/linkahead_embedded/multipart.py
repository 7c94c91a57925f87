"""The client's multipart bodies: the XML first, then files, which go straight to disk.

The client announces a Content-Length in characters instead of bytes, so the closing delimiter is the only end that
can be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .errors import RequestError
from .files import Upload

_BLOCK = 1 << 16
_MAX_HEADER = 1 << 14
_MAX_XML = 1 << 28
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,70})"?', re.IGNORECASE)
_FILENAME = re.compile(r'filename="(.*)"', re.DOTALL)
_THUMBNAIL = ".thumbnail"
Read = Callable[[int], bytes]


class _Body:
    """A buffered view of the body that knows where the next delimiter is."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self.buffer = b""

    def fill(self) -> None:
        block = self._read(_BLOCK)
        if not block:
            raise RequestError(400, "The multipart body ends before its closing delimiter.")
        self.buffer += block

    def until(self, mark: bytes, sink: Callable[[bytes], object]) -> None:
        """Hand everything before the mark to `sink`, and step over the mark."""
        while (place := self.buffer.find(mark)) < 0:
            keep = len(mark) - 1
            if len(self.buffer) > keep:
                sink(self.buffer[:-keep])
                self.buffer = self.buffer[-keep:]
            self.fill()
        sink(self.buffer[:place])
        self.buffer = self.buffer[place + len(mark) :]

    def take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self.fill()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken


class _Limited:
    """Collects bytes up to a limit."""

    def __init__(self, limit: int, what: str) -> None:
        self.content = bytearray()
        self._limit, self._what = limit, what

    def __call__(self, block: bytes) -> None:
        self.content += block
        if len(self.content) > self._limit:
            raise RequestError(413, f"{self._what} of the multipart body is too large.")


def parse_multipart(
    read: Read, content_type: str, spool: Callable[[], Path], spooled: list[Path]
) -> tuple[bytes, dict[str, Upload]]:
    """Read a multipart body.

    Parameters
    ----------
    read
        Gives up to so many bytes; none at the end.
    spool
        Gives a fresh file for an upload; each is appended to `spooled`, whose owner removes what is left of it.

    Returns
    -------
    tuple
        The content of the first part, and the uploads by their id.

    Raises
    ------
    RequestError
        If the body is no such multipart body.
    """
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise RequestError(400, "The multipart body has no boundary.")
    delimiter = b"\r\n--" + match[1].encode()
    body = _Body(read)
    body.buffer = b"\r\n"
    body.until(delimiter, _Limited(_MAX_HEADER, "The preamble"))
    xml: bytes | None = None
    uploads: dict[str, Upload] = {}
    while body.take(2) != b"--":
        header = _Limited(_MAX_HEADER, "A header")
        body.until(b"\r\n\r\n", header)
        if xml is None:
            first = _Limited(_MAX_XML, "The XML part")
            body.until(delimiter, first)
            xml = bytes(first.content)
            continue
        path = spool()
        spooled.append(path)
        with path.open("wb") as stream:
            body.until(delimiter, stream.write)
        _note(uploads, header.content.decode("utf-8", "replace"), path)
    if xml is None:
        raise RequestError(400, "The multipart body has no parts.")
    return xml, uploads


def _note(uploads: dict[str, Upload], header: str, path: Path) -> None:
    disposition = next((line for line in header.split("\r\n") if line.lower().startswith("content-disposition")), "")
    match = _FILENAME.search(disposition)
    if match is None:
        return
    name = match[1]
    if name.endswith(_THUMBNAIL) and name.removesuffix(_THUMBNAIL) in uploads:
        owner = name.removesuffix(_THUMBNAIL)
        uploads[owner] = replace(uploads[owner], thumbnail=path)
    elif name not in uploads:
        uploads[name] = Upload(path)
