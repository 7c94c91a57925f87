"""Uploaded bytes come before the entities that name them and go after the last one; nothing in between is lost.

A request first notes in the database which blobs it is about to use, so that no other request collects them. Triggers
put the blob of whatever is deleted or replaced on a list; what nobody uses or is about to use is then removed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from .dates import now
from .files import FileStore, Upload
from .model import EntityDraft
from .storage import Database

_FORGOTTEN_US = 24 * 3600 * 1_000_000
"""A request that noted a blob so long ago was killed."""


class BlobKeeper:
    """Brings the uploads of requests among the blobs, and removes blobs that nobody uses."""

    def __init__(self, database: Database, files: FileStore) -> None:
        self._database = database
        self._files = files

    @contextmanager
    def holding(
        self, drafts: list[EntityDraft], uploads: Mapping[str, Upload], *, is_update: bool = False
    ) -> Iterator[None]:
        """Find or store the bytes of File drafts; they stay at least for the duration of the block."""
        self._files.prepare(drafts, uploads, is_update=is_update)
        pending = self._files.pending(drafts, uploads)
        if not pending:
            yield
            return
        request = secrets.token_hex(8)
        rows = [(location, request, now()) for location in pending]
        with self._database.write() as connection:
            connection.executemany("INSERT INTO pending_blob VALUES (?, ?, ?)", rows)
        try:
            for location, source in pending.items():
                self._files.keep(source, location)
            yield
        finally:
            with self._database.write() as connection:
                connection.execute("DELETE FROM pending_blob WHERE request = ?", (request,))
                connection.executemany(
                    "INSERT OR IGNORE INTO unused_blob VALUES (?)", [(location,) for location in pending]
                )
            self.collect()

    def collect(self) -> int:
        """Remove blobs that nobody uses any more; give their number."""
        forgotten = now() - _FORGOTTEN_US
        listed = "SELECT 1 FROM unused_blob UNION ALL SELECT 1 FROM pending_blob WHERE at < ?"
        if self._database.connection().execute(listed, (forgotten,)).fetchone() is None:
            return 0
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO unused_blob SELECT location FROM pending_blob WHERE at < ?", (forgotten,)
            )
            connection.execute("DELETE FROM pending_blob WHERE at < ?", (forgotten,))
            gone = [
                str(row[0])
                for row in connection.execute(
                    "SELECT location FROM unused_blob b "
                    "WHERE NOT EXISTS (SELECT 1 FROM entity e WHERE e.location = b.location AND e.storage = 'managed') "
                    "AND NOT EXISTS (SELECT 1 FROM thumbnail t WHERE t.location = b.location) "
                    "AND NOT EXISTS (SELECT 1 FROM folder_file f WHERE f.location = b.location) "
                    "AND NOT EXISTS (SELECT 1 FROM pending_blob p WHERE p.location = b.location)"
                )
            ]
            # a blob that is still used comes back on the list when its last user goes
            connection.execute("DELETE FROM unused_blob")
            self._files.discard(gone)
        return len(gone)
