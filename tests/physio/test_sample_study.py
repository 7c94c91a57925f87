from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from heartbrain_ingest.physio import ImageSpan, PhysioRules, identify, match_recordings, write_bids
from tests.physio.reading import read_recording


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("study")
    subprocess.run([sys.executable, "-m", "sample_data", folder, "--small"], cwd=project_root, check=True)
    return folder, json.loads((folder / "truth" / "truth.json").read_text())


def seconds_of_day(text: str) -> float:
    moment = dt.datetime.fromisoformat(text)
    return moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6


def test_every_log_of_the_sample_study_gives_its_subject_its_day_and_the_truth_about_the_signal(
    study: tuple[Path, dict[str, Any]], rules: PhysioRules, tmp_path: Path
) -> None:
    folder, truth = study
    checked = 0
    for subject in truth["subjects"]:
        for session in subject["sessions"]:
            for expected in session["recordings"]:
                name = identify(PurePosixPath(expected["file"]), rules)
                assert name is not None
                assert (name.patient_id, name.day) == (subject["patient_id"], dt.date.fromisoformat(session["date"]))
                recording = read_recording(folder / "inbox" / expected["file"], rules)
                assert len(recording.samples) == expected["samples"]
                assert recording.triggers is not None
                assert recording.triggers.sum() == expected["triggers"]
                assert recording.sampling_frequency == expected["sampling_frequency_hz"]
                assert recording.start_s == pytest.approx(seconds_of_day(expected["start"]), abs=0.001)
                span = ImageSpan(path=Path("whole"), start_s=recording.start_s, duration_s=recording.duration_s)
                sidecar = write_bids(recording, span, tmp_path / "sub-A_dwi", rules).sidecar
                content = json.loads(sidecar.read_text())
                assert content["RecordType"] == expected["record_type"]
                assert content["NumberOfPeaks"] == pytest.approx(expected["triggers"], abs=1)
                assert content["MeanRate"] == pytest.approx(expected["mean_rate_per_min"], rel=0.01)
                assert content["SignalQuality"] > 0.95
                checked += 1
    assert checked == 6


def test_each_recording_matches_the_series_that_ran_while_it_was_made(
    study: tuple[Path, dict[str, Any]], rules: PhysioRules
) -> None:
    folder, truth = study
    for subject in truth["subjects"]:
        for session in subject["sessions"]:
            images = [
                ImageSpan(
                    path=Path(str(series["number"])),
                    start_s=seconds_of_day(series["start"]),
                    duration_s=series["duration_s"],
                )
                for series in session["series"]
            ]
            for expected in session["recordings"]:
                recording = read_recording(folder / "inbox" / expected["file"], rules)
                matches = match_recordings([recording], images, rules).matches
                found = {match.image.path.name: match.overlap_fraction for match in matches}
                assert found == pytest.approx(expected["overlap"], abs=0.001)
