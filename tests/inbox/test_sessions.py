from __future__ import annotations

from datetime import date, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbrain_ingest.inbox import SessionLabeler, delivery_key, valid_date


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20230504", date(2023, 5, 4)),
        ("2023.05.04", date(2023, 5, 4)),
        (" 20230504 ", date(2023, 5, 4)),
        ("20230229", None),
        ("00000000", None),
        ("19000101", None),
        ("***", None),
        ("", None),
        ("2023-05-04", None),
        ("202305041015", None),
    ],
)
def test_a_date_is_one_only_when_it_can_be_the_day_of_a_scan(text: str, expected: date | None) -> None:
    assert valid_date(text) == expected


@given(st.text())
def test_no_text_breaks_the_reading_of_a_date(text: str) -> None:
    day = valid_date(text)
    assert day is None or day.year >= 1970


@given(st.dates(min_value=date(1970, 1, 1)))
def test_every_day_since_1970_is_read_back(day: date) -> None:
    assert valid_date(f"{day:%Y%m%d}".zfill(8)) == day


def test_a_session_is_called_by_its_shifted_day_and_the_next_ones_of_that_day_get_letters() -> None:
    labeler = SessionLabeler(set())
    labels = [labeler.label(date(2023, 5, 4), -10) for _ in range(28)]
    assert labels[:3] == ["20230424", "20230424a", "20230424b"]
    assert labels[26:] == ["20230424z", "20230424aa"]
    assert len(set(labels)) == 28
    assert labeler.label(date(2023, 5, 5), -10) == "20230425"


def test_sessions_without_a_day_are_called_undated() -> None:
    labeler = SessionLabeler({"undated"})
    assert labeler.label(None, -10) == "undateda"


def test_taken_labels_are_not_given_again() -> None:
    assert SessionLabeler({"20230504"}).label(date(2023, 5, 4), 0) == "20230504a"


@given(st.integers(-4015, -366), st.integers(0, 4000))
def test_the_days_between_two_sessions_stay_as_they_are(shift: int, apart: int) -> None:
    labeler = SessionLabeler(set())
    first = date(2010, 1, 1)
    labels = [labeler.label(day, shift) for day in (first, first + timedelta(days=apart))]
    days = [date(int(label[:4]), int(label[4:6]), int(label[6:8])) for label in labels]
    assert (days[1] - days[0]).days == apart


def test_what_identifies_a_delivery_is_not_mixed_up() -> None:
    keys = {delivery_key(*parts) for parts in permutations(("ab", "c", ""))}
    assert len(keys) == 6
    assert delivery_key("ab", "c") != delivery_key("a", "bc")
    assert delivery_key("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
