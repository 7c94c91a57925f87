from __future__ import annotations

import pytest

from benchmarks.table import Series, Trial, main_table, make_rows, markdown, net_seconds, stage_tables


def trial(wall_s: float, *, files: int = 100, failures: tuple[str, ...] = (), startup_s: float = 0.0) -> Trial:
    return Trial(
        wall_s=wall_s, cpu_s=wall_s, peak_mb=50.0, files=files, images=7, failures=failures, startup_s=startup_s
    )


def series(name: str, *walls: float, startup_s: float = 0.0, processes: int = 1) -> Series:
    trials = tuple(trial(wall, startup_s=startup_s) for wall in walls)
    return Series(name=name, remark="", processes=processes, trials=trials)


def test_the_wall_time_is_the_median_of_the_rounds() -> None:
    row = make_rows([series("dcm2niix", 2.0, 9.0, 3.0)], 100)[0]
    assert row.wall_s == 3.0
    assert row.files_per_s == pytest.approx(100 / 3)


def test_a_ratio_is_taken_within_each_round_so_that_a_slow_spell_cancels() -> None:
    rows = make_rows([series("dcm2niix", 1.0, 10.0, 1.0), series("ours", 4.0, 40.0, 5.0)], 100)
    assert rows[1].ratio == 4.0
    assert rows[1].cpu_ratio == 4.0
    assert rows[0].ratio == 1.0


def test_start_up_is_taken_off_once_for_each_process() -> None:
    assert net_seconds(trial(10.0, startup_s=1.5), processes=4) == 4.0
    rows = make_rows([series("dcm2niix", 2.0), series("peer", 10.0, startup_s=1.5, processes=4)], 100)
    assert rows[1].startup_s == 6.0
    assert rows[1].net_s == 4.0
    assert rows[1].net_ratio == 2.0


def test_net_time_is_never_below_zero() -> None:
    assert net_seconds(trial(1.0, startup_s=1.4), processes=1) == 0.0


def test_a_session_that_fails_is_named_with_its_reason_and_its_files_do_not_count() -> None:
    failing = Series(
        name="peer", remark="", processes=3, trials=(trial(1.0, files=60, failures=("S02: WrapperError",)),)
    )
    row = make_rows([failing], 100)[0]
    assert row.files == 60
    assert row.files_per_s == 60.0
    assert row.note == "FAILS for 1 of 3 (takes 60 of 100 files): S02: WrapperError"


def test_a_program_that_is_not_there_has_a_row_that_says_so() -> None:
    rows = make_rows([Series(name="peer", remark="", missing="not installed here")], 100)
    assert rows[0].note == "not installed here"
    assert main_table(rows).splitlines()[-1].count(" - ") == 12


def test_without_the_reference_there_are_no_ratios() -> None:
    row = make_rows([series("ours", 4.0)], 100)[0]
    assert row.ratio is None
    assert row.net_ratio is None


def test_columns_line_up_first_left_others_right() -> None:
    assert markdown(["a", "wide"], [["name", "1"], ["b", "12345"]]).splitlines() == [
        "| a    |  wide |",
        "| ---- | ----: |",
        "| name |     1 |",
        "| b    | 12345 |",
    ]


def test_stages_show_their_share_and_functions_come_by_size() -> None:
    text = stage_tables(
        {
            "wall_s": {"Starting": 1.0, "Reading headers": 3.0},
            "worker_s": {"scan_files": 2.0, "audit": 4.0},
            "worker_calls": {"scan_files": 8, "audit": 2},
            "main_s": {"crawl_delivery": 1.5},
        }
    )
    assert "| Reading headers     |    3.0 |  75 % |" in text
    assert text.index("audit") < text.index("scan_files")
    assert "| crawl_delivery                | 1.5 |" in text
