from __future__ import annotations

import json
import math

import pytest

from heartbrain_ingest.crawl.values import TEXT_LIMIT, PropertyType, UnfitValueError, as_json_text, clean_text, fit

DOUBLE = PropertyType(element="DOUBLE")
INTEGER = PropertyType(element="INTEGER")
TEXT = PropertyType(element="TEXT")


def test_a_whole_number_in_a_double_property_becomes_a_float() -> None:
    value = fit(3, DOUBLE)
    assert value == 3.0
    assert isinstance(value, float)


def test_a_float_without_fraction_fits_an_integer_property_and_one_with_a_fraction_does_not() -> None:
    assert fit(2.0, INTEGER) == 2
    with pytest.raises(UnfitValueError):
        fit(2.5, INTEGER)


def test_a_truth_value_is_no_number() -> None:
    for wanted in (DOUBLE, INTEGER):
        with pytest.raises(UnfitValueError):
            fit(True, wanted)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "2.3", None, {}, []])
def test_what_would_not_come_back_unchanged_does_not_fit_a_double(value: object) -> None:
    with pytest.raises(UnfitValueError):
        fit(value, DOUBLE)


def test_an_integer_beyond_the_range_of_a_server_does_not_fit() -> None:
    assert fit(2**31 - 1, INTEGER) == 2**31 - 1
    with pytest.raises(UnfitValueError):
        fit(2**31, INTEGER)


def test_a_single_value_fits_a_list_property_and_a_list_fits_a_scalar_one() -> None:
    assert fit(1.8, PropertyType(element="DOUBLE", is_list=True)) == [1.8]
    assert fit([1, 2], DOUBLE) == [1.0, 2.0]


def test_an_object_fits_a_text_as_json_and_nothing_else() -> None:
    assert fit([{"b": 1, "a": "ü"}], TEXT) == '[{"a": "\\u00fc", "b": 1}]'
    assert fit({"a": None}, TEXT) == '{"a": null}'
    with pytest.raises(UnfitValueError):
        fit({"a": 1}, DOUBLE)


def test_a_list_with_one_value_of_another_type_does_not_fit() -> None:
    with pytest.raises(UnfitValueError):
        fit([0.1, "n/a"], DOUBLE)


def test_texts_lose_what_xml_would_lose_anyway() -> None:
    assert fit(" t1\x00 mprage\r\nse \x1b", TEXT) == "t1 mprage\nse"
    assert clean_text("\ud800Größe") == "Größe"


def test_a_text_of_white_space_and_one_beyond_the_limit_do_not_fit() -> None:
    for value in (" \n", "x" * (TEXT_LIMIT + 1)):
        with pytest.raises(UnfitValueError):
            fit(value, TEXT)


def test_a_date_fits_and_a_time_stamp_that_a_server_would_rewrite_does_not() -> None:
    wanted = PropertyType(element="DATETIME")
    assert fit("2023-05-04", wanted) == "2023-05-04"
    with pytest.raises(UnfitValueError):
        fit("2023-05-04T10:00:00", wanted)


def test_a_value_never_fits_a_property_that_refers_to_a_record_or_a_file() -> None:
    for element in ("Session", "FILE"):
        with pytest.raises(UnfitValueError):
            fit("text", PropertyType(element=element))


def test_other_fields_are_one_json_text_in_a_fixed_order() -> None:
    assert as_json_text({"b": [1], "a": {"x": "ü"}}) == ('{"a": {"x": "\\u00fc"}, "b": [1]}', [])


def test_the_largest_of_the_other_fields_are_left_out_until_the_text_fits() -> None:
    text, left_out = as_json_text({"small": 1, "large": "x" * TEXT_LIMIT, "larger": "y" * (TEXT_LIMIT + 1)})
    assert json.loads(text) == {"small": 1}
    assert left_out == ["larger", "large"]
