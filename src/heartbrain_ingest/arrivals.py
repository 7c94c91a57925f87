"""What arrived: read headers, unpack archives, and put every file into a delivery, never by name or order."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
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
from heartbrain_ingest.inbox.files import COMPLETE_NAME, arrival_time, describe
from heartbrain_ingest.issues import ISSUES, Severity
from heartbrain_ingest.ledger import Delivery, DeliveryState, FileRow, Ledger, Outcome
from heartbrain_ingest.pool import WorkerPool
from heartbrain_ingest.recordings import SessionFinder
from heartbrain_ingest.report import Progress
from heartbrain_ingest.settings import Settings

SCAN_CHUNK = 96
LOOKUP_CHUNK = 2000
#: Archives within archives are unpacked so deep.
ARCHIVE_DEPTH = 3
#: What a file that is still being written looks like.
UNFINISHED = frozenset({"EMPTY_FILE", "TRUNCATED_DICOM", "INVALID_DICOM", "DAMAGED_ARCHIVE"})
#: Dates of one study that are further apart are two visits; a scan may go on over midnight. Unit: days.
MIDNIGHT = 1


@dataclass(kw_only=True)
class _Fresh:
    """What must be known of new files of one study and day to put them into a session: not each of them."""

    first: FileRow
    day: date | None
    ids: list[int] = field(default_factory=list)

    def add(self, row: FileRow) -> None:
        self.ids.append(row.id)
        self.first = min(self.first, row, key=_place_in_session)

    def merge(self, other: _Fresh) -> None:
        self.ids += other.ids
        self.first = min(self.first, other.first, key=_place_in_session)

    @property
    def order(self) -> tuple[str, str, str]:
        """Order new sessions by when they took place, then by their study."""
        facts = self.first.facts
        return facts["study_date"], facts["study_time"], facts["study"]


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
        The worker processes, which are started only when something is new.
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
        dated: bool,
        pool: WorkerPool,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._inbox = inbox
        self._complete = complete
        self._pseudonyms = pseudonyms
        self._sessions = SessionFinder(
            ledger=ledger,
            rules=rules,
            inbox=inbox,
            archive=settings.folders.archive,
            withheld=settings.withheld,
            keyed=pseudonyms.uuid,
        )
        #: Whether sessions are named by their shifted date.
        self._dated = dated
        self._pool = pool
        self._progress = progress
        self._unpacked = settings.folders.state / "unpacked"
        self._marked = _marker(str(inbox))
        #: Files that were found, and those of them that no earlier run saw as they are now.
        self.seen = 0
        self.new = 0
        #: Folders that could not be looked into.
        self._hidden: list[str] = []
        #: Folders of unpacked archives whose files were counted.
        self._looked_into: set[Path] = set()

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
        self.check_labels()
        self._take_note(self._walk())
        self._take_note(self._released_members())
        with self._ledger.transaction():
            self._ledger.note_gone(str(self._inbox), self._hidden)
        for _depth in range(ARCHIVE_DEPTH):
            if not self._unpack_archives():
                break
        with self._ledger.transaction():
            deeper = self._ledger.files(_ARCHIVES, (Outcome.WAITING,))
            self._ledger.settle([(row.id, Outcome.QUARANTINED, "ARCHIVE_DEPTH", None, None) for row in list(deeper)])

    def _walk(self) -> Iterator[FoundFile]:
        """Walk through the inbox; remember the folders that it could not look into."""
        for one in walk(self._inbox):
            if one.code == "UNREADABLE_FILE":
                self._hidden.append(one.path)
            yield one

    def check_labels(self) -> None:
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
        new = self._without_touched(new)
        self.new += len(new)
        if not new:
            return
        if self._ledger.decisions():
            new = [replace(one, waived=tuple(self._ledger.waivers_of(one.path))) for one in new]
        self._progress.begin("Reading headers", len(new))
        chunks = [new[start : start + SCAN_CHUNK] for start in range(0, len(new), SCAN_CHUNK)]
        for facts, identifiers in self._scanned(chunks):
            with self._ledger.transaction():
                self._ledger.record([self._row(one) for one in facts])
                for key, found_identifiers in identifiers.items():
                    self._ledger.add_identifiers(key, pickle.dumps(found_identifiers))
            self._progress.advance(len(facts))

    def _scanned(self, chunks: Sequence[Sequence[FoundFile]]) -> Iterator[workers.Scanned]:
        """Read headers; after a worker was killed, what is left goes to others in ever smaller pieces.

        A file that gets a worker killed when it is read alone is refused.
        """
        done = 0
        pool = self._pool.executor()
        try:
            for one in pool.map(workers.scan_files, chunks):
                yield one
                done += 1
        except BrokenExecutor:
            self._pool.renew(pool)
            for chunk in chunks[done:]:
                yield from self._scanned_again(chunk)

    def _scanned_again(self, chunk: Sequence[FoundFile]) -> Iterator[workers.Scanned]:
        pool = self._pool.executor()
        try:
            yield pool.submit(workers.scan_files, chunk).result()
        except BrokenExecutor:
            self._pool.renew(pool)
            if len(chunk) == 1:
                yield [FileFacts(found=chunk[0], kind="other", code="INVALID_DICOM")], {}
                return
            middle = len(chunk) // 2
            for half in (chunk[:middle], chunk[middle:]):
                yield from self._scanned_again(half)

    def _without_touched(self, files: Sequence[FoundFile]) -> list[FoundFile]:
        """Leave out files that have another time, but the content that is published."""
        known = {one.path: digest for one in files if (digest := self._ledger.published_digest(one.path, one.size))}
        candidates = [one for one in files if one.path in known and one.readable]
        chunks = [candidates[start : start + SCAN_CHUNK] for start in range(0, len(candidates), SCAN_CHUNK)]
        same: list[FoundFile] = []
        for chunk, digests in zip(
            chunks, self._pool.executor().map(workers.digest_files, chunks) if chunks else (), strict=True
        ):
            same += [one for one, digest in zip(chunk, digests, strict=True) if digest == known[one.path]]
        with self._ledger.transaction():
            self._ledger.retime(same)
        paths = {one.path for one in same}
        return [one for one in files if one.path not in paths]

    def _released_members(self) -> Iterator[FoundFile]:
        """Give the released members of archives: no walk through the inbox meets them."""
        folder = str(self._unpacked)
        rows = self._ledger.files("outcome = ? AND code = 'RELEASED'", (Outcome.WAITING,))
        for row in [row for row in rows if row.path.startswith(f"{folder}/") and Path(row.path).exists()]:
            yield describe(row.path, self._unpacked)

    def _unpack_archives(self) -> bool:
        """Unpack the zip and tar files that wait, into the identified zone; say whether there were any."""
        limit = int(self._settings.inbox.unpacked_limit_gib * 2**30)
        waiting = list(self._ledger.files(_ARCHIVES, (Outcome.WAITING,)))
        for row in waiting:
            target = self._unpacked / (row.sha256 or "")[:16]
            code, outcome = "ARCHIVE_UNPACKED", Outcome.IGNORED
            if not self._has_arrived(row.path):
                # Its directory stands at the end of a zip file: it can't be read before it is all there.
                code, outcome = "FILE_GROWING", Outcome.WAITING
            else:
                try:
                    unpack(Path(row.path), target, limit=limit)
                except ArchiveError as error:
                    code, outcome = error.code, Outcome.QUARANTINED
                else:
                    if target not in self._looked_into:  # the same archive can lie there under two names
                        self._take_note(walk(target))
                    self._looked_into.add(target)
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
        fresh: dict[tuple[str, date | None], _Fresh] = {}
        recordings, tables = [], []
        for row in self._ledger.files("delivery IS NULL AND outcome = ? AND code IS NULL", (Outcome.WAITING,)):
            if row.kind == "dicom":
                day = valid_date(row.facts["study_date"])
                fresh.setdefault((row.facts["key"], day), _Fresh(first=row, day=day)).add(row)
            elif row.kind == "physio":
                recordings.append(row)
            elif row.kind == "lab":
                tables.append(row)
        retry = self._ledger.files(
            "delivery IS NULL AND kind = 'physio' AND code IN (?, ?)", ("PHYSIO_NO_SESSION", "PHYSIO_AMBIGUOUS")
        )
        recordings += list(retry)
        with self._ledger.transaction():
            for key, one in sorted(_visits(fresh), key=lambda item: item[1].order):
                self._assign_session(key, one)
            for row in recordings:
                self._assign_recording(row)
            for row in tables:
                self._assign_table(row)
            for file, delivery in self._ledger.orphaned_tables():
                self._ledger.settle([(file, Outcome.WAITING, None, None, None)])
                self._ledger.set_state(delivery, DeliveryState.WAITING)

    def _assign_session(self, key: str, fresh: _Fresh) -> None:
        known = self._ledger.visits(key)
        match = next((one for one, day in known if _is_same_visit(fresh.day, day)), None)
        if match is not None:
            self._ledger.set_state(match, DeliveryState.WAITING)
            self._ledger.assign(fresh.ids, match)
            return
        facts = fresh.first.facts
        subject = self.subject(facts)
        self._ledger.remember_subject(
            subject.label, facts["patient_id"], facts["birth_date"], facts["sex"], _fallback(facts)
        )
        identifier = self._ledger.add_delivery(
            key=visit_key(key, fresh.day) if known else key,
            kind="session",
            project=self._project(fresh.first),
            subject=subject.label,
            session=SessionLabeler(self._ledger.sessions_of(subject.label)).label(
                fresh.day if self._dated else None, subject.days
            ),
            patient_id=facts["patient_id"],
            study_date=fresh.day.isoformat() if fresh.day else None,
        )
        self._ledger.assign(fresh.ids, identifier)

    def _assign_recording(self, row: FileRow) -> None:
        try:
            delivery = self._sessions.find(row)
        except physio.RecordingError as error:
            self._ledger.settle([(row.id, Outcome.QUARANTINED, error.code, None, None)])
            return
        self._ledger.assign([row.id], delivery)
        self._ledger.settle([(row.id, Outcome.WAITING, None, None, None)])
        self._ledger.set_state(delivery, DeliveryState.WAITING)

    def _assign_table(self, row: FileRow) -> None:
        # After a change of the rules the same table is another delivery: what was refused can be taken now.
        rules = self._settings.rules("lab.yml").read_bytes()
        key = f"lab-{delivery_key(row.sha256 or '', hashlib.sha256(rules).hexdigest())}"
        delivery = self._ledger.delivery(key)
        if delivery is not None:
            came_back = delivery.revision == 0 and self._ledger.is_deserted(delivery.id)
            self._ledger.assign([row.id], delivery.id)
            if came_back:
                self._ledger.set_state(delivery.id, DeliveryState.WAITING)
            else:
                self._ledger.settle([(row.id, Outcome.IGNORED, "DUPLICATE_TABLE", None, None)])
            return
        identifier = self._ledger.add_delivery(key=key, kind="lab", project=self._settings.projects.default)
        self._ledger.assign([row.id], identifier)

    def subject(self, facts: Mapping[str, str]) -> Subject:
        """Give the pseudonym of whom the header of a file names."""
        return self._pseudonyms.subject(facts["patient_id"], facts["birth_date"], facts["sex"], _fallback(facts))

    def _project(self, first: FileRow) -> str:
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
        paths = self._ledger.waiting_paths(delivery.id)
        if any(path.startswith(tuple(f"{folder}/" for folder in self._hidden)) for path in paths):
            return False  # nobody can see how far it is
        own = tuple(f"{folder}/" for folder in (self._inbox, self._unpacked))
        if self._complete and any(path.startswith(own) or path == str(self._inbox) for path in paths):
            return True
        newest = max((arrival_time(path) for path in paths), default=0.0)
        return time.time() - newest >= self._quiet or all(self._marked(path.rpartition("/")[0]) for path in paths)

    @property
    def _quiet(self) -> float:
        return self._settings.inbox.quiet_minutes * 60

    def _has_arrived(self, path: str) -> bool:
        """Say whether a file can be taken as it is: nobody is writing it any more, as far as one can tell."""
        if self._complete or path.startswith(f"{self._unpacked}/") or self._marked(path.rpartition("/")[0]):
            return True
        return time.time() - arrival_time(path) >= self._quiet

    def _row(self, one: FileFacts) -> FileRow:
        """Give the row of a file; what looks unfinished and is young is not judged yet."""
        row = _row(one)
        if row.code in UNFINISHED and not self._has_arrived(row.path):
            return replace(row, outcome=Outcome.WAITING, code="FILE_GROWING")
        return row


#: Archives that nobody has looked into.
_ARCHIVES = "kind = 'archive' AND outcome = ? AND code IS NULL"


def _row(one: FileFacts) -> FileRow:
    dicom = one.dicom
    outcome = Outcome.WAITING
    if one.code is not None:
        quarantined = ISSUES[one.code].severity is Severity.QUARANTINE
        outcome = Outcome.QUARANTINED if quarantined else Outcome.IGNORED
    facts = one.facts()
    if (dicom is not None and one.code is None) or one.kind == "physio":
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


def _visits(fresh: Mapping[tuple[str, date | None], _Fresh]) -> Iterator[tuple[str, _Fresh]]:
    """Give the visits among new files as (study key, files): days that follow each other are one visit.

    What has no day belongs to the first visit of its study.
    """
    studies: dict[str, list[_Fresh]] = {}
    for (key, _day), one in sorted(fresh.items(), key=lambda item: (item[0][0], item[0][1] or date.max)):
        visits = studies.setdefault(key, [])
        if visits and one.day is None:
            visits[0].merge(one)
        elif visits and _is_same_visit(one.day, visits[-1].day):
            visits[-1].merge(one)
        else:
            visits.append(one)
    for key, visits in studies.items():
        yield from ((key, one) for one in visits)


def _is_same_visit(one: date | None, other: date | None) -> bool:
    return one is None or other is None or abs((one - other).days) <= MIDNIGHT


def visit_key(study: str, day: date | None) -> str:
    """Give the key of a further visit that came with the StudyInstanceUID of another one."""
    return f"{study}@{day}"


def study_key(delivery: str) -> str:
    """Give the key of the study that a session's key belongs to."""
    return delivery.partition("@")[0]


