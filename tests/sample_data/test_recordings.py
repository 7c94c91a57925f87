"""The recordings follow the layout of real PMU logs and hold the rhythm they were made with."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sample_data.plan import study_plan
from sample_data.study import recordings, sessions

from .conftest import Study


def parse(content: str) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Read a log: samples with the trigger codes left in, and the clocks."""
    signal, footer = content.split(" 5003", 1)
    bare = re.sub(r"5002 .*? 6002", "", signal)
    numbers = np.array(bare.split(), dtype=np.int64)
    clocks = {name: int(value) for name, value in re.findall(r"(Log\w+Time):\s+(\d+)", footer)}
    return numbers, clocks


def logs(study: Study) -> list[tuple[dict[str, Any], dict[str, Any], str]]:
    return [
        (session, recording, (study.inbox / recording["file"]).read_text(encoding="ascii"))
        for _, session in study.sessions()
        for recording in session["recordings"]
    ]


SET_UP = {"ecg": 5, "puls": 4, "resp": 4}
CHANNELS = {"ecg": 2, "puls": 1, "resp": 1}


def test_every_session_has_an_ecg_a_pulse_and_a_breathing_log(small_study: Study) -> None:
    for _, session in small_study.sessions():
        assert [one["channel"] for one in session["recordings"]] == ["ecg", "puls", "resp"]


def test_samples_triggers_and_clocks_are_those_of_the_truth(small_study: Study) -> None:
    for _, recording, content in logs(small_study):
        numbers, clocks = parse(content)
        channel = recording["channel"]
        signal = numbers[SET_UP[channel] :]
        triggers = int((signal == 5000).sum())
        ends = int((signal == 6000).sum())
        assert triggers == recording["triggers"]
        assert ends == (triggers if channel == "ecg" else 0)
        assert len(signal) - triggers - ends == recording["samples"] * CHANNELS[channel]
        start = datetime.fromisoformat(recording["start"])
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        assert clocks["LogStartMDHTime"] == (start - midnight) / timedelta(milliseconds=1)
        assert clocks["LogStopMDHTime"] - clocks["LogStartMDHTime"] == recording["samples"] * 2.5
        assert clocks["LogStartMPCUTime"] - clocks["LogStartMDHTime"] == recording["mpcu_lead_ms"]


def test_ecg_channels_are_told_apart_by_their_offset(small_study: Study) -> None:
    for _, recording, content in logs(small_study):
        if recording["channel"] == "ecg":
            numbers, _ = parse(content)
            signal = numbers[SET_UP["ecg"] :]
            signal = signal[(signal != 5000) & (signal != 6000)]
            assert signal[0::2].max() < 4096
            assert signal[1::2].min() >= 8192


def test_r_peaks_stand_at_the_triggers_and_beat_at_the_planned_rate(small_study: Study) -> None:
    for session, recording, content in logs(small_study):
        if recording["channel"] != "ecg":
            continue
        numbers, _ = parse(content)
        signal = numbers[SET_UP["ecg"] :]
        places = np.flatnonzero(signal == 5000)
        heights = [signal[place + 1 : place + 3].min() for place in places[:-1]]
        assert min(heights) > 2048 + 600
        assert recording["mean_rate_per_min"] == pytest.approx(session["heart_rate_per_min"], rel=0.03)


def test_breathing_has_the_planned_rate(small_study: Study) -> None:
    for session, recording, _ in logs(small_study):
        if recording["channel"] == "resp":
            assert recording["mean_rate_per_min"] == pytest.approx(session["breathing_rate_per_min"], rel=0.08)


def test_recordings_cover_diffusion_and_bold_wholly(small_study: Study) -> None:
    for session, recording, _ in logs(small_study):
        covered = {series["kind"]: recording["overlap"].get(str(series["number"]), 0.0) for series in session["series"]}
        assert covered["diffusion"] == 1.0
        assert covered["bold"] == 1.0
        assert covered["t1w"] == 0.0


def test_in_the_full_study_one_ecg_stops_during_the_diffusion_series() -> None:
    plan = study_plan()
    stops = {}
    for session in sessions(plan):
        ecg = next(one for one in recordings(plan, session) if one.channel == "ecg")
        diffusion = next(one for one in session.series if one.protocol.b_values)
        covered = (ecg.stop - diffusion.start).total_seconds() / diffusion.protocol.duration_s
        stops[session.number] = round(min(covered, 1.0), 2)
    assert stops == {1: 1.0, 2: 1.0, 3: 1.0, 4: 0.6, 5: 1.0, 6: 1.0}


def test_the_layout_is_that_of_a_real_log(small_study: Study, shared_data: Path) -> None:
    real = (shared_data / "physio" / "siemens_pmu_ve11c" / "sample_VE11C.puls").read_text(encoding="ascii")
    _, _, made = next(one for one in logs(small_study) if one[1]["channel"] == "puls")
    assert made.split()[:7] == real.split()[:7]

    def labels(text: str) -> list[str]:
        lines = text.split("5003", 1)[1].splitlines()
        return [re.sub(r"[\d\s]+", " ", line).strip() for line in lines]

    assert labels(made) == labels(real)
