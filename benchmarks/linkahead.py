"""`python -m benchmarks.linkahead [--large] [--json]`: how fast the embedded LinkAhead answers.

Times are those of the server: a request goes in as bytes and comes out as bytes, without a socket. Only the crawler's
times include the client.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from benchmarks.linkahead_crawl import Crawl, measure_crawls
from benchmarks.machine import describe_machine
from linkahead_embedded import schema
from linkahead_embedded.app import Application
from linkahead_embedded.auth import User
from linkahead_embedded.bootstrap import close_application, open_application
from linkahead_embedded.exchange import Request

USER = User("bench")
BATCH = 10_000
TYPES = (
    '<Property id="-1" name="number" datatype="INTEGER"/><Property id="-2" name="code" datatype="TEXT"/>'
    '<Property id="-3" name="when" datatype="DATETIME"/><Property id="-4" name="weight" datatype="DOUBLE" unit="g"/>'
    '<RecordType id="-5" name="Group"/><RecordType id="-6" name="Person"/><RecordType id="-7" name="Sample"/>'
    '<RecordType id="-8" name="Rare"><Parent id="-7"/></RecordType>'
)
#: What is asked, and what the number of results is for any size of database.
QUERIES = {
    "COUNT": ("COUNT Rare", 100),
    "p = v": ("FIND Sample WITH code='x77_42'", 1),
    "back reference": ("FIND Person WHICH IS REFERENCED BY Sample WITH number=4242", 1),
    "sub-property chain of 3": ("FIND Sample WITH Person WITH Group WITH name='group 3'", 1000),
    "LIKE 'x*'": ("FIND Sample WITH code LIKE 'x77_*'", 100),
    "date interval": ("FIND Sample WITH when IN '2001-03-07'", 24),
}


@dataclass(frozen=True, kw_only=True)
class Insert:
    """One POST of records with ten properties beside the same rows by `executemany`; both end with a commit."""

    records: int
    server_s: float
    floor_s: float
    server_cpu_s: float
    floor_cpu_s: float

    @property
    def per_s(self) -> float:
        """Records in a second."""
        return self.records / self.server_s


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The median time of a query in ms, by number of records in the database."""

    name: str
    query: str
    results: int
    ms: dict[int, float]


def post(application: Application, body: str) -> None:
    """Insert; the benchmark ends if the server refuses."""
    response = application.handle(Request("POST", "Entity", body.encode()), USER)
    if response.status != 200 or b"<Error" in response.body:  # noqa: PLR2004 - OK
        raise RuntimeError(response.body[:500].decode())


def get(application: Application, path: str) -> bytes:
    """Read."""
    response = application.handle(Request("GET", path), USER)
    if response.status != 200 or b"<Error" in response.body:  # noqa: PLR2004 - OK
        raise RuntimeError(response.body[:500].decode())
    return response.body


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Application]:
    """Open an embedded LinkAhead on a file of its own."""
    try:
        yield open_application(path)
    finally:
        close_application(path)


def measure_insert(folder: Path, records: int = 10_000, rounds: int = 3) -> Insert:
    """Insert records with ten properties in one request; then the same rows without any server."""
    types = "".join(
        f'<Property id="-{number}" name="p{number}" datatype="{("TEXT", "INTEGER", "DOUBLE")[number % 3]}"/>'
        for number in range(1, 11)
    )
    rows = "".join(
        f'<Record id="-{100 + one}" cuid="c{one}" name="r{one}"><Parent name="T"/>'
        + "".join(f'<Property name="p{number}">{one * number}</Property>' for number in range(1, 11))
        + "</Record>"
        for one in range(records)
    )
    times, floors = [], []
    for number in range(rounds):
        path = folder / f"insert-{number}.db"
        with opened(path) as application:
            post(application, f'<Insert>{types}<RecordType id="-11" name="T"/></Insert>')
            body = f"<Insert>{rows}</Insert>"
            began, cpu = time.perf_counter(), time.process_time()
            post(application, body)
            times.append((time.perf_counter() - began, time.process_time() - cpu))
        floors.append(_floor(path, folder / f"floor-{number}.db"))
    (server_s, server_cpu_s), (floor_s, floor_cpu_s) = (
        map(median, zip(*both, strict=True)) for both in (times, floors)
    )
    return Insert(
        records=records, server_s=server_s, floor_s=floor_s, server_cpu_s=server_cpu_s, floor_cpu_s=floor_cpu_s
    )