def first_row(rows: Sequence[FileRow]) -> FileRow:
    """Give the row that stands for a session: the same one whatever the order of arrival."""
    return min(rows, key=_place_in_session)


def study_date(rows: Sequence[FileRow]) -> date | None:
    """Give the true day of a session: the earliest valid date in its headers."""
    dates = sorted(day for row in rows if (day := valid_date(row.facts["study_date"])))
    return dates[0] if dates else None


def _fallback(facts: Mapping[str, str]) -> str:
    """Give what stands for a missing PatientID: name and birth date, else the study alone."""
    if facts["patient_name"]:
        return f"{facts['patient_name']}|{facts['birth_date']}"
    return facts["study"]


def _place_in_session(row: FileRow) -> tuple[int, int, str]:
    return row.facts["series_number"], row.facts["instance_number"], row.instance or ""


def _marker(inbox: str) -> Callable[[str], bool]:
    """Give a function that says whether a `.complete` file stands in a folder or above it, within the inbox."""

    @lru_cache(maxsize=100_000)
    def is_marked(folder: str) -> bool:
        if folder != inbox and not folder.startswith(f"{inbox}/"):
            return False
        if os.path.lexists(f"{folder}/{COMPLETE_NAME}"):
            return True
        return folder != inbox and is_marked(folder.rpartition("/")[0])

    return is_marked
