"""BIOPAC, BrainVision, Philips and GE. No real file of the last two was at hand: theirs are written as published."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pybv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heartbrain_ingest.physio import (
    Clock,
    Format,
    ImageSpan,
    Kind,
    PhysioRules,
    Recording,
    RecordingError,
    at_time,
    clock_notes,
    find_format,
    match_recordings,
    read_recordings,
    write_whole,
)
from tests.physio.reading import read_recording

PHILIPS_HEAD = "## Some Hospital, Release r32 (SWID 119)\n## Thu 04-05-2023 10:15:00\n## Dockable table = FALSE\n"
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]\d+)?")
GE_NAME = "PPGData_epiRT_0504202310_20_00_250"


def write_philips(path: Path, rows: list[str], columns: str = "v1raw v2raw  v1 v2  ppu resp  gx gy gz mark") -> Path:
    path.write_text(f"{PHILIPS_HEAD}# {columns}\n" + "\n".join(rows) + "\n")
    return path


def make_span(start: str, seconds: float, volumes: int) -> ImageSpan:
    moment = dt.time.fromisoformat(start)
    begin = moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6
    return ImageSpan(path=Path("func/sub-A_task-rest_bold.nii.gz"), start_s=begin, duration_s=seconds, volumes=volumes)


def start_of(recording: Recording) -> dt.datetime:
    return dt.datetime(2023, 5, 4) + dt.timedelta(milliseconds=recording.start_ms)  # noqa: DTZ001 - a scanner's clock


# Philips


def test_a_philips_log_gives_its_connected_signals_with_the_marks_of_the_monitor(
    tmp_path: Path, rules: PhysioRules
) -> None:
    rows = [
        f"0 0 0 0 {100 + n} {200 - n} 0 0 0 {mark}" for n, mark in enumerate(["0000", "0002", "0006", "0010", "0020"])
    ]
    path = write_philips(tmp_path / "SCANPHYSLOG20230504101500.log", rows)
    assert find_format(path) is Format.PHILIPS
    pulse, breath = read_recordings(path, rules)
    assert (pulse.kind, breath.kind) == (Kind.PULSE, Kind.RESPIRATION)
    assert pulse.samples[:, 0].tolist() == [100, 101, 102, 103, 104]
    assert pulse.triggers is not None
    assert breath.triggers is not None
    assert pulse.triggers.tolist() == [False, True, True, False, False]
    assert breath.triggers.tolist() == [False, False, True, False, False]
    assert pulse.sampling_frequency == 496
    assert (pulse.day, pulse.start_s, pulse.clock) == (dt.date(2023, 5, 4), 36_900, Clock.OWN)
    assert pulse.scan_end_s == pytest.approx(4 / 496)


def test_the_newer_philips_columns_are_found_by_their_names(tmp_path: Path, rules: PhysioRules) -> None:
    columns = "v1raw v2raw  v1 v2  ppu resp vsc  gx gy gz mark mark2"
    path = write_philips(
        tmp_path / "a.log", ["1 2 3 4 5 6 7 0 0 0 0001 0000", "2 3 3 4 6 7 7 0 0 0 0020 0000"], columns
    )
    ecg, pulse, _breath = read_recordings(path, rules)
    assert ecg.samples.tolist() == [[1, 2], [2, 3]]
    assert pulse.samples[:, 0].tolist() == [5, 6]


def test_a_philips_log_is_put_where_the_scan_ended_and_not_where_its_clock_says(
    tmp_path: Path, rules: PhysioRules
) -> None:
    # 70 s at 496 Hz; the scan of 60 s ended 2 s before the log did, and the console's clock is 5 s late.
    count = 70 * 496
    rows = [f"0 0 0 0 {n % 400} 0 0 0 0 {'0020' if n == 68 * 496 else '0000'}" for n in range(count)]
    pulse = read_recording(write_philips(tmp_path / "a.log", rows), rules)
    image = make_span("10:14:53", 60, 30)
    later = make_span("10:30:00", 60, 30)
    (match,) = match_recordings([pulse], [later, image], rules).matches
    assert match.image is image
    assert match.recording.clock is Clock.SCAN_END
    assert match.recording.start_s == pytest.approx(image.stop_s - 68)
    assert match.overlap_fraction == 1.0


@pytest.mark.parametrize("rows", [[], ["1 2 3"], ["0 0 0 0 x 1 0 0 0 0000"], ["0 0 0 0 5 5 0 0 0 0000"]])
def test_a_philips_log_without_signal_is_refused(tmp_path: Path, rules: PhysioRules, rows: list[str]) -> None:
    with pytest.raises(RecordingError):
        read_recordings(write_philips(tmp_path / "a.log", rows), rules)


def test_a_philips_log_that_ends_within_a_row_loses_that_row_only(tmp_path: Path, rules: PhysioRules) -> None:
    path = write_philips(tmp_path / "a.log", ["0 0 0 0 1 0 0 0 0 0000", "0 0 0 0 2 0 0 0 0 0000", "0 0 0"])
    recording = read_recording(path, rules)
    assert recording.samples[:, 0].tolist() == [1, 2]
    assert recording.issues == ("PHYSIO_TRUNCATED",)


# GE


def test_a_ge_file_ends_when_its_name_says_with_the_beats_of_the_file_beside_it(
    tmp_path: Path, rules: PhysioRules
) -> None:
    path = tmp_path / GE_NAME
    path.write_text("\n".join(str(n) for n in range(300)) + "\n")
    beats = tmp_path / GE_NAME.replace("Data", "Trig")
    beats.write_text("10\n110\n210\n9999\n")
    assert (find_format(path), find_format(beats)) == (Format.GE, Format.PART)
    recording = read_recording(path, rules)
    assert recording.sampling_frequency == 100
    assert recording.triggers is not None
    assert np.flatnonzero(recording.triggers).tolist() == [10, 110, 210]
    assert start_of(recording) == dt.datetime(2023, 5, 4, 10, 19, 57, 250_000)  # noqa: DTZ001 - a scanner's clock
    assert recording.day == dt.date(2023, 5, 4)


def test_the_second_column_of_newer_ge_files_is_the_value(tmp_path: Path, rules: PhysioRules) -> None:
    path = tmp_path / "RESPData_cni_epi_0220202113_25_28_493"
    path.write_text("0 2048\n1 2050\n2 2040\n")
    recording = read_recording(path, rules)
    assert recording.kind is Kind.RESPIRATION
    assert recording.samples[:, 0].tolist() == [2048, 2050, 2040]
    assert recording.sampling_frequency == 25


def test_the_thirty_seconds_before_a_ge_scan_are_cut_off_by_its_end(tmp_path: Path, rules: PhysioRules) -> None:
    path = tmp_path / GE_NAME
    path.write_text("\n".join(str(n % 90) for n in range(9000)) + "\n")
    image = make_span("10:18:58", 60, 30)
    (match,) = match_recordings([read_recording(path, rules)], [image], rules).matches
    assert match.recording.start_s == pytest.approx(image.start_s - 30)


@pytest.mark.parametrize("text", ["a\nb\n", "1\n2 3\n", "nan\ninf\n"])
def test_a_ge_file_of_anything_but_numbers_is_refused(tmp_path: Path, rules: PhysioRules, text: str) -> None:
    path = tmp_path / GE_NAME
    path.write_text(text)
    with pytest.raises(RecordingError):
        read_recordings(path, rules)


# BrainVision


def write_brainvision(folder: Path, form: str = "binary_float32", marks: int = 10, **options: object) -> np.ndarray:
    """Write 30 s of three channels at 500 Hz, with a mark of the scanner every two seconds from the fifth on."""
    time = np.arange(15_000) / 500.0
    values = np.stack([500e-6 * np.sin(7 * time), 80e-6 * np.cos(1.5 * time), 97e-6 + 0 * time])
    events = [{"onset": 2500 + 1000 * n, "duration": 1, "type": "Response", "description": 128} for n in range(marks)]
    pybv.write_brainvision(
        data=values,
        sfreq=500.0,
        fname_base="a",
        folder_out=folder,
        fmt=form,
        unit="µV",
        meas_date="20230504101500250000",
        events=events,
        **{"resolution": 0.1, "ch_names": ["ECG", "Resp belt", "SpO2"], **options},
    )
    return values * 1e6


@pytest.mark.parametrize("form", ["binary_float32", "binary_int16"])
def test_what_pybv_wrote_is_read_back_in_microvolts_by_kind(tmp_path: Path, rules: PhysioRules, form: str) -> None:
    written = write_brainvision(tmp_path, form)
    assert find_format(tmp_path / "a.vhdr") is Format.BRAINVISION
    assert find_format(tmp_path / "a.vmrk") is find_format(tmp_path / "a.eeg") is Format.PART
    recordings = {one.kind: one for one in read_recordings(tmp_path / "a.vhdr", rules)}
    assert set(recordings) == {"cardiac-ecg", "respiratory", "oxygen-saturation"}
    for kind, row in zip(("cardiac-ecg", "respiratory", "oxygen-saturation"), written, strict=True):
        np.testing.assert_allclose(recordings[kind].samples[:, 0], row, atol=0.1)
    ecg = recordings["cardiac-ecg"]
    assert (ecg.sampling_frequency, ecg.units, ecg.day) == (500, ("uV",), dt.date(2023, 5, 4))
    assert start_of(ecg) == dt.datetime(2023, 5, 4, 10, 15, 0, 250_000)  # noqa: DTZ001 - a computer's clock
    assert ecg.triggers is None


def test_the_scanners_marks_put_a_recording_of_another_clock_on_the_volumes(tmp_path: Path, rules: PhysioRules) -> None:
    write_brainvision(tmp_path)
    ecg = read_recordings(tmp_path / "a.vhdr", rules)[0]
    # The recording computer is 42 s late; ten volumes of two seconds began five seconds after the recording.
    image = make_span("10:15:47.250000", 20, 10)
    (match,) = match_recordings([ecg], [image], rules).matches
    assert match.recording.clock is Clock.MARKS
    assert match.recording.start_s == pytest.approx(image.start_s - 5)
    assert clock_notes(ecg, [match]) == ()


def test_marks_that_are_not_one_for_each_volume_leave_the_clock_alone_with_a_warning(
    tmp_path: Path, rules: PhysioRules
) -> None:
    write_brainvision(tmp_path, marks=9)
    ecg = read_recordings(tmp_path / "a.vhdr", rules)[0]
    (match,) = match_recordings([ecg], [make_span("10:15:05.250000", 20, 10)], rules).matches
    assert match.recording.clock is Clock.OWN
    assert clock_notes(ecg, [match]) == ("PHYSIO_CLOCK",)


def test_a_header_reaches_no_file_of_another_folder(tmp_path: Path, rules: PhysioRules) -> None:
    (tmp_path / "inner").mkdir()
    write_brainvision(tmp_path)
    header = (tmp_path / "a.vhdr").read_text(encoding="utf-8").replace("DataFile=a.eeg", "DataFile=../a.eeg")
    (tmp_path / "inner" / "b.vhdr").write_text(header, encoding="utf-8")
    with pytest.raises(RecordingError) as caught:
        read_recordings(tmp_path / "inner" / "b.vhdr", rules)
    assert caught.value.code == "PHYSIO_UNREADABLE"


def test_a_header_of_the_nineties_is_read_in_its_code_page(tmp_path: Path, rules: PhysioRules) -> None:
    write_brainvision(tmp_path)
    header = (tmp_path / "a.vhdr").read_text(encoding="utf-8").replace("Codepage=UTF-8", "")
    (tmp_path / "a.vhdr").write_bytes(header.encode("cp1252"))
    assert read_recordings(tmp_path / "a.vhdr", rules)[0].units == ("uV",)


def test_channels_without_a_kind_are_left_out_with_a_warning(tmp_path: Path, rules: PhysioRules) -> None:
    write_brainvision(tmp_path, ch_names=["ECG", "Fz", "Cz"])
    (ecg,) = read_recordings(tmp_path / "a.vhdr", rules)
    assert ecg.issues == ("PHYSIO_UNKNOWN_CHANNEL",)


# BIOPAC


def write_biopac(path: Path, channels: dict[str, tuple[str, np.ndarray]], rate: float = 200.0) -> Path:
    """Write the smallest file of AcqKnowledge 3.8.1: headers, types, samples, no markers, no journal."""
    graph = bytearray(2398)
    struct.pack_into("<hiih", graph, 0, 0, 41, len(graph), len(channels))
    struct.pack_into("<d", graph, 16, 1000.0 / rate)
    content = bytes(graph)
    for number, (name, (unit, values)) in enumerate(channels.items()):
        header = bytearray(1716)
        struct.pack_into("<ih40s", header, 0, len(header), number, name.encode())
        struct.pack_into("<20si", header, 68, unit.encode(), len(values))
        struct.pack_into("<dd", header, 92, 1.0, 0.0)
        struct.pack_into("<h", header, 250, 1)
        content += bytes(header)
    content += struct.pack("<hh", 4, 0) + struct.pack("<hh", 8, 1) * len(channels)
    table = np.stack([values for _, values in channels.values()], axis=1).astype("<f8")
    no_markers, no_journal = struct.pack("<ii", 8, 0), bytes((0x44, 0x33, 0x22, 0x11)) + bytes(6)
    path.write_bytes(content + table.tobytes() + no_markers + no_journal)
    return path


def test_the_channels_of_an_acq_file_are_told_by_name_and_keep_their_unit(tmp_path: Path, rules: PhysioRules) -> None:
    time = np.arange(4000) / 200
    path = write_biopac(
        tmp_path / "a.acq",
        {"ECG100C": ("mV", np.sin(time)), "RSP, X": ("Volts", np.cos(time)), "SpO2": ("%", 97 + 0 * time)},
    )
    assert find_format(path) is Format.BIOPAC
    recordings = {one.kind: one for one in read_recordings(path, rules)}
    np.testing.assert_allclose(recordings["cardiac-ecg"].samples[:, 0], np.sin(time))
    assert {kind: one.units for kind, one in recordings.items()} == {
        "cardiac-ecg": ("mV",),
        "respiratory": ("V",),
        "oxygen-saturation": ("%",),
    }
    assert {one.clock for one in recordings.values()} == {Clock.NONE}
    assert recordings["cardiac-ecg"].sampling_frequency == 200


def test_a_file_without_a_clock_is_put_on_the_only_image_whose_volumes_fit_its_trigger_channel(
    tmp_path: Path, rules: PhysioRules
) -> None:
    time = np.arange(10_000) / 200
    pulses = ((time >= 12) & (time < 32) & ((time - 12) % 2 < 0.05)) * 5.0
    path = write_biopac(tmp_path / "a.acq", {"ECG": ("mV", np.sin(time)), "MRI trigger": ("Volts", pulses)})
    ecg = next(one for one in read_recordings(path, rules) if one.kind == Kind.ECG)
    image, other = make_span("14:00:00", 20, 10), make_span("14:10:00", 30, 10)
    (match,) = match_recordings([ecg], [other, image], rules).matches
    assert match.image is image
    assert match.recording.start_s == pytest.approx(image.start_s - 12, abs=0.006)
    twice = match_recordings([ecg], [image, replace(image, start_s=image.start_s + 600)], rules)
    assert (twice.matches, twice.ambiguous) == ((), ())
    assert clock_notes(ecg, []) == ("PHYSIO_NO_CLOCK",)


def test_a_time_in_the_name_stands_in_for_a_missing_clock(tmp_path: Path, rules: PhysioRules) -> None:
    path = write_biopac(tmp_path / "a.acq", {"ECG": ("mV", np.sin(np.arange(4000) / 9))})
    ecg = at_time(read_recording(path, rules), 50_400)
    (match,) = match_recordings([ecg], [make_span("14:00:05", 10, 1)], rules).matches
    assert (match.overlap_fraction, match.recording.clock) == (1.0, Clock.OWN)


# junk


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    name=st.sampled_from(["a.acq", "a.vhdr", "a.log", GE_NAME, "a.puls", "Physio_PULS.log", "a.dcm"]),
    start=st.sampled_from(
        [
            b"",
            b"\x00\x00\x29\x00\x00\x00",
            b"Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n",
            PHILIPS_HEAD.encode() + b"# v1raw v2raw  v1 v2  ppu resp  gx gy gz mark\n",
            b"1 2 40 280 5002 LOGVERSION_PULS   1 6002 ",
            b"1 1 2 40 280 5002 LOGVERSION_ECG   1 6002 ",
            b"LogVersion = EJA_1\nLogDataType = PULS\nSampleTime = 2\n",
            bytes(128) + b"DICM",
        ]
    ),
    rest=st.one_of(
        st.binary(max_size=300), st.text("0123456789 \r\n5002603-.LogStartMDHTime:\t", max_size=300).map(str.encode)
    ),
)
def test_any_bytes_give_recordings_or_a_code(
    tmp_path: Path, rules: PhysioRules, name: str, start: bytes, rest: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(start + rest)
    codes = set()
    recordings: tuple[Recording, ...] = ()
    try:
        recordings = read_recordings(path, rules)
    except RecordingError as error:
        codes.add(error.code)
    assert codes <= {"PHYSIO_UNREADABLE"}
    assert all(len(one.samples) and one.sampling_frequency > 0 for one in recordings)


@pytest.mark.shared_data
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.floats(0.01, 1))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_waveform_object_gives_recordings_or_a_code(
    tmp_path: Path, rules: PhysioRules, shared_data: Path, place: float, byte: int, cut: float
) -> None:
    content = bytearray((shared_data / "physio" / "dicom_waveform_ecg" / "waveform_ecg.dcm").read_bytes())
    # The header is what a damage changes; samples are only other numbers.
    content[132 + int(place * 20_000)] = byte
    path = tmp_path / "ecg.dcm"
    path.write_bytes(content[: int(cut * len(content))])
    codes = set()
    try:
        read_recordings(path, rules)
    except RecordingError as error:
        codes.add(error.code)
    assert codes <= {"PHYSIO_UNREADABLE"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=2, max_size=2),
        min_size=1,
        max_size=400,
    ),
    rate=st.sampled_from([3.90625, 50.0, 1000.0]),
    kind=st.sampled_from(list(Kind)),
)
def test_any_samples_are_written_and_drawn(
    tmp_path: Path, rules: PhysioRules, rows: list[list[float]], rate: float, kind: Kind
) -> None:
    names = rules.channels[kind].columns
    recording = Recording(
        kind=kind,
        sampling_frequency=rate,
        start_ms=0,
        stop_ms=1000 * len(rows) / rate,
        samples=np.where(np.isfinite(rows), rows, np.nan),
        triggers=None,
        columns=(names[0], "second"),
        units=("mV", "mV"),
    )
    written = write_whole(recording, tmp_path / "sub-A", rules, pictures=tmp_path)
    lines = gzip.decompress(written.table.read_bytes()).decode().splitlines()
    assert len(lines) == len(rows)
    assert {cell for line in lines for cell in line.split("\t") if not NUMBER.fullmatch(cell)} <= {"n/a"}
    about = json.loads(written.sidecar.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert about["NumberOfSamples"] == len(rows)
    assert written.picture is not None
    assert written.picture.read_text(encoding="utf-8").startswith("<svg")
