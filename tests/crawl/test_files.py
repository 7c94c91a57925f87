from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import quoteattr

import linkahead
import pytest
from linkahead.connection.interface import CaosDBHTTPResponse, CaosDBServerConnection

from heartbrain_ingest.crawl.files import link_files
from heartbrain_ingest.errors import DatabaseError


class Answer(CaosDBHTTPResponse):
    status = 200
    reason = "OK"

    def __init__(self, body: str) -> None:
        self.body = io.BytesIO(body.encode())

    def read(self, size: int | None = -1) -> bytes:
        return self.body.read(size)

    def getheader(self, _name: str, default: Any = None) -> Any:
        return default

    def getheaders(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        pass


class FileServer(CaosDBServerConnection):
    """As much of a LinkAhead server as links files: it sees a folder, and knows paths."""

    _base_path = "files:"

    def __init__(self, seen: Path) -> None:
        self.seen = seen
        self.paths: list[str] = []
        self.orders: list[str] = []

    def configure(self, **kwargs: Any) -> None:
        pass

    def request(self, method: str, path: str, **_kwargs: Any) -> Answer:
        flags = parse_qs(urlsplit(path).query)
        if method == "POST":
            (order,) = flags["InsertFilesInDir"]
            self.orders.append(order)
            prefix, folder = re.fullmatch(r"-p (\S+) (\S+)", order).groups()
            local = self.seen / Path(folder).relative_to("/extroot")
            new = [f"{prefix}/{local.name}/{f.relative_to(local)}" for f in sorted(local.rglob("*")) if f.is_file()]
            self.paths += new
            return Answer(self.answer(new))
        (question,) = flags["query"]
        folder = re.search(r"STORED AT '(.*)/\*\*'", question)[1]
        return Answer(self.answer([known for known in self.paths if known.startswith(folder)], question))

    def answer(self, paths: list[str], question: str = "") -> str:
        files = "".join(f'<File id="{100 + self.paths.index(p)}" path={quoteattr(p)} size="1"/>' for p in paths)
        query = f"<Query string={quoteattr(question)} results='{len(paths)}'/>" if question else ""
        return f"<Response>{query}{files}</Response>"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive" / "ExperimentalData" / "P" / "2023-05-04_sub-A_ses-1"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("x", encoding="ascii")
    (folder / "a.json").write_text("{}", encoding="ascii")
    return tmp_path / "archive"


@pytest.fixture
def server(archive: Path) -> Iterator[FileServer]:
    server = FileServer(archive)
    linkahead.configure_connection(
        url="x", password_method="unauthenticated", implementation=lambda: server, timeout=None
    )
    return server


FOLDER = "ExperimentalData/P/2023-05-04_sub-A_ses-1"


def test_a_server_is_asked_to_link_a_folder_below_the_path_it_has_in_the_archive(
    archive: Path, server: FileServer
) -> None:
    wanted = [f"/{FOLDER}/README.md"]
    assert link_files(archive / FOLDER, archive=archive, server_root="/extroot", wanted=wanted) == 1
    assert server.orders == [f"-p /ExperimentalData/P /extroot/{FOLDER}"]
    assert server.paths == [f"/{FOLDER}/README.md", f"/{FOLDER}/a.json"]


def test_a_server_that_knows_the_files_is_not_asked_again(archive: Path, server: FileServer) -> None:
    wanted = [f"/{FOLDER}/README.md", f"/{FOLDER}/a.json"]
    link_files(archive / FOLDER, archive=archive, server_root="/extroot", wanted=wanted)
    assert link_files(archive / FOLDER, archive=archive, server_root="/extroot", wanted=wanted) == 0
    assert len(server.orders) == 1


def test_a_file_that_the_server_does_not_see_is_named(archive: Path, server: FileServer) -> None:
    with pytest.raises(DatabaseError, match=r"does not see /ExperimentalData/P/.*/b\.json \(1 files\)"):
        link_files(archive / FOLDER, archive=archive, server_root="/extroot", wanted=[f"/{FOLDER}/b.json"])
