"""Questions: what a form writes says what was typed and nothing else; what may come next while one is typed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from heartbrain_ingest.portal.completion import Expected, place_in, suggest
from heartbrain_ingest.portal.datamodel import DataModel, Kind, Property
from heartbrain_ingest.portal.questions import Range, Wish, place_of_error, read_question, write_question
from heartbrain_ingest.portal.search_form import read_form
from linkahead_embedded.lql import ast
from linkahead_embedded.lql.parser import parse

SESSION = Property(name="Session", datatype="Session")
SUBJECT = Property(name="Subject", datatype="Subject")
TIME = Property(name="RepetitionTime", datatype="DOUBLE", unit="s", description="Time to the next one (BIDS)")
ACQ = Property(name="acq", datatype="TEXT", description="Label of the acquisition")
ANALYTE = Property(name="Analyte", datatype="TEXT")
DAY = Property(name="Date", datatype="DATETIME")
KINDS = (
    Kind(name="MRImage", description="An image", properties=(SESSION, SUBJECT, TIME, ACQ)),
    Kind(name="T1WeightedImage", description="T1-weighted anatomical image (BIDS T1w)", parents=("MRImage",)),
    Kind(name="Session", properties=(SUBJECT, DAY)),
    Kind(name="Subject"),
    Kind(name="LabValue", properties=(ANALYTE, SUBJECT)),
)
MODEL = DataModel(
    {one.name: one for one in KINDS},
    {one.name: one for one in (SESSION, SUBJECT, TIME, ACQ, ANALYTE, DAY)},
)
ATTACKS = (
    "x' OR 'Subject' LIKE '*",
    "x\\' OR id > '0",
    "x\\",
    "') OR (id>'0",
    'x" OR "a"="a',
    "x\n AND id > 0",
    "<script>alert(1)</script>",
    "<<.*>>",
    "MRImage WITH id > 0",
)


@settings(deadline=None)
@given(st.sampled_from(ATTACKS) | st.text(min_size=1, max_size=40))
def test_what_is_typed_into_the_form_stays_one_text(text: str) -> None:
    question = parse(write_question(Wish(kind="MRImage", words=(("acq", text),)), MODEL))
    assert question.entity == ast.Name(("MRImage",))
    # An asterisk stands for anything, as the form says.
    wanted = ast.Like(ast.Name(tuple(text.split("*")))) if "*" in text else ast.Compare("=", text)
    assert question.filter == ast.Pov(ast.Name(("acq",)), wanted)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_a_kind_or_a_property_with_any_name_is_only_a_name(text: str) -> None:
    question = parse(write_question(Wish(kind=text, words=(("acq", "x"),)), MODEL))
    assert question.entity == ast.Name((text,))
    name = text.replace(".", "")
    question = parse(write_question(Wish(kind="MRImage", words=((name, "x"),)), MODEL))
    assert question.filter == ast.Pov(ast.Name((name,)), ast.Compare("=", "x"))


def test_the_form_asks_for_subject_days_of_the_visit_and_numbers_with_their_unit() -> None:
    wish = Wish(
        kind="T1WeightedImage",
        subject="sub-K7Q2ABCD",
        since=date(2023, 1, 1),
        until=date(2023, 12, 31),
        ranges=(Range(name="RepetitionTime", low=0.5, high=2.0),),
    )
    assert write_question(wish, MODEL) == (
        "FIND 'T1WeightedImage' WITH 'Subject' = 'sub-K7Q2ABCD' "
        "AND ('Session'.'Date' >= '2023-01-01' OR 'Session'.'Date' IN '2023-01-01') "
        "AND ('Session'.'Date' <= '2023-12-31' OR 'Session'.'Date' IN '2023-12-31') "
        "AND 'RepetitionTime' >= '0.5 s' AND 'RepetitionTime' <= '2 s'"
    )


def test_the_day_of_a_visit_is_its_own_and_that_of_a_subject_the_one_of_a_visit() -> None:
    since = date(2023, 1, 1)
    assert (
        write_question(Wish(kind="Session", since=since), MODEL)
        == "FIND 'Session' WITH ('Date' >= '2023-01-01' OR 'Date' IN '2023-01-01')"
    )
    assert write_question(Wish(kind="Subject", subject="sub-*", since=since), MODEL) == (
        "FIND 'Subject' WITH name LIKE 'sub-*' AND REFERENCED BY 'Session' "
        "WITH (('Date' >= '2023-01-01' OR 'Date' IN '2023-01-01'))"
    )


def test_the_form_takes_a_decimal_comma_and_says_what_is_no_number_and_no_day() -> None:
    address = QueryParams("kind=MRImage&property=RepetitionTime&low=0,5&high=&since=2023-01-01")
    assert "'RepetitionTime' >= '0.5 s'" in read_form(address, MODEL, str).query
    address = QueryParams("kind=MRImage&property=RepetitionTime&low=much&high=nan&since=yesterday")
    form = read_form(address, MODEL, str)
    assert form.query == ""
    assert form.problems == (
        "“yesterday” is no date. Write it as 2024-05-31.",
        "“much” is no number.",
        "“nan” is no number.",
    )
    address = QueryParams("kind=MRImage&property=RepetitionTime&low=3&high=2&since=2024-01-01&until=2023-01-01")
    assert len(read_form(address, MODEL, str).problems) == 2


@pytest.mark.parametrize(
    "more", [f"subject=sub-{'x' * 200}", f"word=acq&text={'x' * 201}", "&".join(["word=acq&text=x"] * 21)]
)
def test_what_is_too_much_for_the_form_is_said_and_not_cut(more: str) -> None:
    form = read_form(QueryParams(f"kind=MRImage&{more}"), MODEL, str)
    assert (form.query, form.problems) == ("", ("The question is too long.",))


def test_lines_of_the_form_keep_together() -> None:
    address = QueryParams("kind=MRImage&property=&low=&high=&property=RepetitionTime&low=&high=2&more=number")
    form = read_form(address, MODEL, str)
    assert [(line.name, line.low, line.high) for line in form.numbers] == [("RepetitionTime", "", "2"), ("", "", "")]
    assert form.query == "FIND 'MRImage' WITH 'RepetitionTime' <= '2 s'"


@pytest.mark.parametrize(
    ("text", "verb", "target", "columns"),
    [
        ("find MRImage", "FIND", "MRImage", ()),
        (" COUNT  RECORD x ", "COUNT", "RECORD x", ()),
        ("SELECT a, s.Age, 'from here', id FROM 'x' WITH y", "SELECT", "'x' WITH y", ("a", "s.Age", "from here")),
        ("SELECT name FROM x", "SELECT", "x", ()),
        ("SELECT 'a FROM b' FROM'x'", "SELECT", "'x'", ("a FROM b",)),
        ("DROP x", "", "DROP x", ()),
        ("SELECT a", "", "SELECT a", ()),
        ("", "", "", ()),
    ],
)  # fmt: skip
def test_a_question_is_taken_apart(text: str, verb: str, target: str, columns: tuple[str, ...]) -> None:
    question = read_question(text)
    assert (question.verb, question.target, question.columns) == (verb, target, columns)


def test_the_place_of_an_error_is_the_letter_that_linkahead_names() -> None:
    assert place_of_error("Query syntax error at character 6: unexpected 'x'", "FIND x") == 5
    assert place_of_error("Query syntax error at character 60: unexpected the end", "FIND x") == 6
    assert place_of_error("The query is too complex.", "FIND x") is None


@pytest.mark.parametrize(
    ("text", "expected", "kind"),
    [
        ("", Expected.VERB, ""),
        ("FI", Expected.VERB, ""),
        ("FIND ", Expected.KIND, ""),
        ("FIND 'T1Wei", Expected.KIND, ""),
        ("FIND T1WeightedImage ", Expected.AFTER_KIND, "T1WeightedImage"),
        ("FIND t1weightedimage WITH ", Expected.PROPERTY, "T1WeightedImage"),
        ("FIND MRImage WITH acq", Expected.PROPERTY, "MRImage"),
        ("FIND MRImage WITH acq ", Expected.AFTER_PROPERTY, "MRImage"),
        ("FIND MRImage WITH acq = ", Expected.VALUE, "MRImage"),
        ("FIND MRImage WITH acq = 'iv", Expected.VALUE, "MRImage"),
        ("FIND MRImage WITH acq = ivim ", Expected.AFTER_VALUE, "MRImage"),
        ("FIND MRImage WITH Session.", Expected.PROPERTY, "Session"),
        ("FIND MRImage WITH Session.Date > 2020 AND ", Expected.PROPERTY, "MRImage"),
        ("FIND MRImage WHICH IS REFERENCED BY ", Expected.KIND, "MRImage"),
        ("FIND Subject WHICH IS REFERENCED BY LabValue WITH (", Expected.PROPERTY, "LabValue"),
        ("FIND Subject WHICH REFERENCED BY LabValue WITH (Analyte = x AND ", Expected.PROPERTY, "LabValue"),
        ("FIND Subject WHICH REFERENCED BY LabValue WITH (Analyte = x) AND ", Expected.PROPERTY, "Subject"),
        ("SELECT ", Expected.COLUMN, ""),
        ("SELECT acq, ", Expected.COLUMN, ""),
        ("SELECT acq FROM ", Expected.KIND, ""),
        ("FIND MRImage WITH ((((", Expected.PROPERTY, "MRImage"),
        ("))) = = AND 'open", Expected.PROPERTY, ""),
    ],
)  # fmt: skip
def test_what_may_come_next_follows_from_what_was_typed(text: str, expected: Expected, kind: str) -> None:
    place = place_in(text, MODEL)
    assert (place.expected, place.kind) == (expected, kind)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_anything_can_be_typed(text: str) -> None:
    place = place_in(text, MODEL)
    assert 0 <= place.start <= len(text)


NO_VALUES: Callable[[str, Property, str], list[str]] = lambda _kind, _prop, _begun: []  # noqa: E731 - a value for tests


def test_what_begins_so_is_suggested_first_with_what_it_is() -> None:
    text = "FIND image"
    found = suggest(place_in(text, MODEL), len(text), MODEL, NO_VALUES)
    assert [one.text for one in found] == ["MRImage", "T1WeightedImage"]
    text = "FIND T1WeightedImage WITH rep"
    found = suggest(place_in(text, MODEL), len(text), MODEL, NO_VALUES)
    assert [(one.text, one.detail, one.start, one.end) for one in found] == [
        ("RepetitionTime", "s · Time to the next one", 26, 29)
    ]


def test_a_suggested_value_is_quoted() -> None:
    text = "FIND MRImage WITH acq = i"
    found = suggest(
        place_in(text, MODEL), len(text), MODEL, lambda kind, prop, begun: [f"{begun}t's {kind} {prop.name}"]
    )
    assert [one.text for one in found] == ["'it\\'s MRImage acq'"]
