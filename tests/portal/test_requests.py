"""The pages that follow requests: in plain words, in parts, batches as one line; ending one, trying one again."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from linkahead.queries import query

from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.portal.app import DIARY
from heartbrain_ingest.portal.centres import Stand, line_up
from heartbrain_ingest.portal.plain import words_of
from heartbrain_ingest.portal.requests_page import tail
from heartbrain_ingest.portal.texts import translations
from heartbrain_ingest.portal.visitors import acting_as
from heartbrain_ingest.postprocessing.requests import Request, Status
from heartbrain_ingest.postprocessing.transports.base import AgentReport, JobStatus
from hpc_bridge.protocol import State
from tests.portal.following import find, visitor
from tests.portal.site import SampleSite, Visit

ENGLISH, GERMAN = {"accept-language": "en"}, {"accept-language": "de"}
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def words(text: str) -> str:
    """Give a text as it is, in English."""
    return text


@pytest.fixture(scope="module")
def leo(sample_site: SampleSite) -> Visit:
    return Visit(sample_site.settings, **ENGLISH).log_in("leo")


@pytest.fixture(scope="module")
def stefan(sample_site: SampleSite) -> Visit:
    return Visit(sample_site.settings, **ENGLISH).log_in("stefan")


def insert(visit: Visit, statuses: Sequence[str], *, moment: str | Sequence[str], name: str, **facts: Any) -> list[int]:
    """Insert requests as whoever works with LinkAhead by hand may; of one moment, or each of its own."""
    moments = [moment] * len(statuses) if isinstance(moment, str) else moment
    with acting_as(visitor(visit, "clara")):
        function = query("FIND RECORD PostProcessingFunction WITH name='ivim'")[0].id
        image = query("FIND RECORD DiffusionWeightedImage")[0].id
        records = db.Container()
        for number, (status, asked) in enumerate(zip(statuses, moments, strict=True)):
            record = db.Record(name=f"{name}-{number:04d}").add_parent("PostProcessingRequest")
            record.add_property(name="Function", value=int(function))
            record.add_property(name="Inputs", value=[int(image)], datatype="LIST<Acquisition>")
            record.add_property(name="Status", value=status)
            record.add_property(name="SubmittedBy", value="clara")
            record.add_property(name="RequestTime", value=asked)
            for key, value in facts.items():
                record.add_property(name=key, value=value)
            records.append(record)
        records.insert(unique=False)
    return [int(one.id) for one in records]


# words


@pytest.mark.parametrize(
    ("number", "english", "german"),
    [(1, "1st", "1."), (2, "2nd", "2."), (3, "3rd", "3."), (4, "4th", "4."), (11, "11th", "11."), (22, "22nd", "22.")],
)
def test_a_place_in_line_is_said_as_people_say_it(number: int, english: str, german: str) -> None:
    request = Request(id=1, name="R-1", function="ivim", status=Status.SENT)
    stand = Stand(is_waiting=True, place=number)
    said = words_of(request, stand, words, responsible="Ann")
    assert said.text == f"waiting at the computing centre, {english} in line"
    german_words = words_of(request, stand, translations("de").gettext, responsible="Ann")
    assert german_words.text == f"wartet im Rechenzentrum, an {german} Stelle"


@pytest.mark.parametrize(
    ("status", "message", "has_log", "detail", "advice"),
    [
        (
            "failed",
            "Failed: The series has 36 of 60 volumes: ask the scanner staff to send it again.",
            True,
            "Die Serie hat 36 von 60 Volumina: Bitten Sie das Personal am Scanner, sie noch einmal zu schicken.",
            "",
        ),
        ("failed", "It reached its time limit.", True, "It reached its time limit.", "Sagen Sie Ann Bescheid"),
        (
            "failed",
            "Failed; the log files say more. Set the status to `retry` to try it once more.",
            True,
            "",
            "Das Protokoll sagt mehr.",
        ),
        (
            "refused",
            "Inputs are not in LinkAhead any more: 7. Correct it and set the status to `retry`.",
            False,
            "Eingaben sind nicht mehr in LinkAhead: 7.",
            "Sagen Sie Ann Bescheid",
        ),
        ("lost", "Lost: nobody knows what became of it. Set the status to `retry` to try it once more.", False, "",
         "Versuchen Sie es erneut."),
        ("failed", "The job failed: ended by the batch system or a person (SIGTERM)", True,
         "vom Rechenzentrum oder von jemandem beendet (SIGTERM)", "Das Protokoll sagt mehr."),
        ("failed", "The batch job ended without writing its exit file (OUT_OF_MEMORY).", True,
         "Die Rechnung endete, ohne zu sagen, wie (OUT_OF_MEMORY).", "Es braucht mehr Zeit oder Speicher"),
        ("running", "In the queue.", False, "", ""),
        ("running", "It is still at work, so it is not tried again. In the queue.", False,
         "Es wird noch gerechnet und deshalb nicht erneut versucht.", ""),
        ("refused", "sub-1: a.nii.gz is not in the archive any more; it has no files. Set the status to `retry`.",
         False, "sub-1: a.nii.gz ist nicht mehr im Archiv; ohne Dateien.", "Sagen Sie Ann Bescheid"),
        ("finished", "Finished; the result is in LinkAhead.", True, "", ""),
        ("cancelled", "Cancelled.", False, "", ""),
    ],
)  # fmt: skip
def test_what_went_wrong_and_what_to_do_is_said_in_german(
    status: str, message: str, has_log: bool, detail: str, advice: str
) -> None:
    request = Request(
        id=1, name="R-1", function="ivim", status=Status(status), message=message, logs=(9,) if has_log else ()
    )
    said = words_of(request, Stand(), translations("de").gettext, responsible="Ann")
    assert said.detail == detail
    assert advice in said.advice
    assert bool(said.advice) == bool(advice)
    assert "retry" not in said.detail + said.advice


def _jobs(**states: State) -> dict[str, JobStatus]:
    return {job: JobStatus(job=job, state=state, number=1, cancel_wished=False) for job, state in states.items()}


def _agent(**states: str) -> AgentReport:
    return AgentReport(name="a", at=NOW, is_accepting=True, batch_states=states)


def test_the_line_is_the_batch_systems_then_what_the_agent_takes_up_next() -> None:
    jobs = _jobs(e=State.NEW, d=State.NEW, c=State.STAGING, b=State.RUNNING, a=State.RUNNING, z=State.RUNNING)
    stands = line_up(jobs, [_agent(a="PENDING", b="PENDING", z="RUNNING")], {"b": 0, "a": 1})
    assert {job: one.place for job, one in stands.items()} == {"b": 1, "a": 2, "c": 3, "d": 4, "e": 5, "z": None}
    assert stands["z"].is_waiting is False


def test_no_place_is_told_where_the_order_is_not_known() -> None:
    jobs = _jobs(a=State.RUNNING, hidden=State.RUNNING, n=State.NEW)
    stands = line_up(jobs, [_agent(a="PENDING", hidden="PENDING")], {"a": 0})
    assert stands["a"] == Stand(is_waiting=True, place=None)
    assert stands["n"].place == 3
    assert line_up(_jobs(a=State.RUNNING), [], {})["a"] == Stand(is_waiting=None, place=None)


def test_the_end_of_a_long_log_is_shown_without_what_terminals_obey(tmp_path: Path) -> None:
    file = tmp_path / "stdout.txt"
    file.write_bytes(b"first\n" + b"x" * 100 + b"\n" + b"10 %\r20 %\rdone \x1b[31mred\x1b[0m\n\xff\n" * 5_000)
    text, is_whole = tail(file)
    assert not is_whole
    assert len(text) < 64 * 1024
    assert set(text.splitlines()) == {"done [31mred[0m", "\N{REPLACEMENT CHARACTER}"}


def test_what_tells_its_progress_runs_whatever_the_queue_is_said_to_be() -> None:
    request = Request(id=1, name="R-1", function="ivim", status=Status.RUNNING, progress=0.2)
    assert words_of(request, Stand(is_waiting=True, place=1), words, responsible="Ann").text == "running"


# the list


def test_a_batch_is_one_line_that_counts_and_what_is_of_another_moment_is_another(clara: Visit) -> None:
    statuses = ["finished"] * 3 + ["failed"] * 2 + ["new"] * 4 + ["cancelled"]
    first = insert(clara, statuses, moment="2026-01-01T10:00:00+0000", name="batch")
    insert(clara, ["finished"], moment="2026-01-01T10:00:01+0000", name="single")
    page = clara.get("/requests", headers=ENGLISH).text
    key = max(first)
    summary = re.search(rf'id="sum-{key}".*?</summary>', page, re.DOTALL)
    assert summary is not None
    badges = re.findall(r'<span class="badge \w+">([^<]*)</span>', summary[0])
    assert badges == ["4 under way", "3 finished", "2 without a result", "1 cancelled"]
    assert "on 10 records" in summary[0]
    assert "Cancel all of them" in page
    stream = re.search(r'sse-connect="/requests/events\?ids=([^"&]*)', page)
    assert stream is not None
    watched = {int(number) for number in stream[1].replace("%2C", ",").split(",")}
    assert set(first) <= watched


def test_many_requests_come_in_pages_and_each_is_on_one(clara: Visit, sample_site: SampleSite) -> None:
    moments = [f"2026-02-{1 + number // 48:02d}T{number // 2 % 24:02d}:00:00+0000" for number in range(240)]
    insert(clara, ["finished"] * 240, moment=moments, name="many")
    seen: list[str] = []
    address = "/requests"
    for _ in range(20):
        page = clara.get(address, headers=ENGLISH).text
        lines = page.count('class="card batch"') + len(re.findall(r'<li id="request-\d+" class="request card"', page))
        assert lines <= sample_site.settings.portal.page_size
        seen += re.findall(r'<li id="request-(\d+)"', page)
        older = re.search(r'href="(/requests\?older=\d+)">Older', page)
        if older is None:
            break
        address = older[1]
    everything = find(clara, "clara", "FIND RECORD PostProcessingRequest")
    assert sorted(seen, key=int) == sorted((str(one.id) for one in everything), key=int)
    assert seen == sorted(seen, key=int, reverse=True)


def test_the_list_can_be_narrowed(clara: Visit) -> None:
    page = clara.get("/requests?state=ended&mine=1", headers=ENGLISH).text
    assert set(re.findall(r'<span class="badge \w+">([^<\d][^<]*)</span>', page)) <= {"failed", "cancelled", "not sent"}
    assert "a rule of this site" not in page
    assert "a rule of this site" in clara.get("/requests?state=finished", headers=ENGLISH).text + "".join(
        clara.get(f"/requests?state=finished&older={number}", headers=ENGLISH).text for number in (4, 50)
    )


def test_nothing_that_a_record_says_becomes_part_of_the_page(clara: Visit) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    (number,) = insert(
        clara, ["failed"], moment="2026-03-01T10:00:00+0000", name=evil, StatusMessage=evil,
        Parameters=f'{{"a": "{evil}"}}', SchedulerID=evil, Job=evil,
    )  # fmt: skip
    for address in ("/requests", f"/requests/{number}"):
        page = clara.get(address, headers=ENGLISH)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "&lt;script&gt;" in page.text


@pytest.mark.parametrize("older", ["9" * 5_000, "-1", "x", "\N{SUPERSCRIPT TWO}"])
def test_a_place_in_the_list_that_is_no_number_is_no_page(clara: Visit, older: str) -> None:
    assert clara.client.get("/requests", params={"older": older}).status_code == 404


def test_a_request_that_is_not_there_or_is_none_is_no_page(clara: Visit) -> None:
    image = find(clara, "clara", "FIND RECORD T1WeightedImage")[0].id
    for name in ("R-000000000000", "2000000000", str(image), "99999999999", "9" * 5_000, "'", "%2e%2e"):
        assert clara.get(f"/requests/{name}").status_code == 404, name


# one request


def test_a_finished_request_shows_settings_with_units_its_log_and_its_result(clara: Visit) -> None:
    request = find(clara, "clara", "FIND RECORD PostProcessingRequest WITH SubmittedBy='rules' AND Function=ivim")[0]
    facts = {prop.name: prop.value for prop in request.get_properties()}
    page = clara.get(f"/requests/{request.name}", headers=ENGLISH).text
    assert "Largest diffusion coefficient D" in page
    assert "0.005 mm²/s" in page
    result = facts["Results"][0]
    assert f'href="/record/{getattr(result, "id", result)}"' in page
    assert "100% " in page or "writing maps" in page
    for log in facts["LogFiles"]:
        assert f'href="/file/{getattr(log, "id", log)}"' in page
    assert 'value="retry"' not in page
    assert 'value="cancel"' not in page


# ending and trying again


def test_a_request_is_cancelled_and_tried_again_and_the_diary_knows(clara: Visit, sample_site: SampleSite) -> None:
    (number,) = insert(clara, ["new"], moment="2026-04-01T10:00:00+0000", name="one")
    clara.client.headers["referer"] = f"http://testserver/requests/{number}"
    answer = clara.post("/requests/change", ids=number, wish="cancel")
    del clara.client.headers["referer"]
    assert (answer.status_code, answer.headers["location"]) == (303, f"/requests/{number}")
    page = clara.get(answer.headers["location"], headers=ENGLISH).text
    assert "being cancelled" in page
    assert "Will be ended: 1." in page
    line = json.loads((sample_site.settings.folders.logs / DIARY).read_text(encoding="utf-8").splitlines()[-1])
    assert (line["user"], line["action"], line["requests"]) == ("clara", "cancel", ["one-0000"])
    again = clara.post("/requests/change", ids=number, wish="retry")
    assert "Left as it is" in clara.get(again.headers["location"], headers=ENGLISH).text
    (failed,) = insert(clara, ["failed"], moment="2026-04-01T11:00:00+0000", name="two")
    clara.post("/requests/change", ids=failed, wish="retry")
    status = find(clara, "clara", f"FIND RECORD PostProcessingRequest WITH id={failed}")[0].get_property("Status").value
    assert status == "retry"


def test_a_whole_batch_is_cancelled_by_one_button(clara: Visit) -> None:
    ids = insert(clara, ["new", "new", "finished", "sent"], moment="2026-04-02T10:00:00+0000", name="all")
    clara.post("/requests/change", ids=",".join(map(str, ids)), wish="cancel")
    found = find(clara, "clara", "FIND RECORD PostProcessingRequest WITH RequestTime='2026-04-02T10:00:00+0000'")
    assert [one.get_property("Status").value for one in found] == ["cancel", "cancel", "finished", "cancel"]


def test_a_change_keeps_whose_a_request_is(clara: Visit, stefan: Visit) -> None:
    (number,) = insert(clara, ["failed"], moment="2026-04-03T10:00:00+0000", name="whose")
    stefan.post("/requests/change", ids=number, wish="retry")
    clara.post("/requests/change", ids=number, wish="cancel")
    record = find(clara, "clara", f"FIND RECORD PostProcessingRequest WITH id={number}")[0]
    assert record.get_property("SubmittedBy").value == "clara"
    assert record.get_property("Status").value == "cancel"


def test_who_may_only_look_sees_no_buttons_and_is_refused_in_words(leo: Visit, clara: Visit) -> None:
    (number,) = insert(clara, ["new"], moment="2026-04-04T10:00:00+0000", name="leo")
    assert 'value="cancel"' not in leo.get("/requests").text
    assert 'value="cancel"' in clara.get("/requests").text
    answer = leo.post("/requests/change", ids=number, wish="cancel")
    assert answer.status_code == 403
    assert "Your account may look at requests, but not change them. Ask Data Steward." in answer.text
    record = find(clara, "clara", f"FIND RECORD PostProcessingRequest WITH id={number}")[0]
    assert record.get_property("Status").value == "new"


def test_a_change_without_sense_is_refused(clara: Visit) -> None:
    assert clara.post("/requests/change", ids="", wish="cancel").status_code == 400
    assert clara.post("/requests/change", ids="1", wish="delete").status_code == 400
    assert clara.post("/requests/change", ids="9" * 5_000, wish="cancel").status_code == 400
    assert clara.post("/requests/change", ids="1,x", wish="cancel").status_code == 400
    assert clara.post("/requests/change", ids=",".join(map(str, range(1_001))), wish="cancel").status_code == 400
