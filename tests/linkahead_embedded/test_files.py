"""Uploaded folders, thumbnails, ranges, blobs that come and go, consistency, scripts, and a full server."""

from __future__ import annotations

import gc
import http.client
import os
import socket
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import linkahead
import pytest
from linkahead.exceptions import HTTPResourceNotFoundError, HTTPServerError, TransactionError
from linkahead.utils.checkFileSystemConsistency import runCheck
from linkahead.utils.server_side_scripting import run_server_side_script

from linkahead_embedded import schema
from linkahead_embedded import server as server_module
from linkahead_embedded.auth import User
from linkahead_embedded.blobs import BlobKeeper
from linkahead_embedded.bootstrap import close_application, open_application
from linkahead_embedded.exchange import Request
from linkahead_embedded.files import Upload
from tests.linkahead_embedded.conftest import Site, serving

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the client leaves uploads open
]


def blobs(site: Site) -> int:
    folder = site.database.with_name(site.database.name + ".files")
    return sum(1 for one in folder.rglob("*") if one.is_file())


def upload(client: Any, tmp_path: Path, name: str, content: bytes, **options: Any) -> Any:
    source = tmp_path / f"source-{name}"
    source.write_bytes(content)
    return client.File(name, path=f"/in/{name}", file=str(source), **options)


def test_a_folder_is_uploaded_as_one_file_and_what_is_in_it_comes_back(site: Site, tmp_path: Path) -> None:
    client = site.client
    folder = tmp_path / "scan"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "a.txt").write_bytes(b"first")
    (folder / "sub" / "deep" / "b ö.bin").write_bytes(bytes(range(256)) * 300)
    stored = client.File("scan", path="/scans/one", file=str(folder)).insert()
    assert stored.size == 5 + 256 * 300
    con = client.get_connection()
    assert con.download_file("/scans/one/a.txt").read() == b"first"
    assert con.download_file("/scans/one/sub/deep/b ö.bin").read() == bytes(range(256)) * 300
    for missing in ("/scans/one", "/scans/one/empty", "/scans/one/sub", "/scans/one/c.txt", "/scans"):
        with pytest.raises(HTTPResourceNotFoundError):
            con.download_file(missing)
    moved = client.File(id=stored.id).retrieve()
    moved.path = "/elsewhere"
    moved.update()
    assert con.download_file("/elsewhere/a.txt").read() == b"first"
    assert blobs(site) == 2
    moved.delete()
    assert blobs(site) == 0


def test_a_thumbnail_is_kept_beside_its_file(site: Site, tmp_path: Path) -> None:
    client = site.client
    small = tmp_path / "small.png"
    small.write_bytes(b"\x89PNG small")
    upload(client, tmp_path, "large.png", b"large picture", thumbnail=str(small)).insert()
    upload(client, tmp_path, "other.png", b"no thumbnail").insert()
    con = client.get_connection()
    answer = con._http_request(method="GET", path="Thumbnails/in/large.png")
    assert answer.read() == b"\x89PNG small"
    with pytest.raises(HTTPResourceNotFoundError):
        con._http_request(method="GET", path="Thumbnails/in/other.png")
    client.execute_query("FIND FILE WITH name=large.png", unique=True).delete()
    assert blobs(site) == 1


def test_bytes_go_with_the_last_file_that_has_them(site: Site, tmp_path: Path) -> None:
    client = site.client
    first = upload(client, tmp_path, "a", b"the same").insert()
    second = upload(client, tmp_path, "b", b"the same").insert()
    assert blobs(site) == 1
    first.delete()
    assert blobs(site) == 1
    assert client.get_connection().download_file("/in/b").read() == b"the same"
    second.delete()
    assert blobs(site) == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the client leaves the file of a refused upload open
def test_replaced_and_refused_uploads_leave_nothing_behind(site: Site, tmp_path: Path) -> None:
    client = site.client
    stored = upload(client, tmp_path, "a", b"old").insert()
    new = tmp_path / "new"
    new.write_bytes(b"new content")
    stored.file = str(new)
    stored.update()
    assert client.get_connection().download_file("/in/a").read() == b"new content"
    assert blobs(site) == 1
    with pytest.raises(TransactionError):
        upload(client, tmp_path, "a", b"another at the same path").insert()
    with pytest.raises(TransactionError):
        upload(client, tmp_path, "c", b"of no type").add_parent("nowhere").insert()
    assert blobs(site) == 1
    gc.collect()


