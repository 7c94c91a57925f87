"""The nightly run: inbox -> de-identify -> convert -> name -> audit -> publish -> crawl, delivery by delivery.

Every step is idempotent. What is decided stands in the ledger before it is done, so that a run that was killed
anywhere is taken up by the next one with the same result.
"""

from __future__ import annotations

import errno
import gc
import hashlib
import logging
import pickle
import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path, PurePosixPath

from heartbrain_ingest import __version__, laboratory, physio, workers
from heartbrain_ingest.arrivals import Arrivals, first_row, study_date, study_key
from heartbrain_ingest.bids import load_naming_rules
from heartbrain_ingest.convert import tool_version
from heartbrain_ingest.deidentify import Identifiers, Pseudonyms, load_rules
from heartbrain_ingest.errors import HeartbrainError, LedgerError
from heartbrain_ingest.filesystem import (
    EXPERIMENTAL_DATA,
    delivery_folder,
    folder_digest,
    keep_refused,
    memory_folder,
    publish,
    refused_deliveries,
)
from heartbrain_ingest.inbox import valid_date
from heartbrain_ingest.lab import SubjectRef
from heartbrain_ingest.ledger import OUT, PUBLISHED, Delivery, DeliveryState, Ledger, Outcome, Settled, readable_ledger
from heartbrain_ingest.lock import exclusive
from heartbrain_ingest.plans import BuildTools, BuiltSession, FileOutcome, Release, SessionPlan
from heartbrain_ingest.pool import WorkerPool
from heartbrain_ingest.records import Records
from heartbrain_ingest.report import NoProgress, Progress, RunOptions, RunReport
from heartbrain_ingest.session import SessionBuilder
from heartbrain_ingest.settings import Settings
from heartbrain_ingest.withheld import Withheld

log = logging.getLogger(__name__)

#: Sessions that are built at the same time, so that workers are busy while one session waits for its last series.
SESSIONS_AT_ONCE = 2
#: Errors of the machine, which the next session would meet as well: a disk that is full, read-only or broken ...
NO_SESSIONS_FAULT = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
)
#: Earlier birth dates are typing errors.
FIRST_BIRTH_YEAR = 1850


