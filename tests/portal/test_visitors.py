"""Many visitors share one process and one client: each speaks to LinkAhead as himself, and none waits for ever."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from linkahead.connection.interface import CaosDBServerConnection
from linkahead.queries import query

from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.portal.visitors import (
    Cache,
    LinkAheadGate,
    Visitor,
    VisitorConnection,
    Visitors,
    acting_as,
    open_gate,
)
from heartbrain_ingest.settings import Folders, LinkAhead, Portal, Settings
from linkahead_embedded.accounts import set_account
from linkahead_embedded.bootstrap import close_application, open_application
from linkahead_embedded.server import Server
from tests.portal.site import PASSWORD, Visit

NAMES = ("anna", "ben")


def _settings(folder: Path, *, ini: Path | None = None, seconds: float = 20) -> Settings:
    linkahead = LinkAhead(ini=ini, database=folder / "linkahead.db")
    folders = Folders(logs=folder / "logs", state=folder / "state", archive=folder / "archive")
    return Settings(linkahead=linkahead, folders=folders, portal=Portal(linkahead_seconds=seconds))


def _ini(folder: Path, url: str) -> Path:
    file = folder / "pylinkahead.ini"
    file.write_text(f"[Connection]\nurl = {url}\n", encoding="utf-8")
    return file


@pytest.fixture(params=["in process", "over HTTP"])
def gate(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LinkAheadGate]:
    """Give the door to a LinkAhead that two people may use, each of whom has a record."""
    application = open_application(tmp_path / "linkahead.db")
    for name in NAMES:
        set_account(application, name, PASSWORD, "researcher")
    server = Server(application)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    ini = _ini(tmp_path, server.url) if request.param == "over HTTP" else None
    yield open_gate(_settings(tmp_path, ini=ini))
    server.stop()
    thread.join()
    close_application(tmp_path / "linkahead.db")


def _admit(gate: LinkAheadGate, name: str) -> Visitor:
    visitor = gate.log_in(name, PASSWORD)
    assert visitor is not None
    return visitor


def test_what_two_visitors_do_at_the_same_time_is_each_ones_own(gate: LinkAheadGate) -> None:
    visitors = [_admit(gate, name) for name in NAMES]
    with acting_as(visitors[0]):
        db.RecordType(name="Thing").insert()
    for visitor in visitors:
        with acting_as(visitor):
            db.Record(name=f"of {visitor.name}").add_parent("Thing").insert()

    def ask(number: int) -> tuple[str, str, list[str]]:
        visitor = visitors[number % 2]
        with acting_as(visitor):
            who = db.Info().user_info.name
            return visitor.name, who, [one.name for one in query("FIND RECORD Thing CREATED BY ME")]

    with ThreadPoolExecutor(8) as pool:
        for name, who, found in pool.map(ask, range(80)):
            assert who == name
            assert found == [f"of {name}"]


def test_without_a_visitor_nobody_is_asked_as(gate: LinkAheadGate) -> None:
    visitor = _admit(gate, "anna")
    with acting_as(visitor):
        assert db.Info().user_info.name == "anna"
    with pytest.raises(db.LinkAheadException):
        query("FIND RECORDTYPE")


def test_the_roles_are_linkaheads(gate: LinkAheadGate) -> None:
    assert _admit(gate, "ben").roles == {"researcher"}


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD.upper(), "é" * 2000])
def test_a_wrong_password_admits_nobody(gate: LinkAheadGate, password: str) -> None:
    assert gate.log_in("anna", password) is None
    assert gate.log_in("nobody", password) is None


def test_a_session_that_linkahead_ended_leads_to_the_log_in(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    application = open_application(settings.database)
    set_account(application, "anna", PASSWORD, "researcher")
    visit = Visit(settings).log_in("anna")
    assert visit.get("/").status_code == 200
    set_account(application, "anna", "a new password voids all sessions", "researcher")
    answer = visit.get("/?query=FIND+RECORD")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?ended=1")
    close_application(settings.database)


def test_a_linkahead_that_is_down_gives_a_page_that_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    visit = Visit(_settings(tmp_path, ini=_ini(tmp_path, f"http://127.0.0.1:{port}/")))
    visit.get("/login")
    answer = visit.post("/login", name="anna", password=PASSWORD)
    assert answer.status_code == 503
    assert "LinkAhead does not answer" in answer.text


def test_a_linkahead_that_never_answers_holds_nobody_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        ini = _ini(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        visit = Visit(_settings(tmp_path, ini=ini, seconds=0.5))
        visit.get("/login")
        start = time.monotonic()
        answer = visit.post("/login", name="anna", password=PASSWORD)
        assert answer.status_code == 503
        assert time.monotonic() - start < 10


def test_who_does_nothing_for_long_logs_in_again() -> None:
    now = 0.0
    visitors = Visitors(hours=1, clock=lambda: now)
    secret = visitors.admit(Visitor(name="anna", roles=frozenset(), token="t"))
    now = 3599.0
    assert visitors.find(secret) is not None
    now = 2 * 3599.0
    assert visitors.find(secret) is not None
    now += 3600.0
    assert visitors.find(secret) is None
    assert visitors.find("another secret") is None


def test_a_session_ends_after_a_day_whatever_one_does() -> None:
    now = 0.0
    visitors = Visitors(hours=8, longest_hours=24, clock=lambda: now)
    secret = visitors.admit(Visitor(name="anna", roles=frozenset(), token="t"))
    for hour in range(24):
        now = hour * 3600.0
        assert visitors.find(secret) is not None
    now = 24 * 3600.0
    assert visitors.find(secret) is None


class _Answer:
    """What a connection of the client gives."""

    def __init__(self, cookie: str) -> None:
        self._cookie = cookie

    def getheader(self, name: str, default: str | None = None) -> str | None:
        return self._cookie if name == "Set-Cookie" else default


class _Carrier(CaosDBServerConnection):
    """Answers with a session that changes, as a LinkAhead server does that renews it."""

    def __init__(self) -> None:
        self.cookies: list[str] = []

    def configure(self, **config: object) -> None: ...

    def request(  # type: ignore[override]
        self, method: str, path: str, headers: dict[str, str] | None = None, **more: object
    ) -> _Answer:
        del method, path, more
        self.cookies.append((headers or {}).get("Cookie", ""))
        return _Answer(f"SessionToken=number-{len(self.cookies)}; Path=/")


def test_a_session_that_the_server_renews_is_used_from_then_on() -> None:
    carrier = _Carrier()
    connection = VisitorConnection(carrier)
    anna, ben = (Visitor(name=name, roles=frozenset(), token=f"of-{name}") for name in NAMES)
    for visitor in (anna, ben, anna):
        with acting_as(visitor):
            connection.request("GET", "Info")
    assert [cookie.split("=")[1].strip(";") for cookie in carrier.cookies] == ["of-anna", "of-ben", "number-1"]
    assert (anna.token, ben.token) == ("number-3", "number-2")


def test_an_answer_that_breaks_off_is_a_linkahead_that_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def half_an_answer() -> None:
            while True:
                try:
                    talk, _ = listening.accept()
                except OSError:
                    return
                with talk:
                    talk.recv(65536)
                    talk.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: text/xml\r\n\r\n<Response>")

        threading.Thread(target=half_an_answer, daemon=True).start()
        visit = Visit(_settings(tmp_path, ini=_ini(tmp_path, f"http://127.0.0.1:{listening.getsockname()[1]}/")))
        visit.get("/login")
        answer = visit.post("/login", name="anna", password=PASSWORD)
    assert answer.status_code == 503
    assert "LinkAhead does not answer" in answer.text


def test_an_answer_is_kept_for_its_time_and_forgotten_after_a_change() -> None:
    cache = Cache()
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    assert [cache.get("question", make, seconds=60) for _ in range(3)] == [1, 1, 1]
    cache.clear()
    assert cache.get("question", make, seconds=0) == 2
    assert cache.get("question", make, seconds=60) == 3
