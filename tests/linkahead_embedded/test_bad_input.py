"""Malformed, oversized and hostile requests get an answer that says what is wrong, and change nothing."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import linkahead
import pytest

import linkahead_embedded
from linkahead_embedded.app import Application
from linkahead_embedded.auth import User, set_password
from linkahead_embedded.bootstrap import close_application, open_application
from linkahead_embedded.errors import DatabaseMissingError, DatabaseUnusableError
from linkahead_embedded.exchange import Request, Response
from linkahead_embedded.storage import Database
from tests.linkahead_embedded.conftest import serving

ADMIN = User("tester")


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    database = tmp_path / "linkahead.db"
    yield open_application(database, tmp_path)
    close_application(database)


def send(application: Application, method: str, path: str, body: str | bytes = b"") -> Response:
    return application.handle(Request(method, path, body.encode() if isinstance(body, str) else body), ADMIN)


def insert(application: Application, entities: str) -> str:
    response = send(application, "POST", "Entity", f"<Insert>{entities}</Insert>")
    assert response.status == 200
    return response.body.decode()


def query(application: Application, text: str) -> str:
    response = send(application, "GET", f"Entity?query={quote(text, safe='')}")
    assert response.status == 200
    return response.body.decode()


def count(application: Application) -> int:
    with application.database.read() as connection:
        return int(connection.execute("SELECT count(*) FROM entity WHERE id > 99").fetchone()[0])


BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]>'
    '<Insert><RecordType id="-1" name="&d;"/></Insert>'
)
EXTERNAL = (
    '<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/passwd">]><Insert><RecordType id="-1" name="x" '
    'description="d"><Property>&secret;</Property></RecordType></Insert>'
)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Insert>",
        b"\xff\xfe<",
        b"<Insert><RecordType id='-1' name='a\x01b'/></Insert>",
        b"<Delete/>",
        b"not xml",
        BILLION_LAUGHS.encode(),
        EXTERNAL.encode(),
        EXTERNAL.encode("utf-16"),
        b"<Insert>" + b"<a>" * 5000 + b"</a>" * 5000 + b"</Insert>",
    ],
    ids=["empty", "open", "binary", "control", "root", "text", "bomb", "external", "external-utf16", "deep"],
)
def test_a_body_that_is_no_proper_request_is_refused_with_400(application: Application, body: bytes) -> None:
    response = send(application, "POST", "Entity", body)
    assert response.status == 400
    assert b"root:" not in response.body
    assert b"description=" in response.body
    assert count(application) == 0


@pytest.mark.parametrize(
    "entity",
    [
        f'<RecordType id="-1" name="{"x" * 300}"/>',
        '<RecordType id="-1" name="a&#10;b"/>',
        '<RecordType id="-1"/>',
        '<Property id="-1" name="p"/>',
        '<Property id="-1" name="p" datatype="NoSuchType"/>',
        '<Property id="-1" name="p" datatype="LIST&lt;LIST&lt;TEXT&gt;&gt;"/>',
        '<Property id="-1" name="p" datatype="INTEGER">many</Property>',
        '<Record id="-1"/>',
        '<Record id="-1"><Parent id="-7"/></Record>',
        '<Record id="-1"><Parent id="99999999999999999999999999"/></Record>',
        '<Record id="-1"><Parent/></Record>',
        '<RecordType id="-1" name="t"><Parent id="-1"/></RecordType>',
        '<RecordType id="-1" name="t"><Property name="unit" importance="HUGE"/></RecordType>',
        '<RecordType id="-1" name="t"><Property name="unit"><Value>a</Value><Value>b</Value></Property></RecordType>',
        '<File id="-1" path="/../../etc/passwd"/>',
        '<File id="-1" path="/a" upload="0x1"/>',
        '<File id="-1"/>',
        '<Entity id="-1" name="x"/>',
        '<Nonsense id="-1" name="x"/>',
    ],
)
def test_an_unfit_entity_is_refused_with_an_error_on_it_and_its_companion_is_not_written(
    application: Application, entity: str
) -> None:
    response = send(application, "POST", "Entity", f'<Insert><RecordType id="-99" name="companion"/>{entity}</Insert>')
    assert response.status == 200
    text = response.body.decode()
    assert 'code="12"' in text
    assert "<Error" in text.split('id="-1"', 1)[-1]
    assert count(application) == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "FIND",
        "FIND ENTITY WITH " + "(" * 5000,
        "FIND ENTITY WITH " + "(" * 41 + "a" + ")" * 41,
        "FIND ENTITY WITH " + "NOT " * 5000 + "a",
        "FIND ENTITY WITH " + "!" * 5000 + "a",
        "FIND ENTITY WITH a=1" + " AND a=1" * 10_000,
        "FIND ENTITY WITH " + ".".join("a" * 3000),
        "FIND <<(>>",
        r"FIND <<(a)\1>>",
        "FIND <<(?=a)b>>",
        "FIND <<a{1000}{1000}>>",
        "FIND <<[z-a]>>",
        "FIND <<" + "a" * 2000 + ">>",
        "FIND ENTITY WITH 'x",
        "FIND ENTITY CREATED ON 2020-99-99",
        "x" * 600_000,
    ],
)
def test_a_query_out_of_bounds_is_answered_with_an_error_at_once(application: Application, text: str) -> None:
    send(application, "POST", "Entity", '<Insert><Property id="-1" name="a" datatype="INTEGER"/></Insert>')
    started = time.process_time()
    answer = query(application, text)
    assert time.process_time() - started < 5
    assert 'results="0"' in answer
    assert '<Error code="' in answer


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(.*)*x", "a*a*a*a*a*a*a*a*b", "(?:a?){40}a{40}", "(x+x+)+y"])
def test_a_regular_expression_that_backtracks_for_ever_ends_soon(application: Application, pattern: str) -> None:
    name = "a" * 200
    send(application, "POST", "Entity", f'<Insert><RecordType id="-1" name="{name}"/></Insert>')
    started = time.process_time()
    answer = query(application, f"FIND RECORDTYPE <<{pattern}>>")
    assert time.process_time() - started < 2
    assert 'results="0"' in answer


def test_five_hundred_conditions_are_no_problem(application: Application) -> None:
    insert(application, '<RecordType id="-1" name="T"/><Property id="-2" name="a" datatype="TEXT"/>')
    insert(application, "<Record id='-1'><Parent name='T'/><Property name='a'>v77</Property></Record>")
    assert 'results="1"' in query(application, "FIND T WITH " + " OR ".join(f"a=v{n}" for n in range(500)))
    assert 'results="0"' in query(application, "FIND T WITH " + " AND ".join(f"a=v{n}" for n in range(500)))
    assert 'results="2"' in query(
        application, "FIND ENTITY WITH " + " OR ".join(f"id={n}" for n in range(100, 102)) + " OR id=5" * 10_000
    )


def test_a_hundred_thousand_ids_in_one_request_are_sent_back_to_be_halved(application: Application) -> None:
    assert send(application, "GET", "Entity/" + "%26".join(str(n) for n in range(100_000))).status == 414
    response = send(application, "GET", "Entity/" + "%26".join(str(n) for n in range(100, 15_100)))
    assert response.status == 200
    assert response.body.count(b'code="101"') == 15_000


@pytest.mark.parametrize(
    "path",
    ["FileSystem/../../etc/passwd", "FileSystem//etc/passwd", "FileSystem/%2E%2E/x", "FileSystem/", "FileSystem/%00"],
)
def test_only_file_entities_can_be_downloaded(application: Application, path: str) -> None:
    assert send(application, "GET", path).status == 404


def test_what_is_not_implemented_says_so(application: Application) -> None:
    response = send(application, "GET", "webinterface/x")
    assert response.status == 404
    assert b"not implemented by the embedded LinkAhead" in response.body
    assert send(application, "PATCH", "Entity").status == 405
    assert b"makes none by itself" in send(application, "GET", "Thumbnails/a.png").body
    for method, tag in (("POST", "Insert"), ("PUT", "Update")):
        body = f'<{tag}><RecordType id="-1" name="T"><State id="1" model="m" name="s"/></RecordType></{tag}>'
        answer = send(application, method, "Entity", body).body
        assert b"States of entities are not implemented by the embedded LinkAhead" in answer
    assert count(application) == 0


def test_a_file_that_is_no_database_of_ours_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("this is no database at all, but long enough to be read as one" * 100, encoding="utf-8")
    with pytest.raises(DatabaseUnusableError):
        Database(text)
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    connection.close()
    with pytest.raises(DatabaseUnusableError, match="not one of the embedded LinkAhead"):
        Database(foreign)
    newer = tmp_path / "newer.db"
    Database(newer).close()
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(DatabaseUnusableError, match="newer version"):
        Database(newer)


INSERTER = """
import sys
from linkahead_embedded.bootstrap import open_application
from linkahead_embedded.auth import User
from linkahead_embedded.exchange import Request
application = open_application(sys.argv[1])
entity = "<Record id='-{0}' name='r{0}'><Parent name='T'/><Property name='a'>{0}</Property></Record>"
records = "".join(entity.format(n) for n in range(1, 10001))
print("ready", flush=True)
request = Request("POST", "Entity?uniquename=true", f"<Insert>{records}</Insert>".encode())
application.handle(request, User("x"))
print("done", flush=True)
"""


@pytest.mark.parametrize("delay", [0.05, 0.4, 0.8, 1.2, 1.6, 2.0])
def test_kill_in_the_middle_of_an_insert_leaves_all_or_nothing(tmp_path: Path, delay: float) -> None:
    database = tmp_path / "linkahead.db"
    application = open_application(database)
    insert(application, '<RecordType id="-1" name="T"/><Property id="-2" name="a" datatype="INTEGER"/>')
    close_application(database)
    with subprocess.Popen(
        [sys.executable, "-c", INSERTER, str(database)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
    application = open_application(database)
    assert count(application) in {2, 10_002}
    assert application.database.problems() == []
    with application.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM statement").fetchone()[0] in {0, 10_000}
    assert (
        "<Error"
        not in send(
            application, "POST", "Entity", '<Insert><Record id="-1"><Parent name="T"/></Record></Insert>'
        ).body.decode()
    )
    close_application(database)


def talk(url: str, *pieces: bytes) -> bytes:
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while block := connection.recv(65536):
            received += block
    return received


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    database = tmp_path / "linkahead.db"
    with serving(database, tmp_path) as address:
        yield address
    close_application(database)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / SPDY/9\r\n\r\n", b"400"),
        (b"GET /Entity/ HTTP/1.1\r\nbroken\r\n\r\n", b"400"),
        (b"BREW /Entity/ HTTP/1.1\r\n\r\n", b"501"),
        (b"GET /Entity/ HTTP/1.1\r\n\r\n", b"401"),
        (b"GET /Entity/ HTTP/1.1\r\nCookie: SessionToken=%5B%22S%22%5D;\r\n\r\n", b"401"),
        (b"POST /login HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /login HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"POST /login HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"POST /login HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST /login HTTP/1.1\r\nContent-Length: 31\r\n\r\nusername=tester&password=wrong!", b"401"),
        (b"POST /login HTTP/1.1\r\nContent-Length: 31\r\n\r\nusername=nobody&password=wrong!", b"401"),
        (b"GET /%FF HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 2_000_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n", b"431"),
        (b"POST /Entity HTTP/1.1\r\nContent-Type: multipart/form-data\r\nContent-Length: 3\r\n\r\nabc", b"400"),
        (b"POST /Entity HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n\r\n", b"400"),
    ],
)
def test_the_server_answers_malformed_http_with_the_status_that_fits(
    url: str, request_bytes: bytes, status: bytes
) -> None:
    answer = talk(url, request_bytes)
    assert answer.split(b" ", 2)[1] == status


def test_requests_that_follow_each_other_on_one_connection_are_answered_in_order(url: str) -> None:
    answer = talk(
        url,
        b"GET /Entity/ HTTP/1.1\r\n\r\n",
        b"POST /nothing HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /logout HTTP/1.1\r\n\r\n",
    )
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"401", b"404", b"200"]


def test_a_login_gives_a_token_that_a_new_password_voids(url: str, tmp_path: Path) -> None:
    login = b"username=tester&password=secret"
    answer = talk(url, b"POST /login HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(login), login)
    cookie = next(line for line in answer.split(b"\r\n") if line.startswith(b"Set-Cookie: "))[len("Set-Cookie: ") :]
    assert cookie.startswith(b"SessionToken=")
    token = cookie.split(b";")[0]
    ask = b"GET /Info HTTP/1.1\r\nCookie: " + token + b";\r\nConnection: close\r\n\r\n"
    assert talk(url, ask).startswith(b"HTTP/1.1 200")
    forged = ask.replace(b"tester", b"admin")
    assert talk(url, forged).startswith(b"HTTP/1.1 401")
    with open_application(tmp_path / "linkahead.db").database.write() as connection:
        set_password(connection, "tester", "another")
    assert talk(url, ask).startswith(b"HTTP/1.1 401")


def test_passwords_are_kept_as_slow_salted_hashes(url: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "linkahead.db")
    stored = connection.execute("SELECT password FROM user WHERE name = 'tester'").fetchone()[0]
    connection.close()
    assert stored.startswith("scrypt$16384$8$1$")
    assert "secret" not in stored


@pytest.mark.parametrize("order", ["%00", "a%00b", "-p %00 x", "-e ( x", "-i", "-p", "%ED%A0%80", "../..", "/etc"])
def test_a_folder_import_that_makes_no_sense_is_refused(application: Application, order: str) -> None:
    assert send(application, "POST", f"Entity?InsertFilesInDir={order}", "<Insert/>").status == 400


def test_a_body_of_a_hundred_megabytes_is_refused_before_it_is_read(application: Application, url: str) -> None:
    size = 100_000_000
    response = send(application, "POST", "Entity", "<Insert>" + " " * size + "</Insert>")
    assert response.status == 413
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=10) as connection:
        connection.sendall(f"POST /Entity HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


LONG = "a" * 300


@pytest.mark.parametrize("path", [f"/{LONG}", f"/{LONG}/b.txt", "/" + "a/" * 1900 + "b"])
def test_a_path_that_no_filesystem_takes_names_a_file_that_is_not_there(application: Application, path: str) -> None:
    answer = insert(application, f'<File id="-1" path="{path}"/>')
    assert "The file does not exist on the server" in answer
    assert send(application, "GET", f"FileSystem{path}").status == 404
    assert send(application, "POST", f"Entity?InsertFilesInDir={path}", "<Insert/>").status == 400
    application.scripting.folder = application.files.root
    assert send(application, "POST", "scripting", f"call={path}").status == 404


def test_connecting_to_a_database_that_is_not_there_makes_none_unless_asked_to(tmp_path: Path) -> None:
    database = tmp_path / "typo.db"
    with pytest.raises(DatabaseMissingError, match=r"There is no database .*typo\.db"):
        linkahead_embedded.connect(database)
    assert not database.exists()
    linkahead_embedded.connect(database, create=True)
    assert list(linkahead.find("FIND ENTITY WITH id > 99")) == []
    linkahead_embedded.connect(database)
    close_application(database)


@pytest.mark.parametrize("flags", ["ACL", "history", "ACL&history"])
@pytest.mark.parametrize("segment", ["9" * 30, "-1", "nobody", "9" * 30 + "@HEAD", "999%40HEAD~" + "9" * 30])
def test_what_is_asked_about_something_that_does_not_exist_is_answered_by_just_that(
    application: Application, segment: str, flags: str
) -> None:
    response = send(application, "GET", f"Entity/{segment}?{flags}")
    assert response.status == 200
    assert response.body.count(b'<Error code="101"') == 1


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("FIND Smaple", "There is no entity 'Smaple'. Did you mean 'Sample'?"),
        ("COUNT RECORD Smaple WITH length > 1", "There is no entity 'Smaple'. Did you mean 'Sample'?"),
        ("SELECT length FROM Smaple", "There is no entity 'Smaple'. Did you mean 'Sample'?"),
        ("FIND ANY VERSION OF Smaple", "There is no entity 'Smaple'. Did you mean 'Sample'?"),
        ("FIND Sample WITH lenght > 1", "There is no property 'lenght'. Did you mean 'length'?"),
        ("FIND Sample WITH xyzzy", "There is no property 'xyzzy'."),
        ("FIND Sample WHICH REFERENCES Smaple", "There is no entity 'Smaple'. Did you mean 'Sample'?"),
        (
            "FIND Sample WITH length > 5 bananas",
            "No value that is compared has a unit that 'bananas' can be converted to; their units: mm.",
        ),
        (
            "FIND Sample WITH length > 5 s",
            "No value that is compared has a unit that 's' can be converted to; their units: mm.",
        ),
    ],
)
def test_a_question_that_names_something_unknown_finds_nothing_and_says_what_may_be_meant(
    application: Application, text: str, warning: str
) -> None:
    insert(
        application,
        '<RecordType id="-1" name="Sample"/><Property id="-2" name="length" datatype="DOUBLE" unit="mm"/>'
        '<Record id="-3"><Parent id="-1"/><Property id="-2">7</Property></Record>',
    )
    answer = query(application, text).replace("&gt;", ">")
    assert 'results="0"' in answer
    assert f'description="{warning}"/></Query>' in answer
    for known in ("FIND Sample WITH length > 5 mm", "FIND Sample WITH length > 8 cm", "FIND Sample WITH name=nobody"):
        assert "<Warning" not in query(application, known)
