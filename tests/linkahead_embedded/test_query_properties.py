"""Random entities and random queries: the planned SQL agrees with an evaluator that looks at everything."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from linkahead_embedded import dates
from linkahead_embedded.app import Application
from linkahead_embedded.auth import User
from linkahead_embedded.bootstrap import close_application, open_application
from linkahead_embedded.errors import ValueFormatError
from linkahead_embedded.exchange import Request

USER = User("tester")
TYPES = {"A": None, "B": "A", "C": "B", "D": None}
TEXTS = ["", "x", "y", "xy", "5", "TRUE", "2019", "Z"]
NUMBERS = ["5", "-1", "7", "0"]
DATES = ["2019", "2019-03", "2019-03-04", "2019-03-04T10:00:00", "2019-03-04T10", "2020-01-01", "2018"]


@dataclass
class Thing:
    """A record as the naive evaluator sees it: the property name -> its values as text."""

    name: str
    type: str
    text: list[str | None] | None = None
    number: list[str | None] | None = None
    date: list[str | None] | None = None
    flag: list[str | None] | None = None
    link: list[int] = field(default_factory=list)


things = st.builds(
    Thing,
    name=st.just(""),
    type=st.sampled_from(sorted(TYPES)),
    text=st.none() | st.lists(st.none() | st.sampled_from(TEXTS), min_size=1, max_size=3),
    number=st.none() | st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=2),
    date=st.none() | st.lists(st.sampled_from(DATES), min_size=1, max_size=1),
    flag=st.none() | st.lists(st.sampled_from(["TRUE", "FALSE"]), min_size=1, max_size=1),
    link=st.lists(st.integers(0, 5), max_size=2),
)


@dataclass(frozen=True)
class Term:
    """A filter: its text, and what it means."""

    text: str
    meaning: object


OPERATORS = st.sampled_from(["=", "!=", "<", ">", "<=", ">="])
leaves = st.one_of(
    st.builds(lambda p: Term(p, ("has", p)), st.sampled_from(["text", "number", "date", "flag", "link"])),
    st.builds(lambda o, v: Term(f"text {o} '{v}'", ("text", o, v)), OPERATORS, st.sampled_from(TEXTS)),
    st.builds(lambda o, v: Term(f"number {o} {v}", ("number", o, v)), OPERATORS, st.sampled_from(NUMBERS)),
    st.builds(
        lambda o, v: Term(f"date {o} {v}", ("date", o, v)),
        st.sampled_from(["=", "!=", "<", ">", "<=", ">=", "IN", "NOT IN"]),
        st.sampled_from(DATES),
    ),
    st.builds(lambda v: Term(f"flag = {v}", ("flag", v)), st.sampled_from(["true", "FALSE"])),
    st.builds(lambda v: Term(f"text LIKE '{v}*'", ("like", v)), st.sampled_from(["x", "", "T", "xy"])),
    st.builds(lambda v: Term(f"text NOT LIKE '{v}*'", ("notlike", v)), st.sampled_from(["x", "T"])),
    st.just(Term("text IS NULL", ("null",))),
    st.just(Term("text IS NOT NULL", ("notnull",))),
    st.builds(lambda n: Term(f"link = t{n}", ("links", n)), st.integers(0, 5)),
    st.builds(lambda t: Term(f"REFERENCES {t}", ("refers", t)), st.sampled_from(sorted(TYPES))),
    st.builds(lambda t: Term(f"REFERENCED BY {t}", ("referred", t)), st.sampled_from(sorted(TYPES))),
)


def combined(inner: st.SearchStrategy[Term]) -> st.SearchStrategy[Term]:
    return st.one_of(
        st.builds(lambda a, b: Term(f"({a.text} AND {b.text})", ("and", a, b)), inner, inner),
        st.builds(lambda a, b: Term(f"({a.text} OR {b.text})", ("or", a, b)), inner, inner),
        st.builds(lambda a: Term(f"NOT ({a.text})", ("not", a)), inner),
        st.builds(lambda a: Term(f"link WITH ({a.text})", ("via", a)), inner),
        st.builds(lambda a: Term(f"REFERENCED BY A WITH ({a.text})", ("by", a)), inner),
    )


terms = st.recursive(leaves, combined, max_leaves=6)


def compare(operator: str, a: object, b: object) -> bool:
    return bool(
        {
            "=": a == b,
            "!=": a != b,
            "<": a < b,  # type: ignore[operator]
            ">": a > b,  # type: ignore[operator]
            "<=": a <= b,  # type: ignore[operator]
            ">=": a >= b,  # type: ignore[operator]
        }[operator]
    )


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def equal(a: dates.Span, b: dates.Span) -> bool | None:
    """Compare two dates; None is undefined."""
    if a.is_stamp != b.is_stamp:
        return None
    return a == b


def later(a: dates.Span, b: dates.Span) -> bool | None:
    """Tell whether `a` is later than `b`; None where the intervals overlap."""
    if a.low >= b.high:
        return True
    if a.high <= b.low or (a.is_stamp and b.is_stamp):
        return False
    return None


def within(a: dates.Span, b: dates.Span) -> bool:
    """Tell whether `a` lies in the interval of `b`."""
    return a.low >= b.low and a.high <= b.high


def compare_dates(operator: str, a: str, b: str) -> bool:
    x, y = dates.parse_date(a), dates.parse_date(b)
    match operator:
        case "=":
            return equal(x, y) is True
        case "!=":
            return equal(x, y) is False
        case ">":
            return later(x, y) is True
        case "<":
            return later(y, x) is True
        case ">=":
            return later(x, y) is True or (x == y)
        case "<=":
            return later(y, x) is True or (x == y)
        case "IN":
            return within(x, y)
    return not within(x, y)


def lineage(kind: str | None) -> Iterator[str]:
    while kind is not None:
        yield kind
        kind = TYPES[kind]


def holds(term: Term, world: list[Thing], index: int) -> bool:  # noqa: C901, PLR0911, PLR0912 - one case a term
    thing = world[index]
    targets = [n for n in thing.link if n < len(world)]
    values = [value for value in thing.text or [] if value is not None]
    match term.meaning:
        case ("has", "link"):
            return True  # every thing has the property, perhaps without a value
        case ("has", str(prop)):
            return getattr(thing, prop) is not None
        case ("text", str(o), str(v)):
            is_ordered = o not in {"=", "!="}
            return not (is_ordered and is_number(v)) and any(compare(o, value, v) for value in values)
        case ("number", str(o), str(v)):
            return any(compare(o, float(value), float(v)) for value in thing.number or [] if value)
        case ("date", str(o), str(v)):
            return any(compare_dates(o, value, v) for value in thing.date or [] if value)
        case ("flag", str(v)):
            return v.upper() in (thing.flag or [])
        case ("like", str(v)):
            return any(value.startswith(v) for value in values)
        case ("notlike", str(v)):
            return any(not value.startswith(v) for value in values)
        case ("null",):
            return thing.text is not None and None in thing.text
        case ("notnull",):
            return bool(values)
        case ("links", int(n)):
            return n in targets
        case ("refers", str(kind)):
            return any(kind in lineage(world[n].type) for n in targets)
        case ("referred", str(kind)):
            return any(index in other.link and kind in lineage(other.type) for other in world)
        case ("via", Term() as inner):
            return any(holds(inner, world, n) for n in targets)
        case ("by", Term() as inner):
            return any(
                index in other.link and "A" in lineage(other.type) and holds(inner, world, n)
                for n, other in enumerate(world)
            )
        case ("and", Term() as a, Term() as b):
            return holds(a, world, index) and holds(b, world, index)
        case ("or", Term() as a, Term() as b):
            return holds(a, world, index) or holds(b, world, index)
        case ("not", Term() as inner):
            return not holds(inner, world, index)
    raise AssertionError(term)


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    database: Path = tmp_path_factory.mktemp("random") / "linkahead.db"
    opened = open_application(database)
    opened.database.connection().execute("PRAGMA synchronous = OFF")
    send(
        opened,
        "POST",
        "Entity",
        "".join(
            f'<RecordType id="-{n}" name="{name}">{parent(above)}</RecordType>'
            for n, (name, above) in enumerate(TYPES.items(), 1)
        )
        + '<Property id="-11" name="text" datatype="LIST&lt;TEXT&gt;"/>'
        + '<Property id="-12" name="number" datatype="LIST&lt;INTEGER&gt;"/>'
        + '<Property id="-13" name="date" datatype="DATETIME"/><Property id="-14" name="flag" datatype="BOOLEAN"/>'
        + '<Property id="-15" name="link" datatype="LIST&lt;REFERENCE&gt;"/>',
    )
    yield opened
    close_application(database)


def parent(name: str | None) -> str:
    return f'<Parent name="{name}"/>' if name else ""


def send(application: Application, method: str, path: str, entities: str = "") -> etree._Element:
    response = application.handle(Request(method, path, f"<Insert>{entities}</Insert>".encode()), USER)
    assert response.status == 200, response.body
    assert b"<Error" not in response.body, response.body
    return etree.fromstring(response.body)


def properties(thing: Thing, count: int) -> str:
    def one(name: str, values: list[str | None]) -> str:
        shown = (
            "<Value/>" if value is None else f"<Value>{escape(value) or '<EmptyString/>'}</Value>" for value in values
        )
        return f'<Property name="{name}">{"".join(shown)}</Property>'

    given_ = [(name, getattr(thing, name)) for name in ("text", "number", "date", "flag")]
    links = "".join(f"<Value>-{n + 1}</Value>" for n in thing.link if n < count)
    return (
        "".join(one(name, values) for name, values in given_ if values is not None)
        + f'<Property name="link">{links}</Property>'
    )


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    world=st.lists(things, min_size=1, max_size=6),
    wanted=st.lists(terms, min_size=4, max_size=8),
    kind=st.sampled_from(sorted(TYPES)),
)
def test_a_planned_query_gives_what_looking_at_everything_gives(
    application: Application, world: list[Thing], wanted: list[Term], kind: str
) -> None:
    names = itertools.count()
    records = "".join(
        f'<Record id="-{n + 1}" name="t{next(names)}">{parent(thing.type)}{properties(thing, len(world))}</Record>'
        for n, thing in enumerate(world)
    )
    inserted = [int(element.get("id") or 0) for element in send(application, "POST", "Entity", records).iter("Record")]
    try:
        for term in wanted:
            text = f"FIND RECORD {kind} WITH {term.text}"
            answer = send(application, "GET", f"Entity?query={quote(text, safe='')}")
            found = [int(element.get("id") or 0) - inserted[0] for element in answer.iter("Record")]
            expected = [n for n, thing in enumerate(world) if kind in lineage(thing.type) and holds(term, world, n)]
            assert found == expected, text
    finally:
        send(application, "DELETE", "Entity/" + "%26".join(map(str, inserted)))


@given(st.text(max_size=12), st.text(max_size=12))
def test_dates_that_can_be_read_are_ordered_consistently(a: str, b: str) -> None:
    try:
        x, y = dates.parse_date(a), dates.parse_date(b)
    except ValueFormatError:
        return
    assert x.low < x.high
    assert not (later(x, y) is True and later(y, x) is True)


@given(st.sampled_from(DATES), st.sampled_from(DATES))
def test_exactly_one_of_equal_and_unequal_can_be_true(a: str, b: str) -> None:
    assert not (compare_dates("=", a, b) and compare_dates("!=", a, b))
    assert compare_dates("IN", a, b) != compare_dates("NOT IN", a, b)
