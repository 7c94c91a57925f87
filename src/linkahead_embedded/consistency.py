"""`fileStorageConsistency`: whether the bytes of all files are where the database says, and still the same."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from .errors import Code, RequestError
from .files import FOLDER, MANAGED, FileStore, measure
from .model import Message
from .storage import Database

_DEFAULT_S = 200.0
_ORDER = re.compile(r"\s*(?:-t\s*(\d{1,6}))?\s*(.*)", re.DOTALL)


def check_files(database: Database, files: FileStore, order: str) -> Iterator[Message]:
    """Compare size and SHA-512 of each file with the database.

    Parameters
    ----------
    order
        `[-t seconds] [path]`: how long to go on at most, and the file or folder to look at; everything without.

    Raises
    ------
    RequestError
        If the order can't be read.
    """
    match = _ORDER.fullmatch(order)
    if match is None:
        raise RequestError(400, "fileStorageConsistency expects [-t seconds] [path].")
    limit_s = float(match[1]) if match[1] else _DEFAULT_S
    # the client's own command writes the number and the path without anything in between
    folder = "/" + match[2].strip().strip("/")
    end = time.monotonic() + limit_s
    connection = database.connection()
    rows = connection.execute(
        "SELECT e.path, e.storage, e.location, e.size, e.checksum FROM entity e WHERE e.path IS NOT NULL "
        "AND e.storage <> ? UNION ALL SELECT e.path || '/' || f.name, ?, f.location, f.size, substr(f.location, 4) "
        "FROM entity e JOIN folder_file f ON f.entity = e.id ORDER BY 1",
        (FOLDER, MANAGED),
    ).fetchall()
    wanted = [row for row in rows if folder == "/" or row[0] == folder or row[0].startswith(folder + "/")]
    good = bad = 0
    for path, storage, location, size, checksum in wanted:
        if time.monotonic() > end:
            yield Message(
                "Warning", 0, f"Stopped after {limit_s:g} s: {good + bad} of {len(wanted)} files were checked."
            )
            return
        problem = _problem(files, storage, location, size, checksum)
        if problem is None:
            good += 1
        else:
            bad += 1
            yield Message("Error", Code.NO_FILE, f"{path}: {problem}")
    yield Message("Info", 0, f"{good} files are as they were stored, {bad} are not.")


def _problem(files: FileStore, storage: str, location: str, size: int, checksum: str) -> str | None:
    located = files.locate(storage, location)
    if located is None:
        return "the file is missing"
    if located.stat().st_size != size:
        return f"the file has {located.stat().st_size} bytes instead of {size}"
    if measure(located)[1] != checksum:
        return "the content of the file has changed"
    return None
