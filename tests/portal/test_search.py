"""The search page over the sample study: questions, the form, columns, tables, groups, pictures, completion."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from lxml import etree

from heartbrain_ingest.portal.app import DIARY
from heartbrain_ingest.portal.search import EXAMPLES
from linkahead_embedded.bootstrap import close_application
from tests.portal.site import SampleSite, Visit


def ask(visit: Visit, query: str, more: str = "") -> str:
    """Open the page of a question; give its HTML."""
    answer = visit.get(f"/?query={quote(query)}{more}")
    assert answer.status_code == 200, answer.text
    return answer.text


def table(page: str) -> tuple[list[str], list[list[str]]]:
    """Give the head and the rows of the page's table as they are read."""
    root = etree.fromstring(page, etree.HTMLParser())
    head = [text_of(one).rstrip("▲▼↕").strip() for one in root.findall(".//table/thead/tr/th")]
    rows = [[text_of(one) for one in row] for row in root.findall(".//table/tbody/tr")]
    return head, rows


def names(page: str) -> list[str]:
    """Give what the rows of the page's table are called."""
    return [text_of(one) for one in etree.fromstring(page, etree.HTMLParser()).findall(".//table/tbody/tr/th")]


def text_of(element: etree._Element) -> str:
    return " ".join("".join(str(one) for one in element.itertext()).split())


def status(page: str) -> str:
    found = etree.fromstring(page, etree.HTMLParser()).find(".//p[@id='found-status']")
    assert found is not None
    return text_of(found)


@pytest.fixture(scope="module")
def leo(sample_site: SampleSite) -> Iterator[Visit]:
    """Give the browser of somebody who may only look."""
    yield Visit(sample_site.settings).log_in("leo")
    close_application(sample_site.settings.database)


def test_a_question_gives_a_table_with_pictures_names_and_values(clara: Visit) -> None:
    page = ask(clara, "FIND T1WeightedImage")
    head, rows = table(page)
    assert head[:6] == ["Tick", "Picture", "Name", "Kind", "Subject", "Date"]
    assert "RepetitionTime (s)" in head
    assert len(rows) == 2
    assert {row[3] for row in rows} == {"T1-weighted images"}
    assert len(re.findall(r'<img src="/thumbnail/\d+" alt="" loading="lazy"', page)) == 2
    assert status(page) == "2 records"


@pytest.mark.parametrize("query", [query for _, query in EXAMPLES])
def test_the_example_questions_are_understood(clara: Visit, query: str) -> None:
    page = ask(clara, query)
    assert re.match(r"\d+ records?|No record fits", status(page))


def test_the_form_shows_the_question_that_it_asks(clara: Visit) -> None:
    page = clara.get(
        "/?kind=T1WeightedImage&subject=sub-*&since=1990-01-01&until=2090-01-01"
        "&property=RepetitionTime&low=1,5&high=3&property=Session.Age&low=20&high=&word=ce&text=gadovist"
    ).text
    _, rows = table(page)
    assert len(rows) == 1
    shown = re.search(r'id="query" name="query" value="([^"]*)"', page)
    assert shown is not None
    assert html.unescape(shown[1]) == (
        "FIND 'T1WeightedImage' WITH 'Subject'.'name' LIKE 'sub-*' "
        "AND ('Session'.'Date' >= '1990-01-01' OR 'Session'.'Date' IN '1990-01-01') "
        "AND ('Session'.'Date' <= '2090-01-01' OR 'Session'.'Date' IN '2090-01-01') "
        "AND 'RepetitionTime' >= '1.5 s' AND 'RepetitionTime' <= '3 s' "
        "AND 'Session'.'Age' >= '20 year' AND 'ce' = 'gadovist'"
    )


def test_the_form_offers_the_numbers_of_the_kind_with_their_units(clara: Visit) -> None:
    page = clara.get("/form?kind=LaboratoryMeasurement").text
    assert '<option value="MeasuredValue"' in page
    assert "RepetitionTime" not in page
    page = clara.get("/form?kind=MRImage").text
    assert '<option value="EchoTime" >EchoTime (s): Echo time</option>' in page
    assert '<option value="Session.Age" >Session.Age (year)' in page


