"""Identification without a query per record: what a run may meet is fetched in a few queries and looked up here.

caoscrawler asks the server once for every record and file that it does not know yet, and once more for every one that
exists. A folder's records share their session (or their subject, or sample), and its files their path, so one query
brings them all; the client's own cache then answers the crawler.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from caoscrawler.identifiable import Identifiable
from caoscrawler.identifiable_adapters import CaosDBIdentifiableAdapter
from linkahead.common.datatype import is_reference
from linkahead.queries import ClientQueryCache, query
from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.crawl.client import value_of
from heartbrain_ingest.crawl.definitions import Definitions
from heartbrain_ingest.errors import RulesError


class PrefetchingAdapter(CaosDBIdentifiableAdapter):  # type: ignore[misc]  # caoscrawler has no types
    """caoscrawler's adapter with the records of a run in memory.

    Parameters
    ----------
    identifiables
        The steward's file. In each entry the first property that refers to a record says what is fetched together:
        `Acquisition: [name, Session]` fetches all acquisitions of a session at once.
    paths
        Paths of the File entities that the run is about, from the root of LinkAhead's file system.
    definitions
        The data model of the database, where it is at hand.

    Raises
    ------
    RulesError
        The file is no definition of identifiables.
    """

    def __init__(
        self, identifiables: Path, paths: Iterable[str] = (), *, definitions: Definitions | None = None
    ) -> None:
        super().__init__()
        self._definitions = definitions
        try:
            self.load_from_yaml_definition(str(identifiables))
        except Exception as error:  # YAML errors, missing files and caoscrawler's own
            raise RulesError(f"{identifiables}: {error}") from error
        self._paths = sorted(set(paths))
        self._files_known = False
        self._groups: dict[tuple[str, str, int], list[Any]] = {}
        self._asked: set[tuple[str, str, int]] = set()
        self._indexes: dict[tuple[Any, ...], dict[tuple[Any, ...], list[Any]]] = {}
        self._references: dict[str, bool] = {}

    def group(self, record_type: str, reference: str, target: int) -> list[Any]:
        """Give all records of a type that refer to one record through one property."""
        key = (record_type, reference, target)
        if key not in self._groups:
            self._groups[key] = list(
                query(
                    f"FIND RECORD '{escape_squoted_text(record_type)}' "
                    f"WITH '{escape_squoted_text(reference)}'='{target}'"
                )
            )
        return self._groups[key]

    def forget(self) -> None:
        """Drop what was fetched, after something else than the crawler wrote to the database."""
        self._groups.clear()
        self._indexes.clear()

    def get_registered_identifiable(self, record: Any) -> Any:
        """Give the identifiable of a record; the first call of a run fetches the files.

        The crawler empties the client's cache when it begins and asks this for every record before it looks up files.
        """
        if not self._files_known:
            self._files_known = True
            if self._definitions is not None:
                self._definitions.fill()
            self._fetch_files()
        return super().get_registered_identifiable(record)

    def retrieve_identified_record_for_identifiable(self, identifiable: Identifiable) -> Any:
        """Give the one record that has the identifying properties, or None."""
        reference = self._reference(identifiable)
        if reference is None or identifiable.backrefs or identifiable.record_type is None:
            return super().retrieve_identified_record_for_identifiable(identifiable)
        key = (identifiable.record_type, reference, identifiable.properties[reference])
        if identifiable.name is not None and key not in self._asked:
            # A run has one result, and its project may have thousands: only the second one is worth a group.
            self._asked.add(key)
            if key not in self._groups:
                return super().retrieve_identified_record_for_identifiable(identifiable)
        found = self._identified(identifiable, reference)
        if len(found) > 1:
            raise RuntimeError(f"{len(found)} records of type {identifiable.record_type} have the same identity")
        if not found:
            return None
        ClientQueryCache.fill({found[0].id: found[0]}, kind="eid", flags={}, unique=True)
        return found[0]

    def _identified(self, identifiable: Identifiable, reference: str) -> list[Any]:
        """Look the records of a group up by their identity; one that can't be hashed is compared with all of them."""
        key = (identifiable.record_type, reference, identifiable.properties[reference])
        group = self.group(*key)
        names = tuple(sorted(identifiable.properties))
        try:
            index = self._indexes.get((*key, names))
            if index is None:
                index = self._indexes[*key, names] = {}
                for record in group:
                    values = tuple(value_of(record, name) for name in names)
                    index.setdefault(values, []).append(record)
            group = index.get(tuple(identifiable.properties[name] for name in names), [])
        except TypeError:
            self._indexes.pop((*key, names), None)
        return [record for record in group if _is_identified(record, identifiable)]

    def _reference(self, identifiable: Identifiable) -> str | None:
        """Give the first identifying property that refers to a record; a whole number may be an id or a quantity."""
        names = [
            name
            for name, value in identifiable.properties.items()
            if isinstance(value, int) and not isinstance(value, bool) and value > 0
        ]
        if len(names) > 1:
            names = [name for name in names if self._refers(name)]
        return names[0] if names else None

    def _refers(self, name: str) -> bool:
        """Tell whether the values of a property are ids; a type that is used as a property refers to its records."""
        if name not in self._references:
            found = query(f"FIND ENTITY WITH name='{escape_squoted_text(name)}'")
            properties = [entity for entity in found if entity.role == "Property"]
            self._references[name] = all(is_reference(entity.datatype) for entity in properties)
        return self._references[name]

    def _fetch_files(self) -> None:
        if not self._paths:
            return
        folder = posixpath.commonpath([posixpath.dirname(path) for path in self._paths])
        known = {file.path: file for file in query(f"FIND FILE WHICH IS STORED AT '{escape_squoted_text(folder)}/**'")}
        # None is what the crawler takes for "not there yet": a failing query would not be cached.
        ClientQueryCache.fill({path: known.get(path) for path in self._paths}, kind="path", flags={}, unique=True)
        ClientQueryCache.fill(
            {known[path].id: known[path] for path in self._paths if path in known}, kind="eid", flags={}, unique=True
        )


def _is_identified(record: Any, identifiable: Identifiable) -> bool:
    if identifiable.name is not None and record.name != identifiable.name:
        return False
    for name, value in identifiable.properties.items():
        prop = record.get_property(name)
        if prop is None or prop.value != value:
            return False
    return True
