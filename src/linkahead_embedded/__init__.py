"""An embedded LinkAhead: HTTP/XML API and query language on one SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["connect"]


def connect(database: str | Path, file_root: str | Path | None = None, user: str = "heartbrain") -> None:
    """Point the official client, for the whole process, at a database file; no server, no socket.

    Parameters
    ----------
    database
        The SQLite file; created if it is absent.
    file_root
        Folder below which `File` entities may lie: `<File path="/a/b">` without an upload is linked to
        `file_root/a/b`. It is remembered in the database, relative to it where that is possible, so that it need be
        given only once.
    user
        The name that versions and `CREATED BY ME` go by.

    Raises
    ------
    DatabaseUnusableError
        If the file is not usable as a database of the embedded LinkAhead.
    """
    from .bootstrap import connect_client  # noqa: PLC0415 - importing this package must stay cheap

    connect_client(database, file_root, user)
