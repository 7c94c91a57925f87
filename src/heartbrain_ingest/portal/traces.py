"""A physiological recording, drawn: all of it with the scans' time, and a part of it with the beats or breaths."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heartbrain_ingest.errors import RulesError
from heartbrain_ingest.physio import Recording, load_rules, scan_duration
from heartbrain_ingest.physio.peaks import find_rhythm
from heartbrain_ingest.physio.rules import ChannelRule, PhysioRules
from heartbrain_ingest.portal.entity import Entity, find, read, read_one
from heartbrain_ingest.portal.files import open_entity
from heartbrain_ingest.portal.shelf import Shelf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: A larger table is not drawn while somebody waits. Unit: bytes, packed.
_MOST_BYTES: Final = 30_000_000
_MOST_TEXT: Final = 100_000_000
#: Recordings that are kept as they were read, and that are read at the same time: each takes hundreds of megabytes.
_KEPT, _AT_ONCE = 4, 2
#: Columns that are marks in time, not a curve.
_MARKS: Final = frozenset({"monitor_trigger", "scanner_trigger", "trigger"})
_MOST_SCANS: Final = 60
#: So many of the slowest cycles are shown at a time; without a rhythm so many seconds.
_CYCLES, _SECONDS = 10, 10.0
_DAY: Final = 86_400.0

# The drawing, in its own units.
WIDTH: Final = 1000
WHOLE: Final = (8, 108)
PART: Final = (8, 188)
#: Percentiles of the samples that the drawing spans, so that one spike does not flatten the rest.
_RANGE: Final = (0.1, 99.9)


@dataclass(frozen=True, kw_only=True)
class Span:
    """A scan's time on a panel: from and to, in units of the drawing."""

    words: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A part of a recording, drawn.

    Attributes
    ----------
    first, last
        Seconds from the first sample.
    line
        An SVG path.
    peaks
        Where beats or breaths are: x, y.
    """

    first: float
    last: float
    line: str
    scans: tuple[Span, ...]
    peaks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A recording, drawn.

    Attributes
    ----------
    column
        The channel that is shown, and its unit.
    found
        Peaks in the whole recording.
    earlier, later
        Where the next parts begin, in seconds from the first sample; None at an end.
    """

    column: str
    unit: str
    duration: float
    found: int
    whole: Panel
    part: Panel
    earlier: float | None
    later: float | None


@dataclass(frozen=True, kw_only=True)
class _Scan:
    words: str
    start: float
    stop: float


def draw_recording(record: Entity, archive: Path, rules_file: Path, *, at: float | None = None) -> Trace | None:
    """Draw a recording from its published table.

    Parameters
    ----------
    record
        Below PhysiologicalRecording.
    archive
        Root of the published trees.
    rules_file
        `physio.yml`: how beats and breaths are found.
    at
        Where the part begins, in seconds from the first sample; None for one around the middle.

    Returns
    -------
    None where there is no table, or nothing in it that can be drawn.
    """
    file = open_entity(archive, read_one(record.reference("RecordingFile") or 0))
    rate = record.number("SamplingFrequency")
    if file is None or not rate or rate <= 0 or file.status.st_size > _MOST_BYTES:
        return None
    columns = record.get("Columns")
    names = tuple(str(one) for one in columns.values) if columns is not None else ()
    shown = next((name for name in names if name not in _MARKS), None)
    if shown is None:
        return None
    rule = _rule(rules_file, record)
    path = file.path
    key = (
        path,
        file.status.st_mtime_ns,
        file.status.st_size,
        names,
        rate,
        record.kind,
        rule and rule.model_dump_json(),
    )
    curve = _CURVES.get(key, lambda: _find_curve(path, names, rate, record.kind, rule))
    if curve is None:
        return None
    return _draw(curve.signal, rate, shown, curve.peaks, _scans(record), rule, at=at)


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """The channel that is shown, and where its beats or breaths are."""

    signal: NDArray[np.float64]
    peaks: tuple[int, ...]


_CURVES: Final[Shelf[_Curve | None]] = Shelf(most=_KEPT, at_once=_AT_ONCE)


def _find_curve(path: Path, names: Sequence[str], rate: float, kind: str, rule: ChannelRule | None) -> _Curve | None:
    table = _read(path, len(names))
    if table is None or not len(table):
        return None
    curves = table[:, [index for index, name in enumerate(names) if name not in _MARKS]]
    signal = curves[:, 0].copy()
    signal.flags.writeable = False
    return _Curve(signal=signal, peaks=_peaks(curves, rate, kind, rule))


