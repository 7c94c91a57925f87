"""Make published sessions again from their own stored DICOM, after the rules or the converter changed.

What comes out another way becomes a new revision; what comes out the same stays untouched. The inbox is not needed.
"""

from __future__ import annotations

import filecmp
import gzip
import json
import logging
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import IO, Any

from heartbrain_ingest import crawl
from heartbrain_ingest.errors import DatabaseError, HeartbrainError
from heartbrain_ingest.filesystem import files_below, read_header
from heartbrain_ingest.ledger import Delivery, DeliveryState, Outcome
from heartbrain_ingest.pipeline import NO_SESSIONS_FAULT, Run
from heartbrain_ingest.plans import BuiltSession, SessionPlan
from heartbrain_ingest.report import Progress, RunOptions
from heartbrain_ingest.settings import Settings

log = logging.getLogger(__name__)

_BLOCK = 1 << 20
#: What says how a folder was made, or follows from the rest; not what it holds.
_MADE = frozenset({"certificate.json", "sourcedata/physio/SHA256SUMS"})
#: What a new revision says of itself.
_OF_THE_REVISION = frozenset({"revisionOf", "responsible", "Revision", "Responsible"})


class Remap(Run):
    """A run over the archive instead of an inbox.

    Parameters
    ----------
    settings
        The site.
    where
        A query (`FIND ...`) for sessions or their images, or a part of the names of published folders; None for all.
    options
        `dry_run` says what would become a new revision and publishes nothing.
    progress
        Shows how far it is.
    """

    def __init__(
        self, settings: Settings, where: str | None, options: RunOptions, progress: Progress | None = None
    ) -> None:
        super().__init__(settings, options, progress)
        self._where = where
        #: Published folders that come out as they are, and those that were not made again because files wait for them.
        self.unchanged: list[str] = []
        self.passed_over: list[str] = []

    def _do(self) -> None:
        self._arrivals.check_labels()
        if not self._options.dry_run:
            self._records.crawl()
        wanted = set(self._wanted([one.folder for one in self._ledger.deliveries() if one.folder]))
        todo = []
        for delivery in self._ledger.deliveries():
            if delivery.kind != "session" or delivery.folder not in wanted:
                continue
            if delivery.state not in {DeliveryState.CRAWLED, DeliveryState.PUBLISHED}:
                self.passed_over.append(delivery.folder)
            elif self._ledger.made_with(delivery.folder) == self._made_with():
                self.unchanged.append(delivery.folder)
            else:
                todo.append(delivery)
        if todo:
            self._publish_sessions(todo)

    def _wanted(self, folders: Sequence[str]) -> Iterable[str]:
        if self._where is None:
            return folders
        if not self._where.upper().startswith("FIND"):
            return [folder for folder in folders if self._where in folder]
        sessions = found_sessions(self._settings, self._where)
        return [folder for folder in folders if session_of(folder) in sessions]

    def _plan(self, delivery: Delivery) -> SessionPlan:
        plan = super()._plan(delivery)
        folder = self._settings.folders.archive / (delivery.folder or "")
        return replace(
            plan,
            again=folder,
            rows=[row for row in plan.rows if row.outcome is Outcome.CONVERTED],
            recordings=[row for row in plan.recordings if row.outcome is Outcome.STORED],
            codes=(),
        )

    def _finish(self, delivery: Delivery, plan: SessionPlan, future: Future[BuiltSession], work: Path) -> None:
        old = delivery.folder or ""
        built = self._result(delivery, future)
        if built is None or built.folder is None:
            # What is published stays: the old rules found it good, and nothing takes it away without a person.
            self._report.refused[(built.code if built else None) or "INTERNAL_ERROR"] += 1
        elif plan.again is not None and is_same(plan.again, built.folder):
            self.unchanged.append(old)
            if not self._options.dry_run:
                with self._ledger.transaction():
                    self._ledger.set_made_with(old, self._made_with())
        elif self._options.dry_run:
            self._report.announced.append(f"{PurePosixPath(old).parent}/{plan.folder_name}")
        else:
            self._take_over(delivery, plan, built, work)
            return
        self._clear(work)

    def _result(self, delivery: Delivery, future: Future[BuiltSession]) -> BuiltSession | None:
        try:
            return future.result()
        except HeartbrainError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NO_SESSIONS_FAULT:
                raise
            log.error("session of delivery %d failed: %s", delivery.id, type(error).__name__)
            return None


def session_of(folder: str) -> str:
    """Give the session (`sub-X_ses-Y`) that a published folder holds, whatever its revision."""
    return PurePosixPath(folder).name.partition("_")[2].partition("_rev-")[0]


def found_sessions(settings: Settings, question: str) -> set[str]:
    """Give the names of the sessions (`sub-X_ses-Y`) that a query finds, or to which what it finds belongs.

    Raises
    ------
    DatabaseError
        LinkAhead does not answer, or does not understand the query.
    """
    import linkahead  # noqa: PLC0415 - only where it is asked
    from linkahead.exceptions import LinkAheadException  # noqa: PLC0415 - the same
    from linkahead.queries import query  # noqa: PLC0415 - the same

    crawl.connect(ini=settings.linkahead.ini, database=settings.database, file_root=settings.folders.archive)
    try:
        found = query(question)
        names = {str(entity.name) for entity in found}
        wanted = {prop.value for entity in found for prop in entity.properties if prop.name == "Session" and prop.value}
        if wanted:
            client: Any = linkahead
            sessions = client.Container().extend([client.Entity(id=one) for one in sorted(wanted)])
            sessions.retrieve()
            names |= {str(one.name) for one in sessions}
    except LinkAheadException as error:
        raise DatabaseError(str(error)) from error
    return names


def is_same(published: Path, made: Path) -> bool:
    """Say whether two session folders hold the same, but for which revision they are and how they were made.

    Packed files are compared by what is in them.
    """
    names = [
        sorted(
            path.relative_to(folder).as_posix()
            for path in files_below(folder)
            if path.relative_to(folder).as_posix() not in _MADE
        )
        for folder in (published, made)
    ]
    return names[0] == names[1] and all(_is_same_file(published / name, made / name) for name in names[0])


def _is_same_file(one: Path, other: Path) -> bool:
    if filecmp.cmp(one, other, shallow=False):
        return True
    if one.name == "README.md":
        return _facts(read_header(one.parent)) == _facts(read_header(other.parent))
    if one.name == "session.json":
        return _facts(json.loads(one.read_text("utf-8"))) == _facts(json.loads(other.read_text("utf-8")))
    if one.suffix == ".gz":
        with gzip.open(one) as first, gzip.open(other) as second:
            return all(left == right for left, right in zip_longest(_blocks(first), _blocks(second)))
    if one.suffix == ".zip":
        with zipfile.ZipFile(one) as first_zip, zipfile.ZipFile(other) as second_zip:
            names = first_zip.namelist()
            return names == second_zip.namelist() and all(first_zip.read(x) == second_zip.read(x) for x in names)
    return False


def _facts(content: dict[str, object] | None) -> dict[str, object]:
    return {name: value for name, value in (content or {}).items() if name not in _OF_THE_REVISION}


def _blocks(stream: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        yield block
