"""The page of a record: what it says of images, recordings, laboratory values and results, and to whom."""

from __future__ import annotations

import itertools
import json
import os
import re
from datetime import date
from html.parser import HTMLParser
from typing import Any

import pytest
from markupsafe import escape

from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.crawl.model import view_datamodel
from heartbrain_ingest.portal.comparison import Comparison
from heartbrain_ingest.portal.entity import Number
from tests.portal.looking import as_steward, hide, only
from tests.portal.site import SampleSite, Visit

#: One of every sort of page.
KINDS = (
    *("Subject", "Session", "Project", "Person", "BloodSample", "LaboratoryMeasurement"),
    *("T1WeightedImage", "DiffusionWeightedImage", "BOLDImage", "FieldMap", "LocalizerImage", "RealTimeImage"),
    *("ECGRecording", "PulseOximetryRecording", "RespirationRecording"),
    *("IVIMAnalysis", "TissueVolumes", "PostProcessingRequest", "PostProcessingFunction"),
)
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"


def _page(visit: Visit, identifier: int, **options: Any) -> str:
    answer = visit.get(f"/record/{identifier}", **options)
    assert answer.status_code == 200, answer.text[-500:]
    return answer.text


def _words(page: str) -> str:
    """Give what a page says, without its marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


@pytest.mark.parametrize("kind", KINDS)
def test_every_sort_of_record_has_a_page_in_both_languages(clara: Visit, kind: str) -> None:
    record = only(clara, f"FIND RECORD {kind}")
    english = _page(clara, record.id, headers={"accept-language": "en"})
    german = _page(clara, record.id, headers={"accept-language": "de"})
    assert english.count("<h1>") == german.count("<h1>") == 1
    assert re.findall(r'href="/(?:record|file)/\d+', english) == re.findall(r'href="/(?:record|file)/\d+', german)
    for page in (english, german):
        assert not re.search(r"\son\w+=|\sstyle=|<style", page)
        assert re.findall(r"<script(?![^>]* src=\"/static/)", page) == []


def test_an_image_shows_its_fields_by_their_bids_names_with_units(clara: Visit) -> None:
    words = _words(_page(clara, only(clara, "FIND RECORD BOLDImage").id))
    assert re.search(r"RepetitionTime \S+ s ", words)
    assert re.search(r"MagneticFieldStrength 3 T ", words)
    assert re.search(r"VoxelSize [\d.]+ . [\d.]+ . [\d.]+ mm ", words)
    assert "task rest" in words


def test_the_b_values_name_the_volumes_of_the_slider(clara: Visit) -> None:
    page = _page(clara, only(clara, "FIND RECORD DiffusionWeightedImage").id)
    assert 'type="range" min="0" max="45"' in page
    assert '"b = 0 s/mm\\u00b2", "b = 10 s/mm\\u00b2"' in page


def test_maps_are_offered_with_what_their_function_says_of_them(clara: Visit) -> None:
    page = _page(clara, only(clara, "FIND RECORD DiffusionWeightedImage").id)
    option = next(one for one in re.findall(r"<option[^>]*data-role[^>]*>[^<]*", page) if "param-D_dwimap" in one)
    assert 'data-role="map"' in option
    assert 'data-unit="mm^2/s"' in option
    assert option.endswith(">D of the IVIM model [mm²/s]")
    roles = re.findall(r'data-role="(\w*)"', page)
    assert roles.index("map") < roles.index("mask") < roles.index("error")


def test_the_way_from_the_scanner_to_the_result_is_drawn_and_listed(clara: Visit) -> None:
    result = only(clara, "FIND RECORD IVIMAnalysis")
    (image,) = result.get_property("Inputs").value
    with as_steward(clara):
        record = db.Record(id=image).retrieve()
    way = [
        f"/record/{record.get_property('Session').value}",
        f"/file/{record.get_property('DicomArchive').value}",
        f"/record/{image}",
        f"/record/{result.get_property('Request').value}",
        f"/record/{result.id}",
    ]
    for one in (result.id, image):
        page = _page(clara, one)
        drawing = page[page.index('class="wide graph"') : page.index("</svg>", page.index('class="wide graph"'))]
        boxes = dict(
            zip(re.findall(r'<a href="([^"]+)"', drawing), re.findall(r'<rect[^>]* x="(\d+)"', drawing), strict=True)
        )
        assert sorted(boxes, key=lambda address: int(boxes[address])) == way
        assert drawing.count('class="edge"') == len(way) - 1
        listed = page[page.index("The same as a list") :]
        assert all(f'<a href="{address}"' in listed for address in way if address != f"/record/{one}")
        assert re.search(r"SHA-512 [0-9a-f]{16}", listed)


def test_a_laboratory_value_stands_among_the_subjects_others_with_the_range(clara: Visit) -> None:
    question = "FIND RECORD LaboratoryMeasurement WITH Analyte=creatinine AND LOINC='2160-0'"
    page = _page(clara, only(clara, question).id)
    words = _words(page)
    assert "Creatinine, blood" in words
    assert "0.94 mg/dL within the range" in words
    assert "Reference range: 0.7 to 1.2 mg/dL" in words
    assert len(re.findall(r'class="point( here)?"', page)) == 2
    # The days are shifted by the site's key, the time between them is not.
    days = {date.fromisoformat(day) for day in re.findall(r"\b\d{4}-\d\d-\d\d\b", words)}
    assert (max(days) - min(days)).days == 42
    top, height = map(float, re.search(r'class="band"[^>]* y="([\d.]+)" height="([\d.]+)"', page).groups())  # type: ignore[union-attr]
    heights = [float(one) for one in re.findall(r'<circle class="point[^>]* cy="([\d.]+)"', page)]
    assert all(top < one < top + height for one in heights)


def test_a_recording_shows_each_beat_that_the_pipeline_counted(clara: Visit) -> None:
    record = only(clara, "FIND RECORD ECGRecording WITH NumberOfPeaks > 50")
    count = record.get_property("NumberOfPeaks").value
    seen: set[str] = set()
    at = "0"
    while True:
        part = clara.get(f"/record/{record.id}?at={at}", headers={"hx-target": "recording"}).text
        assert "<html" not in part
        first = float(at)
        width = float(re.findall(r"<span>([\d.]+) s</span>", part)[-1]) - first
        seen |= {f"{first + int(x) / 1000 * width:.1f}" for x in re.findall(r'class="peak" d="M(\d+) ', part)}
        later = re.search(r'at=([\d.]+)" hx-get="[^"]+" hx-target="#recording">Later', part)
        if later is None:
            break
        at = later[1]
    # The last part overlaps the one before it; rounded places of the same beat may differ by a tenth of a second.
    assert count <= len(seen) <= count + 25


def test_the_time_of_the_scans_is_shaded(clara: Visit) -> None:
    whole = _page(clara, only(clara, "FIND RECORD ECGRecording WITH NumberOfPeaks > 50").id)
    spans = re.findall(r'class="scan" x="(\d+)" y="0" width="(\d+)" height="116"><title>(\w+)', whole)
    assert {"ep2d_diff_ivim_16b", "ep2d_bold_rest"} <= {name for _x, _width, name in spans}
    cut = _page(clara, only(clara, "FIND RECORD ECGRecording WITH OverlapFraction = 1").id)
    ((x, width, _name),) = re.findall(r'class="scan" x="(\d+)" y="0" width="(\d+)" height="116"><title>(\w+)', cut)
    assert int(x) <= 2
    assert int(width) >= 990


@pytest.mark.parametrize("at", ["-5", "nan", "inf", "1e300", "x", "", "5" * 400])
def test_an_impossible_place_in_a_recording_shows_some_other(clara: Visit, at: str) -> None:
    record = only(clara, "FIND RECORD ECGRecording")
    assert 'class="curve"' in clara.get(f"/record/{record.id}", params={"at": at}).text


def test_a_table_that_is_broken_is_not_drawn(clara: Visit, sample_site: SampleSite) -> None:
    record = only(clara, "FIND RECORD RespirationRecording")
    with as_steward(clara):
        file = db.File(id=record.get_property("RecordingFile").value).retrieve()
    path = sample_site.settings.folders.archive / file.path.lstrip("/")
    content = path.read_bytes()
    try:
        for broken in (content[:50], b"", b"no gzip", content[:-9]):
            path.write_bytes(broken)
            assert "can not be drawn" in _page(clara, record.id)
    finally:
        path.write_bytes(content)


def test_a_recording_is_read_once_however_one_moves_through_it(clara: Visit, sample_site: SampleSite) -> None:
    record = only(clara, "FIND RECORD PulseOximetryRecording WITH NumberOfPeaks > 50")
    with as_steward(clara):
        file = db.File(id=record.get_property("RecordingFile").value).retrieve()
    path = sample_site.settings.folders.archive / file.path.lstrip("/")
    content, status = path.read_bytes(), path.stat()
    seen = len(re.findall(r'class="peak"', _page(clara, record.id, params={"at": "5"})))
    assert seen
    try:
        # What says of itself that it is still the same is not read again.
        path.write_bytes(b"\0" * len(content))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert len(re.findall(r'class="peak"', _page(clara, record.id, params={"at": "5"}))) == seen
        assert 'class="peak"' in _page(clara, record.id, params={"at": "20"})
        os.utime(path)
        assert "can not be drawn" in _page(clara, record.id)
    finally:
        path.write_bytes(content)


@pytest.fixture(scope="module")
def compared(clara: Visit) -> Any:
    """Give a result with the newest results of five other subjects, one of which has an older one as well."""
    result = only(clara, "FIND RECORD IVIMAnalysis")
    with as_steward(clara):
        for number, values in enumerate(([0.5, 0.01], [0.02], [0.03], [0.04], [0.9])):
            subject = db.Record(f"sub-OTHER{number}").add_parent("Subject").insert()
            for value in values:
                other = db.Record(f"result {number} {value}").add_parent("IVIMAnalysis")
                other.add_property("Subject", subject.id)
                other.add_property("Project", result.get_property("Project").value)
                other.add_property("Function", result.get_property("Function").value)
                other.add_property("mean_f", value)
                other.insert()
    return result


def test_a_result_shows_three_numbers_each_against_the_other_subjects(sample_site: SampleSite, compared: Any) -> None:
    page = _page(Visit(sample_site.settings).log_in("clara"), compared.id)
    parts = page.split('<div class="comparison">')[1:]
    # The truth of the study lies between 0.05 in white matter and 0.2 in the lesion.
    value = compared.get_property("mean_f").value
    assert 0.05 < value < 0.2
    assert f"{value:.4g}" in _words(parts[0])
    assert "Higher than 4 of 5 other subjects." in parts[0]
    assert parts[0].count('class="other"') == 5
    assert parts[0].count('class="before"') == 1
    assert "Mean diffusion coefficient" in parts[1]
    assert "No other subject of this study has this result yet." in parts[1]
    assert len(parts) == 3
    assert page.index('class="comparison"') < page.index("data-viewer")
    assert re.search(r'<figure>\s*<a href="/file/\d+\?show"><img src="/thumbnail/\d+"', page)


@pytest.mark.parametrize(
    ("value", "others", "lower", "higher"),
    [(1.0, (), 0, 0), (2.0, (1.0,), 1, 0), (1.0, (1.0,), 0, 0), (0.0, (1.0, 2.0), 0, 2)],
)
def test_a_number_is_placed_among_others(value: float, others: tuple[float, ...], lower: int, higher: int) -> None:
    number = Number(name="x", unit="", description="")
    one = Comparison(number=number, value=value, others=others, before=())
    assert (one.lower, one.higher) == (lower, higher)
    assert all(0 <= one.place(known) <= 400 for known in (value, *others))


def test_the_session_lists_what_belongs_to_it(clara: Visit) -> None:
    words = _words(_page(clara, only(clara, "FIND RECORD Session").id))
    for heading in ("Images 1", "Recordings 9", "Results 2", "Laboratory values "):
        assert heading in words
    assert "T1-weighted image" in words


def test_an_image_lists_the_recordings_that_ran_meanwhile(clara: Visit) -> None:
    recording = only(clara, "FIND RECORD ECGRecording WITH OverlapFraction = 1")
    page = _page(clara, recording.get_property("RecordedDuring").value[0])
    assert f'<a href="/record/{recording.id}">Electrocardiogram' in page[page.index("Recordings during the scan") :]


def test_a_group_lists_its_images_and_can_be_computed_with(clara: Visit) -> None:
    images = [only(clara, f"FIND RECORD {kind}").id for kind in ("T1WeightedImage", "FLAIRImage")]
    with as_steward(clara):
        group = db.Record("my group").add_parent("ImageGroup")
        group.add_property("Images", images, datatype=db.LIST("MRImage")).insert()
    page = _page(clara, group.id)
    assert "Images of the group" in page
    assert all(f'<a href="/record/{image}">' in page for image in images)
    assert 'href="/run?group=my%20group"' in page


@pytest.mark.parametrize(
    "path",
    [
        *("/record/0", "/record/99999999", "/record/" + "9" * 40, "/record/x", "/record/-1"),
        *(f"/{kind}/{'9' * 5_000}" for kind in ("record", "file", "thumbnail")),
    ],
    ids=lambda path: path[:20],
)
def test_a_record_that_is_not_there_is_said_to_be_missing(clara: Visit, path: str) -> None:
    answer = clara.get(path)
    assert answer.status_code == 404
    assert "There is no such page" in answer.text


def test_a_recordtype_has_no_page_of_a_record(clara: Visit) -> None:
    assert clara.get(f"/record/{only(clara, 'FIND RECORDTYPE MRImage').id}").status_code == 404


def test_what_somebody_may_not_see_is_missing_for_them_and_on_every_other_page(
    sample_site: SampleSite, clara: Visit
) -> None:
    image = only(clara, "FIND RECORD T2WeightedImage")
    hide(clara, image.id, role="readonly")
    leo = Visit(sample_site.settings).log_in("leo")
    session = image.get_property("Session").value
    for _turn in range(3):
        assert leo.get(f"/record/{image.id}").status_code == 404
        assert clara.get(f"/record/{image.id}").status_code == 200
        assert f'"/record/{image.id}"' not in _page(leo, session)
        assert f'"/record/{image.id}"' in _page(clara, session)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_without_a_single_value_has_a_page(clara: Visit, kind: str) -> None:
    with as_steward(clara):
        bare = db.Record().add_parent(kind).insert()
        empty = db.Record(f"empty {kind}").add_parent(kind)
        for prop in db.RecordType(name=kind).retrieve().get_properties():
            empty.add_property(prop.name, None, datatype=prop.datatype)
        empty.insert()
    _page(clara, bare.id)
    _page(clara, empty.id)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1e308", "0"])
def test_a_number_that_can_not_be_drawn_breaks_no_page(clara: Visit, number: str) -> None:
    others = f'{{"a": {{"value": {number}, "unit": null}}, "b": {{"value": 1{"0" * 400}}}, "c": {"[" * 20_000}'
    with as_steward(clara):
        result = db.Record(f"odd {number}").add_parent("IVIMAnalysis")
        result.add_property("Subject", only(clara, "FIND RECORD Subject").id)
        result.add_property("mean_f", float(number))
        result.add_property("OtherResultValues", others)
        result.insert()
        value = db.Record().add_parent("LaboratoryMeasurement").add_property("Analyte", f"odd {number}")
        for name in ("MeasuredValue", "ReferenceLow", "ReferenceHigh"):
            value.add_property(name, float(number))
        value.insert()
        recording = db.Record(f"odd curve {number}").add_parent("ECGRecording")
        for name in ("MeanRate", "SamplingFrequency", "StartTime", "OverlapFraction"):
            recording.add_property(name, float(number))
        recording.add_property(
            "RecordingFile", only(clara, "FIND RECORD ECGRecording").get_property("RecordingFile").value
        )
        recording.add_property("Columns", ["ecg_I", "ecg_aVF", "monitor_trigger"], datatype=db.LIST(db.TEXT))
        recording.insert()
        session = db.Record(f"odd day {number}").add_parent("Session").add_property("Date", "0001-01-01T00:00:00")
        session.add_property("Age", float(number)).insert()
    for record in (result, value, recording, session):
        _page(clara, record.id)


@pytest.mark.parametrize("kind", KINDS)
def test_text_that_means_harm_is_shown_as_text(
    clara: Visit, sample_site: SampleSite, kind: str, evil_subject: int
) -> None:
    view = view_datamodel(sample_site.settings.folders.crawler_config / "datamodel.yml")
    with as_steward(clara):
        record = db.Record(f"{EVIL} {kind}").add_parent(kind)
        for name, what in view.of_record_type[kind].items():
            if what.element == "TEXT":
                datatype = db.LIST(db.TEXT) if what.is_list else db.TEXT
                record.add_property(name, [EVIL, EVIL] if what.is_list else EVIL, datatype=datatype)
            elif what.element == "Subject":
                record.add_property(name, evil_subject)
        record.insert()
    pages = [_page(clara, record.id)]
    pages.append(_page(clara, evil_subject))
    for page in pages:
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "49" not in re.findall(r"alert\(1\)&gt;(\d+)", page)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


HOSTILE = ('<p hx-post="/requests/change" hx-trigger="load">', "Share of 100% map", "%(evil)s %n")


def test_what_a_property_with_a_file_is_called_is_shown_as_text(clara: Visit) -> None:
    with as_steward(clara):
        record = db.Record("hostile names").add_parent("Subject")
        picture = only(clara, "FIND RECORD T1WeightedImage").get_property("PlanesPicture").value
        for name in HOSTILE:
            db.Property(name=name, datatype=db.FILE).insert()
            record.add_property(name=name, value=picture, datatype=db.FILE)
        record.insert()
    for language in ("en", "de"):
        page = _page(clara, record.id, headers={"accept-language": language})
        assert "<p hx-post" not in page
        assert all(f"<td>{escape(name)}</td>" in page for name in HOSTILE)


def test_what_a_function_says_of_its_files_is_shown_as_text(clara: Visit, sample_site: SampleSite) -> None:
    result = only(clara, "FIND RECORD TissueVolumes")
    with as_steward(clara):
        path = db.File(id=result.get_property("ResultFile").value).retrieve().path
    file = sample_site.settings.folders.archive / path.lstrip("/")
    before = file.read_bytes()
    said = json.loads(before)
    assert len(said["Files"]) >= 2
    for one, role in zip(said["Files"], itertools.cycle(HOSTILE), strict=False):
        one["role"] = role
    file.write_text(json.dumps(said), encoding="utf-8")
    try:
        page = _page(clara, result.id)
    finally:
        file.write_bytes(before)
    assert "<p hx-post" not in page
    assert f"<td>{HOSTILE[1]}</td>" in page


def test_htmx_does_nothing_that_is_written_in_a_record(clara: Visit) -> None:
    class Outside(HTMLParser):
        """Collects what stands in the content and not within `hx-disable`."""

        def __init__(self) -> None:
            super().__init__()
            self.open: list[tuple[str, bool, str]] = []
            self.found: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            names = dict(attrs)
            if tag not in {"meta", "link", "img", "input", "br"}:
                self.open.append((tag, "hx-disable" in names, names.get("id") or ""))

        def handle_endtag(self, tag: str) -> None:
            while self.open and self.open.pop()[0] != tag:
                pass

        def handle_data(self, data: str) -> None:
            ids = [one for _tag, _is_off, one in self.open]
            if data.strip() and "content" in ids and not any(is_off for _tag, is_off, _id in self.open):
                self.found.append(ids[ids.index("content") + 1])

    for kind in ("ECGRecording", "IVIMAnalysis"):
        parser = Outside()
        parser.feed(_page(clara, only(clara, f"FIND RECORD {kind}").id))
        assert set(parser.found) <= {"recording"}


@pytest.fixture(scope="module")
def evil_subject(clara: Visit) -> int:
    with as_steward(clara):
        return int(db.Record(f"{EVIL} somebody").add_parent("Subject").insert().id)


@pytest.mark.parametrize(
    ("value", "english", "german"),
    [
        (12345.0, "12,345", "12.345"),
        (99999.0, "99,999", "99.999"),
        (1234567.8, "1,234,568", "1.234.568"),
        (4321.2, "4,321", "4.321"),
        (123.456, "123.5", "123,5"),
        (0.00012345, "0.000123", "0,000123"),
    ],
)
def test_a_number_keeps_each_digit_before_its_point(clara: Visit, value: float, english: str, german: str) -> None:
    with as_steward(clara):
        record = db.Record(f"number {value}").add_parent("ECGRecording").add_property("SamplingFrequency", value)
        record.insert()
    for language, shown in (("en", english), ("de", german)):
        page = _page(clara, record.id, headers={"accept-language": language})
        assert f"SamplingFrequency {shown} " in _words(page)


def test_what_a_laboratory_reported_is_written_as_it_is_stored(clara: Visit, sample_site: SampleSite) -> None:
    subject = only(clara, "FIND RECORD Subject").id
    with as_steward(clara):
        value = db.Record("exact").add_parent("LaboratoryMeasurement").add_property("Analyte", "ferritin")
        value.add_property("Subject", subject).add_property("MeasuredUnit", "ng/mL")
        value.add_property("MeasuredValue", 12345.6, unit="ng/mL").add_property("ReferenceLow", 0.12345)
        value.add_property("ReferenceHigh", 1250.55).insert()
    for language, shown in (("en", ("12,345.6", "0.12345", "1,250.55")), ("de", ("12.345,6", "0,12345", "1.250,55"))):
        # Its own page: the value, its row of the course, the details; its subject's; a table of what was found.
        page = Visit(sample_site.settings, **{"accept-language": language}).log_in("clara")
        own = _words(_page(page, value.id))
        assert all(own.count(one) >= 2 for one in shown), own
        assert all(one in _words(_page(page, subject)) for one in shown)
        columns = "".join(f"&columns={name}" for name in ("MeasuredValue", "ReferenceLow", "ReferenceHigh"))
        found = page.get(f"/?query=FIND+LaboratoryMeasurement+WITH+name=exact{columns}").text
        assert all(one in _words(found) for one in shown)


def test_computing_is_offered_to_those_who_may(clara: Visit, sample_site: SampleSite) -> None:
    image = only(clara, "FIND RECORD T1WeightedImage").id
    offer = f'href="/run?ids={image}"'
    assert offer in clara.get(f"/record/{image}").text
    leo = Visit(sample_site.settings).log_in("leo")
    assert offer not in leo.get(f"/record/{image}").text
