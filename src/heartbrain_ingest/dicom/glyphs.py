"""Find text drawn into pixels: rows of small shapes of one brightness that stand on one line, as glyphs do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heartbrain_ingest.dicom.files import DicomFile
from heartbrain_ingest.dicom.screens import may_show_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Height of a glyph in pixels: below, it can't be read; above, it is no annotation.
_HEIGHTS: Final = (5, 48)
#: Width of a glyph by its height; two that touch count as one.
_WIDEST: Final = 2.2
#: Part of its box that the strokes of a glyph fill.
_FILLED: Final = (0.12, 0.85)
#: Glyphs in a row that make a text. Four of them are an `i` or a scale that happens.
_FEWEST: Final = 5
#: Gap to the next glyph by the height.
_WIDEST_GAP: Final = 1.6
#: Most frequent brightness values that are looked at each by itself, background aside.
_VALUES: Final = 6
#: Share of the strokes that have exactly one brightness: the edges of smooth letters have others.
_SAME_INK: Final = 0.3
#: Above these parts of the whole range, or as far below, a pixel may be ink.
_BRIGHT: Final = (0.8, 0.7, 0.55)
#: How much more frequent than the next values an ink is, and what counts as next, as a part of the whole range.
_SPIKE: Final = 3
_NEAR: Final = 0.002
_FEWEST_SHAPES: Final = 3
#: Share of dark small shapes that stand in rows; those of noise lie anywhere.
_IN_ROWS: Final = 0.4
#: Frames that are searched of a long multi-frame object, evenly spread: text stands in all of them.
_MOST_FRAMES: Final = 32
_UNDEFINED: Final = "UNSEARCHED_PIXELS"


def text_code(file: DicomFile) -> str | None:
    """Give the issue code of an image whose pixels show text, or that may and can't be searched; None for others.

    Parameters
    ----------
    file
        A whole file. Only what `may_show_text` picks is looked at.
    """
    if not may_show_text(file):
        return None
    frames = _frames(file)
    if frames is None:
        return _UNDEFINED
    return "TEXT_IN_PIXELS" if any(shows_text(frame) for frame in frames) else None


def shows_text(frame: NDArray[Any]) -> bool:
    """Tell whether text is drawn into an image.

    Parameters
    ----------
    frame
        Brightness, (rows, columns), any number type.
    """
    values, counts = np.unique(frame, return_counts=True)
    spikes = _spikes(values, counts)
    return bool(spikes.size) and any(_has_row(mask, frame, spikes) for mask in _masks(frame, spikes))


def _spikes(values: NDArray[Any], counts: NDArray[np.int_]) -> NDArray[Any]:
    """Give the brightness values that far more pixels have than have the next ones: those of a pen, not of a body."""
    around = np.zeros_like(counts)
    near = np.diff(values.astype(float)) <= max(1.0, (float(values[-1]) - float(values[0])) * _NEAR)
    around[:-1] = np.where(near, counts[1:], 0)
    around[1:] = np.maximum(around[1:], np.where(near, counts[:-1], 0))
    enough = (counts >= 4 * _FEWEST) & (counts >= _SPIKE * around)
    order = np.argsort(counts[enough])[::-1]
    found: NDArray[Any] = values[enough][order]
    return found


def _masks(frame: NDArray[Any], spikes: NDArray[Any]) -> Iterator[NDArray[np.bool_]]:
    """Give the pixels that may be strokes: the brightest, the darkest, and those of each frequent value."""
    low, span = frame.min(), float(frame.max()) - float(frame.min())
    for part in _BRIGHT:
        yield frame >= low + part * span
        yield frame <= low + (1 - part) * span
    for value in spikes[: _VALUES + 1]:
        mask = frame == value
        if 2 * np.count_nonzero(mask) < frame.size:  # on more of the pixels it is a background
            yield mask


def _has_row(mask: NDArray[np.bool_], frame: NDArray[Any], spikes: NDArray[Any]) -> bool:
    from scipy import ndimage  # noqa: PLC0415 - half a second, for the few images that are searched

    labels, number = ndimage.label(mask, structure=np.ones((3, 3)))
    if number < _FEWEST:
        return False
    boxes, small = [], 0
    sizes = np.bincount(labels.ravel())
    for label, place in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = place
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if height <= _HEIGHTS[1] and width <= _WIDEST * _HEIGHTS[1]:
            small += int(sizes[label])
        if not (_HEIGHTS[0] <= height <= _HEIGHTS[1] and width <= _WIDEST * height):
            continue
        inside = labels[place] == label
        filled = inside.mean()
        # A thin upright stroke (I, l, 1) fills its box.
        if _FILLED[0] <= filled <= _FILLED[1] or (width <= max(2, height // 4) and filled > _FILLED[0]):
            boxes.append((rows.start, rows.stop, columns.start, columns.stop, label))
    drawn = [row for row in _rows(boxes) if _is_drawn(row, labels, frame, spikes)]
    in_rows = sum(int(sizes[box[-1]]) for row in drawn for box in row)
    # The holes in the noise around a body are as dark as black letters.
    is_dark = bool(mask[frame == frame.min()].any())
    return bool(drawn) and (not is_dark or in_rows >= _IN_ROWS * small)


_Box = tuple[int, int, int, int, int]


def _rows(boxes: list[_Box]) -> Iterator[list[_Box]]:
    """Give the runs of shapes that stand on one line, of about one height, near to each other."""
    left = sorted(boxes, key=lambda box: box[2])
    while left:
        row = [left.pop(0)]
        rest = []
        for box in left:
            top, bottom, start, *_ = row[-1]
            height = bottom - top
            tallest = max(height, box[1] - box[0])
            fits = (
                abs(box[1] - bottom) <= max(1, tallest // 6)
                and min(height, box[1] - box[0]) >= 0.55 * tallest
                and box[2] - row[-1][3] <= _WIDEST_GAP * tallest
                and box[2] >= start
            )
            if fits:
                row.append(box)
            else:
                rest.append(box)
        if len(row) >= _FEWEST:
            yield row
        left = rest if len(row) < len(left) + 1 else []


def _is_drawn(row: list[_Box], labels: NDArray[Any], frame: NDArray[Any], spikes: NDArray[Any]) -> bool:
    """Tell strokes of one ink, of different shapes, from the grain of an image."""
    strokes = []
    for top, bottom, start, stop, label in row:
        place = (slice(top, bottom), slice(start, stop))
        strokes.append(frame[place][labels[place] == label])
    values, counts = np.unique(np.concatenate(strokes), return_counts=True)
    if counts.max() < _SAME_INK * counts.sum() or values[counts.argmax()] not in spikes:
        return False
    # Equal marks at equal distances are a scale.
    shapes = {
        (bottom - top, stop - start, ink.size) for (top, bottom, start, stop, _), ink in zip(row, strokes, strict=True)
    }
    return len(shapes) >= _FEWEST_SHAPES


def _frames(file: DicomFile) -> list[NDArray[Any]] | None:
    """Give the brightness of the frames; None where the pixels can't be decoded here."""
    import io  # noqa: PLC0415 - for the few images that are searched

    from pydicom import dcmread  # noqa: PLC0415 - the same

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = np.asarray(dcmread(io.BytesIO(_with_frame(file)), force=True).pixel_array)
    except Exception:  # noqa: BLE001 - a codec that is missing, damaged data: each has its own exceptions
        return None
    if pixels.ndim > 2 and pixels.shape[-1] in {3, 4}:  # noqa: PLR2004 - colours
        pixels = pixels[..., :3].max(axis=-1)
    frames = list(pixels.reshape(-1, *pixels.shape[-2:]))
    return frames[:: max(1, len(frames) // _MOST_FRAMES)]


def _with_frame(file: DicomFile) -> bytes:
    from heartbrain_ingest.dicom.files import TRANSFER_SYNTAX, opening  # noqa: PLC0415 - the same

    return opening({TRANSFER_SYNTAX: file.syntax.encode("ascii", "replace")}) + file.data[file.body :]
