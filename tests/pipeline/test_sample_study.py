"""The whole way of the sample study, by the commands that a user types, against what is known to be true of it."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from tests.pipeline.conftest import Study, TakenIn
from tests.pipeline.identifying import Identifying, database_texts, file_texts, identifying_by

SCRIPT = """
import linkahead as db
import linkahead_embedded

linkahead_embedded.connect({database!r})
for image in db.find("FIND T1WeightedImage"):
    print(image.name, image.get_property("RepetitionTime").value, image.get_property("RepetitionTime").unit)
"""


def _series(study: Study) -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    return [
        (subject, session, series)
        for subject in study.truth["subjects"]
        for session in subject["sessions"]
        for series in session["series"]
    ]


def _published_sessions(sample: TakenIn) -> list[Path]:
    """Give the published sessions in the order of their days, which is the order of the true days."""
    return sorted(sample.site.sessions(), key=lambda folder: sample.site.facts(folder)["Date"])


def _sidecars(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        path.with_suffix("").as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.json"))
        if path.with_suffix(".nii.gz").exists()
    }


def test_the_run_is_all_good_and_every_file_is_accounted_for(study: Study, sample: TakenIn) -> None:
    files = [path for path in study.inbox.rglob("*") if path.is_file()]
    assert sample.done.code == 0
    assert sample.done.report["seen"] == sample.done.report["new"] == len(files)
    assert {row.path for row in sample.site.files()} == {path.resolve() for path in files}
    assert sample.done.outcomes == {("converted", None): study.truth["dicom_files"], ("stored", None): len(files) - 384}


def test_each_session_is_one_folder_and_each_table_another(study: Study, sample: TakenIn) -> None:
    sessions = [session for subject in study.truth["subjects"] for session in subject["sessions"]]
    assert len(sample.site.sessions()) == len(sessions) == 2
    assert len(list(sample.site.archive.glob("*/*/*/laboratory.tsv"))) == 2
    for folder in sample.site.sessions():
        facts = sample.site.facts(folder)
        assert folder.name == f"{facts['Date']}_{facts['Subject']}_{facts['Session']}"
        assert facts["Session"] == f"ses-{facts['Date'].replace('-', '')}"


def test_dates_move_by_the_same_days_for_one_subject_and_ages_stay(study: Study, sample: TakenIn) -> None:
    true = [session for subject in study.truth["subjects"] for session in subject["sessions"]]
    shown = [sample.site.facts(folder) for folder in _published_sessions(sample)]
    shifts = {
        date.fromisoformat(facts["Date"]) - date.fromisoformat(session["date"])
        for facts, session in zip(shown, true, strict=True)
    }
    assert len(shifts) == 1
    assert next(iter(shifts)).days != 0
    assert [facts["Age"] for facts in shown] == [session["age_published"] for session in true]
    assert {facts["Sex"] for facts in shown} == {study.truth["subjects"][0]["sex"]}


def test_every_image_of_the_study_is_found_back_with_its_kind_and_parameters(study: Study, sample: TakenIn) -> None:
    for folder, session in zip(_published_sessions(sample), study.truth["subjects"][0]["sessions"], strict=True):
        images = _sidecars(folder)
        assert len(images) == sum(len(series["nifti"]) for series in session["series"])
        for series in session["series"]:
            own = {stem: car for stem, car in images.items() if car["SeriesNumber"] == series["number"]}
            assert len(own) == len(series["nifti"]), series["description"]
            assert {car["RecordType"] for car in own.values()} == {series["record_type"]}
            expected = sorted((tuple(one["shape"]), round(one["echo_time_s"], 6)) for one in series["nifti"])
            found = sorted(
                (
                    nibabel.Nifti1Image.from_filename(f"{stem}.nii.gz").shape,
                    round(car.get("EchoTime", 0) or car["EchoTime2"], 6),
                )
                for stem, car in own.items()
            )
            assert found == expected, series["description"]
            assert [car["RepetitionTime"] for car in own.values()] == pytest.approx(
                [series["repetition_time_s"]] * len(own)
            )
            assert {car["FlipAngle"] for car in own.values()} == {series["flip_angle_degrees"]}


def test_every_image_that_bids_knows_has_its_bids_name(study: Study, sample: TakenIn) -> None:
    for folder, session in zip(_published_sessions(sample), study.truth["subjects"][0]["sessions"], strict=True):
        images = _sidecars(folder)
        for series in session["series"]:
            stems = [Path(stem) for stem, car in images.items() if car["SeriesNumber"] == series["number"]]
            for stem in stems:
                if series["bids"] is None:
                    assert stem.parent.parent.name == "sourcedata"
                    continue
                assert stem.parent.name == series["bids"]["datatype"]
                assert stem.name.rpartition("_")[2].rstrip("12") == series["bids"]["suffix"]
                for entity, label in series["bids"]["entities"].items():
                    shown = session["contrast_agent"].split()[0].lower() if entity == "ce" else label
                    assert f"_{entity}-{shown}_" in stem.name


def test_slice_timing_phase_direction_and_b_values_are_the_true_ones(study: Study, sample: TakenIn) -> None:
    checked = 0
    for folder, session in zip(_published_sessions(sample), study.truth["subjects"][0]["sessions"], strict=True):
        for stem, car in _sidecars(folder).items():
            series = next(one for one in session["series"] if one["number"] == car["SeriesNumber"])
            if series.get("slice_timing_s"):
                assert car["SliceTiming"] == pytest.approx(series["slice_timing_s"], abs=2e-3)
                assert car["PhaseEncodingDirection"] == series["phase_encoding_direction"]
                assert car["TotalReadoutTime"] == pytest.approx(series["total_readout_time_s"], rel=1e-3)
                checked += 1
            if series.get("b_values"):
                assert car["BValues"] == pytest.approx(series["b_values"])
                assert np.loadtxt(f"{stem}.bval") == pytest.approx(np.array(series["b_values"]))
                assert np.loadtxt(f"{stem}.bvec") == pytest.approx(np.array(series["b_vectors"]), abs=1e-3)
                checked += 1
    assert checked == 2 * (1 + 1 + 1 + 2)


def test_the_brightness_of_white_matter_is_that_of_the_signal_equation(study: Study, sample: TakenIn) -> None:
    folder = _published_sessions(sample)[0]
    series = next(one for one in study.truth["subjects"][0]["sessions"][0]["series"] if one["kind"] == "t1w")
    image = nibabel.Nifti1Image.from_filename(next(folder.rglob("*_T1w.nii.gz")))
    voxels = np.asarray(image.dataobj)
    white = series["signal"]["white_matter"]
    near = np.count_nonzero(np.abs(voxels - white) < 3 * series["noise_sigma"]) * 27.0
    assert near == pytest.approx(study.truth["subjects"][0]["volumes_mm3"]["white_matter"], rel=0.1)


def test_recordings_lie_beside_the_images_they_cover(study: Study, sample: TakenIn) -> None:
    for folder, session in zip(_published_sessions(sample), study.truth["subjects"][0]["sessions"], strict=True):
        tables = sorted(folder.glob("sub-*/*/*/*_physio.tsv.gz"))
        covered = sum(share > 0 for recording in session["recordings"] for share in recording["overlap"].values())
        assert len(tables) == covered
        for table in tables:
            about = json.loads(table.with_name(table.name.replace(".tsv.gz", ".json")).read_text(encoding="utf-8"))
            rows = gzip.decompress(table.read_bytes()).decode().splitlines()
            assert len(rows[0].split("\t")) == len(about["Columns"])
            kind = [one for one in session["recordings"] if one["record_type"] == about["RecordType"]]
            assert kind
            assert about["SamplingFrequency"] == pytest.approx(kind[0]["sampling_frequency_hz"], rel=0.01)


def test_the_laboratory_values_are_the_true_ones_and_refused_cells_say_why(study: Study, sample: TakenIn) -> None:
    good = [one for one in study.truth["laboratory"] if one["refused"] is None]
    rows = []
    refused = 0
    for table in sample.site.archive.glob("*/*/*/laboratory.tsv"):
        rows += table.read_text(encoding="utf-8").splitlines()[1:]
        refused += len((table.parent / "refused.tsv").read_text(encoding="utf-8").splitlines()) - 1
    assert len(rows) == len(good)
    assert refused == len(study.truth["laboratory"]) - len(good)


def test_find_answers_with_a_record_for_each_t1_weighted_image(study: Study, sample: TakenIn) -> None:
    true = [series for _, _, series in _series(study) if series["record_type"] == "T1WeightedImage"]
    found = sample.site.find("FIND T1WeightedImage")
    assert len(found) == len(true) == 2
    assert {one["RepetitionTime"] for one in found} == {2.3}
    assert {one["EchoTime"] for one in found} == {0.00298}
    table = sample.site.run("query", "FIND T1WeightedImage")
    assert all(one["name"] in table.out for one in found)
    assert table.out.rstrip().endswith("2 found")


def test_counts_by_kind_of_image_are_the_true_ones(study: Study, sample: TakenIn) -> None:
    kinds: dict[str, int] = {}
    for _subject, _session, series in _series(study):
        kinds[series["record_type"]] = kinds.get(series["record_type"], 0) + len(series["nifti"])
    assert {kind: sample.site.count(f"RECORD {kind}") for kind in kinds} == kinds
    assert sample.site.count("RECORD MRImage") == sum(kinds.values())
    assert sample.site.count("RECORD Session") == 2
    assert sample.site.count("RECORD Subject") == 1
    assert sample.site.count("T1WeightedImage WITH RepetitionTime > 2 s") == 2
    assert sample.site.count("T1WeightedImage WITH RepetitionTime > 3 s") == 0


def test_every_published_image_is_a_file_that_an_image_record_references(sample: TakenIn) -> None:
    from linkahead.queries import find  # noqa: PLC0415 - the official client, loaded where it is used

    sample.site.connect()
    paths = set()
    for image in find("FIND RECORD MRImage"):
        found = find(f"FIND FILE WHICH IS REFERENCED BY {image.id}")
        paths |= {one.path for one in found if one.path.endswith(".nii.gz")}
    published = {
        f"/{path.relative_to(sample.site.archive).as_posix()}" for path in sample.site.archive.rglob("*.nii.gz")
    }
    assert paths == published


def test_five_lines_with_the_official_client_give_the_same_records(sample: TakenIn) -> None:
    code = SCRIPT.format(database=str(sample.site.database))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env=sample.site.environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = {one["name"] for one in sample.site.find("FIND T1WeightedImage")}
    assert {line.split()[0] for line in done.stdout.splitlines()} == names
    assert {line.split()[1:] == ["2.3", "s"] for line in done.stdout.splitlines()} == {True}


def test_the_five_lines_of_the_readme_run_as_they_stand(project_root: Path, sample: TakenIn) -> None:
    text = (project_root / "README.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) == 5
    assert '"demo/state/linkahead.db"' in code
    code = code.replace('"demo/state/linkahead.db"', repr(str(sample.site.database)))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env=sample.site.environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = {f"{one['id']} {one['name']}" for one in sample.site.find("FIND T1WeightedImage")}
    assert set(done.stdout.splitlines()) == expected


def test_a_second_run_finds_nothing_new_and_changes_nothing(sample: TakenIn) -> None:
    tree, content = sample.site.tree(), sample.site.content()
    again = sample.site.ingest(sample.inbox)
    assert again.code == 0
    report = again.report
    assert (report["new"], report["published"], report["inserted"], report["updated"]) == (0, [], 0, 0)
    assert sample.site.tree() == tree
    assert sample.site.content() == content
    assert sample.site.run("ingest", "--inbox", sample.inbox).out.startswith("Nothing is new")


def test_no_planted_identifier_is_in_anything_published(study: Study, sample: TakenIn) -> None:
    planted = Identifying()
    for subject in study.truth["subjects"]:
        for kind, values in subject["identifiers"].items():
            for value in values:
                planted.add_words(kind, value)
        for session in subject["sessions"]:
            planted.add_date(session["date"].replace("-", ""))
            planted.add("study", session["accession_number"])
            planted.add("uid", session["study_uid"])
            for series in session["series"]:
                planted.add("uid", series["series_uid"])
    for kind, values in study.truth["site"]["identifiers"].items():
        for value in values:
            planted.add_words(kind, value)
    assert len(planted.values) > 30
    assert planted.search(file_texts(study.inbox)), "the search must find what is there"
    assert planted.search(file_texts(sample.site.archive)) == []
    assert planted.search(file_texts(sample.site.folder / "logs")) == []
    assert planted.search(database_texts(sample.site.database)) == []
    assert planted.search([("report", sample.done.out + sample.done.err)]) == []


def test_nothing_of_the_original_headers_is_in_anything_published(study: Study, sample: TakenIn) -> None:
    rows = sample.site.files()
    found = identifying_by({row.path: row.folder for row in rows if row.folder and row.path.parent.name == "EXPORT"})
    assert len(found) == 2
    for folder, identifying in found.items():
        assert identifying.search(file_texts(sample.site.archive / folder)) == []


def test_check_finds_no_problem_and_the_bids_validator_no_error(sample: TakenIn) -> None:
    done = sample.site.run("check", "--json")
    assert done.report["problems"] == []
    assert done.code == 0
    assert done.report["folders"] == 4  # two sessions, two laboratory deliveries
    assert done.report["datasets"] == 1


def test_check_notices_a_changed_byte_and_a_missing_readme(sample: TakenIn, tmp_path: Path) -> None:
    import shutil  # noqa: PLC0415 - only here

    archive = tmp_path / "archive"
    shutil.copytree(sample.site.archive, archive)
    damaged = next(archive.rglob("0002_*.zip"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    next(archive.glob("*/*/*_lab_*/README.md")).unlink()
    done = sample.site.run("check", str(archive), "--no-bids", "--json")
    assert done.code == 1
    assert [damaged.name in problem or "README" in problem for problem in done.report["problems"]] == [True, True]


def test_status_and_explain_say_how_things_stand_and_where_a_file_went(study: Study, sample: TakenIn) -> None:
    state = sample.site.run("status", "--json").report
    assert state["deliveries"] == {"crawled": 4}
    assert state["files"] == {"converted": 384, "stored": 8}
    row = next(row for row in sample.site.files() if row.outcome == "converted")
    done = sample.site.run("explain", row.path)
    assert done.code == 0
    assert row.destination is not None
    assert row.destination in done.out
    assert row.path.name not in done.out, "an input file's name may name a patient"
    nothing = sample.site.run("explain", "no such thing")
    assert nothing.code == 1
    series = sample.site.run("explain", "0002_t1_mprage_sag_p2_iso.zip")
    assert "T1WeightedImage" in series.out
