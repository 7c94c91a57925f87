"""The ledger: one row for every input file, saying where it went; it also resumes an interrupted run.

It lies in the identified zone: original paths and identifiers may stand here and nowhere else.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any

from heartbrain_ingest.inbox.files import FoundFile
from heartbrain_ingest.ledger_file import LedgerFile, readable_ledger, real_path, stored_path
from heartbrain_ingest.ledger_records import (
    LOOK_AGAIN,
    OUT,
    PUBLISHED,
    Decision,
    Delivery,
    DeliveryState,
    FileRow,
    Outcome,
    Settled,
)

__all__ = [
    "LOOK_AGAIN",
    "OUT",
    "PUBLISHED",
    "Decision",
    "Delivery",
    "DeliveryState",
    "FileRow",
    "Ledger",
    "Outcome",
    "Settled",
    "readable_ledger",
    "stored_path",
]


class Ledger(LedgerFile):
    """The ledger of one site: what is in it, and what a run asks of it."""

    # files

    def unknown(self, found: Sequence[FoundFile]) -> list[FoundFile]:
        """Note that these files were seen by this run; give those that no earlier run saw as they are now.

        A file that was gone for a while is given as well: it never was published.
        """
        paths = [stored_path(one.path) for one in found]
        self._connection.executemany(
            "INSERT OR IGNORE INTO seen VALUES (?, ?, ?)",
            ((path, one.size, one.mtime_ns) for path, one in zip(paths, found, strict=True)),
        )
        known = self._connection.execute(
            "SELECT path FROM seen JOIN files USING (path, size, mtime_ns) WHERE path >= ? AND path <= ?"
            " AND NOT (outcome = ? AND delivery IS NULL AND COALESCE(code, '') IN (?, ?))"
            " AND COALESCE(code, '') != 'FILE_GONE'",
            (min(paths), max(paths), Outcome.WAITING, *LOOK_AGAIN),
        )
        settled = {row[0] for row in known}
        return [one for path, one in zip(paths, found, strict=True) if path not in settled]

    def published_digest(self, path: str, size: int) -> str | None:
        """Give the SHA-256 of what was published of a file with this path and size; None where nothing was."""
        row = self._connection.execute(
            "SELECT sha256 FROM files WHERE path = ? AND size = ? AND kind != 'lab' AND outcome IN (?, ?)",
            (stored_path(path), size, Outcome.CONVERTED, Outcome.STORED),
        ).fetchone()
        return row[0] if row else None

    def retime(self, files: Iterable[FoundFile]) -> None:
        """Note that files have another time and the content that they had."""
        self._connection.executemany(
            "UPDATE files SET mtime_ns = ? WHERE path = ?", ((one.mtime_ns, stored_path(one.path)) for one in files)
        )

    def record(self, rows: Sequence[FileRow]) -> None:
        """Write rows; a row of the same path is replaced (the file there is another one now).

        What was published of the former file stays known under a name that no file has: its session is made of it.
        """
        self._connection.executemany(
            "UPDATE files SET path = path || ' (replaced, ' || id || ')' WHERE path = ? AND outcome IN (?, ?)",
            ((stored_path(row.path), *PUBLISHED) for row in rows),
        )
        self._connection.executemany(
            "INSERT INTO files (path, size, mtime_ns, sha256, kind, delivery, series, instance, facts, outcome, code,"
            " destination) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET"
            " size = excluded.size, mtime_ns = excluded.mtime_ns, sha256 = excluded.sha256, kind = excluded.kind,"
            " delivery = excluded.delivery, series = excluded.series, instance = excluded.instance,"
            " facts = excluded.facts, outcome = excluded.outcome, code = excluded.code,"
            " destination = excluded.destination",
            (
                (
                    stored_path(row.path),
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

    def settle_refused(self, settled: Iterable[Settled]) -> None:
        """Write outcomes of a delivery that is not published now; what was published of it before stays where it is."""
        self._connection.executemany(
            "UPDATE files SET outcome = ?, code = ?, destination = ?, sha256 = COALESCE(?, sha256)"
            " WHERE id = ? AND outcome NOT IN (?, ?)",
            (
                (outcome, code, destination, digest, file, *PUBLISHED)
                for file, outcome, code, destination, digest in settled
            ),
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

    def waiting_paths(self, delivery: int) -> list[str]:
        """Give the paths of the files of a delivery that wait."""
        cursor = self._connection.execute(
            "SELECT path FROM files WHERE delivery = ? AND outcome = ? ORDER BY path", (delivery, Outcome.WAITING)
        )
        return [real_path(row[0]) for row in cursor]

    def has_images(self, delivery: int) -> bool:
        """Say whether a session has a DICOM file that was neither taken away nor discarded."""
        row = self._connection.execute(
            "SELECT 1 FROM files WHERE delivery = ? AND kind = 'dicom' AND COALESCE(code, '') NOT IN (?, ?) LIMIT 1",
            (delivery, *OUT),
        ).fetchone()
        return row is not None

    def is_deserted(self, delivery: int) -> bool:
        """Say whether all files of a delivery were taken away before anything was published of them."""
        row = self._connection.execute(
            "SELECT 1 FROM files WHERE delivery = ? AND COALESCE(code, '') NOT IN ('FILE_GONE', 'DUPLICATE_TABLE')"
            " LIMIT 1",
            (delivery,),
        ).fetchone()
        return row is None

    def orphaned_tables(self) -> list[tuple[int, int]]:
        """Give (file, delivery) of a copy of each laboratory table that was taken away before it was published."""
        cursor = self._connection.execute(
            "SELECT MIN(files.id), delivery FROM files JOIN deliveries ON deliveries.id = delivery"
            " JOIN seen USING (path) WHERE outcome = ? AND files.code = 'DUPLICATE_TABLE' AND revision = 0"
            " AND NOT EXISTS (SELECT 1 FROM files AS other WHERE other.delivery = files.delivery"
            " AND COALESCE(other.code, '') NOT IN ('FILE_GONE', 'DUPLICATE_TABLE')) GROUP BY delivery",
            (Outcome.IGNORED,),
        )
        return [(row[0], row[1]) for row in cursor]

    def part_recordings(self, delivery: int) -> None:
        """Take the recordings that wait out of a session that will not come; another one may."""
        self._connection.execute(
            "UPDATE files SET outcome = ?, code = ?, delivery = NULL"
            " WHERE delivery = ? AND outcome = ? AND kind = 'physio'",
            (Outcome.QUARANTINED, "PHYSIO_NO_SESSION", delivery, Outcome.WAITING),
        )

    def arrived(self, delivery: int) -> list[tuple[int, int, int]]:
        """Give (series number, files, announced number) of what is there of a delivery, by series."""
        cursor = self._connection.execute(
            "SELECT COALESCE(json_extract(facts, '$.series_number'), 0), COUNT(*),"
            " MAX(COALESCE(json_extract(facts, '$.announced'), 0)) FROM files"
            " WHERE delivery = ? AND kind = 'dicom' AND outcome != ? GROUP BY series ORDER BY 1",
            (delivery, Outcome.IGNORED),
        )
        return [(row[0], row[1], row[2]) for row in cursor]

    def files(self, where: str = "1", parameters: tuple[Any, ...] = ()) -> Iterator[FileRow]:
        """Give rows in the order of their paths; `where` is one of this package's own conditions."""
        cursor = self._connection.execute(f"SELECT * FROM files WHERE {where} ORDER BY path", parameters)  # noqa: S608 - own text, values are bound
        for row in cursor:
            values = dict(row)
            values["path"] = real_path(values["path"])
            values["facts"] = json.loads(values["facts"] or "{}", object_pairs_hook=_shared)
            values["series"] = values["series"] and sys.intern(values["series"])
            values["outcome"] = Outcome(values["outcome"])
            yield FileRow(**values)

    def stored_places(self) -> Iterator[tuple[str, int]]:
        """Give each file in which something is stored, as the ledger writes places, with how many files went there."""
        cursor = self._connection.execute(
            "SELECT substr(destination, 1, instr(destination || '!', '!') - 1) AS place, COUNT(*) FROM files"
            " WHERE outcome IN (?, ?) AND destination IS NOT NULL GROUP BY place ORDER BY place",
            PUBLISHED,
        )
        yield from ((row[0], row[1]) for row in cursor)

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
            (stored_path(f"{folder}/"), stored_path(f"{folder}0"), Outcome.WAITING, Outcome.QUARANTINED),
        ).fetchone()
        return row is not None

    def note_gone(self, inbox: str, hidden: Sequence[str] = ()) -> None:
        """Note the files that waited or were in quarantine and are no more in an inbox that was just looked through.

        Parameters
        ----------
        hidden
            Folders that could not be looked into: nobody knows what of theirs is gone.
        """
        self._connection.execute(
            "UPDATE files SET outcome = ?, code = ? WHERE outcome IN (?, ?) AND path > ? AND path < ?"
            " AND path NOT IN (SELECT path FROM seen)"
            " AND NOT EXISTS (SELECT 1 FROM json_each(?) AS folder"
            " WHERE files.path > folder.value || '/' AND files.path < folder.value || '0')",
            (
                Outcome.IGNORED,
                "FILE_GONE",
                Outcome.WAITING,
                Outcome.QUARANTINED,
                stored_path(f"{inbox}/"),
                stored_path(f"{inbox}0"),
                json.dumps([stored_path(folder) for folder in hidden]),
            ),
        )

    def inconsistencies(self) -> list[str]:
        """Say in plain words what does not add up: files without a row, rows that nobody will come back to."""
        checks = {
            "{} files of the inbox have no row": "SELECT NULL FROM seen LEFT JOIN files USING (path)"
            " WHERE files.path IS NULL",
            "{} files wait in no delivery": "SELECT id FROM files WHERE outcome = 'waiting' AND delivery IS NULL"
            " AND code IS NULL",
            "{} files wait in a delivery that is done": "SELECT files.id FROM files JOIN deliveries"
            " ON deliveries.id = files.delivery WHERE outcome = 'waiting' AND state != 'waiting'",
            "{} files have a place but no delivery": "SELECT id FROM files WHERE destination IS NOT NULL"
            " AND delivery IS NULL",
        }
        found = []
        for text, query in checks.items():
            rows = [row[0] for row in self._connection.execute(query)]
            if rows:
                named = [str(number) for number in rows[:_NAMED] if number is not None]
                more = ", ..." if len(rows) > _NAMED else ""
                found.append(text.format(len(rows)) + (f" (rows {', '.join(named)}{more})" if named else ""))
        return found

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

    def delivery_of(self, identifier: int | None) -> Delivery | None:
        """Give the delivery with this number."""
        row = self._connection.execute(f"{_SELECT_DELIVERY} WHERE id = ?", (identifier,)).fetchone()
        return _delivery(row) if row else None

    def visits(self, study: str) -> list[tuple[int, date | None]]:
        """Give (id, true day) of the sessions that came with a study's key, earliest first."""
        cursor = self._connection.execute(
            "SELECT id, study_date FROM deliveries WHERE key = ?1 OR (key > ?1 || '@' AND key < ?1 || 'A')"
            " ORDER BY study_date, id",
            (study,),
        )
        return [(row[0], date.fromisoformat(row[1]) if row[1] else None) for row in cursor]

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
        self,
        delivery: int,
        state: DeliveryState,
        *,
        code: str | None = None,
        target: str | None = None,
        target_digest: str | None = None,
    ) -> None:
        """Move a delivery to a state."""
        self._connection.execute(
            "UPDATE deliveries SET state = ?, code = ?, target = ?, target_digest = ? WHERE id = ?",
            (state, code, target, target_digest, delivery),
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

    def add_folder(self, delivery: int, path: str, made_with: str | None = None) -> None:
        """Note a published folder: it is the delivery's next revision, and what kept the delivery back is over."""
        self._connection.execute("DELETE FROM series WHERE delivery = ? AND uid = ''", (delivery,))
        self._connection.execute(
            "UPDATE deliveries SET folder = ?, revision = revision + 1 WHERE id = ?", (path, delivery)
        )
        self._connection.execute(
            "INSERT INTO folders (delivery, revision, path, made_with) SELECT id, revision, folder, ? FROM deliveries"
            " WHERE id = ?",
            (made_with, delivery),
        )

    def made_with(self, folder: str) -> str | None:
        """Give the digest of what a folder was made with; None where it is not known."""
        row = self._connection.execute("SELECT made_with FROM folders WHERE path = ?", (folder,)).fetchone()
        return row[0] if row else None

    def set_made_with(self, folder: str, digest: str) -> None:
        """Note that a folder is what these rules and programs make."""
        self._connection.execute("UPDATE folders SET made_with = ? WHERE path = ?", (digest, folder))

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

    def noted(self) -> dict[str, list[str]]:
        """Give the published sessions that a steward should look at, by issue code."""
        queries = {
            "SUBJECT_CONFLICT": "patient_id != '' AND patient_id IN"
            " (SELECT patient_id FROM subjects GROUP BY patient_id HAVING COUNT(DISTINCT label) > 1)",
            "UNDATED_SESSION": "study_date IS NULL",
            "STUDY_REUSED": "instr(key, '@') > 0",
        }
        select = "SELECT folder FROM deliveries WHERE kind = 'session' AND folder IS NOT NULL AND"
        return {
            code: [row[0] for row in self._connection.execute(f"{select} {condition} ORDER BY folder")]
            for code, condition in queries.items()
        }

    # decisions

    def decide(self, decision: Decision, made_at: str) -> None:
        """Note what a steward decided; a later decision about the same takes the place of an earlier one."""
        self._connection.execute(
            "DELETE FROM decisions WHERE file IS ? AND delivery IS ? AND place IS ? AND code = ?",
            (decision.file, decision.delivery, decision.place, decision.code),
        )
        self._connection.execute(
            "INSERT INTO decisions (action, code, file, sha256, delivery, place, reason, made_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                decision.action,
                decision.code,
                decision.file,
                decision.sha256,
                decision.delivery,
                decision.place,
                decision.reason,
                made_at,
            ),
        )

    def decisions(self, *, file: int | None = None, delivery: int | None = None) -> list[Decision]:
        """Give what was decided about a file, about a delivery and its files, or (without both) about anything."""
        columns = "action, code, file, sha256, delivery, place, reason"
        if file is not None:
            condition, parameters = "WHERE file = ?", [file]
        elif delivery is not None:
            condition, parameters = "WHERE delivery = ?", [delivery]
        else:
            condition, parameters = "", []
        cursor = self._connection.execute(f"SELECT {columns} FROM decisions {condition} ORDER BY id", parameters)  # noqa: S608 - own text
        return [Decision(**dict(row)) for row in cursor]

    def releases(self, delivery: int) -> list[Decision]:
        """Give what was released of a delivery: places of it, and files that are in it now."""
        cursor = self._connection.execute(
            "SELECT action, code, file, sha256, delivery, place, reason FROM decisions WHERE action = 'released'"
            " AND (sha256 IS NOT NULL OR place IS NOT NULL)"
            " AND (delivery = ?1 OR file IN (SELECT id FROM files WHERE delivery = ?1)) ORDER BY code, place, file",
            (delivery,),
        )
        return [Decision(**dict(row)) for row in cursor]

    def waivers_of(self, path: str) -> list[tuple[str, str]]:
        """Give (code, SHA-256) of what was released of a file."""
        cursor = self._connection.execute(
            "SELECT decisions.code, decisions.sha256 FROM decisions JOIN files ON files.id = decisions.file"
            " WHERE files.path = ? AND action = 'released' AND decisions.sha256 IS NOT NULL",
            (stored_path(path),),
        )
        return [(row[0], row[1]) for row in cursor]

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


#: Rows of the ledger that a message names at most.
_NAMED = 10


def _shared(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dictionary whose texts are shared with those of all other rows: a session has tens of thousands."""
    return {sys.intern(name): sys.intern(value) if isinstance(value, str) else value for name, value in pairs}


_SELECT_DELIVERY = (
    "SELECT id, key, kind, subject, session, project, state, revision, folder, target,"
    " target_digest, code FROM deliveries"
)


def _delivery(row: sqlite3.Row) -> Delivery:
    values = dict(row)
    values["state"] = DeliveryState(values["state"])
    return Delivery(**values)
