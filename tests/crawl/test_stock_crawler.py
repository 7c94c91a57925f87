"""The shipped definition is plain caoscrawler: the package's own program can use it, without our code around it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import linkahead
import pytest
from caoscrawler.crawl import crawler_main

if TYPE_CHECKING:
    from tests.crawl.conftest import Site


@pytest.fixture
def root_logger() -> Iterator[None]:
    """Take away the handler that `crawler_main` leaves at the root logger."""
    logger = logging.getLogger()
    before = list(logger.handlers), logger.level
    yield
    logger.handlers[:], logger.level = before


def test_the_stock_crawler_finds_what_our_crawl_made_and_changes_nothing(
    site: Site,
    crawled: Callable[[Path], object],
    root_logger: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crawled(site.put_session())
    before = {entity.id: entity.version.id for entity in linkahead.find("FIND ENTITY WITH id > 99")}
    monkeypatch.chdir(site.rules)  # the stock crawler takes `datamodel` from where it is run
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = crawler_main(
        str(site.archive),
        "cfood.yml",
        "identifiables.yml",
        remove_prefix=str(site.archive),
        unique_names=False,
    )
    assert code == 0
    assert {entity.id: entity.version.id for entity in linkahead.find("FIND ENTITY WITH id > 99")} == before
