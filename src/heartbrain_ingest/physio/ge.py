"""GE physiology files: `PPGData_<sequence>_<MMDDYYYYhh_mm_ss_ms>`, `RESPData_...`, `ECGData_...`, one number a line.

The name holds the moment at which the scan and the file ended; recording began some 30 s before the scan. So the last
sample tells where the volumes are. `PPGTrig_...` holds the sample numbers of the monitor's beats.
Source: PhysIO (doi:10.1016/j.jneumeth.2016.10.019), tapas_physio_read_physlogfiles_GE. No real file was at hand.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from heartbrain_ingest.physio.log import Log, Signal
from heartbrain_ingest.physio.names import GE_NAME
from heartbrain_ingest.physio.recording import Clock, Kind, RecordingError, since_midnight_ms

if TYPE_CHECKING:
    from numpy.typing import NDArray

KIND_OF_SIGNAL = {"PPG": Kind.PULSE, "RESP": Kind.RESPIRATION, "ECG": Kind.ECG}
VERSION = "ge"


def read_ge(path: Path) -> Log:
    """Read one file of samples, with the beats of the `PPGTrig` file beside it.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: lines that hold no numbers.
    """
    found = GE_NAME.match(path.name)
    if found is None:
        raise RecordingError("PHYSIO_UNREADABLE", "the name is not that of a GE physiology file")
    kind = KIND_OF_SIGNAL[found["signal"]]
    samples = _numbers(path)
    try:
        end = datetime.strptime(found["moment"], "%m%d%Y%H_%M_%S")  # noqa: DTZ007 - local clock of the scanner
    except ValueError:
        raise RecordingError("PHYSIO_UNREADABLE", "the name holds no moment") from None
    end += timedelta(milliseconds=int(found["ms"]))
    signal = Signal(
        kind=kind,
        part=int(found["lead"] or 1),
        counts=samples[:, np.newaxis],
        events=_beats(path, len(samples)) if kind is Kind.PULSE else None,
        stop_ms=since_midnight_ms(end),
    )
    return Log(
        source=VERSION, version=VERSION, signals=(signal,), clock=Clock.OWN, scan_end=len(samples), day=end.date()
    )


def _beats(path: Path, count: int) -> NDArray[np.bool_] | None:
    beside = path.with_name(path.name.replace("Data_", "Trig_", 1))
    if not beside.is_file():
        return None
    places = _numbers(beside).astype(np.int64)
    beats = np.zeros(count, dtype=np.bool_)
    beats[places[(places >= 0) & (places < count)]] = True
    return beats


def _numbers(path: Path) -> NDArray[np.float64]:
    """Read one number a line, the last of those that newer software writes (number of the sample, value)."""
    rows = [line.split() for line in path.read_bytes().decode("latin-1").splitlines() if line.strip()]
    try:
        numbers = np.array([float(row[-1]) for row in rows], dtype=np.float64)
    except ValueError:
        raise RecordingError("PHYSIO_UNREADABLE", "a line holds no number") from None
    if not rows or len({len(row) for row in rows}) != 1 or not np.isfinite(numbers).all():
        raise RecordingError("PHYSIO_UNREADABLE", "the file holds no samples")
    return numbers
