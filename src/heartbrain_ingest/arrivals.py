"""What arrived: read headers, unpack archives, and put every file into a delivery, never by name or order."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from datetime import date
from itertools import islice
from pathlib import Path, PurePosixPath

from heartbrain_ingest import physio, workers
from heartbrain_ingest.deidentify import Pseudonyms, Subject
from heartbrain_ingest.errors import KeyFileError, SettingsError
from heartbrain_ingest.inbox import (
    ArchiveError,
    FileFacts,
    FoundFile,
    SessionLabeler,
    delivery_key,
    unpack,
    valid_date,
    walk,
)
from heartbrain_ingest.inbox.files import COMPLETE_NAME
from heartbrain_ingest.issues import ISSUES, Severity
from heartbrain_ingest.ledger import Delivery, DeliveryState, FileRow, Ledger, Outcome
from heartbrain_ingest.report import Progress
from heartbrain_ingest.settings import Settings

SCAN_CHUNK = 96
LOOKUP_CHUNK = 2000
#: Archives within archives are unpacked so deep.
ARCHIVE_DEPTH = 3


class Arrivals:
    """Takes note of what is in an inbox.

    Parameters
    ----------
    settings
        The site.
    ledger
        Where everything is noted.
    inbox
        Folder to look through; resolved.
    complete
        Whether whoever named the inbox says that it is complete.
    pool
        Gives the worker processes, which are started only when something is new.
    progress
        Shows how far it is.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        *,
        inbox: Path,
        complete: bool,
        pseudonyms: Pseudonyms,
        rules: physio.PhysioRules,
        pool: Callable[[], Executor],
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._inbox = inbox
        self._complete = complete
        self._pseudonyms = pseudonyms
        self._physio = rules
        self._pool = pool
        self._progress = progress
        self._unpacked = settings.folders.state / "unpacked"
        #: Files that were found, and those of them that no earlier run saw as they are now.
        self.seen = 0
        self.new = 0

    # scan

    def scan(self) -> None:
        """Read the headers of what is new.

        Raises
        ------
        SettingsError
            When the inbox can't be read.
        """
        self._progress.begin("Looking through the inbox", None)
        if not os.access(self._inbox, os.R_OK):
            raise SettingsError("the inbox can't be read; it needs to exist and to be open to this user")
        self._check_labels()
        self._take_note(walk(self._inbox))
        with self._ledger.transaction():
            self._ledger.note_gone(str(self._inbox))
        for _depth in range(ARCHIVE_DEPTH):
            if not self._unpack_archives():
                break
        with self._ledger.transaction():
            deeper = self._ledger.files("kind = 'archive' AND outcome = ?", (Outcome.WAITING,))
            self._ledger.settle([(row.id, Outcome.QUARANTINED, "ARCHIVE_DEPTH", None, None) for row in list(deeper)])

    def _check_labels(self) -> None:
        """Refuse a key, or labels of the steward, that would give published subjects another pseudonym.

        Raises
        ------
        KeyFileError
            When there is such a subject.
        """
        changed = sum(
            self._pseudonyms.subject(patient_id, birth_date, sex, fallback).label != label
            for label, patient_id, birth_date, sex, fallback in self._ledger.subjects()
        )
        if changed:
            raise KeyFileError(f"it gives {changed} known subjects another label; put the former key and labels back")

    def _take_note(self, found: Iterator[FoundFile]) -> None:
        """Classify the files that no earlier run saw as they are now."""
        new: list[FoundFile] = []
        while chunk := list(islice(found, LOOKUP_CHUNK)):
            self.seen += len(chunk)
            new += self._ledger.unknown(chunk)
        self.new += len(new)
        if not new:
            return
        self._progress.begin("Reading headers", len(new))
        chunks = [new[start : start + SCAN_CHUNK] for start in range(0, len(new), SCAN_CHUNK)]
        for facts, identifiers in self._pool().map(workers.scan_files, chunks):
            with self._ledger.transaction():
                self._ledger.record(_row(one) for one in facts)
                for key, found_identifiers in identifiers.items():
                    self._ledger.add_identifiers(key, pickle.dumps(found_identifiers))
            self._progress.advance(len(facts))

    def _unpack_archives(self) -> bool:
        """Unpack the zip and tar files that wait, into the identified zone; say whether there were any."""
        limit = int(self._settings.inbox.unpacked_limit_gib * 2**30)
        waiting = list(self._ledger.files("kind = 'archive' AND outcome = ?", (Outcome.WAITING,)))
        for row in waiting:
            target = self._unpacked / (row.sha256 or "")[:16]
            code, outcome = "ARCHIVE_UNPACKED", Outcome.IGNORED
            try:
                unpack(Path(row.path), target, limit=limit)
            except ArchiveError as error:
                code, outcome = error.code, Outcome.QUARANTINED
            else:
                self._take_note(walk(target))
            with self._ledger.transaction():
                self._ledger.settle([(row.id, outcome, code, None, None)])
        return bool(waiting)

    def tidy(self) -> None:
        """Remove what was unpacked and is published; what waits or is in quarantine is still needed."""
        for folder in self._unpacked.iterdir() if self._unpacked.is_dir() else ():
            if not self._ledger.needs_below(str(folder)):
                shutil.rmtree(folder, ignore_errors=True)

    # grouping

    def group(self) -> None:
        """Put what has no delivery yet into one; the order of arrival decides nothing."""
        fresh: dict[str, list[FileRow]] = {}
        recordings, tables = [], []
        for row in self._ledger.files("delivery IS NULL AND outcome = ?", (Outcome.WAITING,)):
            if row.kind == "dicom":
                fresh.setdefault(row.facts["key"], []).append(row)
            elif row.kind == "physio":
                recordings.append(row)
            elif row.kind == "lab":
                tables.append(row)
        retry = self._ledger.files("delivery IS NULL AND code = ?", ("PHYSIO_NO_SESSION",))
        recordings += list(retry)
        with self._ledger.transaction():
            for key, rows in sorted(fresh.items(), key=lambda item: _order(item[1])):
                self._assign_session(key, rows)
            for row in recordings:
                self._assign_recording(row)
            for row in tables:
                self._assign_table(row)

    def _assign_session(self, key: str, rows: Sequence[FileRow]) -> None:
        delivery = self._ledger.delivery(key)
        if delivery is None:
            facts = first_row(rows).facts
            subject = self.subject(facts)
            self._ledger.remember_subject(
                subject.label, facts["patient_id"], facts["birth_date"], facts["sex"], _fallback(facts)
            )
            studied = study_date(rows)
            identifier = self._ledger.add_delivery(
                key=key,
                kind="session",
                project=self._project(rows),
                subject=subject.label,
                session=SessionLabeler(self._ledger.sessions_of(subject.label)).label(studied, subject.days),
                patient_id=facts["patient_id"],
                study_date=studied.isoformat() if studied else None,
            )
        else:
            identifier = delivery.id
            self._ledger.set_state(identifier, DeliveryState.WAITING)
        self._ledger.assign([row.id for row in rows], identifier)

    def _assign_recording(self, row: FileRow) -> None:
        path = PurePosixPath(row.path)
        below = path.relative_to(self._inbox) if path.is_relative_to(self._inbox) else PurePosixPath(path.name)
        name = physio.identify(below, self._physio)
        matches = []
        if name is not None and (name.patient_id or name.day):
            matches = self._ledger.sessions_on(name.patient_id, name.day.isoformat() if name.day else None)
        if len(matches) != 1:
            code = "PHYSIO_AMBIGUOUS" if matches else "PHYSIO_NO_SESSION"
            self._ledger.settle([(row.id, Outcome.QUARANTINED, code, None, None)])
            return
        self._ledger.assign([row.id], matches[0])
        self._ledger.settle([(row.id, Outcome.WAITING, None, None, None)])
        self._ledger.set_state(matches[0], DeliveryState.WAITING)

    def _assign_table(self, row: FileRow) -> None:
        # After a change of the rules the same table is another delivery: what was refused can be taken now.
        rules = self._settings.rules("lab.yml").read_bytes()
        key = f"lab-{delivery_key(row.sha256 or '', hashlib.sha256(rules).hexdigest())}"
        delivery = self._ledger.delivery(key)
        if delivery is not None:
            self._ledger.assign([row.id], delivery.id)
            self._ledger.settle([(row.id, Outcome.IGNORED, "DUPLICATE_TABLE", None, None)])
            return
        identifier = self._ledger.add_delivery(key=key, kind="lab", project=self._settings.projects.default)
        self._ledger.assign([row.id], identifier)

    def subject(self, facts: Mapping[str, str]) -> Subject:
        """Give the pseudonym of whom the header of a file names."""
        return self._pseudonyms.subject(facts["patient_id"], facts["birth_date"], facts["sex"], _fallback(facts))

    def _project(self, rows: Sequence[FileRow]) -> str:
        first = first_row(rows)
        path = PurePosixPath(first.path)
        folder = path.relative_to(self._inbox).parent.as_posix() if path.is_relative_to(self._inbox) else ""
        for rule in self._settings.projects.rules:
            tests = (
                (rule.study_description, first.facts["study_description"]),
                (rule.inbox_folder, folder),
                (rule.station_name, first.facts["station_name"]),
            )
            if all(pattern is None or re.search(pattern, text) for pattern, text in tests):
                return rule.project
        return self._settings.projects.default

    def is_complete(self, delivery: Delivery) -> bool:
        """Say whether all files of a delivery have come, as far as one can tell."""
        rows = list(self._ledger.files("delivery = ? AND outcome = ?", (delivery.id, Outcome.WAITING)))
        own = (self._inbox, self._unpacked)
        if self._complete and any(Path(row.path).is_relative_to(folder) for row in rows for folder in own):
            return True
        if all(_is_marked(row.path, self._inbox) for row in rows):
            return True
        newest = max((_arrival(row) for row in rows), default=0.0)
        return time.time() - newest >= self._settings.inbox.quiet_minutes * 60


