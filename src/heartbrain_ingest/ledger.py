"""The ledger: one row for every input file, saying where it went; it also resumes an interrupted run.

It lies in the identified zone: original paths and identifiers may stand here and nowhere else.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from heartbrain_ingest.errors import LedgerError
from heartbrain_ingest.inbox.files import FoundFile

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE subjects (
    label TEXT NOT NULL,
    patient_id TEXT NOT NULL,
    birth_date TEXT NOT NULL,
    sex TEXT NOT NULL,
    fallback TEXT NOT NULL,
    PRIMARY KEY (patient_id, birth_date, sex, fallback)
) STRICT;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    subject TEXT,
    session TEXT,
    project TEXT,
    state TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    folder TEXT,
    target TEXT,
    code TEXT,
    patient_id TEXT,
    study_date TEXT,
    UNIQUE (subject, session)
) STRICT;
CREATE INDEX deliveries_patient ON deliveries (patient_id, study_date);
CREATE TABLE identifiers (
    key TEXT NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX identifiers_key ON identifiers (key);
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT,
    kind TEXT NOT NULL,
    delivery INTEGER REFERENCES deliveries (id),
    series TEXT,
    instance TEXT,
    facts TEXT,
    outcome TEXT NOT NULL,
    code TEXT,
    destination TEXT
) STRICT;
CREATE INDEX files_delivery ON files (delivery, outcome);
CREATE INDEX files_instance ON files (instance) WHERE instance IS NOT NULL;
CREATE INDEX files_outcome ON files (outcome, code);
CREATE TABLE staged (
    file INTEGER PRIMARY KEY REFERENCES files (id),
    delivery INTEGER NOT NULL REFERENCES deliveries (id),
    outcome TEXT NOT NULL,
    code TEXT,
    destination TEXT,
    sha256 TEXT
) STRICT;
CREATE INDEX staged_delivery ON staged (delivery);
CREATE TABLE series (
    delivery INTEGER NOT NULL REFERENCES deliveries (id),
    uid TEXT NOT NULL,
    number INTEGER,
    code TEXT,
    report TEXT NOT NULL,
    PRIMARY KEY (delivery, uid)
) STRICT;
CREATE TABLE folders (
    delivery INTEGER NOT NULL REFERENCES deliveries (id),
    revision INTEGER NOT NULL,
    path TEXT NOT NULL UNIQUE,
    crawled INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (delivery, revision)
) STRICT;
"""


class Outcome(StrEnum):
    """Where an input file went."""

    #: Seen; its delivery is not complete or not done yet.
    WAITING = "waiting"
    #: An image was made of it and its de-identified copy is stored.
    CONVERTED = "converted"
    #: Kept in the published folder without an image of its own.
    STORED = "stored"
    #: Not published; the code says why.
    QUARANTINED = "quarantined"
    #: Not wanted; the code is the rule that says so.
    IGNORED = "ignored"


class DeliveryState(StrEnum):
    """How far a delivery came."""

    #: Files arrived that are not published.
    WAITING = "waiting"
    #: Its folder is complete in the staging area and about to be renamed into place.
    PUBLISHING = "publishing"
    #: Its folder is in the archive; the crawl is still to come.
    PUBLISHED = "published"
    #: Its records are in LinkAhead.
    CRAWLED = "crawled"
    #: The audit refused it.
    QUARANTINED = "quarantined"


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """What the ledger knows of one input file."""

    path: str
    size: int
    mtime_ns: int
    kind: str
    outcome: Outcome
    code: str | None = None
    sha256: str | None = None
    delivery: int | None = None
    series: str | None = None
    instance: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    destination: str | None = None
    id: int = 0


