"""Draw a spectrum: its magnitude over the chemical shift, as a text of SVG that is the same for the same spectrum."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Pixels. No number in a drawing has more than three digits, so that none is taken for a registration number.
_WIDTH, _HEIGHT = 600, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 10, 590, 30, 205
#: Chemical shift of water at body temperature in ppm, which is where the frequency 0 lies for hydrogen in NIfTI-MRS.
_WATER: Final = 4.65
#: What is drawn of hydrogen, in ppm: the metabolites, without the rest of water.
_HYDROGEN: Final = (0.2, 4.2)
_WATER_REFERENCE: Final = (2.0, 7.0)
#: Widening of the lines in Hz, against the noise.
_WIDENING: Final = 3.0
_EXTENSION: Final = 44
_MARK: Final = b"mrs_v"
_MOST_TICKS: Final = 10
_STYLE: Final = "text{font:12px sans-serif;fill:#333}.line{fill:none;stroke:#1f4e79}.frame{fill:none;stroke:#bbb}"


def is_spectroscopy(image: Any) -> bool:
    """Tell whether a nibabel image is one of spectra (NIfTI-MRS: the name of its intent)."""
    return bytes(image.header["intent_name"].item()).startswith(_MARK)


def draw_spectrum(image: Any) -> str:
    """Draw the strongest spectrum of an image as SVG, the mean of its repetitions.

    Parameters
    ----------
    image
        A nibabel image as NIfTI-MRS has it: i, j, k, time, further axes.
    """
    content = _content(image)
    nucleus, frequency = _first(content.get("ResonantNucleus"), ""), _first(content.get("SpectrometerFrequency"), 0.0)
    shifts, heights = _spectrum(image)
    hydrogen = nucleus == "1H" and frequency > 0
    if frequency > 0:
        # A frequency above that of the receiver is a lower shift.
        shifts = (_WATER if hydrogen else 0.0) - shifts / frequency
    low, high = float(shifts.min()), float(shifts.max())
    if hydrogen:
        low, high = _WATER_REFERENCE if content.get("WaterSuppressed") is False else _HYDROGEN
    seen = (shifts >= low) & (shifts <= high)
    if not seen.any():
        low, high, seen = float(shifts.min()), float(shifts.max()), np.ones(len(shifts), bool)
    shifts, heights = shifts[seen], heights[seen]
    order = np.argsort(-shifts)
    top = float(heights.max()) or 1.0
    # The greatest shift stands on the left, as in all of spectroscopy.
    across = np.rint(_LEFT + (_RIGHT - _LEFT) * (high - shifts[order]) / ((high - low) or 1.0)).astype(int)
    down = np.rint(_BOTTOM - (_BOTTOM - _TOP) * heights[order] / top).astype(int)
    unit = "ppm" if frequency > 0 else "Hz"
    size = f'width="{_WIDTH}" height="{_HEIGHT}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {size}>',
        f"<style>{_STYLE}</style>",
        # Pages lay pictures on black.
        f'<rect {size} fill="#fff"/>',
        f'<text x="{_LEFT}" y="20">{escape(f"{nucleus} magnitude, {unit}".strip())}</text>',
        f'<path class="line" d="{_path(across, down)}"/>',
        f'<rect class="frame" x="{_LEFT}" y="{_TOP}" width="{_RIGHT - _LEFT}" height="{_BOTTOM - _TOP}"/>',
    ]
    for tick in _ticks(low, high):
        place = round(_LEFT + (_RIGHT - _LEFT) * (high - tick) / ((high - low) or 1.0))
        lines.append(f'<text x="{place}" y="222" text-anchor="middle">{tick:g}</text>')
        lines.append(f'<path class="frame" d="M{place} {_BOTTOM}v4"/>')
    return "\n".join([*lines, "</svg>", ""])


def _content(image: Any) -> dict[str, Any]:
    for extension in image.header.extensions:
        if extension.get_code() == _EXTENSION:
            content = json.loads(bytes(extension.get_content()).rstrip(b"\0 "))
            return content if isinstance(content, dict) else {}
    return {}


def _first(value: Any, default: Any) -> Any:
    found = value[0] if isinstance(value, list) and value else value
    return found if isinstance(found, type(default)) else default


def _spectrum(image: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give frequencies in Hz and the magnitude at each."""
    signal = np.asarray(image.dataobj, np.complex128)
    points = signal.shape[3]
    signal = signal.reshape(-1, points, int(np.prod(signal.shape[4:]))).mean(axis=2)
    strongest = signal[int(np.argmax((np.abs(signal) ** 2).sum(axis=1)))]
    step = float(image.header["pixdim"][4]) or 1.0
    decaying = strongest * np.exp(-np.pi * _WIDENING * step * np.arange(points))
    heights: NDArray[np.float64] = np.abs(np.fft.fft(decaying, 2 * points))
    frequencies: NDArray[np.float64] = np.fft.fftfreq(2 * points, step).astype(np.float64)
    return frequencies, heights


def _path(across: NDArray[np.int_], down: NDArray[np.int_]) -> str:
    """Join the highest and the lowest point of each column of pixels."""
    parts: list[str] = []
    for column in np.unique(across):
        heights = down[across == column]
        ends = [int(heights[0])] if len(heights) == 1 else [int(heights.max()), int(heights.min())]
        parts += [f"{'L' if parts else 'M'}{column} {ends[0]}", *(f"V{end}" for end in ends[1:])]
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Give round numbers between two ends, ten at most and of three digits at most."""
    span = high - low
    step = next(
        (step for step in (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0) if span / step <= _MOST_TICKS), 0
    )
    if not step:
        return []
    first = int(np.ceil(low / step))
    return [one for one in (step * number for number in range(first, int(high / step) + 1)) if abs(one) < 1000]  # noqa: PLR2004