def _row(one: FileFacts) -> FileRow:
    dicom = one.dicom
    outcome = Outcome.WAITING
    if one.code is not None:
        quarantined = ISSUES[one.code].severity is Severity.QUARANTINE
        outcome = Outcome.QUARANTINED if quarantined else Outcome.IGNORED
    facts = one.facts()
    if dicom is not None and one.code is None:
        facts["key"] = workers.session_key(one)
    return FileRow(
        path=one.found.path,
        size=one.found.size,
        mtime_ns=one.found.mtime_ns,
        sha256=one.sha256,
        kind=one.kind,
        series=dicom.series if dicom else None,
        instance=dicom.instance if dicom else None,
        facts=facts,
        outcome=outcome,
        code=one.code,
    )


def first_row(rows: Sequence[FileRow]) -> FileRow:
    """Give the row that stands for a session: the same one whatever the order of arrival."""
    return min(rows, key=lambda row: (row.facts["series_number"], row.facts["instance_number"], row.instance or ""))


def study_date(rows: Sequence[FileRow]) -> date | None:
    """Give the true day of a session: the earliest valid date in its headers."""
    dates = sorted(day for row in rows if (day := valid_date(row.facts["study_date"])))
    return dates[0] if dates else None


def _order(rows: Sequence[FileRow]) -> tuple[str, str, str]:
    """Order new sessions by when they took place, then by their study."""
    first = first_row(rows)
    return first.facts["study_date"], first.facts["study_time"], first.facts["study"]


def _fallback(facts: Mapping[str, str]) -> str:
    """Give what stands for a missing PatientID: name and birth date, else the study alone."""
    if facts["patient_name"]:
        return f"{facts['patient_name']}|{facts['birth_date']}"
    return facts["study"]


def _arrival(row: FileRow) -> float:
    """Give when a file came, in seconds: a copy keeps its modification time, so the change time counts too."""
    try:
        status = Path(row.path).stat()
    except OSError:
        return 0.0
    return max(status.st_mtime, status.st_ctime)


def _is_marked(path: str, inbox: Path) -> bool:
    """Say whether a `.complete` file stands beside or above a file."""
    folder = Path(path).parent
    while folder.is_relative_to(inbox):
        if (folder / COMPLETE_NAME).exists():
            return True
        if folder == inbox:
            return False
        folder = folder.parent
    return False