def test_many_at_a_time_upload_and_delete_the_same_bytes_and_none_is_lost(site: Site) -> None:
    application = open_application(site.database)

    problems: list[str] = []

    def come_and_go(worker: int) -> None:
        for turn in range(12):
            spooled = application.files.spool()
            spooled.write_bytes(b"shared bytes")
            xml = f'<Insert><File id="-1" path="/{worker}/{turn}" upload="u"/></Insert>'.encode()
            request = Request("POST", "Entity", xml, uploads={"u": Upload(spooled)})
            answer = application.handle(request, User("tester")).body.decode()
            got = application.handle(Request("GET", f"FileSystem/{worker}/{turn}"), User("tester"))
            if got.status != 200 or got.file is None or not got.file[0].exists():
                problems.append(answer)
            entity = answer.split('<File id="')[1].split('"')[0]
            application.handle(Request("DELETE", f"Entity/{entity}"), User("tester"))
            spooled.unlink(missing_ok=True)
        application.database.release()

    threads = [threading.Thread(target=come_and_go, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert blobs(site) == 0


def test_what_a_killed_request_left_is_removed_a_day_later(tmp_path: Path) -> None:
    application = open_application(tmp_path / "linkahead.db")
    folder = application.files.folder
    for name, age_s in (("old", 100_000), ("new", 100)):
        blob, spooled = folder / "ab" / name, folder / "incoming" / name
        for one in (blob, spooled):
            one.parent.mkdir(parents=True, exist_ok=True)
            one.touch()
            os.utime(one, (time.time() - age_s,) * 2)
        with application.database.write() as connection:
            row = (f"ab/{name}", "killed", int((time.time() - age_s) * 1e6))
            connection.execute("INSERT INTO pending_blob VALUES (?, ?, ?)", row)
    application.files.sweep()
    assert BlobKeeper(application.database, application.files).collect() == 1
    left = sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())
    assert left == ["ab/new", "incoming/new"]
    close_application(tmp_path / "linkahead.db")


def test_ranges_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(100)))
    with serving(tmp_path / "linkahead.db", tmp_path) as url:
        linkahead.configure_connection(url=url, username="tester", password="secret", password_method="plain")
        linkahead.File(path="/a.bin").insert()
        token = linkahead.get_connection()._authenticator.auth_token
        connection = http.client.HTTPConnection(urlsplit(url).netloc)

        def get(wanted: str, method: str = "GET") -> tuple[int, bytes, str | None]:
            cookie = f"SessionToken={quote(token, safe='')};"
            connection.request(method, "/FileSystem/a.bin", headers={"Range": wanted, "Cookie": cookie})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheader("Content-Range")

        everything = bytes(range(100))
        assert get("bytes=0-9") == (206, everything[:10], "bytes 0-9/100")
        assert get("bytes=90-") == (206, everything[90:], "bytes 90-99/100")
        assert get("bytes=-5") == (206, everything[95:], "bytes 95-99/100")
        assert get("bytes=50-1000") == (206, everything[50:], "bytes 50-99/100")
        assert get("bytes=-1000") == (206, everything, "bytes 0-99/100")
        assert get("bytes=100-")[0::2] == (416, "bytes */100")
        assert get("bytes=9-5")[0] == 416
        for unusual in ("lines=1-2", "bytes=0-1,5-6", ""):
            assert get(unusual) == (200, everything, None)
        assert get("bytes=0-9", "HEAD") == (206, b"", "bytes 0-9/100")
        connection.close()
        linkahead.get_connection()._delegate_connection._session.close()