def test_what_the_form_does_not_understand_is_said_and_not_asked(clara: Visit) -> None:
    page = clara.get("/?kind=MRImage&property=EchoTime&low=much").text
    assert "“much” is no number." in html.unescape(page)
    assert table(page) == ([], [])


def test_an_error_in_the_question_is_shown_with_its_place(clara: Visit) -> None:
    answer = clara.get(f"/?query={quote('FIND MRImage WITH EchoTime >> 3')}")
    assert answer.status_code == 422
    assert "FIND MRImage WITH EchoTime &gt;<mark>&gt;</mark> 3" in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_a_name_that_linkahead_does_not_know_is_said(clara: Visit) -> None:
    page = ask(clara, "FIND MRImage WITH EchoTim = 3")
    assert "Did you mean 'EchoTime'?" in html.unescape(page)
    assert status(page) == "No record fits."


def test_count_gives_a_number_and_a_way_to_the_records(clara: Visit) -> None:
    page = ask(clara, "COUNT T1WeightedImage")
    assert status(page) == "2 records"
    assert 'href="/?query=FIND%20T1WeightedImage"' in page


def test_columns_are_chosen_also_those_of_what_a_record_refers_to(clara: Visit) -> None:
    head, rows = table(
        ask(clara, "FIND T1WeightedImage", "&columns=Session.Subject.name&columns=Session.Age&columns=ce")
    )
    assert head[4:7] == ["Subject → name", "Age", "ce"]
    assert {row[6] for row in rows} == {"", "gadovist"}
    assert all(row[4].startswith("sub-") and float(row[5]) > 10 for row in rows)


def test_select_chooses_the_columns(clara: Visit) -> None:
    head, rows = table(ask(clara, "SELECT Session.Age, EchoTime FROM T1WeightedImage"))
    assert head[4:6] == ["Age", "EchoTime (s)"]
    assert len(rows) == 2


def test_units_of_laboratory_values_are_the_records_own(clara: Visit) -> None:
    head, rows = table(ask(clara, "FIND LaboratoryMeasurement", "&columns=Analyte&columns=MeasuredValue"))
    values = {row[head.index("MeasuredValue")] for row in rows}
    assert any(value.endswith("mg/dL") for value in values)
    assert len({value.split()[-1] for value in values}) > 1


def test_rows_are_sorted_by_value_with_what_has_none_at_the_end(clara: Visit) -> None:
    for sort, turn in (("EchoTime", 1), ("-EchoTime", -1)):
        _, rows = table(ask(clara, "FIND MRImage", f"&sort={sort}&columns=EchoTime"))
        values = [float(row[4]) for row in rows if row[4]]
        assert len(values) > 10
        assert values == sorted(values)[::turn]
        assert all(not row[4] for row in rows[len(values) :])
    _, rows = table(ask(clara, "FIND MRImage", "&sort=-name"))
    assert [row[2] for row in rows] == sorted((row[2] for row in rows), key=str.casefold, reverse=True)


def test_pages_follow_each_other_without_gap_or_overlap(clara: Visit) -> None:
    _, whole = table(ask(clara, "FIND MRImage", "&size=100"))
    for sort in ("id", "-id", "EchoTime", "-Subject"):
        found: list[str] = []
        for page in (1, 2):
            text = ask(clara, "FIND MRImage", f"&size=25&page={page}&sort={sort}")
            found += [row[-1] for row in table(text)[1]]
        assert sorted(found) == sorted(row[-1] for row in whole), sort
    assert (
        status(ask(clara, "FIND MRImage", "&size=25&page=2")) == f"{len(whole)} records, 26 to {len(whole)} are shown"
    )
    assert status(ask(clara, "FIND MRImage", "&size=25&page=9999")).endswith("are shown")


