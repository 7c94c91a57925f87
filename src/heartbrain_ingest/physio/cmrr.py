"""Physiology that the CMRR multiband sequences log themselves: split text logs, or all of them in one DICOM object.

Times are ticks of 2.5 ms since midnight on the scanner's clock. A log is a header of `Name = value` lines and rows of
`ACQ_TIME_TICS CHANNEL VALUE SIGNAL`; the log of type ACQUISITION_INFO has `VOLUME SLICE ACQ_START_TICS ACQ_FINISH_TICS
ECHO` instead and gives the scanner's triggers. Samples that the monitor lost are missing rows.
Source: extractCMRRPhysio.m of the sequence's authors (https://github.com/CMRR-C2P/MB).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heartbrain_ingest.physio.log import Log, Signal
from heartbrain_ingest.physio.recording import MS_PER_DAY, Kind, RecordingError

MS_PER_TICK = 2.5
TICKS_PER_DAY = int(MS_PER_DAY / MS_PER_TICK)
INFO_TYPE = "ACQUISITION_INFO"
KIND_OF_TYPE = {"ECG": Kind.ECG, "PULS": Kind.PULSE, "RESP": Kind.RESPIRATION, "EXT": Kind.TRIGGER}
LONGEST_DAYS = 1
#: Leads of an ECG; places of the grid for each row that is there.
MOST_CHANNELS = 8
MOST_GAPS = 1000
#: Digits of a time in ticks, a sample and more.
LONGEST_NUMBER = 12

HEADER = re.compile(r"^\s*(\w+)\s*=\s*(\S+)\s*$", re.MULTILINE)
ROW = re.compile(r"^[ \t]*(\d{1,12})[ \t]+([A-Z]+\d?)[ \t]+(-?\d{1,12})[ \t]*(\S*)[ \t\r]*$", re.MULTILINE)
INFO_ROW = re.compile(
    r"^[ \t]*(\d{1,12})[ \t]+\d{1,12}[ \t]+(\d{1,12})[ \t]+\d{1,12}[ \t]+(\d{1,12})[ \t\r]*$", re.MULTILINE
)
VERSION = re.compile(r"EJA_\d+")
UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
LOG_NAME = re.compile(r"_(ECG|PULS|RESP|EXT)\.log$")

BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class _Part:
    header: dict[str, str]
    text: str

    @property
    def type(self) -> str:
        return self.header.get("LogDataType", "")


def read_cmrr_log(path: Path) -> Log | None:
    """Read one split log.

    The scanner's triggers come from the `..._Info.log` beside it where both carry the same UUID.

    Returns
    -------
    None for the `_Info.log` itself, which holds no signal.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: no samples or no known type.
    """
    log = _parse(path.read_text(encoding="latin-1"))
    if log.type == INFO_TYPE:
        return None
    info_path = path.with_name(LOG_NAME.sub("_Info.log", path.name))
    starts: NDArray[np.int64] | None = None
    if info_path != path and info_path.is_file():
        info = _parse(info_path.read_text(encoding="latin-1"))
        if info.type == INFO_TYPE and info.header.get("UUID") == log.header.get("UUID"):
            starts = _volume_starts(info)
    return _log([log], [_signal(log, starts)])


def read_cmrr_payload(payload: bytes, rows: int) -> Log:
    """Read the logs that a CMRR physiology DICOM object carries.

    Parameters
    ----------
    payload
        Value of (7FE1,1010): logs of equal room, each a block with the lengths of log and name, then the text.
    rows
        AcquisitionNumber of the object: it times 1024 bytes is the room of one log.

    Returns
    -------
    One signal for each log with samples, with the scanner's triggers where the object holds them.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: no log holds samples.
    """
    logs = [_parse(text) for text in _texts(payload, rows)]
    starts = next((_volume_starts(log) for log in logs if log.type == INFO_TYPE), None)
    filled = [log for log in logs if log.type in KIND_OF_TYPE and ROW.search(log.text)]
    if not filled:
        raise RecordingError("PHYSIO_UNREADABLE", "no log in the payload holds samples")
    return _log(filled, [_signal(log, starts) for log in filled])


def _texts(payload: bytes, rows: int) -> Iterator[str]:
    room = rows * BLOCK
    if room <= 0 or len(payload) % room:
        raise RecordingError("PHYSIO_UNREADABLE", "the payload is no whole number of logs")
    for offset in range(0, len(payload), room):
        length = int.from_bytes(payload[offset : offset + 4], "little")
        if length > room - BLOCK:
            raise RecordingError("PHYSIO_UNREADABLE", "a log in the payload is longer than its room")
        yield payload[offset + BLOCK : offset + BLOCK + length].decode("latin-1")


def _parse(text: str) -> _Part:
    return _Part(header=dict(HEADER.findall(text)), text=text)


def _volume_starts(info: _Part) -> NDArray[np.int64] | None:
    first: dict[int, int] = {}
    for volume, start, echo in INFO_ROW.findall(info.text):
        if echo == "0":
            first[int(volume)] = min(int(start), first.get(int(volume), int(start)))
    return np.array(sorted(first.values()), dtype=np.int64) if first else None


def _log(parts: Sequence[_Part], signals: Sequence[Signal]) -> Log:
    header = parts[0].header
    version = VERSION.match(header.get("LogVersion", ""))
    return Log(
        source=f"siemens-cmrr {version[0] if version else ''}".rstrip(),
        signals=tuple(signals),
        day=_day(header.get("ScanDate", "")),
        uuid=header["UUID"].lower() if UUID.fullmatch(header.get("UUID", "")) else None,
    )


def _signal(log: _Part, starts: NDArray[np.int64] | None) -> Signal:
    if log.type not in KIND_OF_TYPE:
        raise RecordingError("PHYSIO_UNREADABLE", "the log is of no known type")
    rows = ROW.findall(log.text)
    step = _ticks(log.header.get("SampleTime", ""))
    if not rows or not 0 < step < TICKS_PER_DAY or _ticks(max((row[0] for row in rows), key=len)) >= TICKS_PER_DAY:
        raise RecordingError("PHYSIO_UNREADABLE", "the log holds no samples, no SampleTime, or no times of a day")
    kind = KIND_OF_TYPE[log.type]
    ticks = np.array([int(row[0]) for row in rows], dtype=np.int64)
    ticks = np.where(ticks < ticks[0], ticks + TICKS_PER_DAY, ticks)
    names = sorted({row[1] for row in rows})
    channel = np.array([names.index(row[1]) for row in rows])
    # Rows that the monitor lost leave gaps; samples go to the nearest place of a regular grid.
    place = _places(ticks - ticks[0], step)
    if place[-1] * step > LONGEST_DAYS * TICKS_PER_DAY:
        raise RecordingError("PHYSIO_UNREADABLE", "the log claims to be longer than a day")
    if len(names) > MOST_CHANNELS or place[-1] > MOST_GAPS * len(rows):
        raise RecordingError("PHYSIO_UNREADABLE", "the log has more channels or gaps than a monitor leaves")
    samples = np.full((int(place.max()) + 1, len(names)), np.nan)
    samples[place, channel] = [float(row[2]) for row in rows]
    triggers = np.zeros(len(samples), dtype=np.bool_)
    triggers[place[[bool(row[3]) for row in rows]]] = True
    signal = Signal(
        kind=kind,
        rate=1000.0 / (MS_PER_TICK * step),
        start_ms=float(ticks[0]) * MS_PER_TICK,
        stop_ms=float(ticks[-1]) * MS_PER_TICK % MS_PER_DAY,
        counts=samples,
        events=triggers,
    )
    if starts is None:
        return signal
    at = -((ticks[0] - starts) // step)  # the first sample at or after the volume's beginning
    marks = np.zeros(len(samples), dtype=np.bool_)
    marks[at[(at >= 0) & (at < len(samples))]] = True
    return replace(signal, volumes=marks)


def _places(ticks: NDArray[np.int64], step: int) -> NDArray[np.int64]:
    """Round to the grid, halves always up: after an odd gap every sample lies between two places."""
    return (2 * ticks + step) // (2 * step)


def _ticks(text: str) -> int:
    """Read a number of ticks; 0 for none, and more than a day's for what no log can hold."""
    return (int(text) if len(text) <= LONGEST_NUMBER else TICKS_PER_DAY) if text.isdigit() else 0


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text[:8], "%Y%m%d").date()  # noqa: DTZ007 - the scanner's local clock has no zone
    except ValueError:
        return None
