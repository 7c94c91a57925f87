"""A folder as a store: the embedded default, and for centres whose file system the RDM side shares."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hpc_bridge.bucket.base import Bucket, Entry
from hpc_bridge.bucket.files import appearing, check
from hpc_bridge.errors import BucketError, DeniedError, TooLargeError, VerificationError

_DRAFTS = ".drafts"


class FolderBucket(Bucket):
    """Objects are files; put-if-absent is a hard link, atomic on local file systems, NFS, Lustre and GPFS."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / _DRAFTS).mkdir(parents=True, exist_ok=True)

    @property
    def versioned(self) -> bool:
        """Never."""
        return False

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(part in {"", ".", "..", _DRAFTS} for part in parts):
            raise BucketError(f"not a key: {key[:80]!r}")
        return self.root.joinpath(*parts)

    def listing(self, prefix: str) -> Iterator[Entry]:
        """Give the files below, by key."""
        folder = self.root.joinpath(*prefix.split("/")[:-1])
        found: list[Entry] = []
        with _translated(prefix):
            for top, _, names in os.walk(folder, onerror=_raise_unless_gone):
                where = Path(top).relative_to(self.root).as_posix()
                for name in names:
                    key = name if where == "." else f"{where}/{name}"
                    if key.startswith(prefix) and not key.startswith(_DRAFTS):
                        with contextlib.suppress(FileNotFoundError):
                            found.append(Entry(key, os.stat(f"{top}/{name}").st_size))  # noqa: PTH116 - 10^5 of them
        return iter(sorted(found, key=lambda entry: entry.key))

    def get(self, key: str, *, limit: int) -> bytes | None:
        """Read a file."""
        with _translated(key):
            try:
                with self._path(key).open("rb") as file:
                    if os.fstat(file.fileno()).st_size > limit:
                        raise TooLargeError(key)
                    return file.read()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def put(self, key: str, body: bytes) -> None:
        """Write a file by renaming a complete one over it."""
        self._place(key, lambda draft: draft.write_bytes(body), replace=True)

    def create(self, key: str, body: bytes) -> bool:
        """Write a file by linking a complete one to a name that must be free."""
        return self._place(key, lambda draft: draft.write_bytes(body), replace=False)

    def upload(self, path: Path, key: str, *, sha256: str) -> None:
        """Copy a file in, and check the copy."""

        def fill(draft: Path) -> None:
            shutil.copyfile(path, draft)
            check(draft, key, size=path.stat().st_size, sha256=sha256)

        self._place(key, fill, replace=True)

    def _place(self, key: str, fill: Callable[[Path], object], *, replace: bool) -> bool:
        target = self._path(key)
        draft = self.root / _DRAFTS / secrets.token_hex(16)
        with _translated(key):
            try:
                fill(draft)
                with draft.open("rb+") as file:
                    os.fsync(file.fileno())
                while True:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    try:
                        if replace:
                            draft.replace(target)
                        else:
                            os.link(draft, target)
                    except FileNotFoundError:
                        continue  # another one deleted the emptied folder in between
                    except FileExistsError:
                        return False
                    return True
            finally:
                draft.unlink(missing_ok=True)

    def download(self, key: str, path: Path, *, size: int, sha256: str) -> None:
        """Copy a file out, and check the copy."""
        with _translated(key):
            source = self._path(key)
            if not source.is_file():
                raise VerificationError(f"{key}: absent")
            if source.stat().st_size != size:
                raise VerificationError(f"{key}: not {size} bytes")
            with appearing(path) as draft:
                shutil.copyfile(source, draft)
                check(draft, key, size=size, sha256=sha256)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete files and the folders that they leave empty."""
        for key in keys:
            path = self._path(key)
            with _translated(key):
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    for folder in path.parents:
                        if folder in {self.root, *self.root.parents}:
                            break
                        folder.rmdir()


def _raise_unless_gone(problem: OSError) -> None:
    if not isinstance(problem, FileNotFoundError | NotADirectoryError):
        raise problem


@contextlib.contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise DeniedError(key) from None
    except OSError as problem:
        raise BucketError(f"{key}: {problem.strerror}") from None
