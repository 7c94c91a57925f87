"""The last steps of a run: the records of what is published, and the requests that rules make of them."""

from __future__ import annotations

import logging

from heartbrain_ingest import crawl
from heartbrain_ingest.errors import DatabaseError, HeartbrainError
from heartbrain_ingest.ledger import Ledger
from heartbrain_ingest.postprocessing.routes import is_in_use
from heartbrain_ingest.report import RunReport
from heartbrain_ingest.settings import Settings

log = logging.getLogger(__name__)


class Records:
    """Makes the records of published folders; what LinkAhead does not take now, the next run tries again.

    Parameters
    ----------
    settings
        The site.
    ledger
        Knows which folders have no records yet.
    report
        Is told what was made.
    """

    def __init__(self, settings: Settings, ledger: Ledger, report: RunReport) -> None:
        self._settings = settings
        self._ledger = ledger
        self._report = report
        self._connected = False
        self._definitions: crawl.Definitions | None = None
        self._refused: set[str] = set()
        #: Why records could not be made.
        self.trouble: DatabaseError | None = None

    def crawl(self) -> None:
        """Make the records of every published folder that LinkAhead does not know yet.

        When LinkAhead does not answer, what is published stays published and the next run makes its records; the
        error is raised at the end of this one.
        """
        waiting = self._ledger.uncrawled()
        if not waiting or (self.trouble is not None and not self._connected):
            return
        for delivery, folder in waiting:
            if folder in self._refused:
                continue
            try:
                self._crawl_folder(delivery, folder)
            except DatabaseError as error:
                # The message may quote the data, so only its kind goes into the log.
                log.error("records of %s: %s", folder, type(error).__name__)
                self._refused.add(folder)
                self.trouble = error
                if not self._connected:  # LinkAhead does not answer at all: no need to try the next folder
                    return

    def _crawl_folder(self, delivery: int, folder: str) -> None:
        settings = self._settings
        if not self._connected:
            crawl.connect(ini=settings.linkahead.ini, database=settings.database, file_root=settings.folders.archive)
            marker = settings.folders.state / "datamodel.loaded"
            crawl.load_datamodel(settings.rules("datamodel.yml"), marker=marker)
            self._connected = True
            self._definitions = crawl.Definitions()
        result = crawl.crawl_delivery(
            settings.folders.archive / folder,
            archive=settings.folders.archive,
            cfood=settings.rules("cfood.yml"),
            identifiables=settings.rules("identifiables.yml"),
            server_root=settings.linkahead.server_root,
            session_within_days=settings.laboratory.session_within_days,
            definitions=self._definitions,
        )
        self._report.warnings.update(warning.code for warning in result.warnings)
        with self._ledger.transaction():
            self._ledger.set_crawled(folder)
            self._ledger.mark_crawled(delivery)
        self._report.inserted += result.inserted
        self._report.updated += result.updated

    def ask_for_results(self) -> None:
        """Make the requests that the rules in postprocessing.yml ask for; the next run makes what this one can't."""
        if self.trouble is not None or not is_in_use(self._settings):
            return
        from heartbrain_ingest.postprocessing.registration import register_by_rules  # noqa: PLC0415 - loads the client

        try:
            waiting: dict[str, str] = {}
            self._report.requests = register_by_rules(self._settings, waiting=waiting)
            for rule, why in waiting.items():
                log.warning("FUNCTION_UNAVAILABLE: %s: %s", rule, why)
                self._report.warnings["FUNCTION_UNAVAILABLE"] += 1
        except HeartbrainError as error:
            log.warning("no requests made: %s", error)
