"""Draw a recording: all of it with the time of the scans shaded, and a few cycles with the peaks that were found.

The drawing is SVG, written by hand: text that is the same for the same recording, a few kilobytes, sharp at any size.
Its numbers have three digits at most, so that none is taken for a registration number by the leak audit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heartbrain_ingest.physio.peaks import Rhythm
    from heartbrain_ingest.physio.recording import Recording
    from heartbrain_ingest.physio.rules import ChannelRule

PICTURE_ENDING = "_trace.svg"
WIDTH, HEIGHT = 900, 340
LEFT, RIGHT = 10, 890
#: Top and bottom of the two panels.
WHOLE, DETAIL = (40, 150), (190, 310)
#: So many of the slowest cycles are shown in detail; without cycles so many seconds.
CYCLES = 10
SECONDS = 10.0
#: Percentiles of the samples that the panels span, so that one spike does not flatten the rest.
RANGE = (0.1, 99.9)
STYLE = (
    "text{font:12px sans-serif;fill:#333}.scan{fill:#dce9f7}.line{fill:none;stroke:#1f4e79}"
    ".peak{fill:#c0392b}.frame{fill:none;stroke:#bbb}"
)


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """A part of the signal and where it is drawn."""

    signal: NDArray[np.float64]
    #: Number of the first sample.
    first: int
    top: int
    bottom: int
    low: float
    high: float

    def x(self, sample: float) -> int:
        return round(LEFT + (RIGHT - LEFT) * (sample - self.first) / max(1, len(self.signal) - 1))

    def y(self, value: float) -> int:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.bottom - (self.bottom - self.top) * min(1.0, max(0.0, share)))


def draw(
    recording: Recording, rhythm: Rhythm, rule: ChannelRule, scans: Sequence[tuple[float, float]], *, channel: int = 0
) -> str:
    """Draw a recording as SVG.

    Parameters
    ----------
    scans
        Beginning and end of each scan in seconds from the first sample.
    channel
        The channel that is shown.
    """
    signal = recording.samples[:, channel]
    known = signal[np.isfinite(signal)]
    low, high = (float(edge) for edge in np.percentile(known, RANGE)) if len(known) else (0.0, 0.0)
    rate = recording.sampling_frequency
    whole = _Panel(signal=signal, first=0, top=WHOLE[0], bottom=WHOLE[1], low=low, high=high)
    width = round(min(len(signal), rate * (CYCLES * 60.0 / rule.slowest if rule.band else SECONDS)))
    first = _interesting(rhythm, len(signal), width)
    detail = _Panel(
        signal=signal[first : first + width], first=first, top=DETAIL[0], bottom=DETAIL[1], low=low, high=high
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        f"<style>{STYLE}</style>",
        f'<text x="{LEFT}" y="20">{escape(_title(recording, rhythm, rule, channel))}</text>',
    ]
    for panel in (whole, detail):
        lines += [_scan(panel, scan, rate) for scan in scans if _is_seen(panel, scan, rate)]
        lines.append(f'<path class="line" d="{_line(panel)}"/>')
        lines.append(
            f'<rect class="frame" x="{LEFT}" y="{panel.top}" width="{RIGHT - LEFT}"'
            f' height="{panel.bottom - panel.top}"/>'
        )
        lines += _ends(panel, rate)
    heights = np.where(np.isfinite(signal), signal, low)
    lines += [
        f'<circle class="peak" cx="{detail.x(peak)}" cy="{detail.y(float(heights[peak]))}" r="3"/>'
        for peak in rhythm.peaks
        if first <= peak < first + width
    ]
    return "\n".join([*lines, "</svg>", ""])


def _interesting(rhythm: Rhythm, count: int, width: int) -> int:
    """Give where the detail begins: around the middle peak, else in the middle."""
    middle = rhythm.peaks[len(rhythm.peaks) // 2] if rhythm.peaks else count // 2
    return max(0, min(count - width, middle - width // 2))


def _title(recording: Recording, rhythm: Rhythm, rule: ChannelRule, channel: int) -> str:
    parts = [rule.record_type.removesuffix("Recording"), f"{recording.columns[channel]} [{recording.units[channel]}]"]
    if rhythm.mean_rate is not None:
        parts.append(f"{rhythm.mean_rate:.1f}/min")
    if rhythm.quality is not None:
        parts.append(f"signal quality {rhythm.quality:.2f}")
    return ", ".join(parts)


def _line(panel: _Panel) -> str:
    """Draw one vertical stroke from the lowest to the highest value of each column of pixels; gaps stay open."""
    count = len(panel.signal)
    if count <= 2 * (RIGHT - LEFT):
        points = [
            (panel.x(panel.first + index), panel.y(float(value))) if np.isfinite(value) else None
            for index, value in enumerate(panel.signal)
        ]
        return _polyline(points)
    edges = np.linspace(0, count, RIGHT - LEFT + 1).astype(int)
    strokes: list[tuple[int, int] | None] = []
    for column, (start, stop) in enumerate(itertools.pairwise(edges)):
        values = panel.signal[start:stop]
        values = values[np.isfinite(values)]
        if not len(values):
            strokes.append(None)
            continue
        ends = [panel.y(float(values.min())), panel.y(float(values.max()))]
        strokes += [(LEFT + column, end) for end in (ends if column % 2 else ends[::-1])]
    return _polyline(strokes)


def _polyline(points: Sequence[tuple[int, int] | None]) -> str:
    words: list[str] = []
    is_open, last = False, None
    for point in points:
        if point is None:
            is_open = False
            continue
        if is_open and point == last:
            continue
        words.append(f"{'L' if is_open else 'M'}{point[0]} {point[1]}")
        is_open, last = True, point
    return "".join(words)


def _is_seen(panel: _Panel, scan: tuple[float, float], rate: float) -> bool:
    return scan[1] * rate > panel.first and scan[0] * rate < panel.first + len(panel.signal)


def _scan(panel: _Panel, scan: tuple[float, float], rate: float) -> str:
    start, stop = (min(RIGHT, max(LEFT, panel.x(second * rate))) for second in scan)
    return (
        f'<rect class="scan" x="{start}" y="{panel.top}" width="{max(1, stop - start)}"'
        f' height="{panel.bottom - panel.top}"/>'
    )


def _ends(panel: _Panel, rate: float) -> list[str]:
    """Write when the panel begins and ends, minutes and seconds from the first sample."""
    texts = (_clock(panel.first / rate), _clock((panel.first + len(panel.signal)) / rate))
    y = panel.bottom + 15
    return [
        f'<text x="{LEFT}" y="{y}">{texts[0]}</text>',
        f'<text x="{RIGHT}" y="{y}" text-anchor="end">{texts[1]}</text>',
    ]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