def test_the_check_of_files_tells_what_is_missing_or_changed(site: Site, tmp_path: Path) -> None:
    client = site.client
    for name in ("same", "gone", "longer", "changed"):
        (site.root / "x").mkdir(exist_ok=True)
        (site.root / "x" / name).write_bytes(b"12345")
        client.File(path=f"/x/{name}").insert()
    upload(client, tmp_path, "uploaded", b"upload").insert()
    (site.root / "x" / "gone").unlink()
    (site.root / "x" / "longer").write_bytes(b"123456")
    (site.root / "x" / "changed").write_bytes(b"54321")

    def messages(location: str | None) -> list[str]:
        return sorted(message.description for message in runCheck(None, location).messages)

    assert messages("/x") == [
        "/x/changed: the content of the file has changed",
        "/x/gone: the file is missing",
        "/x/longer: the file has 6 bytes instead of 5",
        "1 files are as they were stored, 3 are not.",
    ]
    assert messages("/x/same") == ["1 files are as they were stored, 0 are not."]
    assert messages(None)[-1] == "2 files are as they were stored, 3 are not."


@pytest.fixture
def scripts(site: Site, tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    (folder / "tools").mkdir(parents=True)
    show = folder / "tools" / "show.sh"
    show.write_text('#!/bin/sh\nfor one in "$@"; do echo "<$one>"; done\npwd\necho careful >&2\nexit 3\n')
    show.chmod(0o755)
    read = folder / "read.sh"
    read.write_text('#!/bin/sh\ncat "$1" 2>/dev/null || cat "$2"\n')
    read.chmod(0o755)
    (folder / "data.txt").write_text("not executable")
    outside = tmp_path / "outside.sh"
    outside.write_text("#!/bin/sh\necho outside\n")
    outside.chmod(0o755)
    (folder / "link.sh").symlink_to(outside)
    open_application(site.database, scripts=folder)
    return folder


def without_token(lines: str) -> list[str]:
    return [line for line in lines.splitlines() if not line.startswith("<--auth-token=")]


def test_a_script_of_the_folder_runs_with_its_arguments_in_a_home_of_its_own(scripts: Path) -> None:
    done = run_server_side_script("tools/show.sh", "one", "two words; rm", key="a b")
    assert done.code == 3
    assert done.call == "tools/show.sh --key=a b one two words; rm"
    *arguments, home = without_token(done.stdout)
    assert arguments == ["<--key=a b>", "<one>", "<two words; rm>"]
    assert done.stderr == "careful\n"
    assert not Path(home).exists()


def test_a_script_gets_uploaded_files(scripts: Path, tmp_path: Path) -> None:
    source = tmp_path / "input.txt"
    source.write_text("content of the file", encoding="utf-8")
    done = run_server_side_script("read.sh", files={"-p0": str(source)})
    assert (done.code, done.stdout) == (0, "content of the file")


@pytest.mark.parametrize("call", ["", ".", "none.sh", "data.txt", "../outside.sh", "link.sh", "/bin/sh", "tools"])
def test_nothing_else_runs(scripts: Path, call: str) -> None:
    with pytest.raises(HTTPResourceNotFoundError):
        run_server_side_script(call)


def test_without_a_folder_of_scripts_there_are_none(client: Any) -> None:
    with pytest.raises(HTTPServerError, match="only if it is started with a folder"):
        run_server_side_script("show.sh")


def test_a_full_server_says_so_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 2)
    with serving(tmp_path / "linkahead.db", tmp_path) as url:
        address = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        held = [socket.create_connection(address) for _ in range(2)]
        for one in held:
            one.sendall(b"GET /Info HTTP/1.1\r\nHost: x\r\n\r\n")
            assert one.recv(100).startswith(b"HTTP/1.1 401")
        with socket.create_connection(address) as third:
            assert third.recv(1000).startswith(b"HTTP/1.1 503 Service Unavailable")
        for one in held:
            one.close()
        for _ in range(50):
            with socket.create_connection(address) as fourth:
                fourth.sendall(b"GET /Info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = fourth.recv(100)
            if answer.startswith(b"HTTP/1.1 401"):
                break
        assert answer.startswith(b"HTTP/1.1 401")


def test_a_file_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    database = tmp_path / "linkahead.db"
    connection = sqlite3.connect(database, isolation_level=None)
    for statement in schema.MIGRATIONS[0].split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    application = open_application(database)
    assert application.database.problems() == []
    version = application.database.connection().execute("PRAGMA user_version").fetchone()[0]
    assert version == len(schema.MIGRATIONS)
    application.database.close()
