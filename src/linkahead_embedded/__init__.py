"""An embedded LinkAhead: HTTP/XML API and query language on one SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["connect"]


def connect(
    database: str | Path, file_root: str | Path | None = None, user: str = "heartbrain", *, create: bool = False
) -> None:
    """Point the official client, for the whole process, at a database file; no server, no socket.

    Parameters
    ----------
    database
        The SQLite file.
    file_root
        Folder below which `File` entities may lie: `<File path="/a/b">` without an upload is linked to
        `file_root/a/b`. It is remembered in the database, relative to it where that is possible, so that it need be
        given only once.
    user
        The name that versions and `CREATED BY ME` go by.
    create
        Whether to make an empty database if there is no file. Without it a mistyped path would look like a database
        in which nothing is found.

    Raises
    ------
    DatabaseMissingError
        If there is no file, and it is not to be made.
    DatabaseUnusableError
        If the file is not usable as a database of the embedded LinkAhead.
    """
    from pathlib import Path  # noqa: PLC0415 - importing this package must stay cheap

    from .bootstrap import connect_client  # noqa: PLC0415 - the same
    from .errors import DatabaseMissingError  # noqa: PLC0415 - the same

    if not create and not Path(database).expanduser().exists():
        raise DatabaseMissingError(f"There is no database {database}. For a new one, connect with create=True.")
    connect_client(database, file_root, user)
