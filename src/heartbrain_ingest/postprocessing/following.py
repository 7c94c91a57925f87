"""How the requests of a site stand."""

from __future__ import annotations

from linkahead.queries import count

from heartbrain_ingest import crawl
from heartbrain_ingest.crawl.client import database_errors
from heartbrain_ingest.errors import DatabaseError
from heartbrain_ingest.postprocessing.linkahead_store import RECORD_TYPE
from heartbrain_ingest.postprocessing.requests import Status
from heartbrain_ingest.settings import Settings


def request_counts(settings: Settings) -> dict[str, int]:
    """Count the requests by status; nothing where LinkAhead does not answer or knows no requests."""
    try:
        crawl.connect(ini=settings.linkahead.ini, database=settings.database, file_root=settings.folders.archive)
        with database_errors("counting requests"):
            if not count(f"COUNT RECORDTYPE '{RECORD_TYPE}'"):
                return {}
            found = {
                str(status): int(count(f"COUNT RECORD '{RECORD_TYPE}' WITH Status='{status}'")) for status in Status
            }
    except DatabaseError:
        return {}
    return {status: number for status, number in found.items() if number}
