"""The questions that the project exists for, as the researcher's how-to words them, on a study whose truth is known."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sample_data import generate
from tests.pipeline.conftest import Study, TakenIn
from tests.pipeline.site import Site

pytestmark = [pytest.mark.slow]

#: Words of the how-to's first column that pick its query.
QUESTIONS = {
    "contrast": "T1 images of subjects over 30",
    "b_values": "at least 8 b-values below 200",
    "ecg": "ECG covers more than 95 %",
    "creatinine": "creatinine is above",
    "session": "everything of one session",
    "model": "of one scanner model",
    "device": "of one scanner, by its pseudonym",
    "no_result": "without a result of a function",
}


@pytest.fixture(scope="module")
def queries(project_root: Path) -> dict[str, str]:
    """The queries of the how-to, by the names above."""
    text = (project_root / "docs" / "howto-researcher.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| `(.+?)` \|$", text, re.MULTILINE)
    found = {name: [query for question, query in rows if words in question] for name, words in QUESTIONS.items()}
    assert all(len(one) == 1 for one in found.values())
    return {name: one[0] for name, one in found.items()}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, TakenIn]:
    """The whole study of three subjects; the comparison with the originals is another test's business."""
    folder = tmp_path_factory.mktemp("questions")
    truth = generate(folder / "study")
    site = Site.make(folder / "site")
    text = site.settings.read_text(encoding="utf-8")
    site.settings.write_text(re.sub(r"(?m)^( *)fidelity: all", r"\1fidelity: off", text), encoding="utf-8")
    done = site.ingest(folder / "study" / "inbox")
    study = Study(inbox=folder / "study" / "inbox", truth=truth)
    return study, TakenIn(site=site, inbox=study.inbox, done=done, seconds=0.0)


@pytest.fixture(scope="module")
def sessions(full: tuple[Study, TakenIn]) -> dict[tuple[int, int], dict[str, Any]]:
    """The published session of each visit, by the number of the subject and of the visit."""
    study, taken = full
    published: dict[str, list[dict[str, Any]]] = {}
    for folder in taken.site.sessions():
        facts = taken.site.facts(folder)
        published.setdefault(facts["Subject"], []).append(facts)
    visits = [sorted(one, key=lambda facts: facts["Date"]) for one in published.values()]
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for number, subject in enumerate(study.truth["subjects"]):
        gap = _days(*(session["date"] for session in subject["sessions"]))
        ages = [session["age_published"] for session in subject["sessions"]]
        # Days between visits and ages are true although dates are not: enough to know who is who.
        (own,) = [
            pair
            for pair in visits
            if _days(*(facts["Date"] for facts in pair)) == gap and [facts["Age"] for facts in pair] == ages
        ]
        found |= {(number, visit): facts for visit, facts in enumerate(own)}
    assert len(found) == len(taken.site.sessions()) == 6
    return found


def _days(first: str, second: str) -> int:
    return (dt.date.fromisoformat(second) - dt.date.fromisoformat(first)).days


def _visits(study: Study) -> Iterator[tuple[int, int, dict[str, Any]]]:
    for number, subject in enumerate(study.truth["subjects"]):
        for visit, session in enumerate(subject["sessions"]):
            yield number, visit, session


def _name(facts: dict[str, Any]) -> str:
    return f"{facts['Subject']}_{facts['Session']}"


def _found_sessions(taken: TakenIn, query: str) -> list[str]:
    """Give subject and session of each found image, from its name."""
    return sorted("_".join(one["name"].split("_")[:2]) for one in taken.site.find(query))


def test_t1_images_with_contrast_of_subjects_over_30(
    full: tuple[Study, TakenIn], sessions: dict[tuple[int, int], dict[str, Any]], queries: dict[str, str]
) -> None:
    study, taken = full
    true = [
        _name(sessions[number, visit])
        for number, visit, session in _visits(study)
        if session["contrast_agent"] and session["age_published"] > 30
    ]
    assert len(true) == 2
    assert taken.site.count("T1WeightedImage WITH ce") == 3  # one of somebody who is younger
    assert _found_sessions(taken, queries["contrast"]) == sorted(true)


def test_diffusion_series_with_many_low_b_values(full: tuple[Study, TakenIn], queries: dict[str, str]) -> None:
    study, taken = full
    low = [
        len({b for b in series["b_values"] if b < 200})
        for _, _, session in _visits(study)
        for series in session["series"]
        if series.get("b_values")
    ]
    assert len(taken.site.find(queries["b_values"])) == sum(number >= 8 for number in low) == 6
    more = queries["b_values"].replace(">= 8", f"> {max(low)}")
    assert taken.site.find(more) == []


def test_sessions_whose_ecg_covers_the_ivim_scan(
    full: tuple[Study, TakenIn], sessions: dict[tuple[int, int], dict[str, Any]], queries: dict[str, str]
) -> None:
    study, taken = full
    true = []
    for number, visit, session in _visits(study):
        (ivim,) = [str(one["number"]) for one in session["series"] if one["record_type"] == "DiffusionWeightedImage"]
        shares = [
            recording["overlap"].get(ivim, 0)
            for recording in session["recordings"]
            if recording["record_type"] == "ECGRecording"
        ]
        if max(shares) > 0.95:
            true.append(_name(sessions[number, visit]))
    assert len(true) == 5  # one ECG lost its electrodes
    assert sorted(one["name"] for one in taken.site.find(queries["ecg"])) == sorted(true)


