"""The page that runs functions: what it offers, its form, what it says before the click, what a click makes."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from linkahead.queries import query

from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.portal.app import DIARY
from heartbrain_ingest.portal.forms import make_fields, read_form
from heartbrain_ingest.portal.function_words import SHIPPED
from heartbrain_ingest.portal.questions import MOST_LETTERS
from heartbrain_ingest.portal.texts import translations
from heartbrain_ingest.portal.visitors import acting_as
from hpc_bridge.protocol.parameters import fill
from tests.portal.following import find, form_of, visitor
from tests.portal.site import SampleSite, Visit

FUNCTIONS = sorted((Path(__file__).resolve().parents[2] / "hpc_bridge" / "functions").glob("*/function.yml"))
ENGLISH, GERMAN = {"accept-language": "en"}, {"accept-language": "de"}


def words(text: str) -> str:
    """Give a text as it is, in English."""
    return text


@pytest.fixture(scope="module")
def stefan(sample_site: SampleSite) -> Visit:
    return Visit(sample_site.settings, **ENGLISH).log_in("stefan")


@pytest.fixture(scope="module")
def leo(sample_site: SampleSite) -> Visit:
    return Visit(sample_site.settings, **ENGLISH).log_in("leo")


@pytest.fixture(scope="module")
def series(clara: Visit) -> list[int]:
    """Give the numbers of the diffusion series."""
    return [int(one.id) for one in find(clara, "clara", "FIND RECORD DiffusionWeightedImage")]


@pytest.fixture(scope="module")
def anatomies(clara: Visit) -> list[int]:
    """Give the numbers of the T1-weighted images."""
    return [int(one.id) for one in find(clara, "clara", "FIND RECORD T1WeightedImage")]


def requests_of(visit: Visit, function: str) -> list[Any]:
    return find(visit, "clara", f"FIND RECORD PostProcessingRequest WITH Function='{function}'")


def page_of(visit: Visit, address: str, **headers: str) -> str:
    answer = visit.get(address, headers={**ENGLISH, **headers})
    assert answer.status_code == 200, answer.text
    return answer.text


# the form


@pytest.mark.parametrize("file", FUNCTIONS, ids=lambda file: file.parent.name)
def test_a_form_that_nobody_touched_gives_the_defaults_of_every_shipped_function(file: Path) -> None:
    schema = yaml.safe_load(file.read_text(encoding="utf-8"))["parameters"]
    shown = {field.key: field.value for field in make_fields(schema, None, {}, words)}
    parameters, errors = read_form(schema, shown, words)
    assert errors == {}
    assert parameters == fill({}, schema)
    again = {field.key: field.value for field in make_fields(schema, shown, {}, words)}
    assert again == shown


@pytest.mark.parametrize("file", FUNCTIONS, ids=lambda file: file.parent.name)
def test_the_page_has_a_control_for_every_parameter_of_every_shipped_function(
    clara: Visit, series: list[int], anatomies: list[int], file: Path
) -> None:
    function = yaml.safe_load(file.read_text(encoding="utf-8"))
    page = page_of(clara, f"/run?ids={series[0]},{anatomies[0]}&function={function['name']}")
    names = {name for name in form_of(page) if name.startswith("p.")}
    ticks = {name for name, one in function["parameters"]["properties"].items() if one["type"] == "boolean"}
    assert names == {f"p.{name}" for name in function["parameters"]["properties"]} - {f"p.{name}" for name in ticks}
    for name, one in function["parameters"]["properties"].items():
        assert f'for="p-{name}"' in page
        assert one["title"].replace("'", "&#39;") in page


SCHEMA = {
    "type": "object",
    "required": ["subject", "b_values"],
    "properties": {
        "subject": {"type": "string", "pattern": "^sub-[0-9]+$", "title": "Subject"},
        "b_values": {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 2, "unit": "s/mm^2"},
        "tags": {"type": "array", "items": {"type": "string"}, "default": []},
        "rounds": {"type": "integer", "minimum": 1, "maximum": 5, "default": 2},
        "step": {"type": "number", "multipleOf": 0.5, "default": 1.5},
        "level": {"type": "integer", "enum": [1, 2, 4], "default": 2},
        "is_fast": {"type": "boolean", "default": True},
        "more": {"type": "object", "properties": {"a": {"type": "number"}}},
    },
}
GOOD = {"p.subject": "sub-7", "p.b_values": "0, 50 200.5", "p.rounds": "3", "p.step": "2,5", "p.level": "4"}


def test_texts_of_a_form_become_values_of_the_schemas_types() -> None:
    parameters, errors = read_form(SCHEMA, {**GOOD, "p.tags": "one, two\r\nthree", "p.more": '{"a": 1}'}, words)
    assert errors == {}
    assert parameters == {
        "subject": "sub-7",
        "b_values": [0, 50, 200.5],
        "tags": ["one, two", "three"],
        "rounds": 3,
        "step": 2.5,
        "level": 4,
        "is_fast": False,
        "more": {"a": 1},
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("subject", "somebody", "does not have the form ^sub-[0-9]+$"),
        ("subject", "", "something must stand here"),
        ("b_values", "7", "has too many or too few items"),
        ("b_values", "1 two", "must be a number"),
        ("b_values", "1 -2", "must be at least 0"),
        ("rounds", "2.5", "must be a whole number"),
        ("rounds", "9", "must be at most 5"),
        ("rounds", "", "something must stand here"),
        ("step", "0.7", "must be a multiple of 0.5"),
        ("step", "nan", "must be finite"),
        ("step", "__import__('os')", "must be a number"),
        ("step", "9" * 5000, "must be a number"),
        ("level", "3", "not one of the values that it may have"),
        ("more", "{a: 1}", "can't be read"),
        ("more", "[" * 100_000, "can't be read"),
    ],
)
def test_what_does_not_fit_is_said_beside_its_field_and_nowhere_else(name: str, text: str, said: str) -> None:
    parameters, errors = read_form(SCHEMA, {**GOOD, f"p.{name}": text}, words)
    assert errors == {name: said}
    assert name not in parameters
    fields = {field.name: field for field in make_fields(SCHEMA, {f"p.{name}": text}, errors, words)}
    assert fields[name].error == said
    assert [one.name for one in fields.values() if one.error] == [name]


def test_what_is_wrong_is_said_in_german_and_no_programmer_speaks() -> None:
    german = translations("de").gettext
    _, errors = read_form(SCHEMA, {**GOOD, "p.rounds": "9", "p.step": "0,7"}, german)
    assert errors == {"rounds": "darf höchstens 5 sein", "step": "muss ein Vielfaches von 0.5 sein"}


def test_shipped_functions_are_described_in_german() -> None:
    said = set()
    for file in FUNCTIONS:
        function = yaml.safe_load(file.read_text(encoding="utf-8"))
        said |= {function["title"], " ".join(function["description"].split())}
        for one in function["parameters"]["properties"].values():
            said |= {" ".join(one[key].split()) for key in ("title", "description") if key in one}
    assert set(SHIPPED) == said


# what fits


def test_only_what_fits_is_offered_and_the_others_say_why_not(
    clara: Visit, series: list[int], anatomies: list[int]
) -> None:
    page = page_of(clara, f"/run?ids={anatomies[0]}")
    offered, _, refused = page.partition("<details")[2].partition("function does not fit")
    assert "Volumes of grey matter" in offered
    assert "Intravoxel" not in offered
    assert "Intravoxel" in refused
    both = page_of(clara, f"/run?ids={series[0]},{anatomies[0]}")
    assert "fits 1 of 2" in both
    assert "fits 2 of 2" in both  # checksums of anything


def test_what_is_not_selected_in_a_way_that_can_be_understood_is_refused_in_words(clara: Visit) -> None:
    for address, code in {
        "/run": 400,
        "/run?ids=1;drop": 400,
        "/run?query=DELETE+everything": 400,
        "/run?ids=2000000000": 404,
        "/run?group=no+such+group": 404,
        "/run?query=FIND+RECORD+Nonsense": 404,
        "/run?query=FIND+MRImage+WITH+EchoTime+>>+3": 422,
        f"/run?group={'x' * 201}": 404,
    }.items():
        answer = clara.get(address)
        assert answer.status_code == code, address
        assert "Traceback" not in answer.text


def test_what_is_wrong_with_a_question_is_said_as_on_the_search_page(clara: Visit) -> None:
    question = "FIND MRImage WITH EchoTime >> 3"
    answer = clara.client.get("/run", params={"query": question}, headers=ENGLISH)
    assert (answer.status_code, "Query syntax error at character" in answer.text) == (422, True)


def test_nothing_that_is_too_long_is_cut_into_another_question(clara: Visit, series: list[int]) -> None:
    other = " OR ".join(f"id='{one}'" for one in range(9_000, 9_100))
    question = f"FIND DiffusionWeightedImage WITH ({other})"
    long = f"{question}{' ' * (2_000 - len(question))} OR id='{series[0]}'"
    assert 2_000 < len(long) <= MOST_LETTERS
    assert clara.client.get("/run", params={"query": long}).status_code == 200
    everything = f"FIND DiffusionWeightedImage{' ' * MOST_LETTERS} WITH id='{series[0]}'"
    numbers = ",".join(map(str, [*series, *range(10**9, 10**9 + 1_300)]))
    images = [("ids", str(one)) for one in [*range(9_000, 9_200), *series]]
    for answer in (
        clara.client.get("/run", params={"query": everything}, headers=ENGLISH),
        clara.client.get("/run", params={"ids": numbers}, headers=ENGLISH),
        clara.client.get("/export.csv", params={"query": everything}, headers=ENGLISH),
        clara.post("/groups", name="cut", which="all", query=everything),
        clara.post("/groups", name="cut", which="ticked", ids=[one for _name, one in images]),
        clara.post("/selection", ids=[one for _name, one in images]),
    ):
        assert answer.status_code == 400
        assert "too long" in answer.text or "too many" in answer.text


def test_a_group_is_found_by_its_name_whatever_the_name_is(clara: Visit, series: list[int]) -> None:
    name = 'anna\'s "group" * <b>'
    with acting_as(visitor(clara, "clara")):
        group = db.Record(name=name).add_parent("ImageGroup")
        group.add_property(name="Images", value=series, datatype="LIST<MRImage>")
        group.insert()
    answer = clara.client.get("/run", params={"group": name, "function": "ivim"}, headers=ENGLISH)
    assert "Run something on 2 images" in answer.text
    assert "<b>" not in answer.text
    assert form_of(answer.text)["group"] == name


# before the click


def test_what_has_a_result_is_offered_and_not_run_again(clara: Visit, series: list[int]) -> None:
    page = page_of(clara, f"/run?ids={series[0]},{series[1]}&function=ivim")
    assert "2 are there already" in page
    assert page.count("see the result</a>") == 2
    before = len(requests_of(clara, "ivim"))
    answer = clara.post("/run", **form_of(page))
    assert answer.status_code == 200
    assert len(requests_of(clara, "ivim")) == before


def test_the_outlook_follows_the_parameters(clara: Visit, series: list[int]) -> None:
    form = form_of(page_of(clara, f"/run?ids={series[0]},{series[1]}&function=ivim"))
    part = clara.post("/run/check", **{**form, "p.threshold": "300"}).text
    assert "Run on 2 images" in part
    assert "20 min of computing in all" in part
    assert "<html" not in part
    wrong = clara.post("/run/check", **{**form, "p.threshold": "5000"}).text
    assert "must be at most 1000 s/mm^2" in wrong
    assert "disabled" in wrong


def test_bad_values_make_nothing_and_stand_in_the_form_again(clara: Visit, series: list[int]) -> None:
    form = form_of(page_of(clara, f"/run?ids={series[0]}&function=ivim"))
    before = len(requests_of(clara, "ivim"))
    answer = clara.post("/run", **{**form, "p.threshold": '"><script>alert(1)</script>'})
    assert answer.status_code == 422
    assert "must be a number" in answer.text
    assert "<script>alert" not in answer.text
    assert len(requests_of(clara, "ivim")) == before


def test_the_enter_key_in_a_field_runs_nothing(clara: Visit, series: list[int]) -> None:
    page = page_of(clara, f"/run?ids={series[0]}&function=ivim")
    first = re.search(r"<form id=\"form\".*?(<button[^>]*>)", page, re.DOTALL)
    assert first is not None
    assert 'name="check"' in first[1]
    before = len(requests_of(clara, "ivim"))
    answer = clara.post("/run", **{**form_of(page), "p.threshold": "330", "check": "1"})
    assert "Run on 1 image" in answer.text
    assert form_of(answer.text)["p.threshold"] == "330"
    assert len(requests_of(clara, "ivim")) == before


# the click


def test_a_click_asks_once_however_often_the_form_is_sent(clara: Visit, series: list[int]) -> None:
    form = {**form_of(page_of(clara, f"/run?ids={series[0]},{series[1]}&function=ivim")), "p.threshold": "310"}
    before = len(requests_of(clara, "ivim"))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: clara.post("/run", **form), range(4)))
    assert {(one.status_code, one.headers["location"]) for one in answers} == {(303, "/requests")}
    assert clara.post("/run", **form).status_code == 303
    made = requests_of(clara, "ivim")
    assert len(made) == before + 2
    newest = made[-1]
    facts = {prop.name: prop.value for prop in newest.get_properties()}
    assert (facts["Status"], facts["SubmittedBy"], newest.version.username) == ("new", "clara", "clara")
    assert json.loads(facts["Parameters"])["threshold"] == 310


def test_the_exchange_is_woken_and_the_diary_names_what_was_run(
    clara: Visit, anatomies: list[int], sample_site: SampleSite
) -> None:
    settings = sample_site.settings
    wake = settings.folders.state / "bridge" / "wake"
    wake.unlink(missing_ok=True)
    form = form_of(page_of(clara, f"/run?ids={anatomies[0]}&function=checksum-report"))
    answer = clara.post("/run", **{**form, "p.label": "<script>x</script>"})
    assert answer.headers["location"].startswith("/requests/R-")
    assert wake.exists()
    line = json.loads((settings.folders.logs / DIARY).read_text(encoding="utf-8").splitlines()[-1])
    assert (line["user"], line["action"], line["function"], line["inputs"]) == (
        "clara",
        "run",
        "checksum-report",
        [anatomies[0]],
    )
    page = clara.get(answer.headers["location"], headers=GERMAN).text
    assert "wird gleich gesendet" in page
    assert "<script>x" not in page


def test_who_may_only_look_is_told_so_before_and_after_the_click(leo: Visit, clara: Visit, series: list[int]) -> None:
    page = page_of(leo, f"/run?ids={series[0]}&function=ivim")
    assert "Your account may look, but not run anything. Ask Data Steward." in page
    before = len(requests_of(clara, "ivim"))
    answer = leo.post("/run", **{**form_of(page), "p.threshold": "320"})
    assert answer.status_code == 403
    assert "Your account may look, but not run anything" in answer.text
    assert "pylinkahead" not in answer.text
    assert len(requests_of(clara, "ivim")) == before


def test_two_visitors_who_run_at_the_same_moment_each_ask_under_their_own_name(
    clara: Visit, stefan: Visit, leo: Visit, series: list[int]
) -> None:
    visits = {"clara": clara, "stefan": stefan, "leo": leo}
    forms = {
        name: form_of(page_of(one, f"/run?ids={series[0]},{series[1]}&function=ivim")) for name, one in visits.items()
    }

    def ask(number: int) -> int:
        name = list(visits)[number % 3]
        form = {**forms[name], "p.threshold": str(400 + number), "token": f"token-{number}"}
        return visits[name].post("/run", **form).status_code

    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(ask, range(18)))
    assert codes == [303, 303, 403] * 6
    with acting_as(visitor(clara, "clara")):
        for number in range(18):
            found = [
                one
                for one in query("FIND RECORD PostProcessingRequest WITH Function=ivim")
                if json.loads(one.get_property("Parameters").value)["threshold"] == 400 + number
            ]
            asked = {(one.get_property("SubmittedBy").value, one.version.username) for one in found}
            name = list(visits)[number % 3]
            assert asked == (set() if name == "leo" else {(name, name)})


def test_what_can_not_run_at_the_centre_is_shown_with_the_reason_and_not_offered(
    clara: Visit, sample_site: SampleSite, anatomies: list[int]
) -> None:
    sample_site.centre.tick()
    for language, said in (
        (ENGLISH, ("2 functions can't run at the moment: why", "freesurfer is not there at the computing centre")),
        (GERMAN, ("2 Auswertungen sind zurzeit nicht möglich: warum", "freesurfer ist am Rechenzentrum nicht da")),
    ):
        page = Visit(sample_site.settings, **language).log_in("clara").get(f"/run?ids={anatomies[0]}").text
        assert all(one in page for one in said), page
        assert "function=freesurfer" not in page
        assert "function=tissue-volumes" in page
    asked = clara.get(f"/run?ids={anatomies[0]}&function=freesurfer").text
    assert 'action="/run"' not in asked
    refused = clara.post("/run", ids=str(anatomies[0]), function="freesurfer", token="t")
    assert refused.status_code == 400
    assert requests_of(clara, "freesurfer") == []
