"""Pictures of maps: slices side by side with a colour bar, histograms, and one page that holds them."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: Slices in a row.
_SLICES: Final = 5
_DPI: Final = 110
_MARGINS: Final = {"left": 0.01, "right": 0.985, "top": 0.95, "bottom": 0.06, "wspace": 0.08, "hspace": 0.28}
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "td,th{padding:.25rem .8rem;text-align:left;border-bottom:1px solid #ddd}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "img{max-width:100%}.note{background:#fff4d6;padding:.6rem 1rem}"
)


def show_maps(path: Path, maps: Mapping[str, Array], mask: NDArray[np.bool_]) -> Path:
    """Draw each map in a row of slices through the object, and its histogram.

    Parameters
    ----------
    path
        PNG to write.
    maps
        Title, with the unit, to (i, j, k); NaN where there is no value.
    mask
        (i, j, k): the object.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - a second, only when drawing
    from matplotlib.figure import Figure  # noqa: PLC0415 - the same

    box = _around(mask)
    slices = _chosen(mask)
    rows = len(maps)
    # Margins as they are, without a layout that is computed: that takes as long as all the rest.
    figure: Any = Figure(figsize=(2.1 * (len(slices) + 1.4), 2.2 * rows))
    FigureCanvasAgg(figure)
    widths = [*([1] * len(slices)), 1.4]
    axes = figure.subplots(rows, len(slices) + 1, squeeze=False, gridspec_kw={"width_ratios": widths, **_MARGINS})
    for row, (title, values) in enumerate(maps.items()):
        inside = values[mask & np.isfinite(values)]
        low, high = np.percentile(inside, [2, 98]) if inside.size else (0.0, 1.0)
        high = high if high > low else low + 1
        for column, k in enumerate(slices):
            axis = axes[row, column]
            shown = np.where(mask[:, :, k], values[:, :, k], np.nan)[box]
            drawn = axis.imshow(shown.T, origin="lower", cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
            axis.set_axis_off()
        axes[row, 0].set_title(title, loc="left", fontsize=9)
        figure.colorbar(drawn, ax=list(axes[row, :-1]), shrink=0.8, pad=0.01).ax.tick_params(labelsize=7)
        if inside.size:
            axes[row, -1].hist(np.clip(inside, low, high), bins=60, color="#30678d")
        axes[row, -1].tick_params(labelsize=7, labelleft=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the writer's version the same maps give the same bytes.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return path


def _around(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Give the part of a slice that the object fills, and a little more."""
    parts = []
    for axis in (0, 1):
        filled = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        margin = 2 + len(filled) // 10
        first, last = (filled[0], filled[-1]) if filled.size else (0, mask.shape[axis])
        parts.append(slice(max(0, first - margin), last + margin + 1))
    return parts[0], parts[1]


def _chosen(mask: NDArray[np.bool_]) -> list[int]:
    filled = np.flatnonzero(mask.any(axis=(0, 1)))
    if not filled.size:
        return [mask.shape[2] // 2]
    places = np.linspace(filled[0], filled[-1], min(_SLICES, len(filled)) + 2)[1:-1]
    return sorted({round(place) for place in places})


def write_page(
    path: Path,
    *,
    title: str,
    summary: Sequence[tuple[str, str]],
    notes: Sequence[str],
    pictures: Sequence[tuple[str, Path]],
    details: Sequence[tuple[str, str]],
) -> Path:
    """Write a page that needs no other file: numbers first, then pictures, then how it was made."""
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"]
    parts.append(f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>")
    parts += [f"<p class=note>{html.escape(note)}</p>" for note in notes]
    parts.append(_table(summary))
    for caption, picture in pictures:
        data = base64.b64encode(picture.read_bytes()).decode("ascii")
        text = html.escape(caption)
        parts.append(f'<h2>{text}</h2><img alt="{text}" src="data:image/png;base64,{data}">')
    parts.append("<h2>How it was made</h2>" + _table(details))
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")
    return path


def _table(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{html.escape(name)}<td class=n>{html.escape(value)}" for name, value in rows)
    return f"<table>{cells}</table>"


#: Planes that are shown: across which axis, and how far along the object; not through the fissure in the middle.
_CUTS: Final = ((2, 0.5), (1, 0.5), (0, 0.4), (2, 0.7))
_COLOURS: Final = ("#3b76c4", "#e0a030", "#d8d8d8", "#b03060")


def show_labels(
    path: Path,
    background: Array,
    labels: NDArray[np.uint8],
    names: Mapping[str, int],
    whole: Array,
) -> Path:
    """Draw a segmentation over its image in three planes: the image with the outer border, and the labels.

    Parameters
    ----------
    path
        PNG to write.
    background
        (i, j, k): the image within the labels.
    labels
        (i, j, k): 0 outside.
    names
        What each label is called.
    whole
        (i, j, k): the image with all around it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - a second, only when drawing
    from matplotlib.colors import ListedColormap  # noqa: PLC0415 - the same
    from matplotlib.figure import Figure  # noqa: PLC0415 - the same
    from matplotlib.patches import Patch  # noqa: PLC0415 - the same

    inside = labels > 0
    top = float(np.percentile(background[inside], 99.5)) if inside.any() else 1.0
    colours = ListedColormap(_COLOURS[: len(names)])
    figure: Any = Figure(figsize=(11, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 4)
    for column, (axis, part) in enumerate(_CUTS):
        place = _middle(inside, axis, part)
        image, tissue = whole.take(place, axis).T, labels.take(place, axis).T
        for row in (0, 1):
            axes[row, column].imshow(image, origin="lower", cmap="gray", vmin=0, vmax=top, interpolation="nearest")
            axes[row, column].set_axis_off()
        if tissue.any():
            axes[0, column].contour(tissue > 0, levels=[0.5], colors=["#e03030"], linewidths=0.8)
            shown = np.ma.masked_equal(tissue, 0)
            axes[1, column].imshow(
                shown, origin="lower", cmap=colours, vmin=0.5, vmax=len(names) + 0.5, interpolation="nearest"
            )
    patches = [Patch(color=_COLOURS[number - 1], label=name) for name, number in names.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(names), fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return path


def _middle(mask: NDArray[np.bool_], axis: int, part: float) -> int:
    filled = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
    return int(filled[int(part * (len(filled) - 1))]) if filled.size else int(mask.shape[axis] * part)
