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

from heartbrain_ingest.physio.channels import column_names
from heartbrain_ingest.physio.names import GE_NAME
from heartbrain_ingest.physio.recording import MS_PER_DAY, Clock, Kind, Recording, RecordingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heartbrain_ingest.physio.rules import PhysioRules

KIND_OF_SIGNAL = {"PPG": Kind.PULSE, "RESP": Kind.RESPIRATION, "ECG": Kind.ECG}
VERSION = "ge"


def read_ge(path: Path, rules: PhysioRules) -> Recording:
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
    rate = rules.nominal_rate(VERSION, kind)
    samples = _numbers(path)
    try:
        end = datetime.strptime(found["moment"], "%m%d%Y%H_%M_%S")  # noqa: DTZ007 - local clock of the scanner
    except ValueError:
        raise RecordingError("PHYSIO_UNREADABLE", "the name holds no moment") from None
    end += timedelta(milliseconds=int(found["ms"]))
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    stop_ms = (end - midnight).total_seconds() * 1000.0
    start = end - timedelta(seconds=len(samples) / rate)
    rule = rules.channels[kind]
    return Recording(
        kind=kind,
        part=int(found["lead"] or 1),
        sampling_frequency=rate,
        start_ms=(stop_ms - 1000.0 * len(samples) / rate) % MS_PER_DAY,
        stop_ms=stop_ms,
        clock=Clock.OWN,
        scan_end_s=len(samples) / rate,
        samples=samples[:, np.newaxis],
        triggers=_beats(path, len(samples)) if kind is Kind.PULSE else None,
        columns=column_names(rule.columns, 1),
        units=(rule.units,),
        source=VERSION,
        day=start.date(),
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
