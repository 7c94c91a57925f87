from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.linkahead import measure_insert
from benchmarks.linkahead_crawl import measure_crawls


def test_the_insert_is_measured_beside_the_same_rows_without_a_server(tmp_path: Path) -> None:
    measured = measure_insert(tmp_path, records=200, rounds=1)
    assert measured.records == 200
    assert 0 < measured.floor_s < measured.server_s


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_with_the_prefetching_adapter_an_unchanged_crawl_needs_as_many_requests_for_few_records_as_for_many(
    tmp_path: Path,
) -> None:
    requests = []
    for records in (10, 40):
        folder = tmp_path / str(records)
        folder.mkdir()
        crawls = {(one.adapter, one.run): one.requests for one in measure_crawls(folder, records)}
        requests.append((crawls["prefetching", "same"], crawls["caoscrawler's own", "same"]))
    (few, own_few), (many, own_many) = requests
    assert few == many <= 10
    assert own_few < own_many
