from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbrain_ingest.physio import Kind, PhysioRules, RecordingError
from tests.physio.reading import is_physio_log, read_recording

VB_ECG = "5002 LOGVERSION 102 6002 5002 TRIGGERMETHOD 10 6002 5002 MSGTYPE 220 eTriggerMethod: 10, minLimitCh1: 0 6002"


def test_a_pulse_log_gives_its_samples_without_header_codes_and_text(
    write_log: Callable[..., Path], rules: PhysioRules
) -> None:
    log = write_log("a.puls", "1 2 40 280 1236 1251 5000 1428 5002 MSGTYPE 103 6002 1679 6000 1871 5003")
    recording = read_recording(log, rules)
    assert recording.samples[:, 0].tolist() == [1236, 1251, 1428, 1679, 1871]
    assert recording.triggers is not None
    assert recording.triggers.tolist() == [False, False, True, False, False]
    assert recording.kind is Kind.PULSE
    assert recording.columns == ("cardiac",)
    assert (recording.start_ms, recording.stop_ms) == (36_000_000, 36_001_000)


def test_ecg_channels_are_told_apart_by_their_offset_of_8192(
    write_log: Callable[..., Path], rules: PhysioRules
) -> None:
    log = write_log("a.ecg", f"1 1 2 40 280 {VB_ECG} 2048 10240 2050 5000 10250 2052 10260 5003")
    recording = read_recording(log, rules)
    assert recording.samples.tolist() == [[2048, 2048], [2050, 2058], [2052, 2068]]
    assert recording.triggers is not None
    assert recording.triggers.tolist() == [False, True, False]
    assert recording.columns == ("ecg_I", "ecg_aVF")


def test_a_lost_ecg_value_costs_one_gap_and_not_the_alignment(
    write_log: Callable[..., Path], rules: PhysioRules
) -> None:
    log = write_log("a.ecg", f"1 1 2 40 280 {VB_ECG} 1 8194 3 5 8198 7 5003")
    expected = [[1, 2], [3, np.nan], [5, 6], [7, np.nan]]
    np.testing.assert_array_equal(read_recording(log, rules).samples, expected)


def test_four_ecg_channels_of_newer_software_become_four_columns(
    write_log: Callable[..., Path], rules: PhysioRules
) -> None:
    log = write_log("a.ecg", "1 1 2 40 280 5002 LOGVERSION_ECG   1 6002 10 8202 16394 24586 5003")
    recording = read_recording(log, rules)
    assert recording.samples.tolist() == [[10, 10, 10, 10]]
    assert recording.columns == ("ecg_I", "ecg_aVF", "ecg_3", "ecg_4")


def test_the_five_signals_of_an_xa_respiration_log_become_five_columns(
    write_log: Callable[..., Path], rules: PhysioRules
) -> None:
    log = write_log("a.resp", "1 2 20 2 5002 LOGVERSION_RESP   3 6002 1 20 30 40 50 5000 2 21 31 41 51 3 5003")
    recording = read_recording(log, rules)
    np.testing.assert_array_equal(recording.samples[:2], [[1, 20, 30, 40, 50], [2, 21, 31, 41, 51]])
    assert recording.triggers is not None
    assert recording.triggers.tolist() == [False, True, False]
    assert recording.columns == ("respiratory", "biomatrix_1", "biomatrix_2", "biomatrix_3", "biomatrix_4")
    assert recording.sampling_frequency == 400


def test_the_first_line_says_the_kind_whatever_the_file_is_called(
    write_log: Callable[..., Path], rules: PhysioRules
) -> None:
    log = write_log("a.txt", "1 2 20 2 5002 LOGVERSION_RESP   1 6002 2318 2314 5003")
    assert read_recording(log, rules).kind is Kind.RESPIRATION


@pytest.mark.parametrize(
    ("name", "line", "rate"),
    [
        ("a.puls", "1 2 40 280 1 2 5003", 50),
        ("a.resp", "1 2 20 2 1 2 5003", 50),
        ("a.ext", "1 2 40 280 0 1 5003", 200),
        ("a.ecg", f"1 1 2 40 280 {VB_ECG} 1 8193 5003", 400),
        ("a.puls", "1 2 40 280 5002 LOGVERSION_PULS   1 6002 1 2 5003", 400),
        ("a.resp", "1 2 20 2 5002 LOGVERSION_RESP   1 6002 1 2 5003", 400),
        ("a.ext", "1 2 40 280 5002 LOGVERSION_EXT   1 6002 0 1 5003", 400),
        ("a.puls", "1 2 40 280 5002 Logging PULSE signal: PULS_SAMPLES_PER_SECOND = 100; 6002 1 2 5003", 100),
    ],
)
def test_the_sampling_rate_follows_from_version_and_kind(
    write_log: Callable[..., Path], rules: PhysioRules, name: str, line: str, rate: float
) -> None:
    assert read_recording(write_log(name, line), rules).sampling_frequency == rate


def test_a_clock_that_fits_another_known_rate_wins_with_a_warning(
    write_log: Callable[..., Path], rules: PhysioRules
) -> None:
    line = "1 2 40 280 " + "7 " * 8000 + "5003"
    recording = read_recording(write_log("a.puls", line, 36_000_000, 36_020_000), rules)
    assert recording.sampling_frequency == 400
    assert recording.issues == ("PHYSIO_RATE",)


def test_a_region_that_lost_its_begin_code_holds_no_samples(write_log: Callable[..., Path], rules: PhysioRules) -> None:
    log = write_log("a.puls", "1 2 40 280 1653 1593 \nACQ FINISHED\n 6002 3093 5003")
    assert read_recording(log, rules).samples[:, 0].tolist() == [1653, 1593, 3093]