def _floor(source: Path, target: Path) -> tuple[float, float]:
    """Write the rows of a database into an empty one with the same tables and indexes; seconds, and those of CPU."""
    read, written = sqlite3.connect(source), sqlite3.connect(target, isolation_level=None)
    tables = ("entity", "parent", "subtype", "usage", "statement", "document")
    rows = {name: read.execute(f"SELECT * FROM {name} WHERE 1").fetchall() for name in tables}  # noqa: S608 - constants
    read.close()
    written.execute("PRAGMA journal_mode = WAL")
    written.execute("PRAGMA synchronous = FULL")
    schema.migrate(written)
    written.execute("DELETE FROM entity")
    began, cpu = time.perf_counter(), time.process_time()
    written.execute("BEGIN IMMEDIATE")
    for name, content in rows.items():
        if content:
            marks = ", ".join("?" * len(content[0]))
            written.executemany(f"INSERT INTO {name} VALUES ({marks})", content)  # noqa: S608 - constants
    written.execute("COMMIT")
    seconds = time.perf_counter() - began, time.process_time() - cpu
    written.close()
    return seconds


def fill(application: Application, size: int) -> None:
    """Make a database of so many samples; those that a query is about are equally many in each."""
    post(application, f"<Insert>{TYPES}</Insert>")
    groups, persons = size // 1000, size // 100
    post(application, "<Insert>" + "".join(_record("Group", f"group {one}") for one in range(groups)) + "</Insert>")
    post(
        application,
        "<Insert>"
        + "".join(
            _record("Person", f"person {one}", _value("Group", f"group {one % groups}")) for one in range(persons)
        )
        + "</Insert>",
    )
    for start in range(0, size, BATCH):
        post(
            application,
            "<Insert>" + "".join(_sample(one, persons) for one in range(start, start + BATCH)) + "</Insert>",
        )


def _sample(number: int, persons: int) -> str:
    day, hour = divmod(number, 24)
    month, day = divmod(day, 28)
    year, month = divmod(month, 12)
    when = f"{2000 + year}-{month + 1:02}-{day + 1:02}T{hour:02}:00:00"
    kind = "Rare" if number < QUERIES["COUNT"][1] else "Sample"
    values = _value("number", number) + _value("code", f"x{number // 100}_{number % 100}") + _value("when", when)
    return _record(kind, None, values + _value("weight", number / 8) + _value("Person", f"person {number % persons}"))


def _record(kind: str, name: str | None, values: str = "") -> str:
    named = "" if name is None else f' name="{name}"'
    return f'<Record id="-1"{named}><Parent name="{kind}"/>{values}</Record>'


def _value(name: str, value: object) -> str:
    return f'<Property name="{name}">{value}</Property>'


def timed(work: Callable[[], object], rounds: int) -> float:
    """Give the median time in seconds; the first run does not count."""
    work()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)