@dataclass(frozen=True, kw_only=True)
class _Building:
    """A session that is being built."""

    delivery: Delivery
    plan: SessionPlan
    future: Future[BuiltSession]
    work: Path
    pool: Executor


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
        self._pseudonyms = Pseudonyms.load(settings.key_file)
        self._rules = load_rules(settings.rules("deidentification.yml"))
        self._naming = load_naming_rules(settings.rules("bids_rules.yml"))
        self._physio = physio.load_rules(settings.rules("physio.yml"))
        # A dry run notes what it finds in a copy that nobody keeps.
        self._ledger = Ledger(settings.ledger, throw_away=options.dry_run)
        # Folders of our own below those of the settings: they are emptied at the start of every run.
        self._staging = settings.folders.staging / "heartbrain-staging"
        self._scratch = settings.folders.state / "scratch"
        self._memory: Path | None = None
        self._withheld = Withheld(settings.withheld)
        self._workers = WorkerPool(
            workers.WorkerSetup(
                rules=settings.rules("deidentification.yml"),
                key_file=settings.key_file,
                responsible=settings.responsible,
                unpacked_limit=int(settings.inbox.unpacked_limit_gib * 2**30),
            ),
            options.jobs or settings.workers,
        )
        self._arrivals = Arrivals(
            settings,
            self._ledger,
            inbox=self._inbox,
            # A folder that is named on the command line is complete: whoever names it says so.
            complete=options.inbox is not None,
            pseudonyms=self._pseudonyms,
            rules=self._physio,
            dated=self._rules.keeps_dates,
            pool=self._workers,
            progress=self._progress,
        )
        self._records = Records(settings, self._ledger, self._report)

    def execute(self) -> RunReport:
        """Do the run.

        Raises
        ------
        BusyError
            When another run works on the archive.
        LedgerError
            When the files do not add up at the end.
        """
        began = time.monotonic()
        try:
            # Everything that belongs to the archive's one run is made and removed while the lock is held.
            with exclusive(self._settings), readable_ledger():
                self._work()
        finally:
            self._ledger.close()
        self._report.trouble = None if self._records.trouble is None else str(self._records.trouble)
        self._report.seconds = time.monotonic() - began
        for (outcome, code), count in sorted(self._report.outcomes.items()):
            log.info("%d files %s %s", count, outcome, code)
        return self._report

    def _work(self) -> None:
        gc.set_threshold(100_000, 20, 100)  # records are many and hold few cycles: look for them less often
        if self._settings.conversion.memory_scratch_mib:
            self._memory = memory_folder(self._settings.folders.state)
        try:
            self._recover()
            self._do()
        finally:
            self._workers.close()
            shutil.rmtree(self._staging, ignore_errors=True)
            self._withheld.clear()
            if self._memory is not None:
                shutil.rmtree(self._memory, ignore_errors=True)

    def _do(self) -> None:
        """Take in what is in the inbox."""
        self._arrivals.scan()
        self._arrivals.group()
        self._let_go()
        if self._options.dry_run:
            self._announce()
        else:
            self._records.crawl()
            self._publish_deliveries()
            self._records.ask_for_results()
        self._balance()
        self._arrivals.tidy()

    # taking up an interrupted run

    def _recover(self) -> None:
        """Finish or undo what an interrupted run left between its decision and its rename."""
        for folder in (self._staging, self._scratch):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._withheld.clear()
        for leftover in self._memory.iterdir() if self._memory else ():
            shutil.rmtree(leftover, ignore_errors=True)
        for delivery in self._ledger.deliveries(DeliveryState.PUBLISHING):
            if delivery.target and self._is_there(delivery.target, delivery.target_digest):
                self._mark_published(delivery.id, delivery.target)
            else:
                if delivery.target and not (self._settings.folders.archive / delivery.target).exists():
                    self._withheld.forget(delivery.target)
                with self._ledger.transaction():
                    self._ledger.drop_outcomes(delivery.id)
                    self._ledger.set_state(delivery.id, DeliveryState.WAITING)
        decided = {DeliveryState.PUBLISHED, DeliveryState.CRAWLED, DeliveryState.DISCARDED}
        for number in refused_deliveries(self._settings.folders.quarantine):
            refused = self._ledger.delivery_of(number)
            if refused is not None and refused.state in decided and not self._options.dry_run:
                keep_refused(self._settings.folders.quarantine, number, None)

    def _is_there(self, target: str, digest: str | None) -> bool:
        """Say whether the folder that was about to be published is: one of its name can be an older one."""
        folder = self._settings.folders.archive / target
        return folder.is_dir() and (digest is None or folder_digest(folder) == digest)

    def _made_with(self) -> str:
        """Give the digest of all that decides what is made of the same files."""
        settings = self._settings
        digest = hashlib.sha256(f"{__version__} {tool_version()}".encode())
        for name in ("deidentification.yml", "bids_rules.yml", "physio.yml"):
            digest.update(settings.rules(name).read_bytes())
        digest.update(f"{settings.defacing.tool} {settings.defacing.mask_tool}".encode())
        return digest.hexdigest()

    def _mark_published(self, delivery: int, target: str) -> None:
        with self._ledger.transaction():
            self._ledger.apply_outcomes(delivery)
            self._ledger.add_folder(delivery, target, self._made_with())
            self._ledger.set_state(delivery, DeliveryState.PUBLISHED)

    # building and publishing

    def _announce(self) -> None:
        """Say which folders a real run would publish."""
        waiting = self._ledger.deliveries(DeliveryState.WAITING)
        ready = [delivery for delivery in waiting if self._is_wanted(delivery) and self._arrivals.is_complete(delivery)]
        self._report.waiting = len(waiting) - len(ready)
        self._report.announced = [
            f"{EXPERIMENTAL_DATA}/{delivery.project}/{self._plan(delivery).folder_name}"
            if delivery.kind == "session"
            else f"{EXPERIMENTAL_DATA}/{delivery.project}/..._lab_..."
            for delivery in ready
        ]

    def _let_go(self) -> None:
        """End the waiting of sessions of which no image is left: all were taken away or discarded."""
        for delivery in self._ledger.deliveries(DeliveryState.WAITING):
            if delivery.kind == "session" and not self._ledger.has_images(delivery.id):
                with self._ledger.transaction():
                    self._ledger.part_recordings(delivery.id)
                    state = DeliveryState.CRAWLED if delivery.revision else DeliveryState.DISCARDED
                    self._ledger.set_state(delivery.id, state)

    def _publish_deliveries(self) -> None:
        waiting = self._ledger.deliveries(DeliveryState.WAITING)
        ready = [delivery for delivery in waiting if self._is_wanted(delivery) and self._arrivals.is_complete(delivery)]
        self._report.waiting = len(waiting) - len(ready)
        sessions = [delivery for delivery in ready if delivery.kind == "session"]
        if sessions:
            self._publish_sessions(sessions)
        # Of two tables with the same value the one that the laboratory wrote later counts.
        tables = [(self._written(delivery), delivery) for delivery in ready if delivery.kind == "lab"]
        for _, delivery in sorted(tables, key=lambda table: table[0]):
            self._publish_table(delivery)

    def _written(self, delivery: Delivery) -> tuple[int, str]:
        """Give when the file of a laboratory was last written; its path decides between two of one moment."""
        rows = self._ledger.files("delivery = ? AND outcome = ?", (delivery.id, Outcome.WAITING))
        return min(((row.mtime_ns, row.path) for row in rows), default=(0, ""))

    def _is_wanted(self, delivery: Delivery) -> bool:
        wanted = self._options.session
        return wanted is None or (delivery.session or "") == wanted.removeprefix("ses-")

    def _publish_sessions(self, deliveries: Sequence[Delivery]) -> None:
        total = sum(self._ledger.count_files(delivery.id) for delivery in deliveries)
        self._progress.begin("Preparing sessions", total)
        # Work that is done in this process must not be done twice at a time: it changes process-wide warning filters.
        at_once = 1 if self._workers.is_serial else SESSIONS_AT_ONCE
        with ThreadPoolExecutor(at_once) as builders:
            running: list[_Building] = []
            disturbed: list[Delivery] = []
            for delivery in deliveries:
                running.append(self._begin(delivery, builders))
                if len(running) > at_once:
                    self._end(running.pop(0), disturbed)
            for building in running:
                self._end(building, disturbed)
            for delivery in disturbed:
                # A process was killed while it and others were built: alone it shows whether it was its fault.
                building = self._begin(delivery, builders)
                self._is_disturbed(building)
                self._finish(building.delivery, building.plan, building.future, building.work)

    def _end(self, building: _Building, disturbed: list[Delivery]) -> None:
        if self._is_disturbed(building):
            disturbed.append(building.delivery)
        else:
            self._finish(building.delivery, building.plan, building.future, building.work)

    def _begin(self, delivery: Delivery, builders: Executor) -> _Building:
        plan, tools = self._plan(delivery), self._build_tools()
        work = Path(f"{delivery.id}-{secrets.token_hex(4)}")
        future = builders.submit(self._build, plan, tools, work)
        return _Building(delivery=delivery, plan=plan, future=future, work=work, pool=tools.pool)

    def _is_disturbed(self, building: _Building) -> bool:
        """Say whether a worker process was killed during a build, by whom ever; the next work goes to others."""
        if not isinstance(building.future.exception(), BrokenExecutor):
            return False
        log.warning("a worker process was killed while delivery %d was built", building.delivery.id)
        self._workers.renew(building.pool)
        self._clear(building.work)
        return True

    def _build_tools(self) -> BuildTools:
        settings = self._settings
        return BuildTools(
            pool=self._workers.executor(),
            naming=self._naming,
            physio=self._physio,
            rules=self._rules,
            responsible=settings.responsible,
            compared=settings.conversion.compared,
            defacing=settings.defacing,
            withheld=settings.withheld,
            compression_level=settings.conversion.compression_level,
            timeout_s=settings.conversion.timeout_minutes * 60,
            memory_scratch=settings.conversion.memory_scratch_mib * 2**20,
            archive=settings.folders.archive,
        )

    def _plan(self, delivery: Delivery) -> SessionPlan:
        rows, recordings = (
            list(
                self._ledger.files(
                    "delivery = ? AND kind = ? AND COALESCE(code, '') NOT IN (?, ?)", (delivery.id, kind, *OUT)
                )
            )
            for kind in ("dicom", "physio")
        )
        facts = first_row(rows).facts
        subject = self._arrivals.subject(facts)
        studied = study_date(rows)
        day = studied + timedelta(days=subject.days) if studied and self._rules.keeps_dates else None
        tag = f"sub-{subject.label}_ses-{delivery.session}"
        revision = delivery.revision + 1
        folder = delivery_folder(delivery.project or "", day, tag, revision)
        codes = [] if studied else ["UNDATED_SESSION"]
        labels = {label for label, *_ in self._ledger.identities(facts["patient_id"])}
        codes += ["SUBJECT_CONFLICT"] if facts["patient_id"] and len(labels) > 1 else []
        codes += ["STUDY_REUSED"] if len(self._ledger.visits(study_key(delivery.key))) > 1 else []
        codes += ["LATE_FILES"] if revision > 1 else []
        return SessionPlan(
            project=delivery.project or "",
            subject=subject,
            session=delivery.session or "",
            day=day,
            studied=studied,
            age=_age(facts["birth_date"], studied) if self._rules.keeps_characteristics else None,
            revision=revision,
            revision_of=PurePosixPath(delivery.folder).name if delivery.folder else None,
            folder_name=PurePosixPath(folder).name,
            rows=rows,
            recordings=recordings,
            # A recording in DICOM can have a study, and so a key, of its own.
            identifiers=self._identifiers([study_key(delivery.key), *(row.facts.get("key", "") for row in recordings)]),
            codes=tuple(codes),
            releases=tuple(
                Release(code=one.code, sha256=one.sha256, place=one.place, reason=one.reason)
                for one in self._ledger.releases(delivery.id)
            ),
        )

    def _identifiers(self, keys: Iterable[str]) -> Identifiers:
        merged = Identifiers()
        for key in sorted(set(keys)):
            for content in self._ledger.identifiers(key):
                merged |= pickle.loads(content)  # noqa: S301 - our own bytes, from the identified zone
        return merged

    def _build(self, plan: SessionPlan, tools: BuildTools, work: Path) -> BuiltSession:
        scratch, stage = self._scratch / work, self._staging / work
        memory = self._memory / work if self._memory else None
        scratch.mkdir(parents=True)
        stage.mkdir(parents=True)
        if memory:
            memory.mkdir(parents=True, mode=0o700)
        try:
            advance = self._progress.advance
            withheld = self._withheld.staged(work)
            builder = SessionBuilder(
                plan, tools, scratch=scratch, stage=stage, memory=memory, withheld=withheld, advance=advance
            )
            return builder.build()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            if memory:
                shutil.rmtree(memory, ignore_errors=True)

    def _finish(self, delivery: Delivery, plan: SessionPlan, future: Future[BuiltSession], work: Path) -> None:
        try:
            built = future.result()
        except HeartbrainError:
            raise  # a missing program is no fault of this session
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NO_SESSIONS_FAULT:
                raise
            # The message may quote the data, so only its kind goes into the log.
            log.error("session of delivery %d failed: %s", delivery.id, type(error).__name__)
            built = BuiltSession(folder=None, code="INTERNAL_ERROR")
            built.outcomes = [
                FileOutcome(file_id=row.id, outcome=Outcome.QUARANTINED, code="INTERNAL_ERROR")
                for row in (*plan.rows, *plan.recordings)
                if row.outcome is Outcome.WAITING
            ]
        self._take_over(delivery, plan, built, work)

    def _take_over(self, delivery: Delivery, plan: SessionPlan, built: BuiltSession, work: Path) -> None:
        """Publish what was built, or note why it is not."""
        self._report.warnings.update(built.warnings)
        self._report.kept_back.update(one.code or "" for one in built.outcomes if one.outcome is Outcome.QUARANTINED)
        settled = [(one.file_id, one.outcome, one.code, one.destination, one.sha256) for one in built.outcomes]
        target = f"{EXPERIMENTAL_DATA}/{plan.project}/{plan.folder_name}"
        keep_refused(self._settings.folders.quarantine, delivery.id, built.refused)
        standing = {row.series for row in plan.rows if row.outcome in PUBLISHED} if built.folder is None else set()
        with self._ledger.transaction():
            for one in built.series:
                # Of a series that is published, what is published is told, not what came of a refused attempt.
                if one.uid not in standing:
                    self._ledger.set_series(delivery.id, one.uid, one.number, one.code, one.report)
        if built.unchanged:
            with self._ledger.transaction():
                self._ledger.settle(settled)
                self._ledger.set_state(delivery.id, DeliveryState.PUBLISHED)
                if all(one != delivery.id for one, _folder in self._ledger.uncrawled()):
                    self._ledger.mark_crawled(delivery.id)
        elif self._publish(delivery.id, built.folder, target, settled, code=built.code, withheld=built.withheld):
            log.info("published %s", target)
            # The workers go on with the next sessions meanwhile.
            self._records.crawl()
        self._clear(work)

    def _clear(self, work: Path) -> None:
        shutil.rmtree(self._staging / work, ignore_errors=True)
        self._withheld.clear(work)

    def _publish(
        self,
        delivery: int,
        folder: Path | None,
        target: str,
        settled: Sequence[Settled],
        *,
        code: str | None,
        withheld: Path | None = None,
    ) -> bool:
        """Write the decision, rename, write that it is done."""
        digest = folder_digest(folder) if folder else None
        place = self._settings.folders.archive / target
        # A restored ledger can lack what was published after its backup: the same is taken over, other is no business
        # of ours, and is to be found out before a decision stands in the ledger.
        is_there = folder is not None and place.exists()
        if is_there and not self._is_there(target, digest):
            folder, code = None, "TARGET_TAKEN"
            settled = [
                one
                if one[1] in {Outcome.QUARANTINED, Outcome.IGNORED}
                else (one[0], Outcome.QUARANTINED, code, None, one[4])
                for one in settled
            ]
            with self._ledger.transaction():
                self._ledger.set_series(delivery, "", 0, code, {"places": [target]})
        if folder is None:
            with self._ledger.transaction():
                self._ledger.settle_refused(settled)
                self._ledger.set_state(delivery, DeliveryState.QUARANTINED, code=code)
            self._report.refused[code or "NOT_CONVERTIBLE"] += 1
            return False
        with self._ledger.transaction():
            self._ledger.stage_outcomes(delivery, settled)
            self._ledger.set_state(delivery, DeliveryState.PUBLISHING, target=target, target_digest=digest)
        if withheld is not None:
            self._withheld.keep(withheld, target)
        if not is_there:
            publish(folder, place)
        self._mark_published(delivery, target)
        self._report.published.append(target)
        return True

    def _publish_table(self, delivery: Delivery) -> None:
        row = next(self._ledger.files("delivery = ? AND outcome = ?", (delivery.id, Outcome.WAITING)), None)
        if row is None:
            return
        work = self._staging / f"{delivery.id}-{secrets.token_hex(4)}"
        work.mkdir(parents=True)
        built = laboratory.build_delivery(
            Path(row.path),
            rules=self._settings.rules("lab.yml"),
            project=delivery.project or "",
            label=self._pseudonyms.device(delivery.key),
            responsible=self._settings.responsible,
            resolve=self._resolve_patient,
            stage=work,
            earlier=laboratory.published_tables(self._settings.folders.archive, delivery.project or ""),
        )
        self._report.warnings.update(built.warnings)
        keep_refused(self._settings.folders.quarantine, delivery.id, built.refused)
        outcome = Outcome.STORED if built.folder else Outcome.QUARANTINED
        place = f"{built.target}/laboratory.tsv" if built.folder else None
        settled = [(row.id, outcome, built.code, place, None)]
        if self._publish(delivery.id, built.folder, built.target, settled, code=built.code):
            self._records.crawl()
        shutil.rmtree(work, ignore_errors=True)

    def _resolve_patient(self, patient_id: str) -> SubjectRef | None:
        """Give the pseudonym of a PatientID; None when nobody, or more than one person, came with it."""
        known = self._ledger.identities(patient_id)
        labels = {label for label, *_ in known}
        if len(labels) != 1:
            return None
        _label, birth_date, sex, fallback = known[0]
        subject = self._pseudonyms.subject(patient_id, birth_date, sex, fallback)
        return SubjectRef(
            label=subject.name,
            days=subject.days,
            sex=sex if sex in {"F", "M", "O"} else None,
            birth_date=valid_date(birth_date, first_year=FIRST_BIRTH_YEAR),
        )

    # the sum

    def _balance(self) -> None:
        """Check that every file of the inbox is in the ledger exactly once, with an outcome.

        Raises
        ------
        LedgerError
            When the counts do not add up.
        """
        self._report.seen, self._report.new = self._arrivals.seen, self._arrivals.new
        self._report.outcomes = self._ledger.counts_of_seen()
        problems = self._ledger.inconsistencies()
        if sum(self._report.outcomes.values()) != self._report.seen:
            problems.append(f"{self._report.seen} files seen, {sum(self._report.outcomes.values())} accounted for")
        if problems:
            raise LedgerError("; ".join(problems))


def _age(birth_date: str, studied: date | None) -> float | None:
    born = valid_date(birth_date, first_year=FIRST_BIRTH_YEAR)
    if born is None or studied is None or born > studied:
        return None
    return float(studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day)))