def test_addresses_on_the_page_keep_the_question_and_what_was_chosen(clara: Visit) -> None:
    page = clara.get("/?kind=MRImage&property=EchoTime&low=0&high=&columns=EchoTime&size=25&bogus=1").text
    links = [html.unescape(one) for one in re.findall(r'<a id="page-next"[^>]*href="([^"]*)"', page)]
    assert links == ["/?kind=MRImage&property=EchoTime&low=0&high=&columns=EchoTime&page=2&size=25"]


def test_all_that_was_found_is_taken_along_as_a_table(clara: Visit, sample_site: SampleSite) -> None:
    answer = clara.get(
        f"/export.csv?query={quote('FIND MRImage')}&columns=EchoTime&columns=Subject&columns=PlanesPicture"
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="records.csv"'
    head, *rows = list(csv.reader(io.StringIO(answer.text)))
    assert head == ["id", "name", "EchoTime (s)", "Subject", "PlanesPicture"]
    assert len(rows) == len(table(ask(clara, "FIND MRImage", "&size=100"))[1])
    assert all(row[3].startswith("sub-") for row in rows)
    assert any(row[4].startswith("/ExperimentalData/") for row in rows)
    lines = [json.loads(line) for line in (sample_site.settings.folders.logs / DIARY).read_text().splitlines()]
    assert lines[-2]["action"] == "export table"


def test_units_of_a_table_stand_in_its_head_or_beside_the_numbers(clara: Visit) -> None:
    columns = "".join(f"&columns={name}" for name in ("MeasuredValue", "MeasuredUnit", "Sample.CollectionDate"))
    answer = clara.get(f"/export.csv?query={quote('FIND LaboratoryMeasurement')}{columns}")
    head, *rows = list(csv.reader(io.StringIO(answer.text)))
    assert head[2:] == ["MeasuredValue", "MeasuredValue unit", "MeasuredUnit", "Sample.CollectionDate"]
    assert len({row[3] for row in rows}) > 1
    assert all(row[3] == row[4] for row in rows)
    answer = clara.get(
        f"/export.csv?query={quote('FIND Session')}&columns=Age&columns=Sex&columns=MagneticFieldStrength"
    )
    assert answer.text.startswith("id,name,Age (year),Sex,MagneticFieldStrength (T)\r\n")


def test_a_table_of_what_is_not_understood_is_refused_before_it_begins(clara: Visit) -> None:
    answer = clara.get(f"/export.csv?query={quote('FIND MRImage WITH')}%20%3E")
    assert answer.status_code == 400
    assert "Query syntax error" in answer.text


def ids_of(visit: Visit, query: str) -> list[str]:
    return re.findall(r'<th scope="row"[^>]*><a href="/record/(\d+)">', ask(visit, query))


def test_ticked_images_become_a_group_that_can_be_asked_for(clara: Visit, sample_site: SampleSite) -> None:
    ids = ids_of(clara, "FIND T1WeightedImage")
    answer = clara.post("/groups", ids=ids[:1], name="  it's <one>  ", which="ticked", query="FIND MRImage")
    assert answer.status_code == 303
    page = clara.get(answer.headers["location"]).text
    assert "The group “it&#39;s &lt;one&gt;” is saved." in page
    assert 'href="/run?group=it%27s%20%3Cone%3E"' in page
    assert [row[-1] for row in table(page)[1]] == ids[:1]
    line = json.loads((sample_site.settings.folders.logs / DIARY).read_text().splitlines()[-2])
    assert (line["user"], line["action"], line["images"]) == ("clara", "save group", 1)


def test_all_that_was_found_becomes_a_group(clara: Visit) -> None:
    answer = clara.post("/groups", name="every T1", which="all", query="FIND T1WeightedImage")
    assert len(table(clara.get(answer.headers["location"]).text)[1]) == 2
    _, rows = table(ask(clara, "FIND ImageGroup WITH name = 'every T1'"))
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": "x", "which": "ticked"}, "Tick at least one image first."),
        ({"name": " ", "which": "all", "query": "FIND MRImage"}, "Give the group a name."),
        ({"name": "x", "which": "all", "query": "FIND Subject"}, "Only images can be in a group."),
        ({"name": "x", "which": "all", "query": "FIND MRImage WITH name = nobody"}, "There are no such images"),
        ({"name": "x", "which": "all", "query": "COUNT MRImage"}, "Ask for images first."),
        ({"name": "x", "which": "all", "query": "FIND MRImage WITH >"}, "Query syntax error"),
        ({"name": "x", "which": "ticked", "ids": "1 OR id>0"}, "Tick at least one image first."),
    ],
)
def test_what_is_no_group_is_refused_in_words(clara: Visit, form: dict[str, str], said: str) -> None:
    answer = clara.post("/groups", **form)
    assert answer.status_code == 400
    assert said in answer.text