def measure_queries(folder: Path, sizes: Sequence[int], rounds: int = 20) -> tuple[list[Asked], dict[int, float]]:
    """Ask the same in databases of several sizes; also retrieve 1,000 records by id.

    Returns
    -------
    tuple
        The queries, and records per second that are retrieved, by size.
    """
    asked: dict[str, dict[int, float]] = {name: {} for name in QUERIES}
    retrieved: dict[int, float] = {}
    for size in sizes:
        with opened(folder / f"queries-{size}.db") as application:
            _say(f"Filling a database with {size:,} records ...")
            fill(application, size)
            for name, (query, results) in QUERIES.items():
                path = f"Entity?query={quote(query)}"
                answer = get(application, path)
                if f'results="{results}"'.encode() not in answer:
                    raise RuntimeError(f"{query}: expected {results} results, not {answer[:600].decode()}")
                asked[name][size] = 1000 * timed(lambda path=path: get(application, path), rounds)  # type: ignore[misc]
            rows = application.database.connection().execute(
                "SELECT id FROM entity WHERE role = 'Record' LIMIT -1 OFFSET 500"
            )
            ids = "%26".join(str(row[0]) for row in rows.fetchmany(1000))
            retrieved[size] = 1000 / timed(lambda: get(application, f"Entity/{ids}"), rounds)  # noqa: B023 - called at once
    listed = [
        Asked(name=name, query=query, results=results, ms=asked[name]) for name, (query, results) in QUERIES.items()
    ]
    return listed, retrieved


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def insert_table(one: Insert) -> str:
    """Write the insert beside its floor."""
    head = ("10 properties each, one transaction", "records", "s", "records/s", "CPU s", "records/CPU s", "CPU ratio")
    rows = [
        (name, f"{one.records:,}", f"{seconds:.2f}", f"{one.records / seconds:,.0f}", f"{cpu:.2f}",
         f"{one.records / cpu:,.0f}", f"{cpu / one.floor_cpu_s:.1f}")
        for name, seconds, cpu in (
            ("POST Entity, server share", one.server_s, one.server_cpu_s),
            ("the same rows, sqlite3 executemany", one.floor_s, one.floor_cpu_s),
        )
    ]  # fmt: skip
    return _table(head, rows)


def query_table(asked: Sequence[Asked], retrieved: dict[int, float]) -> str:
    """Write the queries, by size of the database, and the retrieval by id."""
    sizes = sorted(retrieved)
    first, last = sizes[0], sizes[-1]
    head = ("ms, median", "results", *(f"{size:,} records" for size in sizes), "last : first")
    rows = [
        [one.name, str(one.results), *(f"{one.ms[size]:.2f}" for size in sizes), f"{one.ms[last] / one.ms[first]:.1f}"]
        for one in asked
    ]
    times = {size: 1e6 / per_s for size, per_s in retrieved.items()}
    row = ["1,000 records by id", "1000", *(f"{times[size]:.2f}" for size in sizes)]
    rows.append([*row, f"{times[last] / times[first]:.1f}"])
    return _table(head, rows)


def crawl_table(crawls: Sequence[Crawl]) -> str:
    """Write the crawls."""
    head = ("caoscrawler, in process", "records", "run", "requests", "s")
    rows = [(one.adapter, f"{one.records:,}", one.run, str(one.requests), f"{one.seconds:.1f}") for one in crawls]
    return _table(head, rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.linkahead", description="Measure the embedded LinkAhead."
    )
    parser.add_argument(
        "--large", action="store_true", help="up to 1,000,000 records and a crawl of 2,000; many minutes"
    )
    parser.add_argument("--small", action="store_true", help="a tenth of everything, to see that it works")
    parser.add_argument("--work", type=Path, help="folder for databases (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    sizes = (10_000, 100_000, 1_000_000) if arguments.large else (10_000,) if arguments.small else (10_000, 100_000)
    with tempfile.TemporaryDirectory(prefix="linkahead-bench-", dir=arguments.work) as folder:
        work = Path(folder)
        machine = describe_machine()
        _say("Inserting ...")
        inserted = measure_insert(work, 1000 if arguments.small else 10_000)
        asked, retrieved = measure_queries(work, sizes)
        records = 2000 if arguments.large else 50 if arguments.small else 400
        _say(f"Crawling {records:,} records six times ...")
        crawls = measure_crawls(work, records)
    if arguments.json:
        shown: dict[str, Any] = {"machine": machine, "insert": asdict(inserted), "retrieved_per_s": retrieved}
        shown |= {"queries": [asdict(one) for one in asked], "crawls": [asdict(one) for one in crawls]}
        json.dump(shown, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return 0
    for name, value in machine.items():
        print(f"{name}: {value}")
    print("\n" + "\n\n".join((insert_table(inserted), query_table(asked, retrieved), crawl_table(crawls))))
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