#: What a file becomes: (file id, outcome, code, destination, sha256 or None to keep the known one).
Settled = tuple[int, Outcome, str | None, str | None, str | None]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One unit of work: a session or a laboratory table."""

    id: int
    key: str
    kind: str
    subject: str | None
    session: str | None
    project: str | None
    state: DeliveryState
    #: Number of folders that were published of it.
    revision: int
    #: The newest published folder, relative to the archive.
    folder: str | None
    #: The folder that is about to be published.
    target: str | None
    code: str | None


class Ledger:
    """The ledger of one site, in one SQLite file.

    Parameters
    ----------
    path
        The file; made when absent.
    throw_away
        Work on a copy that ends with this object.
    """

    def __init__(self, path: Path, *, throw_away: bool = False) -> None:
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
        )
        if not throw_away:
            path.chmod(0o600)

    def _prepare(self) -> None:
        with self.transaction():  # two commands may open a new site at the same time
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif version != SCHEMA_VERSION:
                raise LedgerError(f"it has schema version {version}, this program needs {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do everything inside, or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # files

    def unknown(self, found: Sequence[FoundFile]) -> list[FoundFile]:
        """Note that these files were seen by this run; give those that no earlier run saw as they are now."""
        self._connection.executemany(
            "INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", ((one.path, one.size, one.mtime_ns) for one in found)
        )
        known = self._connection.execute(
            "SELECT path FROM seen JOIN files USING (path, size, mtime_ns) WHERE path >= ? AND path <= ?",
            (min(one.path for one in found), max(one.path for one in found)),
        )
        settled = {row[0] for row in known}
        return [one for one in found if one.path not in settled]

    def record(self, rows: Iterable[FileRow]) -> None:
        """Write rows; a row of the same path is replaced (the file there is another one now)."""
        self._connection.executemany(
            "INSERT INTO files (path, size, mtime_ns, sha256, kind, delivery, series, instance, facts, outcome, code,"
            " destination) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
            " size = excluded.size, mtime_ns = excluded.mtime_ns, sha256 = excluded.sha256, kind = excluded.kind,"
            " delivery = excluded.delivery, series = excluded.series, instance = excluded.instance,"
            " facts = excluded.facts, outcome = excluded.outcome, code = excluded.code,"
            " destination = excluded.destination",
            (
                (
                    row.path,
                    row.size,
                    row.mtime_ns,
                    row.sha256,
                    row.kind,
                    row.delivery,
                    row.series,
                    row.instance,
                    json.dumps(row.facts, ensure_ascii=False),
                    row.outcome,
                    row.code,
                    row.destination,
                )
                for row in rows
            ),
        )

    def settle(self, settled: Iterable[Settled]) -> None:
        """Write outcomes."""
        self._connection.executemany(
            "UPDATE files SET outcome = ?, code = ?, destination = ?, sha256 = COALESCE(?, sha256) WHERE id = ?",
            ((outcome, code, destination, digest, file) for file, outcome, code, destination, digest in settled),
        )

    def stage_outcomes(self, delivery: int, settled: Iterable[Settled]) -> None:
        """Note outcomes that hold as soon as the delivery is published."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO staged (file, delivery, outcome, code, destination, sha256)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            ((file, delivery, outcome, code, place, digest) for file, outcome, code, place, digest in settled),
        )

    def apply_outcomes(self, delivery: int) -> None:
        """Make the staged outcomes of a delivery true."""
        self._connection.execute(
            "UPDATE files SET outcome = staged.outcome, code = staged.code, destination = staged.destination,"
            " sha256 = COALESCE(staged.sha256, files.sha256) FROM staged"
            " WHERE staged.file = files.id AND staged.delivery = ?",
            (delivery,),
        )
        self.drop_outcomes(delivery)

    def drop_outcomes(self, delivery: int) -> None:
        """Forget the staged outcomes of a delivery."""
        self._connection.execute("DELETE FROM staged WHERE delivery = ?", (delivery,))

    def assign(self, file_ids: Iterable[int], delivery: int) -> None:
        """Put files into a delivery."""
        self._connection.executemany(
            "UPDATE files SET delivery = ? WHERE id = ?", ((delivery, identifier) for identifier in file_ids)
        )

    def files(self, where: str = "1", parameters: tuple[Any, ...] = ()) -> Iterator[FileRow]:
        """Give rows in the order of their paths; `where` is one of this package's own conditions."""
        cursor = self._connection.execute(f"SELECT * FROM files WHERE {where} ORDER BY path", parameters)  # noqa: S608 - own text, values are bound
        for row in cursor:
            values = dict(row)
            values["facts"] = json.loads(values["facts"] or "{}")
            values["outcome"] = Outcome(values["outcome"])
            yield FileRow(**values)

    def counts(self) -> Counter[tuple[str, str]]:
        """Count all files by (outcome, code)."""
        cursor = self._connection.execute("SELECT outcome, COALESCE(code, ''), COUNT(*) FROM files GROUP BY 1, 2")
        return Counter({(row[0], row[1]): row[2] for row in cursor})

    def counts_of_seen(self) -> Counter[tuple[str, str]]:
        """Count the files that this run saw by (outcome, code)."""
        cursor = self._connection.execute(
            "SELECT outcome, COALESCE(code, ''), COUNT(*) FROM seen JOIN files USING (path) GROUP BY 1, 2"
        )
        return Counter({(row[0], row[1]): row[2] for row in cursor})

    def needs_below(self, folder: str) -> bool:
        """Say whether a file below a folder still waits or is in quarantine."""
        row = self._connection.execute(
            "SELECT 1 FROM files WHERE path > ? AND path < ? AND outcome IN (?, ?) LIMIT 1",
            (f"{folder}/", f"{folder}0", Outcome.WAITING, Outcome.QUARANTINED),
        ).fetchone()
        return row is not None

    def note_gone(self, inbox: str) -> None:
        """Note the files that waited or were in quarantine and are no more in an inbox that was just looked through."""
        self._connection.execute(
            "UPDATE files SET outcome = ?, code = ? WHERE outcome IN (?, ?) AND path > ? AND path < ?"
            " AND path NOT IN (SELECT path FROM seen)",
            (Outcome.IGNORED, "FILE_GONE", Outcome.WAITING, Outcome.QUARANTINED, f"{inbox}/", f"{inbox}0"),
        )

    def inconsistencies(self) -> list[str]:
        """Say in plain words what does not add up: files without a row, rows that nobody will come back to."""
        checks = {
            "{} files of the inbox have no row": "SELECT COUNT(*) FROM seen LEFT JOIN files USING (path)"
            " WHERE files.path IS NULL",
            "{} files wait in no delivery": "SELECT COUNT(*) FROM files WHERE outcome = 'waiting' AND delivery IS NULL",
            "{} files wait in a delivery that is done": "SELECT COUNT(*) FROM files JOIN deliveries"
            " ON deliveries.id = files.delivery WHERE outcome = 'waiting' AND state != 'waiting'",
            "{} files have a place but no delivery": "SELECT COUNT(*) FROM files WHERE destination IS NOT NULL"
            " AND delivery IS NULL",
        }
        counts = {text: self._connection.execute(query).fetchone()[0] for text, query in checks.items()}
        return [text.format(count) for text, count in counts.items() if count]

    def count_files(self, delivery: int) -> int:
        """Count the files of a delivery."""
        row = self._connection.execute("SELECT COUNT(*) FROM files WHERE delivery = ?", (delivery,)).fetchone()
        return int(row[0])

    # subjects

    def remember_subject(self, label: str, patient_id: str, birth_date: str, sex: str, fallback: str) -> None:
        """Note which identity a subject label stands for."""
        self._connection.execute(
            "INSERT OR IGNORE INTO subjects VALUES (?, ?, ?, ?, ?)", (label, patient_id, birth_date, sex, fallback)
        )

    def identities(self, patient_id: str) -> list[tuple[str, str, str, str]]:
        """Give (label, birth date, sex, fallback) of everybody who came with this PatientID."""
        cursor = self._connection.execute(
            "SELECT label, birth_date, sex, fallback FROM subjects WHERE patient_id = ? ORDER BY label", (patient_id,)
        )
        return [tuple(row) for row in cursor]

    def subjects(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Give (label, PatientID, birth date, sex, fallback) of all known subjects."""
        for row in self._connection.execute("SELECT label, patient_id, birth_date, sex, fallback FROM subjects"):
            yield (row[0], row[1], row[2], row[3], row[4])

    # deliveries

    def delivery(self, key: str) -> Delivery | None:
        """Give the delivery of this key."""
        row = self._connection.execute(f"{_SELECT_DELIVERY} WHERE key = ?", (key,)).fetchone()
        return _delivery(row) if row else None

    def deliveries(self, state: DeliveryState | None = None) -> list[Delivery]:
        """Give all deliveries, or those in one state, in a fixed order."""
        condition = "WHERE state = ?" if state else ""
        parameters = (state,) if state else ()
        cursor = self._connection.execute(
            f"{_SELECT_DELIVERY} {condition} ORDER BY project, subject, session, key", parameters
        )
        return [_delivery(row) for row in cursor]

    def add_delivery(
        self,
        *,
        key: str,
        kind: str,
        project: str,
        subject: str | None = None,
        session: str | None = None,
        patient_id: str | None = None,
        study_date: str | None = None,
    ) -> int:
        """Make a delivery that waits; give its id. `study_date` is the true one, `YYYY-MM-DD`."""
        cursor = self._connection.execute(
            "INSERT INTO deliveries (key, kind, subject, session, project, state, patient_id, study_date)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (key, kind, subject, session, project, DeliveryState.WAITING, patient_id, study_date),
        )
        return int(cursor.lastrowid or 0)

    def sessions_of(self, subject: str) -> set[str]:
        """Give the session labels that are taken for a subject."""
        cursor = self._connection.execute("SELECT session FROM deliveries WHERE subject = ?", (subject,))
        return {row[0] for row in cursor}

    def set_state(
        self, delivery: int, state: DeliveryState, *, code: str | None = None, target: str | None = None
    ) -> None:
        """Move a delivery to a state."""
        self._connection.execute(
            "UPDATE deliveries SET state = ?, code = ?, target = ? WHERE id = ?", (state, code, target, delivery)
        )

    def sessions_on(self, patient_id: str | None, study_date: str | None) -> list[int]:
        """Give the sessions of a patient on a true day, `YYYY-MM-DD`; None where one of them is not known."""
        cursor = self._connection.execute(
            "SELECT id FROM deliveries WHERE kind = 'session' AND (?1 IS NULL OR patient_id = ?1)"
            " AND (?2 IS NULL OR study_date = ?2) ORDER BY id",
            (patient_id, study_date),
        )
        return [row[0] for row in cursor]

    def add_identifiers(self, key: str, content: bytes) -> None:
        """Add to what is known of the identifiers of a delivery, so that a resumed run knows them."""
        self._connection.execute("INSERT INTO identifiers VALUES (?, ?)", (key, content))

    def identifiers(self, key: str) -> list[bytes]:
        """Give what was added of a delivery's identifiers."""
        return [row[0] for row in self._connection.execute("SELECT content FROM identifiers WHERE key = ?", (key,))]

    def add_folder(self, delivery: int, path: str) -> None:
        """Note a published folder: it is the delivery's next revision."""
        self._connection.execute(
            "UPDATE deliveries SET folder = ?, revision = revision + 1 WHERE id = ?", (path, delivery)
        )
        self._connection.execute(
            "INSERT INTO folders (delivery, revision, path) SELECT id, revision, folder FROM deliveries WHERE id = ?",
            (delivery,),
        )

    def uncrawled(self) -> list[tuple[int, str]]:
        """Give (delivery, path) of the published folders that LinkAhead does not know, oldest revision first."""
        cursor = self._connection.execute(
            "SELECT delivery, path FROM folders WHERE crawled = 0 ORDER BY revision, path"
        )
        return [(row[0], row[1]) for row in cursor]

    def set_crawled(self, path: str) -> None:
        """Note that the records of a folder are in LinkAhead."""
        self._connection.execute("UPDATE folders SET crawled = 1 WHERE path = ?", (path,))

    def mark_crawled(self, delivery: int) -> None:
        """Move a published delivery on, unless files came for it meanwhile."""
        self._connection.execute(
            "UPDATE deliveries SET state = ? WHERE id = ? AND state = ?",
            (DeliveryState.CRAWLED, delivery, DeliveryState.PUBLISHED),
        )

    def folders(self) -> list[str]:
        """Give all published folders, relative to the archive."""
        return [row[0] for row in self._connection.execute("SELECT path FROM folders ORDER BY path")]

    # series

    def set_series(self, delivery: int, uid: str, number: int | None, code: str | None, report: dict[str, Any]) -> None:
        """Store what happened to a series, for `heartbrain explain`."""
        self._connection.execute(
            "INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?)",
            (delivery, uid, number, code, json.dumps(report, ensure_ascii=False)),
        )

    def series(self, delivery: int) -> list[tuple[str, int | None, str | None, dict[str, Any]]]:
        """Give (uid, number, code, report) of each series of a delivery."""
        cursor = self._connection.execute(
            "SELECT uid, number, code, report FROM series WHERE delivery = ? ORDER BY number, uid", (delivery,)
        )
        return [(row[0], row[1], row[2], json.loads(row[3])) for row in cursor]


_SELECT_DELIVERY = (
    "SELECT id, key, kind, subject, session, project, state, revision, folder, target, code FROM deliveries"
)


def _delivery(row: sqlite3.Row) -> Delivery:
    values = dict(row)
    values["state"] = DeliveryState(values["state"])
    return Delivery(**values)