def _draw(
    signal: NDArray[np.float64],
    rate: float,
    column: str,
    peaks: Sequence[int],
    scans: Sequence[_Scan],
    rule: ChannelRule | None,
    *,
    at: float | None,
) -> Trace:
    import numpy as np  # noqa: PLC0415 - only for recordings

    count = len(signal)
    duration = count / rate
    known = signal[np.isfinite(signal)]
    low, high = (float(edge) for edge in np.percentile(known, _RANGE)) if len(known) else (0.0, 0.0)
    width = max(1, round(rate * (_CYCLES * 60.0 / rule.slowest if rule is not None and rule.band else _SECONDS)))
    if at is None:
        middle = peaks[len(peaks) // 2] if peaks else count // 2
        first = middle - width // 2
    else:
        first = round(at * rate)
    width = min(count, width)
    first = max(0, min(count - width, first))
    span = (low, high)
    return Trace(
        column=column,
        unit=rule.units if rule is not None and rule.units != "arbitrary" else "",
        duration=duration,
        found=len(peaks),
        whole=_panel(signal, rate, (0, count), WHOLE, span, (), scans),
        part=_panel(signal, rate, (first, first + width), PART, span, peaks, scans),
        earlier=max(0.0, (first - width) / rate) if first > 0 else None,
        later=min((first + width) / rate, duration) if first + width < count else None,
    )


def _panel(
    signal: NDArray[np.float64],
    rate: float,
    samples: tuple[int, int],
    heights: tuple[int, int],
    span: tuple[float, float],
    peaks: Sequence[int],
    scans: Sequence[_Scan],
) -> Panel:
    import numpy as np  # noqa: PLC0415 - only for recordings

    first, last = samples
    top, bottom = heights

    def across(sample: float) -> int:
        return round(WIDTH * (sample - first) / max(1, last - first - 1))

    def up(value: float) -> int:
        share = (value - span[0]) / (span[1] - span[0]) if span[1] > span[0] else 0.5
        return round(bottom - (bottom - top) * min(1.0, max(0.0, share)))

    part = signal[first:last]
    points: list[tuple[int, int] | None] = []
    if len(part) <= 2 * WIDTH:
        points = [(across(first + at), up(value)) if value == value else None for at, value in enumerate(part.tolist())]  # noqa: PLR0124 - not a number
    else:
        # A stroke from the lowest to the highest value of each column; gaps stay open.
        edges = np.linspace(0, len(part), WIDTH + 1).astype(int)
        for column, (start, stop) in enumerate(itertools.pairwise(edges)):
            values = part[start:stop]
            values = values[np.isfinite(values)]
            if not len(values):
                points.append(None)
                continue
            ends = (up(float(values.min())), up(float(values.max())))
            points += [(column, end) for end in (ends if column % 2 else ends[::-1])]
    return Panel(
        first=first / rate,
        last=last / rate,
        line=_path(points),
        scans=tuple(
            Span(words=one.words, start=max(0, across(one.start * rate)), stop=min(WIDTH, across(one.stop * rate)))
            for one in scans
            if one.stop * rate > first and one.start * rate < last
        ),
        peaks=tuple(
            (across(peak), up(float(signal[peak])))
            for peak in peaks
            if first <= peak < last and np.isfinite(signal[peak])
        ),
    )


def _path(points: Sequence[tuple[int, int] | None]) -> str:
    words: list[str] = []
    is_open, last = False, None
    for point in points:
        if point is None:
            is_open = False
        elif not is_open or point != last:
            words.append(f"{'L' if is_open else 'M'}{point[0]} {point[1]}")
            is_open, last = True, point
    return "".join(words)


def _read(path: Path, columns: int) -> NDArray[np.float64] | None:
    """Read a BIDS table without a header line: shape (samples, columns), NaN for `n/a`."""
    import numpy as np  # noqa: PLC0415 - only for recordings

    try:
        with gzip.open(path) as stream:
            text = stream.read(_MOST_TEXT + 1)
        if len(text) > _MOST_TEXT:
            return None
        values: NDArray[np.float64] = np.fromstring(text.replace(b"n/a", b"nan"), sep=" ")
    except (OSError, EOFError, zlib.error, ValueError, DeprecationWarning):
        return None
    if not columns or len(values) % columns:
        return None
    return values.reshape(-1, columns)


def _rule(rules_file: Path, record: Entity) -> ChannelRule | None:
    try:
        rules: PhysioRules = load_rules(rules_file)
    except RulesError:
        return None
    label = record.text("recording")
    return next(
        (one for one in rules.channels.values() if one.recording == label and one.record_type == record.kind), None
    )


def _peaks(curves: NDArray[np.float64], rate: float, kind: str, rule: ChannelRule | None) -> tuple[int, ...]:
    if rule is None:
        return ()
    names = tuple(f"{number}" for number in range(curves.shape[1]))
    recording = Recording(
        kind=kind,
        sampling_frequency=rate,
        start_ms=0.0,
        stop_ms=0.0,
        samples=curves,
        triggers=None,
        columns=names,
        units=names,
    )
    return find_rhythm(recording, rule).peaks


def _scans(record: Entity) -> tuple[_Scan, ...]:
    """Give the time of the scans, in seconds from the first sample.

    The clock of a recording that was cut to a scan begins with the scan's first volume (BIDS `StartTime`); that of a
    whole one is the time of day.
    """
    start = record.number("StartTime")
    if start is None:
        return ()
    during = read(record.ids("RecordedDuring"))
    if during:
        images, is_cut = tuple(during.values()), True
    else:
        session = record.reference("Session")
        question = f"FIND MRImage WITH Session={session}"
        images, is_cut = find(question, most=_MOST_SCANS).entities if session is not None else (), False
    found = []
    for image in images:
        begin = 0.0 if is_cut else _time_of_day(image.text("AcquisitionTime"))
        sidecar = {name: image.number(name) for name in ("RepetitionTime", "AcquisitionDuration")}
        seconds = scan_duration(sidecar, round(image.number("NumberOfVolumes") or 1))
        if begin is None or not seconds:
            continue
        # Past midnight the time of day begins again.
        begin += _DAY if begin - start < -_DAY / 2 else 0.0
        words = image.text("SeriesDescription") or image.name
        found.append(_Scan(words=words, start=begin - start, stop=begin - start + seconds))
    return tuple(found)


def _time_of_day(text: str) -> float | None:
    parts = text.split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds
