"""Which LinkAhead the client talks to: a server named by `pylinkahead.ini`, or the embedded one."""

from __future__ import annotations

import configparser
from pathlib import Path

import linkahead_embedded
from heartbrain_ingest.crawl.client import database_errors, db
from heartbrain_ingest.errors import DatabaseError
from linkahead_embedded.errors import EmbeddedError


def connect(*, ini: Path | None, database: Path, file_root: Path) -> None:
    """Connect this process to LinkAhead; the client keeps one connection for the whole process.

    Parameters
    ----------
    ini
        A `pylinkahead.ini`; None for the embedded LinkAhead.
    database
        The embedded LinkAhead's database file; created if absent.
    file_root
        Folder that LinkAhead's file paths start from (the archive).

    Raises
    ------
    DatabaseError
        The configuration can't be read, or the server can't be reached.
    """
    if ini is None:
        try:
            linkahead_embedded.connect(database, file_root=file_root, user="heartbrain")
        except EmbeddedError as error:
            raise DatabaseError(f"opening {database}: {error}") from error
        return
    if not ini.is_file():
        raise DatabaseError(f"{ini} does not exist")
    try:
        db.configuration.configure(str(ini))
    except (configparser.Error, ValueError) as error:
        raise DatabaseError(f"{ini}: {error}") from error
    with database_errors(f"connecting as {ini} says"):
        # The option `implementation` is missing on purpose: a connection made by hand before is replaced.
        db.configure_connection(**dict(db.get_config().items("Connection")))
        db.Info()
