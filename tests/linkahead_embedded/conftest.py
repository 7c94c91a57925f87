"""An embedded LinkAhead under the official client, by either transport."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import linkahead
import pytest
from linkahead.cached import cache_clear

from linkahead_embedded.bootstrap import close_application, connect_client


@dataclass(frozen=True)
class Site:
    database: Path
    root: Path
    client: Any


@pytest.fixture(params=["in-process"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "files"
    root.mkdir()
    database = tmp_path / "linkahead.db"
    connect_client(database, root, "tester")
    cache_clear()
    yield Site(database, root, linkahead)
    close_application(database)


@pytest.fixture
def client(site: Site) -> Any:
    return site.client
