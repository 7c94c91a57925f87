"""`python -m benchmarks.portal [--small] [--json]`: how fast the portal answers.

The portal is a process of its own, asked over HTTP by one that is logged in, and then by 50 users at once. The bare
answer beside it is what LinkAhead gives the portal for the same page of results: bytes in, bytes out, in this process,
without a socket.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from urllib.parse import quote, urlencode, urlsplit

from benchmarks.contenders import BENCH_BIN
from benchmarks.linkahead import get, post
from benchmarks.machine import describe_machine
from heartbrain_ingest import crawl
from heartbrain_ingest.settings import load_settings
from heartbrain_ingest.site import FIRST_LOGIN, make_site
from linkahead_embedded.bootstrap import close_application, open_application

SIZES = (100, 10_000, 100_000)
QUESTION = "FIND T1WeightedImage WITH EchoTime > 0.001 s"
PAGE = 50
#: Requests for a median, seconds of asking without a pause, askers at once.
_REPEATS, _SECONDS, _AT_ONCE = 30, 5.0, 8
_BATCH = 10_000
_HEARTBRAIN = str(Path(sys.executable).with_name("heartbrain"))
_LOCUST = BENCH_BIN / "locust"
_USERS_FILE = Path(__file__).parent / "peers" / "portal_users.py"
USERS = 50


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The search page and the bare answer at one size of the database."""

    records: int
    #: Median milliseconds to the first byte of the page, and to the bare answer of the same 50 records.
    page_ms: float
    bare_ms: float
    #: Pages in a second, asked by several at once.
    pages_per_s: float
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What many users at once got."""

    users: int
    seconds: int
    requests: int
    errors: int
    median_ms: float
    p95_ms: float


class Client:
    """One browser: a connection and a cookie."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        self._cookie = ""

    def log_in(self, name: str, password: str) -> None:
        """Log in as the first user of the site."""
        token = re.search(rb'name="csrf" value="(\w+)"', self.get("/login"))
        if token is None:
            raise RuntimeError("no form on the log-in page")
        form = urlencode({"csrf": token[1].decode(), "name": name, "password": password})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": self._cookie}
        self._connection.request("POST", "/login", form, headers)
        self._read(303)

    def get(self, path: str) -> bytes:
        """Open a page."""
        self._connection.request("GET", path, headers={"Cookie": self._cookie})
        return self._read(200)

    def first_byte(self, path: str) -> float:
        """Give the seconds to the first byte of a page."""
        began = time.perf_counter()
        self._connection.request("GET", path, headers={"Cookie": self._cookie})
        response = self._connection.getresponse()
        seconds = time.perf_counter() - began
        response.read()
        return seconds

    def _read(self, status: int) -> bytes:
        response = self._connection.getresponse()
        body = response.read()
        if response.status != status:
            raise RuntimeError(f"status {response.status}")
        if cookie := response.headers.get("Set-Cookie"):
            self._cookie = cookie.partition(";")[0]
        return body


def make_filled_site(folder: Path, records: int) -> Path:
    """Make a site whose LinkAhead holds so many images of 100 subjects; give its settings file."""
    file = make_site(folder)
    settings = load_settings(file)
    crawl.connect(ini=None, database=settings.database, file_root=settings.folders.archive)
    crawl.load_datamodel(settings.rules("datamodel.yml"))
    application = open_application(settings.database)
    subjects = "".join(
        f'<Record id="-{one + 1}" cuid="s{one}" name="sub-{one:04}"><Parent name="Subject"/></Record>'
        for one in range(100)
    )
    post(application, f"<Insert>{subjects}</Insert>")
    for start in range(0, records, _BATCH):
        rows = "".join(_image(one) for one in range(start, min(records, start + _BATCH)))
        post(application, f"<Insert>{rows}</Insert>")
    close_application(settings.database)
    return file


def _image(number: int) -> str:
    values = {
        "RepetitionTime": 1.9 + number % 40 / 100,
        "EchoTime": 0.002 + number % 7 / 10_000,
        "FlipAngle": 8 + number % 4,
        "SeriesNumber": number % 30 + 1,
    }
    properties = "".join(f'<Property name="{name}">{value}</Property>' for name, value in values.items())
    return (
        f'<Record id="-{number + 1}" cuid="i{number}" name="image {number}"><Parent name="T1WeightedImage"/>'
        f'<Property name="Subject">sub-{number % 100:04}</Property>{properties}</Record>'
    )