def test_a_group_has_a_name_of_its_own(clara: Visit) -> None:
    form = {"name": "only once", "which": "all", "query": "FIND T1WeightedImage"}
    assert clara.post("/groups", **form).status_code == 303
    answer = clara.post("/groups", **form)
    assert (answer.status_code, "There is a group of this name already" in answer.text) == (400, True)


def test_who_may_only_look_saves_no_group(leo: Visit) -> None:
    answer = leo.post("/groups", name="leo's", which="all", query="FIND T1WeightedImage")
    assert answer.status_code == 403
    assert "Your account may look, but not save a group. Ask " in answer.text
    assert "Save as group" not in ask(leo, "FIND T1WeightedImage")
    assert status(ask(leo, 'FIND ImageGroup WITH name = "leo\'s"')) == "No record fits."


def diary(site: SampleSite) -> list[tuple[str, str | int]]:
    """Give what was asked and looked at."""
    lines = map(json.loads, (site.settings.folders.logs / DIARY).read_text(encoding="utf-8").splitlines())
    return [(one["action"], one.get("query") or one.get("id")) for one in lines if one["action"] in {"ask", "look"}]


def test_no_way_of_asking_or_looking_passes_by_the_diary(leo: Visit, sample_site: SampleSite) -> None:
    hidden = {"HX-Request": "true", "HX-Target": "recording"}
    subjects, recordings = "FIND Subject", "FIND ECGRecording"
    (first, *_others) = ids_of(leo, recordings)
    assert diary(sample_site)[-1:] == [("ask", recordings)]
    # The same question a page further is the same question; another is another.
    leo.get(f"/?query={quote(recordings)}&page=2")
    assert diary(sample_site)[-1:] == [("ask", recordings)]
    before = len(diary(sample_site))
    leo.get(f"/?query={quote(subjects)}&page=2")
    leo.get(f"/?query={quote(subjects)}&page=2&sort=-id")
    leo.get(f"/?query={quote(recordings)}", headers=hidden)
    leo.get(f"/record/{first}?at=1", headers=hidden)
    leo.get(f"/record/{first}?at=5", headers=hidden)
    leo.get(f"/record/{first}")
    leo.get("/record/2000000000")
    long = f"COUNT Subject WITH name != '{'x' * 3_000}'"
    leo.get(f"/?query={quote(long)}&page=2")
    assert diary(sample_site)[before:] == [
        *(("ask", subjects), ("ask", recordings)),
        *(("look", int(first)), ("look", int(first)), ("ask", long)),
    ]


def test_ticked_records_lead_to_the_choice_of_a_function(clara: Visit) -> None:
    ids = ids_of(clara, "FIND T1WeightedImage")
    answer = clara.post("/selection", ids=ids)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/run?ids={ids[0]}%2C{ids[1]}")
    assert clara.post("/selection").status_code == 400


