"""The file that the ledger is: opening it, all-or-nothing changes, and what SQLite takes and says."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from heartbrain_ingest.errors import StateError
from heartbrain_ingest.ledger_schema import prepare


class LedgerFile:
    """One SQLite file with the tables of the ledger.

    Parameters
    ----------
    path
        The file; made when absent.
    throw_away
        Work on a copy that ends with this object.
    """

    def __init__(self, path: Path, *, throw_away: bool = False) -> None:
        with readable_ledger():
            self._open(path, throw_away=throw_away)

    def _open(self, path: Path, *, throw_away: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # An unnamed database lies in a temporary file that ends with the connection.
        self._connection = sqlite3.connect("" if throw_away else path, timeout=60, isolation_level=None)
        if throw_away and path.exists():
            with closing(sqlite3.connect(path, timeout=60)) as source:
                source.backup(self._connection)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._prepare()
        self._connection.execute(
            "CREATE TEMP TABLE seen (path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL)"
            " WITHOUT ROWID"
        )
        if not throw_away:
            path.chmod(0o600)

    def _prepare(self) -> None:
        with self.transaction():  # two commands may open a new site at the same time
            prepare(self._connection)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do everything inside, or nothing."""
        with readable_ledger():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk ends it by itself
                    self._connection.execute("ROLLBACK")
                raise


@contextmanager
def readable_ledger() -> Iterator[None]:
    """Say what SQLite says as an error that an operator reads.

    Raises
    ------
    StateError
        The disk is full, the file damaged, or locked by another program.
    """
    try:
        yield
    except sqlite3.IntegrityError:
        raise  # a mistake of the program, not of the machine
    except sqlite3.Error as error:
        raise StateError(str(error)) from error


def stored_path(path: str) -> str:
    """Give a path as the ledger writes it: a byte that is no UTF-8 becomes a character for private use."""
    return path if path.isascii() else path.translate(_STORED)


def real_path(path: str) -> str:
    """Give a path as the file system knows it, see `stored_path`."""
    return path if path.isascii() else path.translate(_REAL)


#: Python gives bytes of a name that are no UTF-8 as lone surrogates (PEP 383), which no database takes.
_STORED = {0xDC00 + byte: 0xEF00 + byte for byte in range(0x80, 0x100)}
_REAL = {kept: surrogate for surrogate, kept in _STORED.items()}