@contextmanager
def serving(file: Path) -> Iterator[str]:
    """Let the portal of a site listen; give its address."""
    command = [_HEARTBRAIN, "serve", "--settings", str(file), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://[\w.:]+", line)
            if found is None:
                raise RuntimeError(line)
            yield found[0]
        finally:
            process.terminate()
            process.wait(timeout=20)


def measure_size(folder: Path, records: int) -> Answered:
    """Measure the search page at one size of the database."""
    file = make_filled_site(folder / f"site{records}", records)
    settings = load_settings(file)
    name, password = (settings.folders.state / FIRST_LOGIN).read_text(encoding="ascii").split()
    application = open_application(settings.database)
    bare = f"Entity?query={quote(QUESTION)}&P=0L{PAGE}"
    bare_ms = _median_ms(lambda: len(get(application, bare)))
    close_application(settings.database)
    page = f"/?{urlencode({'query': QUESTION})}"
    with serving(file) as address:
        clients = [Client(address) for _ in range(_AT_ONCE)]
        clients[0].log_in(name, password)
        size = len(clients[0].get(page))
        page_ms = median(clients[0].first_byte(page) for _ in range(_REPEATS)) * 1000
        # Not before: the server closes connections that are idle for some seconds.
        for client in clients[1:]:
            client.log_in(name, password)
        with ThreadPoolExecutor(_AT_ONCE) as askers:
            counts = list(askers.map(lambda client: _ask_for(client, page, _SECONDS), clients))
    return Answered(records=records, page_ms=page_ms, bare_ms=bare_ms, pages_per_s=sum(counts) / _SECONDS, bytes=size)


def _median_ms(call: Callable[[], object]) -> float:
    call()
    times: list[float] = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return median(times) * 1000


def _ask_for(client: Client, page: str, seconds: float) -> int:
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        client.get(page)
        count += 1
    return count


def measure_crowd(folder: Path, records: int, seconds: int) -> Crowd | None:
    """Let users log in, ask, page and look for some time; None without the program that plays them."""
    if not _LOCUST.exists():
        return None
    file = make_filled_site(folder / "crowd", records)
    login = load_settings(file).folders.state / FIRST_LOGIN
    name, password = login.read_text(encoding="ascii").split()
    with serving(file) as address:
        command = [str(_LOCUST), "-f", str(_USERS_FILE), "--headless", "--only-summary", "--host", address]
        command += ["-u", str(USERS), "-r", str(USERS // 10), "-t", f"{seconds}s", "--csv", str(folder / "crowd")]
        environment = {"PORTAL_USER": name, "PORTAL_PASSWORD": password, "PATH": "/usr/bin:/bin", "HOME": str(folder)}
        subprocess.run(command, env=environment, capture_output=True, check=False, timeout=seconds + 120)
    with (folder / "crowd_stats.csv").open(encoding="utf-8") as stream:
        total = next(row for row in csv.DictReader(stream) if row["Name"] == "Aggregated")
    return Crowd(
        users=USERS,
        seconds=seconds,
        requests=int(total["Request Count"]),
        errors=int(total["Failure Count"]),
        median_ms=float(total["Median Response Time"]),
        p95_ms=float(total["95%"]),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.portal", description=__doc__)
    parser.add_argument("--small", action="store_true", help="the smallest database only, and a crowd for 5 s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="heartbrain-portal-") as work:
        folder = Path(work)
        rows = [measure_size(folder, size) for size in (SIZES[:1] if options.small else SIZES)]
        crowd = measure_crowd(folder, SIZES[0] if options.small else SIZES[1], 5 if options.small else 60)
    if options.json:
        print(json.dumps({"pages": [asdict(row) for row in rows], "crowd": asdict(crowd) if crowd else None}, indent=2))
        return 0
    for key, value in describe_machine().items():
        print(f"{key}: {value}")
    print(f"\n| {QUESTION}, first {PAGE} | to the first byte, ms | bare LinkAhead, ms | ratio | pages/s | kB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        ratio = row.page_ms / row.bare_ms
        print(
            f"| {row.records:,} records | {row.page_ms:.1f} | {row.bare_ms:.1f} | {ratio:.1f} | {row.pages_per_s:.0f} "
            f"| {row.bytes / 1000:.0f} |"
        )
    if crowd is None:
        print("\nNo crowd: `make bench` sets up the program that plays it.")
    else:
        print(f"\n{crowd.users} users for {crowd.seconds} s: {crowd.requests:,} requests, {crowd.errors} errors,")
        print(f"half of them within {crowd.median_ms:.0f} ms, 95 % within {crowd.p95_ms:.0f} ms")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
