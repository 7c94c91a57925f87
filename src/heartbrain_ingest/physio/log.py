"""What a file of a monitor holds, before the rules of physio.yml are applied to it.

A log can be stored without whom it names (`store.py`), and be read again from there after the rules changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from heartbrain_ingest.physio.channels import NamedSignal, column_names, make_recordings
from heartbrain_ingest.physio.recording import MS_PER_DAY, Clock, Recording, since_midnight_ms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heartbrain_ingest.physio.rules import PhysioRules

#: Shorter logs don't tell a rate from their clock: the edges are uncertain by some tenths of a second.
CLOCKED_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One signal, or one channel of an amplifier. Times are milliseconds since midnight."""

    #: Shape (samples, channels), as the monitor counted; NaN where nothing was recorded.
    counts: NDArray[Any]
    #: What one count is, in the signal's unit.
    resolution: float = 1.0
    #: What was recorded (`Kind`), where the format says it; None where the channel's name tells.
    kind: str | None = None
    #: What an amplifier calls the channel: free text, so it is cleaned before it is stored.
    name: str = ""
    #: Samples per second, Hz; None where only the version of the log tells.
    rate: float | None = None
    #: Unit (UCUM) of each channel; empty where the file names none that is known.
    units: tuple[str, ...] = ("",)
    #: Names that the format's own codes give to the channels, such as leads; empty for those of the rules.
    columns: tuple[str, ...] = ()
    #: Time of the first sample; None where the file does not tell.
    start_ms: float | None = None
    #: When the log was closed, smaller than `start_ms` if that was after midnight; None where the file does not tell.
    stop_ms: float | None = None
    #: Shape (samples,): events of the monitor's own detector; volumes of the scanner; None where the file has none.
    events: NDArray[np.bool_] | None = None
    volumes: NDArray[np.bool_] | None = None
    #: Counts the signals of one kind, from 1.
    part: int = 1

    @property
    def samples(self) -> NDArray[np.float64]:
        """Shape (samples, channels), in the signal's unit."""
        import numpy as np  # noqa: PLC0415 - loaded by whatever made the signal

        values = np.asarray(self.counts, dtype=np.float64)
        return values if self.resolution == 1.0 else values * self.resolution


@dataclass(frozen=True, kw_only=True)
class Log:
    """What one file holds, together with those that belong to it."""

    #: The format, with the version of the software that wrote it where the log says it.
    source: str
    #: What the entries `rates` of physio.yml are compared with.
    version: str = ""
    signals: tuple[Signal, ...]
    clock: Clock = Clock.SCANNER
    #: Whether the times are those of Greenwich.
    is_utc: bool = False
    #: Whether start and stop were taken from a running clock, so that they tell the sampling rate.
    is_clocked: bool = False
    #: Number of the sample at which the scan ended, where the log was made with one scan and tells.
    scan_end: int | None = None
    #: What an amplifier noted, with the seconds from its first sample; free text as well.
    markers: tuple[tuple[str, float], ...] = ()
    #: Day of the first sample (of the last one, where only the end is told); identifying, never stored.
    day: date | None = field(default=None, repr=False)
    #: Shared by recording and image where the sequence wrote both (CMRR).
    uuid: str | None = field(default=None, repr=False)
    #: Codes of the issue catalogue that reading it gave.
    issues: tuple[str, ...] = ()


def interpret(log: Log, rules: PhysioRules) -> tuple[Recording, ...]:
    """Make recordings of a log by the rules.

    Raises
    ------
    RecordingError
        PHYSIO_UNREADABLE: no channel has a known name, or no rule tells the sampling rate.
    """
    if any(signal.kind is None for signal in log.signals):
        return _named(log, rules)
    return tuple(_recording(log, signal, rules) for signal in log.signals if signal.kind is not None)


def _recording(log: Log, signal: Signal, rules: PhysioRules) -> Recording:
    kind = signal.kind or ""
    rule = rules.channels[kind]
    samples = signal.samples
    count = len(samples)
    rate, issues = signal.rate or rules.nominal_rate(log.version, kind), log.issues
    if log.is_clocked and signal.start_ms is not None and signal.stop_ms is not None:
        rate, doubts = _check_rate(rate, count, (signal.stop_ms - signal.start_ms) % MS_PER_DAY / 1000.0, rules)
        issues = doubts + issues
    length = 1000.0 * count / rate
    start, stop, day = signal.start_ms, signal.stop_ms, log.day
    if start is None and stop is not None:
        start = (stop - length) % MS_PER_DAY
        day = day and day - timedelta(days=stop < length)
    clock = Clock.NONE if start is None else log.clock
    start = start or 0.0
    width = samples.shape[1]
    return Recording(
        kind=kind,
        part=signal.part,
        sampling_frequency=rate,
        start_ms=start,
        stop_ms=start + length if stop is None else stop,
        clock=clock,
        scan_end_s=None if log.scan_end is None else log.scan_end / rate,
        samples=samples,
        triggers=signal.events,
        scanner_triggers=signal.volumes,
        columns=tuple(
            own or usual
            for own, usual in zip(signal.columns or ("",) * width, column_names(rule.columns, width), strict=True)
        ),
        units=tuple(unit or rule.units for unit in signal.units * (width // len(signal.units))),
        source=log.source,
        day=day,
        uuid=log.uuid,
        issues=issues,
    )


def _named(log: Log, rules: PhysioRules) -> tuple[Recording, ...]:
    first = log.signals[0]
    begin, day = first.start_ms, log.day
    if begin is not None and log.is_utc:
        moment = _local(begin, day, rules.time_zone)
        begin, day = (None, None) if moment is None else (since_midnight_ms(moment), moment.date())
    channels = [
        NamedSignal(name=signal.name, unit=signal.units[0], rate=signal.rate or 0.0, values=signal.samples[:, 0])
        for signal in log.signals
    ]
    scanner_s = sorted(seconds for label, seconds in log.markers if rules.scanner_mark(label) is not None)
    made = make_recordings(channels, rules, start_ms=begin, source=log.source, scanner_s=scanner_s)
    issues = made[0].issues + log.issues
    return tuple(replace(one, day=day, issues=issues if one is made[0] else ()) for one in made)


def _local(utc_ms: float, day: date | None, time_zone: str | None) -> datetime | None:
    """Give a moment on the clock of a place; None where place or day is not known."""
    if time_zone is None or day is None:
        return None
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(milliseconds=utc_ms)
    return moment.astimezone(ZoneInfo(time_zone)).replace(tzinfo=None)


def _check_rate(nominal: float, count: int, logged_s: float, rules: PhysioRules) -> tuple[float, tuple[str, ...]]:
    """Compare the nominal rate with the log's own clock; take another known rate only where that one fits."""
    if logged_s < CLOCKED_S:
        return nominal, ()
    measured = count / logged_s
    if abs(measured / nominal - 1.0) <= rules.rate_tolerance:
        return nominal, ()
    fitting = {rule.rate for rule in rules.rates if abs(measured / rule.rate - 1.0) <= rules.rate_tolerance}
    return (fitting.pop() if len(fitting) == 1 else nominal), ("PHYSIO_RATE",)
