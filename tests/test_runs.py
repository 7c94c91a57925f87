"""What is remembered of past runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from heartbrain_ingest.report import RunReport
from heartbrain_ingest.runs import FILE, last_runs, noted
from heartbrain_ingest.settings import Folders, Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(folders=Folders(logs=tmp_path))


def test_the_newest_run_comes_first_with_what_it_did(settings: Settings) -> None:
    for count in (3, 5):
        with noted(settings) as done:
            done.append(RunReport(seen=count, new=count - 1, published=["a", "b"], refused=Counter(LEAK=1)))
    runs = last_runs(settings)
    assert [(run.seen, run.new, run.published, run.refused, run.exit_code) for run in runs] == [
        (5, 4, 2, 1, 1),
        (3, 2, 2, 1, 1),
    ]


def test_a_run_that_ends_with_an_error_is_remembered_without_an_exit_code(settings: Settings) -> None:
    with pytest.raises(RuntimeError), noted(settings):
        raise RuntimeError
    assert [run.exit_code for run in last_runs(settings)] == [None]


def test_a_line_that_was_cut_off_hides_no_other(settings: Settings) -> None:
    with noted(settings) as done:
        done.append(RunReport(seen=1))
    with (settings.folders.logs / FILE).open("a", encoding="utf-8") as stream:
        stream.write('{"began": "2026-')
    assert [run.seen for run in last_runs(settings)] == [1]


def test_of_many_runs_the_last_are_given(settings: Settings) -> None:
    assert last_runs(settings) == []
    for count in range(15):
        with noted(settings) as done:
            done.append(RunReport(seen=count))
    assert [run.seen for run in last_runs(settings, most=3)] == [14, 13, 12]
