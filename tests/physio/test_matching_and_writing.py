from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heartbrain_ingest.physio import (
    ImageSpan,
    Kind,
    PhysioRules,
    Recording,
    choose_parts,
    match_recordings,
    physio_stem,
    write_bids,
    write_whole,
)
from heartbrain_ingest.physio.peaks import find_rhythm
from tests.physio.reading import read_recording


def make_recording(start_s: float, seconds: float, rate: float = 50.0, kind: Kind = Kind.PULSE) -> Recording:
    count = round(seconds * rate)
    return Recording(
        kind=kind,
        sampling_frequency=rate,
        start_ms=start_s * 1000,
        stop_ms=(start_s + seconds) * 1000,
        samples=np.arange(count, dtype=np.float64)[:, np.newaxis],
        triggers=np.arange(count) % 50 == 0,
        columns=("cardiac",),
        units=("arbitrary",),
    )


def make_span(start_s: float, duration_s: float, name: str = "sub-A_task-rest_bold.nii.gz") -> ImageSpan:
    return ImageSpan(path=Path("sub-A/func") / name, start_s=start_s, duration_s=duration_s)


def rows(table: Path) -> list[list[str]]:
    return [line.split("\t") for line in gzip.decompress(table.read_bytes()).decode().splitlines()]


def test_a_recording_that_spans_two_images_matches_both_with_the_covered_fraction(rules: PhysioRules) -> None:
    recording = make_recording(100, 100)
    images = [make_span(110, 20), make_span(150, 100), make_span(300, 10)]
    result = match_recordings([recording], images, rules)
    assert [(m.image.start_s, m.overlap_fraction) for m in result.matches] == [(110, 1.0), (150, 0.5)]
    assert result.ambiguous == ()


def test_a_recording_that_touches_no_image_is_unmatched(rules: PhysioRules) -> None:
    recording = make_recording(0, 10)
    result = match_recordings([recording], [make_span(9.5, 100)], rules)
    assert (result.matches, result.ambiguous) == ((), ())


def test_of_two_recordings_of_one_kind_the_longer_overlap_wins_and_equal_ones_are_ambiguous(rules: PhysioRules) -> None:
    image = make_span(100, 50)
    long, short, twin = make_recording(90, 80), make_recording(90, 20), make_recording(90.2, 80)
    result = match_recordings([short, long], [image], rules)
    assert [m.recording for m in result.matches] == [long]
    assert result.ambiguous == ()
    result = match_recordings([long, twin], [image], rules)
    assert (result.matches, result.ambiguous) == ((), (long, twin))


def test_pulse_and_respiration_do_not_compete(rules: PhysioRules) -> None:
    recordings = [make_recording(90, 80), make_recording(90, 80, kind=Kind.RESPIRATION)]
    assert len(match_recordings(recordings, [make_span(100, 50)], rules).matches) == 2


def test_midnight_between_recording_and_image_does_not_part_them(rules: PhysioRules, tmp_path: Path) -> None:
    recording, image = make_recording(86_390, 60), make_span(5, 20)
    result = match_recordings([recording], [image], rules)
    assert [m.overlap_fraction for m in result.matches] == [1.0]
    written = write_bids(recording, image, tmp_path / "sub-A_task-rest", rules)
    table, sidecar = written.table, written.sidecar
    assert json.loads(sidecar.read_text())["StartTime"] == 0
    assert rows(table)[0][0] == str(15 * 50)


def test_a_uuid_that_both_carry_decides_against_the_clock(rules: PhysioRules) -> None:
    recording = replace(make_recording(100, 100), uuid="a")
    image = replace(make_span(110, 20), uuid="b")
    assert match_recordings([recording], [image], rules).matches == ()


