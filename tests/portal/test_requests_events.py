"""The stream that tells open pages what changed: only changes, one look for all pages, an end when nobody is there."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.portal.visitors import acting_as
from linkahead_embedded.bootstrap import close_application
from tests.portal.following import find, visitor
from tests.portal.site import PASSWORD, PROGRAM, SampleSite, Visit


class Client:
    """A browser's connection to a portal that really listens.

    Parameters
    ----------
    port
        Where it listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.cookie = self._ask("GET", "/login")[0].getheader("Set-Cookie", "").split(";")[0]
        response, _ = self.post("/login", name="clara", password=PASSWORD)
        self.cookie = response.getheader("Set-Cookie", "").split(";")[0]

    def _ask(self, method: str, path: str, body: str = "") -> tuple[HTTPResponse, str]:
        headers = {"Cookie": getattr(self, "cookie", ""), "Content-Type": "application/x-www-form-urlencoded"}
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=20)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response, response.read().decode()

    def get(self, path: str) -> str:
        return self._ask("GET", path)[1]

    def post(self, path: str, **form: str) -> tuple[HTTPResponse, str]:
        token = re.search(r'X-CSRF-Token": "(\w+)"', self.get("/login"))
        assert token is not None
        return self._ask("POST", path, urlencode({"csrf": token[1], **form}))

    def stream(self, query: str) -> socket.socket:
        """Open a stream; give its socket after the head of the answer."""
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        head = f"GET /requests/events?{query} HTTP/1.1\r\nHost: localhost:{self._port}\r\nCookie: {self.cookie}\r\n\r\n"
        connection.sendall(head.encode())
        return connection


def read_until(connection: socket.socket, pattern: str, *, seconds: float = 20) -> str:
    """Read a stream until it says something; what came is given, also at its end."""
    deadline = time.monotonic() + seconds
    text = ""
    while not re.search(pattern, text) and time.monotonic() < deadline:
        connection.settimeout(max(0.05, deadline - time.monotonic()))
        try:
            part = connection.recv(65536)
        except TimeoutError:
            break
        if not part:
            break
        text += part.decode()
    return text


@contextmanager
def portal(site: SampleSite) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    command = [str(PROGRAM), "serve", "--settings", str(site.file), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path("/")) as process:
        assert process.stdout is not None
        try:
            yield urlsplit(process.stdout.readline().split()[4].rstrip(".")).port or 0, process
        finally:
            process.terminate()
            process.wait(timeout=20)


@pytest.fixture(scope="module")
def visit(sample_site: SampleSite) -> Iterator[Visit]:
    yield Visit(sample_site.settings)
    close_application(sample_site.settings.database)


def make(visit: Visit, status: str = "new") -> int:
    image = int(find(visit, "clara", "FIND RECORD T1WeightedImage")[0].id)
    function = int(find(visit, "clara", "FIND RECORD PostProcessingFunction WITH name='tissue-volumes'")[0].id)
    with acting_as(visitor(visit, "clara")):
        record = db.Record(name=f"E-{time.time_ns()}").add_parent("PostProcessingRequest")
        record.add_property(name="Function", value=function)
        record.add_property(name="Inputs", value=[image], datatype="LIST<Acquisition>")
        record.add_property(name="Status", value=status)
        record.add_property(name="RequestTime", value="2026-05-01T10:00:00+0000")
        record.insert(unique=False)
    return int(record.id)


def put(visit: Visit, number: int, **facts: object) -> None:
    with acting_as(visitor(visit, "clara")):
        record = db.Container().append(db.Record(id=number))
        record.retrieve(unique=False)
        for name, value in facts.items():
            if record[0].get_property(name) is None:
                record[0].add_property(name=name, value=value)
            else:
                record[0].get_property(name).value = value
        record[0].update(unique=False)


def test_a_stream_tells_what_changes_and_nothing_else_and_ends_with_the_log_out(
    sample_site: SampleSite, visit: Visit
) -> None:
    number, other = make(visit), make(visit)
    with portal(sample_site) as (port, _):
        client = Client(port)
        with client.stream(f"ids={number},{other}&more=1") as stream:
            first = read_until(stream, r"</li>\s*data: \s*\n?\s*data: <li(.|\n)*</li>|event: change(.|\n)*\n\n")
            assert "text/event-stream" in first
            assert "no-store" in first
            assert f"request-{number}" in first
            assert read_until(stream, "event", seconds=3) == ""
            put(visit, number, Status="running", Progress=0.4)
            change = read_until(stream, r"\n\r?\n")
            assert 'value="40"' in change
            assert f'id="request-{number}"' in change
            assert f'id="request-{other}"' not in change
            assert "Volumes of grey matter" in change
            assert 'role="status"' in change
            make(visit)
            assert "There are new requests" in read_until(stream, r"\n\r?\n")
            client.post("/logout")
            # The last chunk, which is empty.
            assert read_until(stream, r"(^|\n)0\r\n\r\n$").endswith("0\r\n\r\n")


def test_a_page_of_one_request_is_told_its_end_and_then_left_alone(sample_site: SampleSite, visit: Visit) -> None:
    number = make(visit)
    with portal(sample_site) as (port, _), Client(port).stream(f"ids={number}&one=1") as stream:
        read_until(stream, f"state-{number}")
        put(visit, number, Status="failed", StatusMessage="The series has 36 of 60 volumes: ask <b>them</b>.")
        told = read_until(stream, "event: over")
        assert "failed" in told
        assert "36 of 60" in told
        assert "<b>" not in told
        assert "event: over" in told


def test_fifty_open_pages_cost_little_and_the_server_stops_with_them(sample_site: SampleSite, visit: Visit) -> None:
    numbers = [make(visit) for _ in range(3)]
    with portal(sample_site) as (port, process):
        clients = [Client(port) for _ in range(5)]
        query = f"ids={','.join(map(str, numbers))}&more=1"
        streams = [clients[number % 5].stream(query) for number in range(50)]
        for stream in streams:
            assert f"request-{numbers[0]}" in read_until(stream, f"request-{numbers[0]}")
        time.sleep(1)
        before, started = _cpu_seconds(process.pid), time.monotonic()
        time.sleep(5)
        load = (_cpu_seconds(process.pid) - before) / (time.monotonic() - started)
        assert load < 0.2
        put(visit, numbers[0], Status="uploading")
        for stream in streams:
            assert "on its way" in read_until(stream, "on its way")
        process.terminate()
        began = time.monotonic()
        process.wait(timeout=10)
        assert time.monotonic() - began < 6
        for stream in streams:
            stream.close()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_a_log_in_has_so_many_streams_and_no_more(sample_site: SampleSite, visit: Visit) -> None:
    number = make(visit)
    with portal(sample_site) as (port, _):
        client = Client(port)
        streams = [client.stream(f"ids={number}") for _ in range(30)]
        for stream in streams:
            assert " 200 " in read_until(stream, r"\r\n")
        with client.stream(f"ids={number}") as more:
            assert " 503 " in read_until(more, r"\r\n")
        for stream in streams:
            stream.close()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with client.stream(f"ids={number}") as again:
                if " 200 " in read_until(again, r"\r\n"):
                    break
            time.sleep(0.5)
        else:
            pytest.fail("closed pages still count")