def test_a_log_cut_before_its_end_mark_is_read_with_a_warning(
    write_log: Callable[..., Path], rules: PhysioRules
) -> None:
    recording = read_recording(write_log("a.puls", "1 2 40 280 1653 1593"), rules)
    assert recording.samples[:, 0].tolist() == [1653, 1593]
    assert recording.issues == ("PHYSIO_TRUNCATED",)


@pytest.mark.parametrize(
    ("line", "start_ms"), [("1 2 40 280 5003", 1), ("1 2 40 280 1653 1593 5003", None), ("1 2 40 280 7 -4 5003", 1)]
)
def test_a_log_without_samples_or_clock_is_refused_with_a_code(
    write_log: Callable[..., Path], rules: PhysioRules, line: str, start_ms: int | None
) -> None:
    with pytest.raises(RecordingError) as caught:
        read_recording(write_log("a.puls", line, start_ms), rules)
    assert caught.value.code == "PHYSIO_UNREADABLE"


@pytest.mark.parametrize(
    "content", [b"", b"0 5 10 20\n", b"1 2 3 4 5 6\n7 8 9 1 2 3\n", b"PatientID;Name\n", b"\x00\xff"]
)
def test_other_files_are_no_physiology_logs(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    assert not is_physio_log(path)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "rate", "shape", "triggers", "start_ms"),
    [
        ("siemens_pmu_fmri_physio_log/example_01.ecg", 400, (120_001, 2), 0, 45_927_805),
        ("siemens_pmu_fmri_physio_log/example_01.puls", 50, (26_732, 1), 969, 45_927_830),
        ("siemens_pmu_fmri_physio_log/example_01.resp", 50, (26_733, 1), 103, 45_927_820),
        ("siemens_pmu_fmri_physio_log/example_01.ext", 200, (106_929, 1), 0, 45_927_822),
        ("siemens_pmu_ve11c/sample_VE11C.puls", 400, (3676, 1), 12, 39_008_572),
        ("siemens_pmu_ve11c/sample_VE11C.resp", 400, (4063, 1), 3, 38_973_660),
    ],
)
def test_real_logs_are_read_whole(
    shared_data: Path, rules: PhysioRules, name: str, rate: float, shape: tuple[int, int], triggers: int, start_ms: int
) -> None:
    path = shared_data / "physio" / name
    assert is_physio_log(path)
    recording = read_recording(path, rules)
    assert recording.sampling_frequency == rate
    assert recording.samples.shape == shape
    assert not np.isnan(recording.samples[:-1]).any()
    assert recording.triggers is not None
    assert recording.triggers.sum() == triggers
    assert recording.start_ms == start_ms
    assert recording.issues == ()


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["example_01.ecg", "example_01.puls", "example_01.resp", "example_01.ext"])
def test_logs_shortened_to_a_few_samples_are_read_at_their_nominal_rate(
    shared_data: Path, rules: PhysioRules, name: str
) -> None:
    short = read_recording(shared_data / "physio" / "siemens_pmu_fmri_physio_log_short" / name, rules)
    whole = read_recording(shared_data / "physio" / "siemens_pmu_fmri_physio_log" / name, rules)
    assert short.sampling_frequency == whole.sampling_frequency
    np.testing.assert_array_equal(short.samples[:2], whole.samples[:2])


@pytest.mark.shared_data
@pytest.mark.parametrize("signal", ["puls", "resp"])
def test_samples_ahead_of_the_revision_region_are_part_of_the_recording(
    shared_data: Path, rules: PhysioRules, signal: str
) -> None:
    recording = read_recording(shared_data / "physio" / "siemens_pmu_ve11c" / f"sample_VE11C.{signal}", rules)
    assert recording.duration_s == pytest.approx((recording.stop_ms - recording.start_ms) / 1000, abs=0.003)
    steps = np.abs(np.diff(recording.samples[:, 0]))
    assert steps[204] <= steps.max() / 2


@given(
    values=st.lists(st.integers(0, 4095), min_size=1, max_size=60),
    codes=st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from(["5000", "6000", "5002 MSGTYPE 103 6002"])), max_size=9
    ),
)
def test_codes_and_regions_anywhere_never_change_the_samples(
    tmp_path_factory: pytest.TempPathFactory,
    rules: PhysioRules,
    values: list[int],
    codes: list[tuple[int, str]],
) -> None:
    words = [str(value) for value in values]
    for place, code in codes:
        words.insert(place, code)
    log = tmp_path_factory.mktemp("log") / "a.puls"
    line = " ".join(["1 2 40 280 5002 LOGVERSION_PULS   1 6002", *words, "5003"])
    log.write_text(f"{line}\nLogStartMDHTime: 5\nLogStopMDHTime: 9\n6003\n")
    assert read_recording(log, rules).samples[:, 0].tolist() == values


@pytest.mark.shared_data
@pytest.mark.parametrize(("signal", "label"), [("puls", "cardiac"), ("resp", "respiratory")])
def test_the_expected_table_of_another_tool_is_a_part_of_ours(
    shared_data: Path, rules: PhysioRules, signal: str, label: str
) -> None:
    # That tool drops the 205 samples before the second text region.
    folder = shared_data / "physio" / "siemens_pmu_ve11c"
    recording = read_recording(folder / f"sample_VE11C.{signal}", rules)
    expected = np.loadtxt(folder / f"pmu_VE11C_{label}.tsv")
    np.testing.assert_array_equal(recording.samples[205 : 205 + len(expected), 0], expected)
