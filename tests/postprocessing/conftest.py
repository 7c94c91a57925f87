"""A published session in an embedded LinkAhead, as the tests of the crawl have it."""

from __future__ import annotations

from tests.crawl.conftest import crawled, modelled, site

__all__ = ["crawled", "modelled", "site"]
