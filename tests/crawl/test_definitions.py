from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import linkahead
import pytest
from linkahead.connection.connection import _Connection

from heartbrain_ingest import crawl
from tests.crawl.conftest import Site

Crawl = Callable[[Path], crawl.CrawlReport]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of all requests from here on."""
    addresses: list[str] = []
    plain = _Connection._http_request

    def noted(self: _Connection, method: str, path: str, *args: object, **kwargs: object) -> object:
        addresses.append(f"{method} {unquote(str(path))}".replace("+", " "))
        return plain(self, method, path, *args, **kwargs)

    monkeypatch.setattr(_Connection, "_http_request", noted)
    return addresses


def _crawl(site: Site, revision: int, definitions: crawl.Definitions | None) -> crawl.CrawlReport:
    return crawl.crawl_delivery(
        site.put_session(revision),
        archive=site.archive,
        cfood=site.rules / "cfood.yml",
        identifiables=site.rules / "identifiables.yml",
        definitions=definitions,
    )


def test_a_crawl_asks_for_the_data_model_once_and_not_for_each_of_its_names(
    site: Site, crawled: Crawl, asked: list[str]
) -> None:
    report = _crawl(site, 1, None)
    assert report.inserted > 10
    assert [address for address in asked if "FIND ENTITY WITH name" in address] == []
    assert len([address for address in asked if "FIND RECORDTYPE" in address]) == 1
    assert len(asked) < 40


def test_a_second_folder_of_the_run_asks_for_no_definition(site: Site, crawled: Crawl, asked: list[str]) -> None:
    definitions = crawl.Definitions()
    _crawl(site, 1, definitions)
    asked.clear()
    assert _crawl(site, 2, definitions).inserted > 0
    assert [address for address in asked if "FIND RECORDTYPE" in address or "FIND PROPERTY" in address] == []


def test_records_made_with_known_definitions_have_the_types_of_the_data_model(site: Site, crawled: Crawl) -> None:
    _crawl(site, 1, crawl.Definitions())
    image = linkahead.get_entity_by(query="FIND RECORD T1WeightedImage")
    assert image.get_property("RepetitionTime").datatype == "DOUBLE"
    assert image.get_property("RepetitionTime").unit == "s"
    assert image.get_property("Session").datatype == "Session"
