"""The bytes of File entities.

A managed folder of blobs beside the database, and files linked in place below the file root.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import Code
from .model import EntityDraft, FolderFile, Role, StoredFile

_BLOCK = 1 << 20
_MAX_PATH = 4000
_FORGOTTEN_S = 24 * 3600.0
MANAGED, LINKED, FOLDER = "managed", "linked", "folder"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came with a request, spooled to disk; or a whole folder.

    Attributes
    ----------
    path
        Where the bytes are; None for a folder.
    part, name
        Name of the part, and file name in it.
    files
        What is in the folder, by path in it; None for a folder in it.
    """

    path: Path | None
    thumbnail: Path | None = None
    part: str = ""
    name: str = ""
    files: dict[str, Path | None] = field(default_factory=dict)


class FileStore:
    """Resolves File drafts to bytes, and stored files to paths.

    Parameters
    ----------
    folder
        The managed folder; blobs are named by their SHA-512.
    root
        Files below it may be linked in place. None: nothing is linked.
    """

    def __init__(self, folder: Path, root: Path | None) -> None:
        self.folder = folder
        self.root = root.resolve() if root is not None else None

    def prepare(self, drafts: list[EntityDraft], uploads: Mapping[str, Upload], *, is_update: bool = False) -> None:
        """Find the bytes of each File draft, before any lock is taken; note an error on the draft if there are none."""
        for draft in drafts:
            if draft.role is Role.FILE:
                self._prepare(draft, uploads, is_update=is_update)

    def _prepare(self, draft: EntityDraft, uploads: Mapping[str, Upload], *, is_update: bool) -> None:
        if draft.path is None and is_update:
            return
        path = checked_path(draft.path)
        if path is None:
            draft.error(
                Code.BAD_PATH, "A File needs a path that starts with '/' and has neither '..' nor control characters."
            )
            return
        draft.path = path
        if draft.upload is not None:
            upload = uploads.get(draft.upload)
            if upload is None:
                draft.error(Code.NO_FILE, f"No file was uploaded for '{path}'.")
            else:
                self._take_upload(draft, upload)
        elif not is_update:
            draft.file = self._link(path)
            if draft.file is None:
                draft.error(
                    Code.NO_FILE,
                    f"The file does not exist on the server: '{path}'. Upload it, or put it below the file root.",
                )

    def _take_upload(self, draft: EntityDraft, upload: Upload) -> None:
        if upload.path is None:
            found = {name: (*measure(path), path) for name, path in upload.files.items() if path is not None}
            checksum = folder_checksum({name: one[1] for name, one in found.items()}, upload.files.keys())
            draft.folder_files = [FolderFile(name, _location(one[1]), one[0]) for name, one in sorted(found.items())]
            draft.file = StoredFile(FOLDER, "", sum(one[0] for one in found.values()), checksum)
        else:
            size, checksum = measure(upload.path)
            draft.file = StoredFile(MANAGED, _location(checksum), size, checksum)
        if upload.thumbnail is not None:
            draft.thumbnail = _location(measure(upload.thumbnail)[1])
        if draft.checksum is not None and draft.checksum.lower() != checksum:
            draft.error(Code.CHECKSUM, f"The checksum of the uploaded file '{draft.path}' is wrong.")

    @staticmethod
    def pending(drafts: list[EntityDraft], uploads: Mapping[str, Upload]) -> dict[str, Path]:
        """Give the blobs that drafts need and that came with the request: location -> spooled file."""
        found: dict[str, Path] = {}
        for draft in drafts:
            upload = uploads.get(draft.upload or "")
            if upload is None or draft.file is None or draft.has_errors:
                continue
            if upload.path is not None:
                found[draft.file.location] = upload.path
            if draft.thumbnail is not None and upload.thumbnail is not None:
                found[draft.thumbnail] = upload.thumbnail
            for one in draft.folder_files or ():
                path = upload.files[one.name]
                if path is not None:
                    found[one.location] = path
        return found

    def keep(self, source: Path, location: str) -> None:
        """Move a spooled file among the blobs, unless its bytes are there already."""
        target = self.folder / location
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            with source.open("rb") as stream:
                os.fsync(stream.fileno())
            source.replace(target)

    def _link(self, path: str) -> StoredFile | None:
        if self.root is None:
            return None
        candidate = (self.root / path.lstrip("/")).resolve()
        if not candidate.is_relative_to(self.root) or not is_file(candidate):
            return None
        size, checksum = measure(candidate)
        return StoredFile(LINKED, path.lstrip("/"), size, checksum)

    def locate(self, storage: str, location: str) -> Path | None:
        """Give the path of stored bytes; None if they are gone or a link now leads out of the root."""
        base = self.folder if storage == MANAGED else self.root
        if base is None or storage == FOLDER:
            return None
        path = (base / location).resolve()
        return path if is_file(path) and (storage == MANAGED or path.is_relative_to(base)) else None

    def discard(self, locations: list[str]) -> None:
        """Remove blobs that no entity uses any more."""
        for location in locations:
            (self.folder / location).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what requests left that were killed a day ago or earlier."""
        for path in (self.folder / "incoming").glob("*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _FORGOTTEN_S:
                    path.unlink()

    def spool(self) -> Path:
        """Give a fresh file to receive an upload, on the same filesystem as the blobs."""
        incoming = self.folder / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=incoming)
        os.close(handle)
        return Path(name)


def checked_path(text: str | None) -> str | None:
    """Normalise the path of a File entity to one leading slash; None if it is not acceptable."""
    if not text or len(text) > _MAX_PATH or any(ord(letter) < ord(" ") for letter in text):
        return None
    parts = PurePosixPath("/" + text.lstrip("/")).parts
    if ".." in parts or text.endswith("/") or len(parts) < len(("/", "name")):
        return None
    return "/" + "/".join(parts[1:])


def is_file(path: Path) -> bool:
    """Tell whether there is a file; a name that no filesystem takes is none, while `Path.is_file` raises."""
    return os.path.isfile(path)  # noqa: PTH113


def measure(path: Path) -> tuple[int, str]:
    """Give size and SHA-512 of a file."""
    digest = hashlib.sha512()
    size = 0
    with path.open("rb", buffering=0) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def _location(checksum: str) -> str:
    return f"{checksum[:2]}/{checksum}"


def folder_checksum(checksums: Mapping[str, str], names: Iterable[str]) -> str:
    """Give the checksum of a folder as the client computes it: over names of folders and checksums of files, in order.

    The client sorts by its locale, which is by code point unless a program sets another.
    """
    tree: dict[str, Any] = {}
    for name in names:
        place = tree
        for part in name.split("/"):
            place = place.setdefault(part, {})

    def digest(place: dict[str, Any], path: str) -> str:
        text = ""
        for name, below in sorted(place.items()):
            inner = f"{path}{name}"
            text += checksums[inner] if inner in checksums else name + digest(below, inner + "/")
        return hashlib.sha512(text.encode()).hexdigest()

    return digest(tree, "")