def test_a_picture_is_served_by_its_record_and_kept_by_the_browser_for_this_visitor_alone(clara: Visit) -> None:
    for query, kind in (("FIND T1WeightedImage", "image/png"), ("FIND IVIMAnalysis", "image/png")):
        identifier = ids_of(clara, query)[0]
        answer = clara.get(f"/thumbnail/{identifier}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.content.startswith(b"\x89PNG")
        assert answer.headers["cache-control"] == "private, no-cache"
        again = clara.get(f"/thumbnail/{identifier}", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_a_drawing_is_served_so_that_nothing_in_it_can_run(clara: Visit) -> None:
    found = re.search(r'src="(/thumbnail/\d+)"', ask(clara, "FIND PhysiologicalRecording WITH TracePicture"))
    assert found is not None
    answer = clara.get(found[1])
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_what_has_no_picture_has_no_thumbnail(clara: Visit) -> None:
    assert clara.get(f"/thumbnail/{ids_of(clara, 'FIND Subject')[0]}").status_code == 404
    assert clara.get("/thumbnail/999999999").status_code == 404
    sidecar = re.findall(r'href="/file/(\d+)">', ask(clara, "FIND T1WeightedImage", "&columns=SidecarFile"))
    assert clara.get(f"/thumbnail/{sidecar[0]}").status_code == 404


def suggested(visit: Visit, text: str) -> list[str]:
    return [one["text"] for one in visit.get(f"/complete?q={quote(text)}").json()]


def test_a_question_is_completed_from_the_data_model_and_the_values_there_are(clara: Visit) -> None:
    assert suggested(clara, "F") == ["FIND"]
    assert suggested(clara, "FIND t1w") == ["T1WeightedImage"]
    assert suggested(clara, "FIND T1WeightedImage WITH Repet")[0] == "RepetitionTime"
    assert suggested(clara, "FIND T1WeightedImage WITH ce = ") == ["'gadovist'"]
    assert suggested(clara, "FIND LaboratoryMeasurement WITH Analyte = crea") == ["'creatinine'"]
    subjects = suggested(clara, "FIND MRImage WITH Subject = sub")
    assert subjects == [f"'{row[0]}'" for row in table(ask(clara, "FIND Subject"))[1]]
    assert suggested(clara, "FIND MRImage WITH nothing = ") == []


def test_fields_of_the_form_are_completed_too(clara: Visit) -> None:
    assert all(one["text"].startswith("sub-") for one in clara.get("/complete?of=Subject&q=sub").json())
    found = clara.get("/complete?kind=LaboratoryMeasurement&property=Analyte&q=c").json()
    assert "creatinine" in [one["text"] for one in found]
    assert clara.get("/complete?kind=MRImage&property=nothing&q=c").json() == []


@pytest.mark.parametrize("text", ["'", "x' OR '", "\\", "*", "<script>", "%", "\n"])
def test_what_is_being_typed_is_no_part_of_the_question_for_values(clara: Visit, text: str) -> None:
    for path in (f"/complete?kind=MRImage&property=ce&q={quote(text)}", f"/complete?of=Subject&q={quote(text)}"):
        answer = clara.get(path)
        assert (answer.status_code, answer.json()) == (200, [])


def test_the_page_is_german_for_those_who_want_it(clara: Visit) -> None:
    page = clara.get("/?query=FIND+T1WeightedImage", headers={"accept-language": "de"}).text
    assert status(page) == "2 Datensätze"
    assert "T1-gewichtete Bilder" in page


def test_a_question_without_end_is_not_sent(clara: Visit) -> None:
    answer = clara.get(f"/?query=FIND+{'x' * 5000}")
    assert (answer.status_code, "The question is too long." in answer.text) == (422, True)


@pytest.mark.parametrize(
    ("kind", "column"),
    [("PostProcessingRequest", "RequestTime"), ("Session", "Date"), ("BloodSample", "CollectionDate")],
)
def test_a_day_of_the_form_is_the_whole_day(clara: Visit, kind: str, column: str) -> None:
    _head, *rows = csv.reader(io.StringIO(clara.get(f"/export.csv?query=FIND+{kind}&columns={column}").text))
    days = sorted(row[2][:10] for row in rows)
    assert days[0]
    for limits, count in {
        f"since={days[0]}": len(days),
        f"until={days[-1]}": len(days),
        f"since={days[0]}&until={days[0]}": days.count(days[0]),
    }.items():
        page = clara.get(f"/?kind={kind}&{limits}&size=200").text
        assert len(re.findall(r'<th scope="row"', page)) == count, limits
