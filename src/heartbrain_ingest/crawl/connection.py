"""Which LinkAhead the client talks to: a server named by `pylinkahead.ini`, or the embedded one."""

from __future__ import annotations

from pathlib import Path

import linkahead_embedded
from heartbrain_ingest.crawl.client import database_errors, db
from heartbrain_ingest.errors import DatabaseError
from linkahead_embedded.errors import EmbeddedError


def connect(*, ini: Path | None, database: Path, file_root: Path | None) -> None:
    """Connect this process to LinkAhead; the client keeps one connection for the whole process.

    Parameters
    ----------
    ini
        A `pylinkahead.ini`; None for the embedded LinkAhead.
    database
        The embedded LinkAhead's database file; created if absent.
    file_root
        Folder that LinkAhead's file paths start from (the archive); None for the one that the database remembers.

    Raises
    ------
    DatabaseError
        The configuration can't be read, or the server can't be reached.
    """
    if ini is None:
        try:
            linkahead_embedded.connect(database, file_root=file_root, user="heartbrain", create=True)
        except EmbeddedError as error:
            raise DatabaseError(f"opening {database}: {error}") from error
        return
    if not ini.is_file():
        raise DatabaseError(f"{ini} does not exist")
    try:
        db.configuration.configure(str(ini))
    except Exception as error:  # of the parser, of the schema of the options, and built-in ones
        raise DatabaseError(f"{ini}: {error}") from error
    with database_errors(f"connecting as {ini} says"):
        db.configure_connection()
        # `Info` would print that there is no connection, and go on.
        db.count("COUNT RECORDTYPE")
