"""A copy of the database and its uploaded files that is known to be sound."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from .bootstrap import BLOBS, open_application
from .errors import DatabaseUnusableError
from .files import MANAGED, measure
from .storage import Database


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds."""

    entities: int
    files: int


def back_up(database: Path, target: Path) -> BackedUp:
    """Copy a database in use, and the files that were uploaded to it; check the copy before it gets its name.

    Files that are linked in place are not copied. A file of an earlier backup at the same place is not copied again.

    Raises
    ------
    DatabaseUnusableError
        If there is no such database, or the copy is damaged.
    """
    if not database.is_file():
        raise DatabaseUnusableError(f"There is no database {database}.")
    application = open_application(database)
    fresh = target.with_name(target.name + ".new")
    application.database.backup(fresh)
    copy = Database(fresh)
    try:
        problems = copy.problems()
        if problems:
            raise DatabaseUnusableError(f"The copy of {database} is damaged: {'; '.join(problems[:5])}")
        entities = int(copy.connection().execute("SELECT count(*) FROM entity WHERE id >= 100").fetchone()[0])
        blobs = copy.connection().execute(
            "SELECT location FROM entity WHERE storage = ? UNION SELECT location FROM thumbnail "
            "UNION SELECT location FROM folder_file",
            (MANAGED,),
        )
        count = 0
        for (location,) in blobs.fetchall():
            _copy(
                application.files.folder / location,
                target.with_name(target.name + BLOBS) / location,
                Path(location).name,
            )
            count += 1
        copy.connection().execute("PRAGMA journal_mode = DELETE")
    finally:
        copy.close()
    fresh.replace(target)
    return BackedUp(entities, count)


def _copy(source: Path, target: Path, checksum: str) -> None:
    if target.is_file() and measure(target)[1] == checksum:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".part")
    try:
        shutil.copyfile(source, partial)
    except FileNotFoundError:
        raise DatabaseUnusableError(f"The uploaded file {source} is missing.") from None
    if measure(partial)[1] != checksum:
        partial.unlink()
        raise DatabaseUnusableError(f"The uploaded file {source} is not the one that its checksum says.")
    partial.replace(target)
