"""One SQLite file: connections for each thread, read snapshots, exclusive write transactions."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import schema
from .errors import DatabaseUnusableError
from .patterns import matches_pattern

BUSY_TIMEOUT_S = 120.0
_FEW = 16


class Database:
    """The database of one embedded LinkAhead. Safe to share between threads; other processes may use the same file."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).resolve()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: list[sqlite3.Connection] = []
        self._inherited: list[sqlite3.Connection] = []
        self._process = os.getpid()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.connection()

    def connection(self) -> sqlite3.Connection:
        """Give this thread's connection.

        Raises
        ------
        DatabaseUnusableError
            If the file can't be opened or is not ours.
        """
        existing: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if existing is not None and self._process == os.getpid():
            return existing
        if self._process != os.getpid():
            # A connection must not be used after a fork, nor closed by the child: its locks are the parent's.
            self._inherited, self._open = self._open, []
            self._process = os.getpid()
        try:
            connection = self._connect()
        except sqlite3.Error as problem:
            raise DatabaseUnusableError(f"The database can't be opened: {problem}") from problem
        self._local.connection = connection
        with self._lock:
            self._open.append(connection)
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, cached_statements=512, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA cache_size = -65536")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.create_function("matches", 2, matches_pattern, deterministic=True)
            schema.migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give one consistent snapshot for the duration of the block."""
        connection = self.connection()
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock for the block; commit at its end, or leave no trace if it raises."""
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("UPDATE setting SET value = CAST(value AS INTEGER) + 1 WHERE key = 'generation'")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def release(self) -> None:
        """Close this thread's connection; a thread that ends should say so."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            del self._local.connection
            with self._lock:
                if connection in self._open:
                    self._open.remove(connection)
            connection.close()

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
        self._local = threading.local()

    def setting(self, key: str) -> str | None:
        """Look up a setting that is kept in the file."""
        row = self.connection().execute("SELECT value FROM setting WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_setting(self, key: str, value: str) -> None:
        """Keep a setting in the file."""
        with self.write() as connection:
            connection.execute(
                "INSERT INTO setting VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
            )

    def backup(self, target: Path) -> None:
        """Copy the database to `target` while it is in use; the copy appears complete or not at all."""
        partial = target.with_name(target.name + ".part")
        partial.unlink(missing_ok=True)
        copy = sqlite3.connect(partial)
        try:
            self.connection().backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            copy.close()
        partial.replace(target)

    def problems(self) -> list[str]:
        """Check pages, indexes and foreign keys; an empty list is good news."""
        connection = self.connection()
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        found += [
            f"{row[0]} row {row[1]} points to a missing {row[2]}"
            for row in connection.execute("PRAGMA foreign_key_check")
        ]
        return found


def generation(connection: sqlite3.Connection) -> str:
    """Give a word that changes with every committed write."""
    return str(connection.execute("SELECT value FROM setting WHERE key = 'generation'").fetchone()[0])


def members(values: Sequence[int | str]) -> tuple[str, list[int | str]]:
    """Give the right side of an `IN`, for any number of values.

    Returns
    -------
    tuple
        SQL in parentheses, and its parameters.
    """
    if len(values) <= _FEW:
        return "(" + ", ".join("?" * len(values)) + ")", list(values)
    return "(SELECT value FROM json_each(?))", [json.dumps(list(values))]