def test_a_recording_is_cut_to_the_image_from_the_sample_at_or_before_its_start(
    rules: PhysioRules, tmp_path: Path
) -> None:
    written = write_bids(make_recording(100, 100), make_span(110.01, 2), tmp_path / "sub-A_task-rest", rules)
    table, sidecar = written.table, written.sidecar
    content = json.loads(sidecar.read_text())
    assert rows(table)[0] == ["500", "1"]
    assert content["StartTime"] == -0.01
    assert len(rows(table)) == content["NumberOfSamples"] == 101
    assert content["OverlapFraction"] == 1.0


def test_a_recording_that_begins_late_has_a_positive_start_time(rules: PhysioRules, tmp_path: Path) -> None:
    sidecar = write_bids(make_recording(100, 100), make_span(96.5, 7), tmp_path / "sub-A_task-rest", rules).sidecar
    content = json.loads(sidecar.read_text())
    assert content["StartTime"] == 3.5
    assert content["OverlapFraction"] == 0.5


def test_the_whole_recording_starts_at_its_second_of_the_day_and_names_no_date(
    rules: PhysioRules, tmp_path: Path
) -> None:
    written = write_whole(make_recording(36_900.25, 3), tmp_path / "physio" / "sub-A_ses-1", rules)
    table, sidecar = written.table, written.sidecar
    assert table.name == "sub-A_ses-1_recording-cardiac_physio.tsv.gz"
    assert len(rows(table)) == 150
    assert json.loads(sidecar.read_text())["StartTime"] == 36_900.25


def test_writing_twice_gives_the_same_bytes(rules: PhysioRules, tmp_path: Path) -> None:
    first = write_whole(make_recording(1, 3), tmp_path / "a" / "sub-A", rules, pictures=tmp_path / "c")
    second = write_whole(make_recording(1, 3), tmp_path / "b" / "sub-A", rules, pictures=tmp_path / "d")
    assert first.picture is not None
    assert second.picture is not None
    assert first.table.read_bytes() == second.table.read_bytes()
    assert first.sidecar.read_bytes() == second.sidecar.read_bytes()
    assert first.picture.read_bytes() == second.picture.read_bytes()


def test_gaps_are_written_as_not_available(rules: PhysioRules, tmp_path: Path) -> None:
    recording = make_recording(1, 3)
    recording.samples[1, 0] = np.nan
    recording.samples[2, 0] = 0.25
    table = write_whole(recording, tmp_path / "sub-A", rules).table
    assert [row[0] for row in rows(table)[:4]] == ["0", "n/a", "0.25", "3"]


@pytest.mark.parametrize(
    ("image", "stem"),
    [
        ("func/sub-A_ses-1_task-rest_dir-AP_run-1_echo-2_part-mag_bold.nii.gz", "sub-A_ses-1_task-rest_dir-AP_run-1"),
        ("dwi/sub-A_ses-1_acq-ivim_dir-AP_dwi.nii.gz", "sub-A_ses-1_acq-ivim_dir-AP"),
        ("perf/sub-A_ses-1_asl.nii.gz", "sub-A_ses-1"),
        ("anat/sub-A_ses-1_T1w.nii.gz", None),
        ("fmap/sub-A_ses-1_dir-AP_epi.nii.gz", None),
        ("sourcedata/cine/sub-A_ses-1_run-2_part-phase_cine.nii.gz", "sub-A_ses-1_run-2"),
    ],
)
def test_recordings_lie_beside_images_where_bids_has_a_place_for_them_and_beside_what_it_has_no_name_for(
    image: str, stem: str | None
) -> None:
    found = physio_stem(Path(image))
    assert (found.name if found else None) == stem


@pytest.mark.parametrize(("rate", "beats"), [(50.0, 60.0), (400.0, 72.0)])
def test_a_pulse_of_known_rate_is_found_at_that_rate(rules: PhysioRules, rate: float, beats: float) -> None:
    time = np.arange(int(60 * rate)) / rate
    phase = (time * beats / 60) % 1
    curve = np.exp(-((phase - 0.3) ** 2) / 0.01) + 0.4 * np.exp(-((phase - 0.6) ** 2) / 0.01)
    noise = np.random.default_rng(1).normal(0, 0.02, len(time))
    recording = replace(make_recording(0, 60, rate), samples=(2000 + 800 * (curve + noise))[:, np.newaxis])
    rhythm = find_rhythm(recording, rules.channels[Kind.PULSE])
    assert len(rhythm.peaks) == beats
    assert rhythm.mean_rate == pytest.approx(beats, rel=0.005)
    assert rhythm.quality is not None
    assert rhythm.quality > 0.98


