"""Several threads and processes on one file."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from linkahead_embedded.app import Application
from linkahead_embedded.auth import TOKEN_LIFETIME_MS, Gate, User, set_password
from linkahead_embedded.bootstrap import close_application, open_application
from linkahead_embedded.exchange import Request

WRITER = """
import sys
from linkahead_embedded.auth import User
from linkahead_embedded.bootstrap import open_application
from linkahead_embedded.exchange import Request
application = open_application(sys.argv[1])
for n in range(25):
    body = f"<Insert><Record id='-1' name='{sys.argv[2]}-{n}'><Parent name='T'/></Record></Insert>".encode()
    response = application.handle(Request("POST", "Entity?uniquename=true", body), User(sys.argv[2]))
    assert response.status == 200 and b"<Error" not in response.body, response.body
"""


def prepared(path: Path) -> Application:
    application = open_application(path)
    body = b'<Insert><RecordType id="-1" name="T"/></Insert>'
    assert b"<Error" not in application.handle(Request("POST", "Entity", body), User("x")).body
    return application


def count(application: Application) -> int:
    with application.database.read() as connection:
        return int(connection.execute("SELECT count(*) FROM entity WHERE role = 'Record'").fetchone()[0])


def test_writers_in_several_processes_wait_for_each_other_and_lose_nothing(tmp_path: Path) -> None:
    database = tmp_path / "linkahead.db"
    application = prepared(database)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(database), name]) for name in "abc"]
    while any(writer.poll() is None for writer in writers):
        assert 0 <= count(application) <= 75
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert count(application) == 75
    with application.database.read() as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM entity WHERE role = 'Record'")]
    assert len(set(ids)) == 75
    assert application.database.problems() == []
    close_application(database)


def test_threads_of_one_process_share_a_database(tmp_path: Path) -> None:
    database = tmp_path / "linkahead.db"
    application = prepared(database)

    def write(number: int) -> bool:
        body = f"<Insert><Record id='-1' name='r{number}'><Parent name='T'/></Record></Insert>".encode()
        response = application.handle(Request("POST", "Entity?uniquename=true", body), User("x"))
        application.database.release()
        return b"<Error" not in response.body

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write, range(40)))
        assert sum(pool.map(write, [7] * 8)) == 0
    assert count(application) == 40
    close_application(database)


def test_a_child_of_a_fork_opens_its_own_connection(tmp_path: Path) -> None:
    database = tmp_path / "linkahead.db"
    application = prepared(database)
    before = application.database.connection()
    child = os.fork()
    if child == 0:
        is_fresh = application.database.connection() is not before
        body = b"<Insert><Record id='-1' name='child'><Parent name='T'/></Record></Insert>"
        response = application.handle(Request("POST", "Entity", body), User("x"))
        os._exit(0 if is_fresh and b"<Error" not in response.body else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert count(application) == 1
    close_application(database)


def test_a_backup_is_a_complete_database(tmp_path: Path) -> None:
    application = prepared(tmp_path / "linkahead.db")
    application.database.backup(tmp_path / "backup.db")
    close_application(tmp_path / "linkahead.db")
    copy = open_application(tmp_path / "backup.db")
    body = b"<Insert><Record id='-1' name='r'><Parent name='T'/></Record></Insert>"
    assert b"<Error" not in copy.handle(Request("POST", "Entity", body), User("x")).body
    assert copy.database.problems() == []
    close_application(tmp_path / "backup.db")


def test_importing_the_package_is_cheap(tmp_path: Path) -> None:
    heavy = {"lxml", "lark", "linkahead", "sqlite3", "pint"}
    code = f"import sys, linkahead_embedded; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_five_lines_of_a_user_print_the_records_and_nothing_else(tmp_path: Path) -> None:
    application = prepared(tmp_path / "linkahead.db")
    body = b"<Insert><Record id='-1' name='mine'><Parent name='T'/></Record></Insert>"
    application.handle(Request("POST", "Entity", body), User("x"))
    close_application(tmp_path / "linkahead.db")
    script = (
        "import linkahead as db\nimport linkahead_embedded\nlinkahead_embedded.connect('linkahead.db')\n"
        "for record in db.execute_query('FIND T'):\n    print(record.name)\n"
    )
    for shared in ({}, {"SHARED_DIR": str(tmp_path)}):
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **shared},
        )
        assert (done.stdout, done.stderr) == ("mine\n", "")


def test_the_file_root_is_remembered_and_moves_with_the_database(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "archive").mkdir(parents=True)
    (site / "archive" / "a.txt").write_text("x", encoding="utf-8")
    open_application(site / "state" / "linkahead.db", site / "archive")
    close_application(site / "state" / "linkahead.db")
    site.rename(tmp_path / "moved")
    moved = tmp_path / "moved" / "state" / "linkahead.db"
    application = open_application(moved)
    assert application.files.root == tmp_path / "moved" / "archive"
    answer = application.handle(Request("POST", "Entity", b'<Insert><File id="-1" path="/a.txt"/></Insert>'), User("x"))
    assert b"<Error" not in answer.body
    close_application(moved)


def test_a_server_and_a_command_beside_it_see_what_the_other_writes(tmp_path: Path) -> None:
    database = tmp_path / "linkahead.db"
    prepared(database)
    close_application(database)
    code = "import sys\nfrom linkahead_embedded.server import serve\n"
    code += "serve(sys.argv[1], port=0, user='x', password='password', ready=lambda url: print(url, flush=True))"
    with subprocess.Popen([sys.executable, "-c", code, str(database)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(database), name]) for name in "ab"]
        with requests.Session() as session:
            session.trust_env = False
            login = {"username": "x", "password": "password"}
            assert session.post(f"{url}login", login, timeout=60).status_code == 200
            for number in range(25):
                body = f"<Insert><Record id='-1' name='served-{number}'><Parent name='T'/></Record></Insert>"
                answer = session.post(f"{url}Entity?uniquename=true", body, timeout=60)
                assert answer.status_code == 200
                assert "<Error" not in answer.text
            assert [writer.wait() for writer in writers] == [0, 0]
            assert 'results="75"' in session.get(f"{url}Entity", params={"query": "COUNT T"}, timeout=60).text
        server.kill()
    application = open_application(database)
    assert count(application) == 75
    assert application.database.problems() == []
    close_application(database)


def test_a_token_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    application = prepared(tmp_path / "linkahead.db")
    with application.database.write() as connection:
        set_password(connection, "ann", "a password")
    gate = Gate(application.database)
    token = gate.login("ann", "a password")
    assert token is not None
    assert gate.user(token) == User("ann", ())
    issued = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: issued + TOKEN_LIFETIME_MS * 1_000_000)
    assert gate.user(token) is None
    assert gate.user(token.replace(f",{TOKEN_LIFETIME_MS},", f",{2 * TOKEN_LIFETIME_MS},")) is None
    close_application(tmp_path / "linkahead.db")


def test_the_lines_of_the_readme_make_a_database_and_find_what_they_put_in(project_root: Path, tmp_path: Path) -> None:
    readme = (project_root / "README.md").read_text(encoding="utf-8")
    script = next(block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "create=True" in block)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_the_package_imports_nothing_of_the_project_and_only_what_the_readme_names(project_root: Path) -> None:
    imported = set()
    for path in (project_root / "src" / "linkahead_embedded").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {one.name.split(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").split(".")[0])
    assert imported - sys.stdlib_module_names - {"linkahead_embedded"} == {"lark", "lxml", "pint", "linkahead"}
