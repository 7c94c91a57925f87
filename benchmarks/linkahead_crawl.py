"""caoscrawler on a synthetic tree, new, unchanged and changed, with its own adapter and with the prefetching one."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linkahead_embedded.auth import User
from linkahead_embedded.bootstrap import close_application, connect_client, open_application

IDENTIFIABLES = "Study: [name]\nScan: [number, Study]\n"
RUNS = ("new", "same", "changed")


@dataclass(frozen=True, kw_only=True)
class Crawl:
    """One crawl: requests that reached the server, seconds with the client's part."""

    adapter: str
    run: str
    records: int
    requests: int
    seconds: float


def measure_crawls(folder: Path, records: int) -> list[Crawl]:
    """Crawl so many records, each with three values and a reference, three times with each adapter."""
    db: Any = importlib.import_module("linkahead")  # untyped, and a second of start-up
    from caoscrawler.identifiable_adapters import CaosDBIdentifiableAdapter  # noqa: PLC0415

    from heartbrain_ingest.crawl.prefetch import PrefetchingAdapter  # noqa: PLC0415

    identifiables = folder / "identifiables.yml"
    identifiables.write_text(IDENTIFIABLES, encoding="utf-8")

    def own() -> Any:
        adapter = CaosDBIdentifiableAdapter()
        adapter.load_from_yaml_definition(str(identifiables))
        return adapter

    found: list[Crawl] = []
    adapters: dict[str, Callable[[], Any]] = {
        "caoscrawler's own": own,
        "prefetching": lambda: PrefetchingAdapter(identifiables),
    }
    for name, make in adapters.items():
        database = folder / f"crawl-{len(found)}.db"
        connect_client(database, None, "bench")
        counted = _count(database)
        db.Container().extend(
            [
                db.RecordType("Study"),
                db.RecordType("Scan"),
                db.Property("number", datatype=db.INTEGER),
                db.Property("factor", datatype=db.DOUBLE),
                db.Property("note", datatype=db.TEXT),
            ]
        ).insert()
        for run in RUNS:
            tree = _tree(db, records, changes=run == "changed")
            before, began = counted(), time.perf_counter()
            changed = _synchronize(make(), tree)
            seconds = time.perf_counter() - began
            expected = {"new": (records + 1, 0), "same": (0, 0), "changed": (0, records // 2)}[run]
            if changed != expected:
                raise RuntimeError(f"{name}, {run}: {changed} inserted and updated, not {expected}")
            found.append(Crawl(adapter=name, run=run, records=records, requests=counted() - before, seconds=seconds))
        close_application(database)
    return found


def _count(database: Path) -> Callable[[], int]:
    """Count the requests that an application answers from now on."""
    application = open_application(database)
    handle, requests = application.handle, 0

    def counting(request: Any, user: User | None = None) -> Any:
        nonlocal requests
        requests += 1
        return handle(request, user)

    application.handle = counting  # type: ignore[method-assign]
    return lambda: requests


def _tree(db: Any, records: int, *, changes: bool) -> list[Any]:
    study = db.Record("S1").add_parent("Study")
    scans = []
    for number in range(records):
        scan = db.Record().add_parent("Scan").add_property("number", number).add_property("Study", study)
        factor = number + (0.5 if changes and number % 2 else 0.25)
        scans.append(scan.add_property("factor", factor).add_property("note", f"note {number}"))
    return [study, *scans]


def _synchronize(adapter: Any, records: list[Any]) -> tuple[int, int]:
    from caoscrawler.crawl import Crawler, SecurityMode  # noqa: PLC0415
    from linkahead.cached import cache_clear  # noqa: PLC0415

    logging.disable(logging.CRITICAL)
    cache_clear()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        crawler = Crawler(securityMode=SecurityMode.UPDATE, identifiableAdapter=adapter)
        inserts, updates = crawler.synchronize(commit_changes=True, unique_names=True, crawled_data=records)
    logging.disable(logging.NOTSET)
    return len(inserts), len(updates)