def test_images_of_subjects_whose_creatinine_is_too_high(
    full: tuple[Study, TakenIn], sessions: dict[tuple[int, int], dict[str, Any]], queries: dict[str, str]
) -> None:
    study, taken = full
    limits = {"M": 1.2, "F": 0.9}  # mg/dL in serum, as lab.yml says
    high = set()
    for number, subject in enumerate(study.truth["subjects"]):
        for one in study.truth["laboratory"]:
            if one["patient_id"] != subject["patient_id"] or one["refused"] or one["material"] == "urine":
                continue
            if one["analyte"] in {"Kreatinin", "Creatinine"}:
                value = one["value"] / 88.4 if one["unit"].startswith(("umol", "µmol")) else one["value"]
                if value > limits[subject["sex"]]:
                    high.add(number)
    assert len(high) == 1
    (number,) = high
    own = [facts["Subject"] for (who, _), facts in sessions.items() if who == number]
    images = sum(len(series["nifti"]) for who, _, one in _visits(study) if who == number for series in one["series"])
    found = taken.site.find(queries["creatinine"])
    assert {one["name"].split("_")[0] for one in found} == set(own)
    assert len(found) == images == 27


def test_everything_of_one_session(
    full: tuple[Study, TakenIn], sessions: dict[tuple[int, int], dict[str, Any]], queries: dict[str, str]
) -> None:
    study, taken = full
    for (number, visit), facts in sessions.items():
        session = study.truth["subjects"][number]["sessions"][visit]
        found = taken.site.find(queries["session"].replace("sub-K7Q2ABCD_ses-20230504", _name(facts)))
        names = [one["name"] or "" for one in found]
        assert sum(name.endswith("_physio") for name in names) >= len(session["recordings"])
        images = [
            name
            for name in names
            if re.search(r"_(T1w|T2w|FLAIR|dwi|bold|epi|phasediff|magnitude\d|localizer|realtime)$", name)
        ]
        assert len(images) == sum(len(series["nifti"]) for series in session["series"])
    measured = [name for name, facts in sessions.items() if facts]
    assert len(measured) == 6


def test_images_since_a_day_from_one_scanner(
    full: tuple[Study, TakenIn], sessions: dict[tuple[int, int], dict[str, Any]], queries: dict[str, str]
) -> None:
    _, taken = full
    today = dt.datetime.now(tz=dt.UTC).date()
    tomorrow = today + dt.timedelta(days=2)
    device = sessions[0, 0]["Device"]
    assert {facts["Device"] for facts in sessions.values()} == {device}
    total = taken.site.count("MRImage")
    for name in ("model", "device"):
        query = queries[name].replace("2026-01-01", "2020-01-01").replace("GB5PYV", device)
        assert len(taken.site.find(query)) == total == 81
        assert taken.site.find(query.replace("2020-01-01", tomorrow.isoformat())) == []
        assert taken.site.find(query.replace(device, "NOBODY").replace("Prisma_fit", "Skyra")) == []


def test_images_without_a_result_of_a_function(full: tuple[Study, TakenIn], queries: dict[str, str]) -> None:
    import linkahead  # noqa: PLC0415 - the official client

    _, taken = full
    before = {one["id"]: one["name"] for one in taken.site.find(queries["no_result"])}
    assert len(before) == 6
    taken.site.connect()
    client: Any = linkahead
    done, *_ = before
    function = client.Record(name="ivim").add_parent("PostProcessingFunction").insert()
    result = client.Record(name="2026-01-01_ivim_test").add_parent("IVIMAnalysis")
    result.add_property("Function", function.id)
    result.add_property("Inputs", [done], datatype="LIST<Acquisition>")
    result.add_property("mean_f", 0.12)
    result.insert()
    try:
        assert {one["id"] for one in taken.site.find(queries["no_result"])} == set(before) - {done}
        assert taken.site.count("IVIMAnalysis WITH mean_f > 0.1") == 1
        other = queries["no_result"].replace("ivim", "tissue_volumes")
        assert len(taken.site.find(other)) == 6
    finally:
        result.delete()
        function.delete()


def test_a_selection_is_kept_as_the_how_to_shows(full: tuple[Study, TakenIn], project_root: Path) -> None:
    _, taken = full
    text = (project_root / "docs" / "howto-researcher.md").read_text(encoding="utf-8")
    taken.site.connect()
    code = text.split("```python\n")[1].split("```")[0]
    exec(compile(code, "howto-researcher.md", "exec"), {})  # noqa: S102 - our own document
    (query,) = re.findall(r"`(FIND MRImage WHICH IS REFERENCED BY ImageGroup .+?)`", text)
    assert len(taken.site.find(query)) == taken.site.count("T1WeightedImage WITH ce") == 3


def test_every_query_of_the_how_to_is_understood(full: tuple[Study, TakenIn], project_root: Path) -> None:
    _, taken = full
    text = (project_root / "docs" / "howto-researcher.md").read_text(encoding="utf-8")
    queries = re.findall(r"^\| .+? \| `(.+?)` \|$", text, re.MULTILINE)
    assert len(queries) >= 16
    for query in queries:
        done = taken.site.run("query", "--json", query)
        assert done.code == 0, (query, done.err)
