"""One crawl of one published folder: caoscrawler, unmodified, driven by cfood.yml and identifiables.yml.

A run covers one delivery, because caoscrawler's graph is quadratic in the number of its records.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caoscrawler import crawl as engine
from caoscrawler.converters import ConverterValidationError
from caoscrawler.crawl import SecurityMode
from caoscrawler.scanner import (
    create_converter_registry,
    create_transformer_registry,
    load_definition,
    scan_structure_elements,
)
from caoscrawler.structure_elements import Directory
from linkahead.queries import query
from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.crawl.client import database_errors
from heartbrain_ingest.crawl.definitions import Definitions, InformedCrawler
from heartbrain_ingest.crawl.files import link_files
from heartbrain_ingest.crawl.model import view_datamodel
from heartbrain_ingest.crawl.prefetch import PrefetchingAdapter
from heartbrain_ingest.crawl.revision import Retired, retire
from heartbrain_ingest.crawl.samples import attach_samples
from heartbrain_ingest.crawl.sidecars import LOGGER, warn
from heartbrain_ingest.errors import DatabaseError, RulesError

#: The client's connection and caches, `tempfile.tempdir` and standard output belong to the whole process.
_PROCESS_STATE = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class CrawlWarning:
    """Something about a published file that the steward should see."""

    #: Issue code.
    code: str
    #: The file.
    path: str
    #: What is the matter, without any value of the file.
    text: str


@dataclass(frozen=True, kw_only=True)
class CrawlReport:
    """What one crawl did."""

    #: Records and files that are new in the database.
    inserted: int
    #: Records and files that changed.
    updated: int
    #: Records and files that were there and stayed as they were.
    unchanged: int
    #: Images and recordings that this revision no longer holds.
    superseded: int
    #: What the steward should see.
    warnings: tuple[CrawlWarning, ...]


class _Collector(logging.Handler):
    """Keeps what the converters report."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.warnings: list[CrawlWarning] = []

    def emit(self, record: logging.LogRecord) -> None:
        code = getattr(record, "code", None)
        if code is not None:
            warning = CrawlWarning(code=code, path=getattr(record, "path", ""), text=record.getMessage())
            if warning not in self.warnings:
                self.warnings.append(warning)


@contextlib.contextmanager
def _collecting() -> Iterator[_Collector]:
    collector = _Collector()
    LOGGER.addHandler(collector)
    try:
        yield collector
    finally:
        LOGGER.removeHandler(collector)


@contextlib.contextmanager
def _undescribed() -> Iterator[None]:
    if engine.logger.isEnabledFor(logging.DEBUG):
        yield
        return
    describe, engine.show_record = engine.show_record, lambda _: ""
    try:
        yield
    finally:
        engine.show_record = describe


@contextlib.contextmanager
def _own_process_state() -> Iterator[None]:
    """Give caoscrawler a folder, an environment and a standard output of its own.

    It writes `crawler_update_cache.db` into the temporary folder, where another user's file would stop it; it takes
    SHARED_DIR as a sign that it runs inside a server; and some of its parts print. It also describes each record that
    it inserts for a log, a seventh of the time, whether or not anybody reads that log.
    """
    with _PROCESS_STATE, _undescribed(), tempfile.TemporaryDirectory(prefix="heartbrain-crawl-") as folder:
        shared = os.environ.pop("SHARED_DIR", None)
        before, tempfile.tempdir = tempfile.tempdir, folder
        try:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                yield
            if printed.getvalue().strip():
                logging.getLogger(__name__).debug("caoscrawler printed: %s", printed.getvalue().strip())
        finally:
            tempfile.tempdir = before
            if shared is not None:
                os.environ["SHARED_DIR"] = shared


@dataclass(frozen=True, kw_only=True)
class _Rules:
    """A crawler definition, ready to use."""

    definition: dict[str, Any]
    converters: dict[str, Any]
    transformers: dict[str, Any]
    #: The data model file that the definition names first.
    datamodel: Path | None


def _load_rules(cfood: Path) -> _Rules:
    """Read a crawler definition; one that did not change is read once per process.

    Raises
    ------
    RulesError
        The file is no crawler definition.
    """
    try:
        digest = hashlib.sha256(cfood.read_bytes()).hexdigest()
    except OSError as error:
        raise RulesError(f"{cfood}: {error.strerror}") from error
    return _read_rules(cfood, digest)


@functools.lru_cache(maxsize=4)
def _read_rules(cfood: Path, digest: str) -> _Rules:  # noqa: ARG001  the digest is the cache's key
    try:
        definition: dict[str, Any] = load_definition(str(cfood))
        converters = create_converter_registry(definition)
        transformers = create_transformer_registry(definition)
    except Exception as error:  # YAML, JSON schema, import and version errors, each of another library
        raise RulesError(f"{cfood}: {str(error).splitlines()[0]}") from error
    models = _resolve(definition, cfood.parent)
    return _Rules(
        definition=definition,
        converters=converters,
        transformers=transformers,
        datamodel=models[0] if models else None,
    )


def _resolve(definition: dict[str, Any], folder: Path) -> list[Path]:
    """Make the data model files that a definition names absolute; they are relative to its folder."""
    found: list[Path] = []
    # YAML aliases make the definition a graph, but an absolute path stays what it is when met again.
    for key, value in definition.items():
        if key == "datamodel" and isinstance(value, str):
            definition[key] = str(folder / value)
            found.append(folder / value)
        elif isinstance(value, dict):
            found += _resolve(value, folder)
    return found


