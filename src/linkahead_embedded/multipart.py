"""The client's multipart bodies: the XML first, then files, which go straight to disk.

The client announces a Content-Length in characters instead of bytes, so the closing delimiter is the only end that
can be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import count as count_from
from pathlib import Path
from typing import NamedTuple

from .errors import RequestError
from .files import Upload

_BLOCK = 1 << 16
_MAX_HEADER = 1 << 14
_MAX_XML = 1 << 26
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,70})"?', re.IGNORECASE)
_NAME = re.compile(r'[;\s]name="([^"]*)"')
_FILENAME = re.compile(r'filename="(.*)"')
_MAX_FIELD = 1 << 20
_MAX_PARTS = 100_000
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


class Parts(NamedTuple):
    """A multipart body: content of the first part, files by the name that they were given, and the other fields."""

    body: bytes
    uploads: dict[str, Upload]
    fields: dict[str, str]


def parse_multipart(read: Read, content_type: str, spool: Callable[[], Path], spooled: list[Path]) -> Parts:
    """Read a multipart body.

    Parameters
    ----------
    read
        Gives up to so many bytes; none at the end.
    spool
        Gives a fresh file for an upload; each is appended to `spooled`, whose owner removes what is left of it.

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
    first: bytes | None = None
    uploads: dict[str, Upload] = {}
    fields: dict[str, str] = {}
    for count in count_from(0):
        if body.take(2) == b"--":
            break
        if count > _MAX_PARTS:
            raise RequestError(413, f"The multipart body has more than {_MAX_PARTS} parts.")
        raw = _Limited(_MAX_HEADER, "A header")
        body.until(b"\r\n\r\n", raw)
        header = raw.content.decode("utf-8", "replace")
        name = _NAME.search(header)
        filename = _FILENAME.search(header)
        if first is None or filename is None:
            content = _Limited(_MAX_XML if first is None else _MAX_FIELD, "A field")
            body.until(delimiter, content)
            if name is not None:
                fields[name[1]] = content.content[:_MAX_FIELD].decode("utf-8", "replace")
            if first is None:
                first = bytes(content.content)
            continue
        path = spool()
        spooled.append(path)
        with path.open("wb") as stream:
            body.until(delimiter, stream.write)
        _note(uploads, filename[1], name[1] if name is not None else "", path)
    if first is None:
        raise RequestError(400, "The multipart body has no parts.")
    return Parts(first, uploads, fields)


def _note(uploads: dict[str, Upload], name: str, field: str, path: Path) -> None:
    """Add a file to the uploads: one of its own, the thumbnail of one, or part of a folder."""
    owner, slash, inner = name.partition("/")
    if slash:
        folder = uploads.setdefault(owner, Upload(None, files={}))
        parts = inner.removesuffix("/").split("/")
        if folder.path is not None or any(part in ("", ".", "..") or not part.isprintable() for part in parts):
            if inner:
                raise RequestError(400, "The name of an uploaded file is not acceptable.")
            return
        folder.files["/".join(parts)] = None if inner.endswith("/") else path
        return
    if name.endswith(_THUMBNAIL) and name.removesuffix(_THUMBNAIL) in uploads:
        owner = name.removesuffix(_THUMBNAIL)
        uploads[owner] = replace(uploads[owner], thumbnail=path)
    elif name not in uploads:
        uploads[name] = Upload(path, part=field, name=name)
