from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbrain_ingest.lab.values import CellError, Decimal, decimal_of, decimal_of_table, parse_number


@given(cents=st.integers(0, 10**9), decimal=st.sampled_from(["comma", "point"]), grouped=st.booleans())
def test_a_number_written_in_either_way_is_read_back(cents: int, decimal: Decimal, grouped: bool) -> None:
    text = f"{cents // 100:,}.{cents % 100:02}" if grouped else f"{cents // 100}.{cents % 100:02}"
    if decimal == "comma":
        text = text.translate(str.maketrans(",.", ".,"))
    assert parse_number(text, decimal) == cents / 100
    assert decimal_of(text) == decimal


@pytest.mark.parametrize("text", ["1,234", "12.345"])
def test_a_lone_separator_before_three_digits_tells_nothing(text: str) -> None:
    assert decimal_of(text) is None
    with pytest.raises(CellError, match="LAB_AMBIGUOUS_NUMBER"):
        parse_number(text, None)


@pytest.mark.parametrize("text", ["1.2.3", "1,23,4", "1.23,4,5", "12,34.5"])
def test_separators_in_impossible_places_are_refused(text: str) -> None:
    with pytest.raises(CellError, match="LAB_INVALID_VALUE"):
        parse_number(text, "point")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1,5", "1,234", 7], "comma"),
        (["1.5", "1.234"], "point"),
        (["0,345"], "comma"),
        (["1.234.567"], "comma"),
        (["1,5", "1.5"], None),
        (["140", None, "n.d."], None),
    ],
)
def test_a_table_tells_its_decimal_sign_only_where_its_values_agree(
    cells: list[str | float | None], expected: Decimal | None
) -> None:
    assert decimal_of_table(cells, "auto") == expected