def scan(folder: Path, *, archive: Path, cfood: Path) -> list[Any]:
    """Read one published folder into records, without a database.

    Parameters
    ----------
    folder
        A published folder.
    archive
        Root of the published tree, which `folder` is below.
    cfood
        The crawler definition.

    Returns
    -------
    list
        Entities of the client. File paths start from the archive: `/ExperimentalData/...`.

    Raises
    ------
    RulesError
        The definition can't be used.
    DatabaseError
        The folder is not below the archive, or no converter takes it.
    """
    try:
        way = folder.resolve().relative_to(archive.resolve())
    except ValueError as error:
        raise DatabaseError(f"{folder} is not below {archive}") from error
    root = str(archive.resolve())
    rules = _load_rules(cfood)
    try:
        with warnings.catch_warnings():
            # A folder that no converter takes is only warned of; here it is what was asked for.
            warnings.filterwarnings("error", message="A 'restricted_path' argument", category=UserWarning)
            entities: list[Any] = scan_structure_elements(
                [Directory(archive.name, root)],
                rules.definition,
                converter_registry=rules.converters,
                restricted_path=[archive.name, *way.parts],
                registered_transformer_functions=rules.transformers,
            )
    except UserWarning as error:
        raise DatabaseError(f"{cfood.name} has no converter for {folder.name}") from error
    except ConverterValidationError as error:
        raise RulesError(f"{cfood.name}: {error.message}") from error
    for entity in entities:
        if entity.role == "File":
            # What `crawler_main(remove_prefix=...)` does; the link to the local file would make it an upload.
            entity.path = entity.path.removeprefix(root)
            entity.file = None
    return entities


def crawl_delivery(
    folder: Path,
    *,
    archive: Path,
    cfood: Path,
    identifiables: Path,
    server_root: str | None = None,
    session_within_days: int | None = 30,
    definitions: Definitions | None = None,
) -> CrawlReport:
    """Bring the records of one published folder into the database the process is connected to.

    Parameters
    ----------
    folder
        A published folder.
    archive
        Root of the published tree.
    cfood
        The crawler definition.
    identifiables
        What makes a record the same record.
    server_root
        The archive as a LinkAhead server sees it; None for the embedded LinkAhead, which links files itself.
    session_within_days
        Largest distance between a sample and its session in days; None: samples belong to no session.
    definitions
        The data model of the database, where it was fetched for an earlier folder of the same run.

    Returns
    -------
    CrawlReport
        What was done. Crawling a folder again inserts and updates nothing.

    Raises
    ------
    DatabaseError
        The database refused the records or can't be reached; nothing of this folder was inserted then.
    RulesError
        A definition can't be used.
    """
    with _own_process_state(), _collecting() as collector, database_errors(f"crawling {folder.name}"):
        entities = scan(folder, archive=archive, cfood=cfood)
        total = count_distinct(entities)
        paths = {str(entity.path) for entity in entities if entity.role == "File"}
        if server_root is not None:
            link_files(folder, archive=archive, server_root=server_root, wanted=paths)
        definitions = definitions or Definitions()
        adapter = PrefetchingAdapter(identifiables, paths, definitions=definitions)
        rules = _load_rules(cfood)
        retired = (
            retire(entities, view=view_datamodel(rules.datamodel), adapter=adapter)
            if rules.datamodel is not None
            else Retired()
        )
        if retired.outdated:
            warn("OLDER_REVISION", folder, "the database has a later revision of this session; nothing was changed")
            return CrawlReport(inserted=0, updated=0, unchanged=total, superseded=0, warnings=tuple(collector.warnings))
        try:
            crawler = InformedCrawler(definitions, identifiableAdapter=adapter, securityMode=SecurityMode.UPDATE)
            # Sessions of two projects may share a name; what is the same record is said by the identifiables alone.
            inserted, updated = crawler.synchronize(unique_names=False, crawled_data=entities)
        except (RuntimeError, ValueError) as error:
            raise DatabaseError(f"crawling {folder.name}: {str(error).strip().splitlines()[0]}") from error
        attached = 0
        if session_within_days is not None:
            attached = attach_samples(_subjects(entities), within=session_within_days)
    changed = {entity.id for entity in updated} | retired.changed
    return CrawlReport(
        inserted=len(inserted),
        updated=len(changed) + len(retired.superseded) + attached,
        unchanged=max(0, total - len(inserted) - len(changed)),
        superseded=len(retired.superseded),
        warnings=tuple(collector.warnings),
    )


def _subjects(entities: list[Any]) -> list[int]:
    """Give the ids that the crawled subjects have in the database."""
    names = {entity.name for entity in entities if [parent.name for parent in entity.parents] == ["Subject"]}
    found = (query(f"FIND RECORD 'Subject' WITH name='{escape_squoted_text(name)}'") for name in sorted(names))
    return [subject.id for subjects in found for subject in subjects]


def count_distinct(entities: list[Any]) -> int:
    """Count the entities that a crawl is about; caoscrawler merges those that are the same."""
    seen: set[object] = set()
    for entity in entities:
        if entity.path is not None:
            seen.add(entity.path)
        elif entity.name is not None:
            seen.add((entity.name, tuple(sorted(parent.name for parent in entity.parents))))
        else:
            seen.add(id(entity))
    return len(seen)
