"""The how-to for recordings, followed literally."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import yaml

from heartbrain_ingest.physio import (
    Clock,
    PhysioRules,
    identify,
    load_rules,
    match_recordings,
    read_recordings,
    write_whole,
)
from tests.physio.test_other_monitors import make_span, write_biopac, write_brainvision
from tests.test_howto_rules import follow


@pytest.fixture(scope="module")
def config(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "crawler_config"
    shutil.copytree(project_root / "crawler_config", folder)
    text = (project_root / "docs" / "howto-physiology.md").read_text(encoding="utf-8")
    assert follow(text, folder) == text.count("```yaml") == 5
    return folder


@pytest.fixture(scope="module")
def changed(config: Path) -> PhysioRules:
    return load_rules(config / "physio.yml")


def test_a_pattern_of_ones_own_reads_ones_own_names(changed: PhysioRules) -> None:
    name = identify(PurePosixPath("monitor/MON-4711--04.05.23--1015.acq"), changed)
    assert name is not None
    assert (name.patient_id, name.day, name.time_s) == ("4711", dt.date(2023, 5, 4), 36_900)


def test_a_marker_of_ones_own_puts_a_recording_on_the_scanners_time(changed: PhysioRules, tmp_path: Path) -> None:
    write_brainvision(tmp_path)
    markers = tmp_path / "a.vmrk"
    markers.write_text(markers.read_text(encoding="utf-8").replace("Response,R128", "Stimulus,S  7"), encoding="utf-8")
    ecg = read_recordings(tmp_path / "a.vhdr", changed)[0]
    (match,) = match_recordings([ecg], [make_span("10:15:47", 20, 10)], changed).matches
    assert match.recording.clock is Clock.MARKS


def test_a_new_channel_is_a_recording_with_its_unit_its_beats_and_its_mean(
    changed: PhysioRules, config: Path, tmp_path: Path
) -> None:
    wave = 90 + 15 * np.sin(2 * np.pi * 1.2 * np.arange(6000) / 200)
    path = write_biopac(tmp_path / "a.acq", {"BP - NIBP100D": ("mmHg", wave)})
    (recording,) = read_recordings(path, changed)
    written = write_whole(recording, tmp_path / "sub-A", changed)
    about = yaml.safe_load(written.sidecar.read_text(encoding="utf-8"))
    assert written.table.name == "sub-A_recording-pressure_physio.tsv.gz"
    assert about["pressure"]["Units"] == "mm[Hg]"
    assert about["MeanBloodPressure"] == 90
    assert about["MeanRate"] == pytest.approx(72, rel=0.01)
    model = yaml.safe_load((config / "datamodel.yml").read_text(encoding="utf-8"))
    assert model["MeanBloodPressure"]["unit"] == "mmHg"


def test_a_rate_of_ones_own_goes_before_the_shipped_one(changed: PhysioRules, rules: PhysioRules) -> None:
    assert (rules.nominal_rate("philips", "respiratory"), changed.nominal_rate("philips", "respiratory")) == (496, 500)
