"""Physiological recordings as the scanner's PMU logs them (VE11 layout): ECG, pulse, breathing, 400 samples a second.

A log is one long line: a few numbers of set-up, then samples; 5000 marks a trigger, 6000 the end of an ECG trigger,
5002 ... 6002 encloses remarks and 5003 ends the signal. The clocks stand behind it, in ms since midnight; MDH is the
clock of AcquisitionTime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from sample_data.geometry import Vector
from sample_data.rhythm import Rhythm

SAMPLE_MS = 2.5
MPCU_LEAD_MS = 1365
_ECG_SECOND_CHANNEL = 8192
_TRIGGER, _TRIGGER_END = 5000, 6000
_ECG_TRIGGER_SAMPLES = 16
_REMARK_AFTER = 160
_REMARK = (
    "5002 uiHwRevisionPeru/ucHWRevLevel: 15, uiPartNbrPeruPub: 0, uiHwRevisionPpu/ucSWSubRevLevel: 127, "
    "uiPartNbrPpuPub: 32520, uiSwVersionPdau/ucSWMainRevLevel: 8 6002"
)
_PREAMBLE = {
    "ecg": (
        "1 1 2 40 280 5002 LOGVERSION_ECG   1 6002 5002 TRIGGERMETHOD 10 6002 5002 MSGTYPE 220 eTriggerMethod: 10, "
        "minLimitCh1: 0, maxLimitCh1: 0, minLimitAVF: 0, maxLimitAVF: 0 6002"
    ),
    "puls": "1 2 40 280 5002 LOGVERSION_PULS   1 6002",
    "resp": "1 2 20 2 5002 LOGVERSION_RESP   1 6002",
}
_ECG_WAVES = ((0.84, 0.026, 0.13), (0.972, 0.009, -0.11), (0.0, 0.011, 1.0), (0.03, 0.010, -0.22), (0.29, 0.05, 0.28))
"""P, Q, R, S and T as (position, width, height) in cycles and parts of the R peak."""
_PULSE_PEAK = 0.25
_PULSE_WAVES = ((_PULSE_PEAK, 0.085, 1.0), (0.50, 0.10, 0.33))
_BREATH_PEAK = 0.25


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One log.

    Attributes
    ----------
    channel:
        `ecg`, `puls` or `resp`; also the file's extension.
    start, stop:
        On the MDH clock.
    triggers:
        Number of beats or breaths marked.
    content:
        The file's bytes.
    """

    channel: str
    start: datetime
    stop: datetime
    samples: int
    triggers: int
    mean_rate: float
    content: bytes

    def file_name(self, patient_id: str) -> str:
        """Give the name that the site's export script uses, which betrays patient and date."""
        return f"Physio_{patient_id}_{self.start:%Y%m%d}_{self.start:%H%M%S}.{self.channel}"


def record(channel: str, *, rhythm: Rhythm, start: datetime, stop: datetime, seed: Sequence[int]) -> Recording:
    """Record one channel from `start` to `stop`."""
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    begin_ms = round((start - midnight).total_seconds() * 1000)
    count = int((stop - start).total_seconds() * 1000 / SAMPLE_MS)
    seconds: Vector = (begin_ms + np.arange(count, dtype=np.float64) * SAMPLE_MS) / 1000.0
    noise = np.random.default_rng(seed).standard_normal(count)
    if channel == "ecg":
        phase = rhythm.heart(seconds)
        first = 2048 + 950 * _waves(phase, _ECG_WAVES) + 9 * noise
        second = 2048 + 520 * _waves(phase, _ECG_WAVES) + 9 * np.roll(noise, 1)
        values = np.stack((_digits(first), _digits(second) + _ECG_SECOND_CHANNEL), axis=1).ravel()
        triggers, step = _passages(phase, 0.0), 2
    elif channel == "puls":
        phase = rhythm.heart(seconds)
        values = _digits(1500 + 1300 * _waves(phase, _PULSE_WAVES) + 4 * noise)
        triggers, step = _passages(phase, _PULSE_PEAK), 1
    else:
        phase = rhythm.breath(seconds)
        cycle = 2 * np.pi * phase
        values = _digits(2000 + 800 * np.sin(cycle) + 130 * np.sin(2 * cycle) + 3 * noise)
        triggers, step = _passages(phase, _BREATH_PEAK), 1
    marked = np.insert(values, triggers * step, _TRIGGER)
    if channel == "ecg":
        ends = np.minimum((triggers + _ECG_TRIGGER_SAMPLES) * step, len(values)) + np.arange(1, len(triggers) + 1)
        marked = np.insert(marked, ends, _TRIGGER_END)
    words = [str(one) for one in marked.tolist()]
    intervals = np.diff(seconds[triggers]) * 1000.0
    line = " ".join((_PREAMBLE[channel], *words[:_REMARK_AFTER], _REMARK, *words[_REMARK_AFTER:], "5003"))
    return Recording(
        channel=channel,
        start=start,
        stop=start + timedelta(milliseconds=count * SAMPLE_MS),
        samples=count,
        triggers=len(triggers),
        mean_rate=round(60000.0 / float(intervals.mean()), 3),
        content=(line + _footer(channel, intervals, begin_ms, round(count * SAMPLE_MS))).encode("ascii"),
    )


def _waves(phase: Vector, waves: Sequence[tuple[float, float, float]]) -> Vector:
    total = np.zeros_like(phase)
    for position, width, height in waves:
        distance = (phase - position + 0.5) % 1.0 - 0.5
        total += height * np.exp(-0.5 * (distance / width) ** 2)
    return total


def _digits(values: Vector) -> NDArray[np.int64]:
    return np.clip(np.rint(values), 0, 4095).astype(np.int64)


def _passages(phase: Vector, at: float) -> NDArray[np.int64]:
    """Give the samples at which the phase has just passed `at` (in cycles)."""
    cycles = np.floor(phase - at)
    return np.flatnonzero(np.diff(cycles) > 0) + 1


def _footer(channel: str, intervals: Vector, begin_ms: int, length_ms: int) -> str:
    names = {"ecg": "ECG ", "puls": "PULS", "resp": "RESP"}
    mean = float(intervals.mean())
    spread = float(np.abs(np.diff(intervals)).std())
    lines = [""]
    for one in ("ECG ", "PULS", "RESP", "EXT ", "EXT2"):
        measured = one == names[channel]
        lines.append(f"{one} Freq Per: " + (f"{round(60000 / mean)} {round(mean)}" if measured else "0 0"))
    for one in ("ECG ", "PULS", "RESP", "EXT ", "EXT2"):
        measured = one == names[channel]
        numbers = f"{round(intervals.min())} {round(intervals.max())} {round(mean)} {round(spread)}"
        lines.append(f"{one} Min Max Avg StdDiff: {numbers if measured else '0 0 0 0'}")
    lines += [
        "NrTrig NrMP NrArr AcqWin: 0 0 0 0",
        f"LogStartMDHTime:  {begin_ms}",
        f"LogStopMDHTime:   {begin_ms + length_ms}",
        f"LogStartMPCUTime: {begin_ms + MPCU_LEAD_MS}",
        f"LogStopMPCUTime:  {begin_ms + MPCU_LEAD_MS + length_ms}",
        "6003",
    ]
    return "\r\n".join(lines)
