from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import linkahead
import pytest

from heartbrain_ingest import crawl
from heartbrain_ingest.errors import DatabaseError


@pytest.fixture(autouse=True)
def client_configuration() -> Iterator[None]:
    """Put the client's configuration back, which belongs to the whole process."""
    configuration = linkahead.get_config()
    before = {name: dict(configuration.items(name)) for name in configuration.sections()}
    yield
    configuration.clear()
    configuration.read_dict(before)


def test_without_a_configuration_the_embedded_database_is_made_and_used(tmp_path: Path) -> None:
    crawl.connect(ini=None, database=tmp_path / "linkahead.db", file_root=tmp_path)
    assert linkahead.count("COUNT RECORD") == 0
    assert (tmp_path / "linkahead.db").is_file()


def test_a_configuration_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"pylinkahead\.ini does not exist"):
        crawl.connect(ini=tmp_path / "pylinkahead.ini", database=tmp_path / "x", file_root=tmp_path)
    for broken in ("url=x\n", "[Connection]\ntimeout=soon\n"):
        (tmp_path / "pylinkahead.ini").write_text(broken, encoding="ascii")
        with pytest.raises(DatabaseError, match=r"pylinkahead\.ini"):
            crawl.connect(ini=tmp_path / "pylinkahead.ini", database=tmp_path / "x", file_root=tmp_path)


def test_a_server_that_does_not_answer_is_reported_with_what_to_do(tmp_path: Path) -> None:
    ini = tmp_path / "pylinkahead.ini"
    ini.write_text(
        "[Connection]\nurl=http://127.0.0.1:9/\nusername=a\npassword_method=plain\npassword=b\ntimeout=5\n",
        encoding="ascii",
    )
    with pytest.raises(DatabaseError, match="whether the server runs"):
        crawl.connect(ini=ini, database=tmp_path / "x", file_root=tmp_path)


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "linkahead.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(DatabaseError, match=r"linkahead\.db"):
        crawl.connect(ini=None, database=tmp_path / "linkahead.db", file_root=tmp_path)


def test_naming_the_package_loads_neither_client_nor_crawler() -> None:
    script = "import sys, heartbrain_ingest.crawl; print({'linkahead', 'caoscrawler', 'pandas'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
