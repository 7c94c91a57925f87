"""The nightly run: inbox -> de-identify -> convert -> name -> audit -> publish -> crawl, delivery by delivery.

Every step is idempotent. What is decided stands in the ledger before it is done, so that a run that was killed
anywhere is taken up by the next one with the same result.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pickle
import re
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Protocol

from heartbrain_ingest import crawl, laboratory, physio, workers
from heartbrain_ingest.bids import load_naming_rules
from heartbrain_ingest.deidentify import Identifiers, Pseudonyms, Subject, load_rules
from heartbrain_ingest.errors import BusyError, DatabaseError, HeartbrainError, LedgerError, SettingsError
from heartbrain_ingest.filesystem import EXPERIMENTAL_DATA, delivery_folder, memory_folder, publish
from heartbrain_ingest.inbox import ArchiveError, FileFacts, FoundFile, SessionLabeler, unpack, valid_date, walk
from heartbrain_ingest.inbox.files import COMPLETE_NAME
from heartbrain_ingest.issues import ISSUES, Severity
from heartbrain_ingest.lab import SubjectRef
from heartbrain_ingest.ledger import Delivery, DeliveryState, FileRow, Ledger, Outcome, Settled
from heartbrain_ingest.session import BuildTools, BuiltSession, FileOutcome, SessionBuilder, SessionPlan
from heartbrain_ingest.settings import Settings

log = logging.getLogger(__name__)

SCAN_CHUNK = 96
LOOKUP_CHUNK = 2000
#: Archives within archives are unpacked so deep.
ARCHIVE_DEPTH = 3
#: Sessions that are built at the same time, so that workers are busy while one session waits for its last series.
SESSIONS_AT_ONCE = 2


class Progress(Protocol):
    """What shows how far a run is."""

    def begin(self, what: str, total: int | None) -> None:
        """Start a new stage of so many steps (None: unknown)."""

    def advance(self, steps: int = 1) -> None:
        """Count steps."""


class NoProgress:
    """Shows nothing."""

    def begin(self, what: str, total: int | None) -> None:
        """Show nothing."""

    def advance(self, steps: int = 1) -> None:
        """Show nothing."""


@dataclass(kw_only=True)
class RunReport:
    """What a run did."""

    #: Files in the inbox.
    seen: int = 0
    #: Files that were not there, or other ones, at the last run.
    new: int = 0
    #: Files of this inbox by (outcome, code).
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: Folders published by this run, relative to the archive.
    published: list[str] = field(default_factory=list)
    inserted: int = 0
    updated: int = 0
    #: Codes noted for what is published all the same.
    warnings: Counter[str] = field(default_factory=Counter)
    #: Deliveries that are not complete yet.
    waiting: int = 0
    #: Deliveries that this run refused, by code.
    refused: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 when all is well, 1 when the steward should look at something that this run met."""
        refused = any(
            ISSUES[code].severity is Severity.QUARANTINE
            for (outcome, code), count in self.outcomes.items()
            if outcome == Outcome.QUARANTINED and count
        )
        return 1 if refused or self.refused or self.warnings.get("UNCLASSIFIED") else 0


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What the command line can ask of a run."""

    inbox: Path | None = None
    #: Say what would be done; write nothing but the ledger's knowledge of files.
    dry_run: bool = False
    #: Only the session with this label, such as `ses-20230504`.
    session: str | None = None
    jobs: int | None = None


class Run:
    """One run over an inbox.

    Parameters
    ----------
    settings
        The site.
    options
        What the command line asks.
    progress
        Shows how far the run is.
    """

    def __init__(self, settings: Settings, options: RunOptions, progress: Progress | None = None) -> None:
        self._settings = settings
        self._options = options
        self._progress: Progress = progress or NoProgress()
        self._report = RunReport()
        self._inbox = (options.inbox or settings.folders.inbox).resolve()
        # A folder that is named on the command line is complete: whoever names it says so.
        self._complete = options.inbox is not None
        self._pseudonyms = Pseudonyms.load(settings.key_file)
        self._rules = load_rules(settings.rules("deidentification.yml"))
        self._naming = load_naming_rules(settings.rules("bids_rules.yml"))
        self._physio = physio.load_rules(settings.rules("physio.yml"))
        self._ledger = Ledger(settings.ledger)
        self._scratch = settings.folders.state / "scratch"
        self._unpacked = settings.folders.state / "unpacked"
        self._memory = memory_folder(settings.folders.state) if settings.conversion.memory_scratch_mib else None
        self._executor: Executor | None = None
        self._connected = False
        self._trouble: DatabaseError | None = None

    def execute(self) -> RunReport:
        """Do the run.

        Raises
        ------
        BusyError
            When another run works on the archive.
        LedgerError
            When the files do not add up at the end.
        DatabaseError
            When LinkAhead did not take the records; what is published stays published.
        """
        began = time.monotonic()
        try:
            with exclusive(self._settings):
                self._recover()
                self._scan()
                self._group()
                if not self._options.dry_run:
                    self._crawl()
                    self._publish_deliveries()
                self._balance()
                self._tidy_unpacked()
        finally:
            if self._executor is not None:
                self._executor.shutdown(cancel_futures=True)
            if self._memory is not None:
                shutil.rmtree(self._memory, ignore_errors=True)
            self._ledger.close()
        if self._trouble is not None:
            raise self._trouble
        self._report.seconds = time.monotonic() - began
        return self._report

    # taking up an interrupted run

    def _recover(self) -> None:
        """Finish or undo what an interrupted run left between its decision and its rename."""
        for folder in (self._settings.folders.staging, self._scratch):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._memory is not None:
            shutil.rmtree(self._memory, ignore_errors=True)
        for delivery in self._ledger.deliveries(DeliveryState.PUBLISHING):
            if delivery.target and (self._settings.folders.archive / delivery.target).is_dir():
                self._mark_published(delivery.id, delivery.target)
            else:
                with self._ledger.transaction():
                    self._ledger.drop_outcomes(delivery.id)
                    self._ledger.set_state(delivery.id, DeliveryState.WAITING)

    def _mark_published(self, delivery: int, target: str) -> None:
        with self._ledger.transaction():
            self._ledger.apply_outcomes(delivery)
            self._ledger.add_folder(delivery, target)
            self._ledger.set_state(delivery, DeliveryState.PUBLISHED)

    # scan

    def _scan(self) -> None:
        """Read the headers of what is new."""
        self._progress.begin("Looking through the inbox", None)
        if not os.access(self._inbox, os.R_OK):
            raise SettingsError("the inbox can't be read; it needs to exist and to be open to this user")
        self._take_note(walk(self._inbox))
        for _depth in range(ARCHIVE_DEPTH):
            if not self._unpack_archives():
                break
        with self._ledger.transaction():
            deeper = self._ledger.files("kind = 'archive' AND outcome = ?", (Outcome.WAITING,))
            self._ledger.settle([(row.id, Outcome.QUARANTINED, "ARCHIVE_DEPTH", None, None) for row in list(deeper)])

    def _take_note(self, found: Iterator[FoundFile]) -> None:
        """Classify the files that no earlier run saw as they are now."""
        new: list[FoundFile] = []
        while chunk := list(islice(found, LOOKUP_CHUNK)):
            self._report.seen += len(chunk)
            new += self._ledger.unknown(chunk)
        self._report.new += len(new)
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

    def _tidy_unpacked(self) -> None:
        """Remove what was unpacked and is published; what waits or is in quarantine is still needed."""
        for folder in self._unpacked.iterdir() if self._unpacked.is_dir() else ():
            if not self._ledger.needs_below(str(folder)):
                shutil.rmtree(folder, ignore_errors=True)

    # grouping

    def _group(self) -> None:
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
            facts = _first(rows).facts
            subject = self._subject(facts)
            self._ledger.remember_subject(
                subject.label, facts["patient_id"], facts["birth_date"], facts["sex"], _fallback(facts)
            )
            studied = _study_date(rows)
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
        if name is not None and name.patient_id and name.day:
            matches = self._ledger.sessions_on(name.patient_id, name.day.isoformat())
        if len(matches) != 1:
            code = "PHYSIO_AMBIGUOUS" if matches else "PHYSIO_NO_SESSION"
            self._ledger.settle([(row.id, Outcome.QUARANTINED, code, None, None)])
            return
        self._ledger.assign([row.id], matches[0])
        self._ledger.settle([(row.id, Outcome.WAITING, None, None, None)])
        self._ledger.set_state(matches[0], DeliveryState.WAITING)

    def _assign_table(self, row: FileRow) -> None:
        key = f"lab-{row.sha256}"
        delivery = self._ledger.delivery(key)
        if delivery is not None:
            self._ledger.assign([row.id], delivery.id)
            self._ledger.settle([(row.id, Outcome.IGNORED, "DUPLICATE_TABLE", None, None)])
            return
        identifier = self._ledger.add_delivery(key=key, kind="lab", project=self._settings.projects.default)
        self._ledger.assign([row.id], identifier)

    def _subject(self, facts: dict[str, str]) -> Subject:
        return self._pseudonyms.subject(facts["patient_id"], facts["birth_date"], facts["sex"], _fallback(facts))

    def _project(self, rows: Sequence[FileRow]) -> str:
        first = _first(rows)
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

    # building and publishing

    def _publish_deliveries(self) -> None:
        waiting = self._ledger.deliveries(DeliveryState.WAITING)
        ready = [delivery for delivery in waiting if self._is_wanted(delivery) and self._is_complete(delivery)]
        self._report.waiting = len(waiting) - len(ready)
        sessions = [delivery for delivery in ready if delivery.kind == "session"]
        if sessions:
            self._publish_sessions(sessions)
        for delivery in ready:
            if delivery.kind == "lab":
                self._publish_table(delivery)

    def _is_wanted(self, delivery: Delivery) -> bool:
        wanted = self._options.session
        return wanted is None or (delivery.session or "") == wanted.removeprefix("ses-")

    def _is_complete(self, delivery: Delivery) -> bool:
        if self._complete:
            return True
        rows = list(self._ledger.files("delivery = ? AND outcome = ?", (delivery.id, Outcome.WAITING)))
        if all(_is_marked(row.path, self._inbox) for row in rows):
            return True
        newest = max((_arrival(row) for row in rows), default=0.0)
        return time.time() - newest >= self._settings.inbox.quiet_minutes * 60

    def _publish_sessions(self, deliveries: Sequence[Delivery]) -> None:
        total = sum(self._ledger.count_files(delivery.id) for delivery in deliveries)
        self._progress.begin("Preparing sessions", total)
        tools = self._build_tools()
        # Work that is done in this process must not be done twice at a time: it changes process-wide warning filters.
        at_once = 1 if isinstance(tools.pool, workers.SerialExecutor) else SESSIONS_AT_ONCE
        with ThreadPoolExecutor(at_once) as builders:
            running: list[tuple[Delivery, SessionPlan, Future[BuiltSession], Path]] = []
            for delivery in deliveries:
                plan = self._plan(delivery)
                work = Path(f"{delivery.id}-{secrets.token_hex(4)}")
                future = builders.submit(self._build, plan, tools, work)
                running.append((delivery, plan, future, work))
                if len(running) > at_once:
                    self._finish(*running.pop(0))
            while running:
                self._finish(*running.pop(0))

    def _build_tools(self) -> BuildTools:
        settings = self._settings
        return BuildTools(
            pool=self._pool(),
            naming=self._naming,
            physio=self._physio,
            rules_digest=self._rules.digest,
            profile=[meaning for _code, meaning in self._rules.codes],
            responsible=settings.responsible,
            fidelity=settings.conversion.fidelity == "all",
            compression_level=settings.conversion.compression_level,
            timeout_s=settings.conversion.timeout_minutes * 60,
            memory_scratch=settings.conversion.memory_scratch_mib * 2**20,
            archive=settings.folders.archive,
            inbox=self._inbox,
        )

    def _plan(self, delivery: Delivery) -> SessionPlan:
        rows = list(self._ledger.files("delivery = ? AND kind = 'dicom'", (delivery.id,)))
        recordings = list(self._ledger.files("delivery = ? AND kind = 'physio'", (delivery.id,)))
        facts = _first(rows).facts
        subject = self._subject(facts)
        studied = _study_date(rows)
        day = studied + timedelta(days=subject.days) if studied else None
        tag = f"sub-{subject.label}_ses-{delivery.session}"
        revision = delivery.revision + 1
        folder = delivery_folder(delivery.project or "", day, tag, revision)
        codes = [] if studied else ["UNDATED_SESSION"]
        labels = {label for label, *_ in self._ledger.identities(facts["patient_id"])}
        codes += ["SUBJECT_CONFLICT"] if facts["patient_id"] and len(labels) > 1 else []
        codes += ["LATE_FILES"] if revision > 1 else []
        return SessionPlan(
            project=delivery.project or "",
            subject=subject,
            session=delivery.session or "",
            day=day,
            age=_age(facts["birth_date"], studied),
            revision=revision,
            revision_of=PurePosixPath(delivery.folder).name if delivery.folder else None,
            folder_name=PurePosixPath(folder).name,
            rows=rows,
            recordings=recordings,
            identifiers=self._identifiers(delivery.key),
            codes=tuple(codes),
        )

    def _identifiers(self, key: str) -> Identifiers:
        merged = Identifiers()
        for content in self._ledger.identifiers(key):
            merged |= pickle.loads(content)  # noqa: S301 - our own bytes, from the identified zone
        return merged

    def _build(self, plan: SessionPlan, tools: BuildTools, work: Path) -> BuiltSession:
        scratch, stage = self._scratch / work, self._settings.folders.staging / work
        memory = self._memory / work if self._memory else None
        scratch.mkdir(parents=True)
        stage.mkdir(parents=True)
        if memory:
            memory.mkdir(parents=True, mode=0o700)
        try:
            advance = self._progress.advance
            builder = SessionBuilder(plan, tools, scratch=scratch, stage=stage, memory=memory, advance=advance)
            return builder.build()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            if memory:
                shutil.rmtree(memory, ignore_errors=True)

    def _finish(self, delivery: Delivery, plan: SessionPlan, future: Future[BuiltSession], work: Path) -> None:
        try:
            built = future.result()
        except (HeartbrainError, OSError):
            raise  # a missing program or a full disk is no fault of this session
        except Exception as error:  # noqa: BLE001 - one session's trouble must not keep the others from being published
            # The message may quote the data, so only its kind goes into the log.
            log.error("session of delivery %d failed: %s", delivery.id, type(error).__name__)
            built = BuiltSession(folder=None, code="INTERNAL_ERROR")
            built.outcomes = [
                FileOutcome(file_id=row.id, outcome=Outcome.QUARANTINED, code="INTERNAL_ERROR")
                for row in (*plan.rows, *plan.recordings)
                if row.outcome is Outcome.WAITING
            ]
        self._report.warnings.update(built.warnings)
        settled = [(one.file_id, one.outcome, one.code, one.destination, one.sha256) for one in built.outcomes]
        target = f"{EXPERIMENTAL_DATA}/{plan.project}/{plan.folder_name}"
        with self._ledger.transaction():
            for one in built.series:
                self._ledger.set_series(delivery.id, one.uid, one.number, one.code, one.report)
        if built.unchanged:
            with self._ledger.transaction():
                self._ledger.settle(settled)
                self._ledger.set_state(delivery.id, DeliveryState.PUBLISHED)
                if all(one != delivery.id for one, _folder in self._ledger.uncrawled()):
                    self._ledger.mark_crawled(delivery.id)
        elif self._publish(delivery.id, built.folder, target, settled, code=built.code):
            log.info("published %s", target)
            # The workers go on with the next sessions meanwhile.
            self._crawl()
        shutil.rmtree(self._settings.folders.staging / work, ignore_errors=True)

    def _publish(
        self, delivery: int, folder: Path | None, target: str, settled: Sequence[Settled], *, code: str | None
    ) -> bool:
        """Write the decision, rename, write that it is done."""
        if folder is None:
            with self._ledger.transaction():
                self._ledger.settle(settled)
                self._ledger.set_state(delivery, DeliveryState.QUARANTINED, code=code)
            self._report.refused[code or "NOT_CONVERTIBLE"] += 1
            return False
        with self._ledger.transaction():
            self._ledger.stage_outcomes(delivery, settled)
            self._ledger.set_state(delivery, DeliveryState.PUBLISHING, target=target)
        publish(folder, self._settings.folders.archive / target)
        self._mark_published(delivery, target)
        self._report.published.append(target)
        return True

    def _publish_table(self, delivery: Delivery) -> None:
        row = next(self._ledger.files("delivery = ? AND outcome = ?", (delivery.id, Outcome.WAITING)), None)
        if row is None:
            return
        work = self._settings.folders.staging / f"{delivery.id}-{secrets.token_hex(4)}"
        work.mkdir(parents=True)
        built = laboratory.build_delivery(
            Path(row.path),
            rules=self._settings.rules("lab.yml"),
            project=delivery.project or "",
            label=self._pseudonyms.device(row.sha256 or ""),
            responsible=self._settings.responsible,
            resolve=self._resolve_patient,
            stage=work,
        )
        self._report.warnings.update(built.warnings)
        outcome = Outcome.STORED if built.folder else Outcome.QUARANTINED
        place = f"{built.target}/laboratory.tsv" if built.folder else None
        settled = [(row.id, outcome, built.code, place, None)]
        if self._publish(delivery.id, built.folder, built.target, settled, code=built.code):
            self._crawl()
        shutil.rmtree(work, ignore_errors=True)

    def _resolve_patient(self, patient_id: str) -> SubjectRef | None:
        """Give the pseudonym of a PatientID; None when nobody, or more than one person, came with it."""
        known = self._ledger.identities(patient_id)
        labels = {label for label, *_ in known}
        if len(labels) != 1:
            return None
        _label, birth_date, sex, fallback = known[0]
        subject = self._pseudonyms.subject(patient_id, birth_date, sex, fallback)
        return SubjectRef(label=subject.name, days=subject.days, sex=sex if sex in {"F", "M", "O"} else None)

    # crawl

    def _crawl(self) -> None:
        """Make the records of every published folder that LinkAhead does not know yet.

        When LinkAhead does not answer, what is published stays published and the next run makes its records; the
        error is raised at the end of this one.
        """
        waiting = self._ledger.uncrawled()
        if not waiting or self._trouble is not None:
            return
        try:
            for delivery, folder in waiting:
                self._crawl_folder(delivery, folder)
        except DatabaseError as error:
            log.error("LinkAhead: %s", type(error).__name__)
            self._trouble = error

    def _crawl_folder(self, delivery: int, folder: str) -> None:
        settings = self._settings
        if not self._connected:
            crawl.connect(ini=settings.linkahead.ini, database=settings.database, file_root=settings.folders.archive)
            marker = settings.folders.state / "datamodel.loaded"
            crawl.load_datamodel(settings.rules("datamodel.yml"), marker=marker)
            self._connected = True
        result = crawl.crawl_delivery(
            settings.folders.archive / folder,
            archive=settings.folders.archive,
            cfood=settings.rules("cfood.yml"),
            identifiables=settings.rules("identifiables.yml"),
            server_root=settings.linkahead.server_root,
        )
        self._report.warnings.update(warning.code for warning in result.warnings)
        with self._ledger.transaction():
            self._ledger.set_crawled(folder)
            self._ledger.mark_crawled(delivery)
        self._report.inserted += result.inserted
        self._report.updated += result.updated

    # the sum

    def _balance(self) -> None:
        """Check that every file of the inbox is in the ledger exactly once, with an outcome.

        Raises
        ------
        LedgerError
            When the counts do not add up.
        """
        self._report.outcomes = self._ledger.counts_of_seen()
        problems = self._ledger.inconsistencies()
        if sum(self._report.outcomes.values()) != self._report.seen:
            problems.append(f"{self._report.seen} files seen, {sum(self._report.outcomes.values())} accounted for")
        if problems:
            raise LedgerError("; ".join(problems))

    def _pool(self) -> Executor:
        if self._executor is None:
            setup = workers.WorkerSetup(
                rules=self._settings.rules("deidentification.yml"),
                key_file=self._settings.key_file,
                responsible=self._settings.responsible,
                unpacked_limit=int(self._settings.inbox.unpacked_limit_gib * 2**30),
            )
            self._executor = workers.make_pool(setup, self._options.jobs or self._settings.workers)
        return self._executor


@contextmanager
def exclusive(settings: Settings) -> Iterator[None]:
    """Hold the archive for one run; the lock ends with the process that holds it, however that ends.

    Raises
    ------
    BusyError
        When another run holds it.
    """
    settings.folders.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (settings.folders.state / "run.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise BusyError(file.read().strip() or "its process is not known") from None
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield


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


def _first(rows: Sequence[FileRow]) -> FileRow:
    """Give the row that stands for a session: the same one whatever the order of arrival."""
    return min(rows, key=lambda row: (row.facts["series_number"], row.facts["instance_number"], row.instance or ""))


def _study_date(rows: Sequence[FileRow]) -> date | None:
    dates = sorted(day for row in rows if (day := valid_date(row.facts["study_date"])))
    return dates[0] if dates else None


def _order(rows: Sequence[FileRow]) -> tuple[str, str, str]:
    """Order new sessions by when they took place, then by their study."""
    first = _first(rows)
    return first.facts["study_date"], first.facts["study_time"], first.facts["study"]


def _fallback(facts: Mapping[str, str]) -> str:
    """Give what stands for a missing PatientID: name and birth date, else the study alone."""
    if facts["patient_name"]:
        return f"{facts['patient_name']}|{facts['birth_date']}"
    return facts["study"]


def _age(birth_date: str, studied: date | None) -> float | None:
    born = valid_date(birth_date, first_year=1850)
    if born is None or studied is None or born > studied:
        return None
    return float(studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day)))


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
