"""Philips physiology logs, `SCANPHYSLOG<date><time>.log`: one log of one scan.

    ## Wed 20-04-2011 14:24:06
    # v1raw v2raw  v1 v2  ppu resp  gx gy gz mark
    -33 -53 25 -6 -56 -1508 0 0 0 0000

The samples are 496 a second (wired units: 500, see `rates` in physio.yml). `mark` is hexadecimal: 1, 2, 4 are beats
and breaths of the monitor's own detector, 10 and 20 the start and the end of the scan. The start mark comes before the
dummy volumes, so it's the end that tells where the volumes are.
Source: PhysIO (doi:10.1016/j.jneumeth.2016.10.019), tapas_physio_read_physlogfiles_philips. No real file was at hand.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from heartbrain_ingest.physio.log import Log, Signal
from heartbrain_ingest.physio.names import PHILIPS_HEAD
from heartbrain_ingest.physio.recording import Clock, Kind, RecordingError, since_midnight_ms

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOMENT = re.compile(r"^##[^\d\n]*(\d\d-\d\d-\d{4} \d\d:\d\d:\d\d)\s*$", re.MULTILINE)
NAME = re.compile(r"SCANPHYSLOG_?(\d{8})_?(\d{6})", re.IGNORECASE)
COLUMNS_OF_KIND = {Kind.ECG: ("v1raw", "v2raw"), Kind.PULSE: ("ppu",), Kind.RESPIRATION: ("resp",)}
MARK_OF_KIND = {Kind.ECG: 0x1, Kind.PULSE: 0x2, Kind.RESPIRATION: 0x4}
SCAN_END = 0x20
VERSION = "philips"


def read_philips(path: Path) -> Log:
    """Read the signals of a log; one that is flat (nothing was connected) is left out.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: no samples, or rows that don't fit the header.
    """
    lines = path.read_bytes().decode("latin-1").splitlines()
    head = next((index for index, line in enumerate(lines) if PHILIPS_HEAD.match(line)), None)
    if head is None:
        raise RecordingError("PHYSIO_UNREADABLE", "the log names no columns")
    names = lines[head].lstrip("# ").split()
    rows = [line.split() for line in lines[head + 1 :] if line and not line.lstrip().startswith("#")]
    is_cut = bool(rows) and len(rows[-1]) != len(names)
    if is_cut:  # the log ends within a row
        rows.pop()
    if not rows or any(len(row) != len(names) for row in rows):
        raise RecordingError("PHYSIO_UNREADABLE", "the log holds no samples, or rows of another length than its header")
    try:
        marks = np.array([int(row[names.index("mark")], 16) for row in rows], dtype=np.int64)
        values = {name: _column(rows, names.index(name)) for kind in COLUMNS_OF_KIND.values() for name in kind}
    except (ValueError, OverflowError):
        raise RecordingError("PHYSIO_UNREADABLE", "a row holds no numbers") from None
    begin = _begin("\n".join(lines[:head]), path.name)
    ends = np.flatnonzero(marks & SCAN_END)
    signals = []
    for kind, columns in COLUMNS_OF_KIND.items():
        samples = np.stack([values[name] for name in columns], axis=1)
        if np.ptp(samples, axis=0).any():
            start_ms = since_midnight_ms(begin) if begin else None
            events = (marks & MARK_OF_KIND[kind]) != 0
            signals.append(Signal(kind=kind, counts=samples, events=events, start_ms=start_ms))
    if not signals:
        raise RecordingError("PHYSIO_UNREADABLE", "every signal of the log is flat")
    return Log(
        source=VERSION,
        version=VERSION,
        signals=tuple(signals),
        clock=Clock.OWN,
        scan_end=int(ends[-1]) if len(ends) else None,
        day=begin.date() if begin else None,
        issues=() if len(ends) and not is_cut else ("PHYSIO_TRUNCATED",),
    )


def _column(rows: list[list[str]], index: int) -> NDArray[np.float64]:
    return np.array([int(row[index]) for row in rows], dtype=np.float64)


def _begin(head: str, name: str) -> datetime | None:
    if found := MOMENT.search(head):
        text, form = found[1], "%d-%m-%Y %H:%M:%S"
    elif found := NAME.search(name):
        text, form = found[1] + found[2], "%Y%m%d%H%M%S"
    else:
        return None
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007 - local clock of the scanner's console
    except ValueError:
        return None