def test_an_ecg_with_inverted_r_waves_counts_each_beat_once(rules: PhysioRules) -> None:
    time = np.arange(30 * 400) / 400
    phase = (time * 1.1) % 1
    curve = -np.exp(-((phase - 0.3) ** 2) / 0.0003) + 0.25 * np.exp(-((phase - 0.6) ** 2) / 0.004)
    recording = replace(
        make_recording(0, 30, 400, Kind.ECG), samples=np.stack([np.full(len(time), 2048.0), 2048 + 600 * curve], axis=1)
    )
    rhythm = find_rhythm(recording, rules.channels[Kind.ECG])
    assert len(rhythm.peaks) == 33
    assert rhythm.mean_rate == pytest.approx(66, rel=0.005)


def test_a_flat_recording_has_no_beats_and_no_rate(rules: PhysioRules, tmp_path: Path) -> None:
    recording = replace(make_recording(0, 30, 400, Kind.ECG), samples=np.full((12_000, 1), 2048.0))
    sidecar = write_whole(recording, tmp_path / "sub-A", rules).sidecar
    content = json.loads(sidecar.read_text())
    assert content["NumberOfPeaks"] == 0
    assert not {"MeanRate", "SignalQuality"} & set(content)


@pytest.mark.shared_data
def test_the_breaths_of_a_real_log_are_those_its_own_monitor_marked(shared_data: Path, rules: PhysioRules) -> None:
    log = shared_data / "physio" / "siemens_pmu_fmri_physio_log" / "example_01.resp"
    recording = read_recording(log, rules)
    rhythm = find_rhythm(recording, rules.channels[Kind.RESPIRATION])
    assert recording.triggers is not None
    assert len(rhythm.peaks) == recording.triggers.sum() == 103


@pytest.mark.shared_data
def test_the_bids_validator_accepts_recordings_beside_their_image(
    shared_data: Path, rules: PhysioRules, tmp_path: Path
) -> None:
    logs = shared_data / "physio" / "siemens_pmu_fmri_physio_log"
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0", "License": "CC0"}')
    (tmp_path / "README.md").write_text("A dataset of one run, to try the recordings that lie beside it.\n" * 5)
    dwi = tmp_path / "sub-A" / "dwi" / "sub-A_dir-AP_dwi.nii.gz"
    stem = physio_stem(dwi)
    assert stem is not None
    for signal in ("ecg", "puls", "resp", "ext"):
        write_bids(read_recording(logs / f"example_01.{signal}", rules), make_span(45_930, 60), stem, rules)
    validator = Path(sys.executable).with_name("bids-validator-deno")
    ran = subprocess.run(
        [validator, "--ignoreNiftiHeaders", "--format", "json", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    issues = json.loads(ran.stdout)["issues"]["issues"]
    assert [i for i in issues if i["severity"] == "error" and "physio" in i.get("location", "")] == []


def test_a_run_and_the_reference_before_it_share_the_recording_of_the_run(rules: PhysioRules) -> None:
    recording = make_recording(90, 200)
    reference, run = make_span(100, 2, "sub-A_task-rest_sbref.nii.gz"), make_span(104, 60)
    echo = make_span(104, 60, "sub-A_task-rest_echo-2_bold.nii.gz")
    for images in ([reference, run, echo], [run, echo, reference]):
        matches = match_recordings([recording], images, rules).matches
        assert len(matches) == 3
        ((stem, match),) = choose_parts(matches, rules)
        assert (stem.name, match.image) == ("sub-A_task-rest", run)
