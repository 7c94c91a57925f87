"""The data model of the database, asked for once a run: the crawler would ask for each of its names for each folder.

caoscrawler resolves the name of every parent and property of what it inserts with a query of its own, and empties the
client's cache before and after. What defines records does not change while records are made.
"""

from __future__ import annotations

from typing import Any

from caoscrawler.crawl import Crawler
from linkahead.common.models import Container
from linkahead.queries import ClientQueryCache, find, query_from_name


class Definitions:
    """All RecordTypes and Properties of the database the process is connected to, fetched at the first use."""

    def __init__(self) -> None:
        self._by_name: dict[Any, Any] = {}
        self._types: dict[Any, Any] = {}
        self._ids: dict[Any, Any] = {}

    def fill(self) -> None:
        """Let the client's cache answer what the crawler asks of the data model.

        A name that the data model does not know is asked for as before.
        """
        if not self._by_name:
            self._fetch()
        ClientQueryCache.fill(self._by_name, kind="query", flags={})
        ClientQueryCache.fill(self._types, kind="query", flags={}, unique=True)
        ClientQueryCache.fill(self._ids, kind="eid", flags={}, unique=True)

    def _fetch(self) -> None:
        same_name: dict[Any, Any] = {}
        for entity in [*find("FIND RECORDTYPE"), *find("FIND PROPERTY")]:
            if not entity.name:
                continue
            same_name.setdefault(entity.name, Container()).append(entity)
            if entity.role == "RecordType":
                self._types[query_from_name(entity.name, "RECORDTYPE")] = entity
                self._ids[entity.id] = entity
        self._by_name = {query_from_name(name): entities for name, entities in same_name.items()}


class InformedCrawler(Crawler):  # type: ignore[misc]  # caoscrawler has no types
    """caoscrawler's Crawler, which finds the data model in the client's cache when it begins to write.

    Parameters
    ----------
    definitions
        The data model of the database.
    """

    def __init__(self, definitions: Definitions, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._definitions = definitions

    def execute_parent_updates_in_list(self, *args: Any, **kwargs: Any) -> None:
        """Do what comes first after the crawler has emptied the cache."""
        self._definitions.fill()
        Crawler.execute_parent_updates_in_list(*args, **kwargs)
