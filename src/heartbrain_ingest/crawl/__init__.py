"""The crawl: published folders become records in LinkAhead, by the rules in crawler_config/.

The names below are imported on first use: the crawler and the client cost seconds that `heartbrain status` does
without.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heartbrain_ingest.crawl.connection import connect
    from heartbrain_ingest.crawl.definitions import Definitions
    from heartbrain_ingest.crawl.model import load_datamodel
    from heartbrain_ingest.crawl.run import CrawlReport, CrawlWarning, crawl_delivery

__all__ = ["CrawlReport", "CrawlWarning", "Definitions", "connect", "crawl_delivery", "load_datamodel"]

_HOMES = {
    "connect": "connection",
    "Definitions": "definitions",
    "load_datamodel": "model",
    "CrawlReport": "run",
    "CrawlWarning": "run",
    "crawl_delivery": "run",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"heartbrain_ingest.crawl.{_HOMES[name]}"), name)
