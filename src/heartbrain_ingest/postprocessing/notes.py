"""What the bridge must remember by itself: whose a request is, what a store can do, which jobs' data can be deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS owner (request INTEGER PRIMARY KEY, user TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS closed (route TEXT NOT NULL, job TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (route, job));
CREATE TABLE IF NOT EXISTS probe (address TEXT PRIMARY KEY, day TEXT NOT NULL, conditions TEXT NOT NULL);
"""


class Notes:
    """A small database in the identified zone.

    Parameters
    ----------
    path
        The file, made when absent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as connection:
            connection.executescript(_SCHEMA)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
            yield connection

    def owner(self, request: int, claimed: str) -> str:
        """Give whose a request is: who it was at first sight, for whoever may edit a record may claim to be another."""
        with self._open() as connection:
            connection.execute("INSERT OR IGNORE INTO owner VALUES (?, ?)", (request, claimed))
            row = connection.execute("SELECT user FROM owner WHERE request = ?", (request,)).fetchone()
        return str(row[0])

    def note_closed(self, route: str, job: str, now: datetime) -> None:
        """Note that a job was tidied away; the first time counts."""
        with self._open() as connection:
            connection.execute("INSERT OR IGNORE INTO closed VALUES (?, ?, ?)", (route, job, now.isoformat()))

    def closed_before(self, route: str, moment: datetime) -> list[str]:
        """Give the jobs that were tidied away before a moment and not forgotten."""
        with self._open() as connection:
            rows = connection.execute("SELECT job, at FROM closed WHERE route = ? ORDER BY job", (route,)).fetchall()
        return [job for job, at in rows if datetime.fromisoformat(at) < moment]

    def forget(self, route: str, job: str) -> None:
        """Strike a job off."""
        with self._open() as connection:
            connection.execute("DELETE FROM closed WHERE route = ? AND job = ?", (route, job))

    def conditions(self, address: str, day: str) -> str | None:
        """Give what was found out about a store on a day."""
        with self._open() as connection:
            row = connection.execute(
                "SELECT conditions FROM probe WHERE address = ? AND day = ?", (address, day)
            ).fetchone()
        return str(row[0]) if row else None

    def note_conditions(self, address: str, day: str, conditions: str) -> None:
        """Note what was found out."""
        with self._open() as connection:
            connection.execute("INSERT OR REPLACE INTO probe VALUES (?, ?, ?)", (address, day, conditions))
