"""An embedded LinkAhead under the official client, by either transport."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import linkahead
import pytest
from linkahead.cached import cache_clear

from linkahead_embedded.bootstrap import close_application, connect_client, open_application
from linkahead_embedded.server import Server, admit


@dataclass(frozen=True)
class Site:
    database: Path
    root: Path
    client: Any


@pytest.fixture(params=["in-process", "http"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "files"
    root.mkdir()
    database = tmp_path / "linkahead.db"
    cache_clear()
    if request.param == "in-process":
        connect_client(database, root, "tester")
        yield Site(database, root, linkahead)
    else:
        with serving(database, root) as url:
            linkahead.configure_connection(url=url, username="tester", password="secret", password_method="plain")
            yield Site(database, root, linkahead)
            linkahead.get_connection()._delegate_connection._session.close()
    close_application(database)


@contextmanager
def serving(database: Path, root: Path) -> Iterator[str]:
    application = open_application(database, root)
    admit(application, "tester", "secret")
    server = Server(application)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join(timeout=10)


@pytest.fixture
def client(site: Site) -> Any:
    return site.client
