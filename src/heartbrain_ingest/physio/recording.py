"""What every reader returns and every writer takes: one signal of one monitor on the scanner's clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MS_PER_DAY = 86_400_000


def since_midnight_ms(moment: datetime) -> float:
    """Give the milliseconds since midnight of a moment on a clock without a zone."""
    return (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds() * 1000.0


class Kind(StrEnum):
    """What the scanners' own monitors record; physio.yml may describe other kinds, by names of its own."""

    #: Electrocardiogram, one or more leads.
    ECG = "cardiac-ecg"
    #: Pulse oximeter curve.
    PULSE = "cardiac-pulse"
    #: Respiration belt or cushion.
    RESPIRATION = "respiratory"
    #: External trigger input.
    TRIGGER = "trigger"


class Clock(StrEnum):
    """Whose clock the times of a recording are of."""

    #: That of the images.
    SCANNER = "scanner clock"
    #: Another one, moved so that the marks of the scanner fall on the volumes.
    MARKS = "scanner marks"
    #: Another one, moved so that the scan ends when the log says so.
    SCAN_END = "end of scan"
    #: That of another computer, which may run some seconds apart.
    OWN = "own clock"
    #: The file tells no time.
    NONE = "no clock"


class RecordingError(Exception):
    """A file can't be used as a recording; `code` is an entry of the issue catalogue."""

    def __init__(self, code: str, detail: str) -> None:
        """Keep the code; the detail names no path and no content, so that it may be logged."""
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording. Times are milliseconds since midnight."""

    #: What was recorded: an entry of `channels` in physio.yml.
    kind: str
    #: Samples per second, Hz.
    sampling_frequency: float
    #: Time of the first sample.
    start_ms: float
    #: When the log was closed; smaller than `start_ms` if that was after midnight.
    stop_ms: float
    #: Shape (samples, channels); NaN where nothing was recorded.
    samples: NDArray[np.float64]
    #: Shape (samples,): the monitor itself marked an event (R wave, pulse, breath, external trigger) at this sample;
    #: None where it has no detector or the file does not tell.
    triggers: NDArray[np.bool_] | None
    #: Name of each channel, as it appears in the BIDS `Columns`.
    columns: tuple[str, ...]
    #: Unit of each channel.
    units: tuple[str, ...]
    #: Whose clock the times are of.
    clock: Clock = Clock.SCANNER
    #: Counts the recordings of one kind that one file or monitor gives at several sampling rates, from 1.
    part: int = 1
    #: Seconds from the first sample to the end of the scan, where the log was made with one scan and tells.
    scan_end_s: float | None = None
    #: The format, for example `siemens-pmu 102` or `siemens-cmrr EJA_1`.
    source: str = ""
    #: Shape (samples,): the scanner began a volume at this sample; None where the file does not tell.
    scanner_triggers: NDArray[np.bool_] | None = None
    #: Day of the recording (not shifted, so identifying), where the file tells.
    day: date | None = None
    #: Shared by recording and image where the sequence wrote both (CMRR); an identifier, never published.
    uuid: str | None = None
    #: Codes of the issue catalogue that reading it gave.
    issues: tuple[str, ...] = field(default=())

    @property
    def duration_s(self) -> float:
        """Seconds that the samples cover: number of samples over the sampling frequency."""
        return float(self.samples.shape[0]) / self.sampling_frequency

    @property
    def start_s(self) -> float:
        """Seconds since midnight of the first sample."""
        return self.start_ms / 1000.0
