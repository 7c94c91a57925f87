"""Three planes through the middle of an image, laid side by side as a person looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Height and width of one plane in pixels: its longer edge.
EDGE: Final = 256
#: Shorter edges than this many voxels make no plane, unless none is longer.
_LEAST: Final = 6
#: Percentiles of the voxels above zero that become black and white.
_WINDOW: Final = (1.0, 99.5)
_GAP: Final = 4
_GLYPHS: Final = {"L": ("1000", "1000", "1000", "1000", "1000", "1000", "1111")}
_GLYPH_SCALE: Final = 2


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One plane: voxels (columns to the right, rows upwards, further axes as they are) and their size in mm."""

    voxels: NDArray[Any]
    width_mm: float
    height_mm: float
    #: What is at the left edge.
    left: str


def cut_planes(image: Any, volumes: slice) -> list[Plane]:
    """Read the sagittal, coronal and axial plane through the middle of an image.

    Parameters
    ----------
    image
        A nibabel image of three or more dimensions; only the planes are read.
    volumes
        Which volumes, for an image that has several.

    Returns
    -------
    list of Plane
        In the orientation of the patient (RAS): right of the patient is to the right, the nose to the right in the
        sagittal plane, up is up. An image that is thin along an axis has only the planes that show something.
    """
    from nibabel.orientations import io_orientation  # noqa: PLC0415 - 0.2 s, only where pictures are made

    shape = (*image.shape, 1, 1, 1)[:3]
    sizes = (*image.header.get_zooms(), 1.0, 1.0, 1.0)[:3]
    orientation: NDArray[np.float64] = io_orientation(image.affine)  # type: ignore[no-untyped-call]
    axis_of = {int(patient): voxel for voxel, (patient, _) in enumerate(orientation) if not np.isnan(patient)}
    if len(axis_of) < 3:  # noqa: PLR2004 - a broken affine: take the axes as they are
        axis_of, orientation = {0: 0, 1: 1, 2: 2}, np.array([[0, 1], [1, 1], [2, 1]])
    planes = []
    for through, right, up, left in ((0, 1, 2, ""), (1, 0, 2, "L"), (2, 0, 1, "L")):
        i, j, k = axis_of[right], axis_of[up], axis_of[through]
        if min(shape[i], shape[j]) < _LEAST <= sorted(shape)[1]:
            continue
        index: list[Any] = [slice(None)] * len(image.shape)
        if k < len(image.shape):
            index[k] = shape[k] // 2
        if len(image.shape) > 3:  # noqa: PLR2004 - i, j, k, t
            index[3:] = [volumes, *[0] * (len(image.shape) - 4)]
        voxels = _read(image.dataobj, tuple(index))
        if i > j:
            voxels = voxels.swapaxes(0, 1)
        for place, axis in ((0, i), (1, j)):
            if orientation[axis][1] < 0:
                voxels = np.flip(voxels, place)
        planes.append(Plane(voxels=voxels, width_mm=float(sizes[i]), height_mm=float(sizes[j]), left=left))
    return planes


def _read(proxy: Any, index: tuple[Any, ...]) -> NDArray[Any]:
    """Read a part of the voxels from the mapped file, scaled as the header says; whole numbers stay whole."""
    voxels: NDArray[Any] = np.asarray(proxy.get_unscaled()[index])
    if voxels.dtype.names is not None or (proxy.slope, proxy.inter) == (1, 0):
        return voxels
    scaled: NDArray[np.float64] = voxels * proxy.slope + proxy.inter
    return scaled


def lay_out(planes: list[Plane]) -> NDArray[np.uint8]:
    """Give the pixels of planes of single values or of colours (last axis 3), in one grey window for all."""
    colour = planes[0].voxels.ndim == 3  # noqa: PLR2004 - columns, rows, colours
    low, high = (0.0, 255.0) if colour else _window(planes)
    shown = []
    for plane in planes:
        scaled = _resize(_grey(plane.voxels, low, high), plane.width_mm, plane.height_mm)
        picture = np.flip(scaled, 1).swapaxes(0, 1)
        shown.append(_mark(picture, plane.left))
    height = max(picture.shape[0] for picture in shown)
    columns = [_centre(picture, height) for picture in shown]
    gap = np.zeros((height, _GAP, *columns[0].shape[2:]), np.uint8)
    parts = [part for column in columns for part in (column, gap)][:-1]
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _window(planes: list[Plane]) -> tuple[float, float]:
    """Choose black and white by what is not background, so that a few bright voxels don't darken all others."""
    values = np.concatenate([np.asarray(plane.voxels, np.float64).ravel() for plane in planes])
    values = values[np.isfinite(values)]
    signal = values[values != 0]
    if not signal.size:
        return 0.0, 1.0
    low, high = np.percentile(signal, _WINDOW)
    # A magnitude image is black where nothing is; a map of a field has both signs.
    low = min(low, 0.0) if signal.min() < 0 else 0.0
    return float(low), float(high if high > low else low + 1)


def _grey(voxels: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    values = np.nan_to_num(np.asarray(voxels, np.float64), nan=low, posinf=high, neginf=low)
    return np.clip((values - low) * (255.0 / (high - low)), 0.0, 255.0)


def _resize(voxels: NDArray[np.float64], width_mm: float, height_mm: float) -> NDArray[np.uint8]:
    """Bring a plane to the size of the picture by linear interpolation, with the true proportions."""
    wide, high = voxels.shape[0] * width_mm, voxels.shape[1] * height_mm
    largest = max(wide, high, 1e-6)
    for axis, length in ((0, wide), (1, high)):
        count = max(1, round(EDGE * length / largest))
        places = np.clip((np.arange(count) + 0.5) * voxels.shape[axis] / count - 0.5, 0, voxels.shape[axis] - 1)
        below = np.floor(places).astype(np.intp)
        above = np.minimum(below + 1, voxels.shape[axis] - 1)
        share = (places - below).reshape([-1 if each == axis else 1 for each in range(voxels.ndim)])
        voxels = voxels.take(below, axis) * (1 - share) + voxels.take(above, axis) * share
    return np.rint(voxels).astype(np.uint8)


def _mark(picture: NDArray[np.uint8], letter: str) -> NDArray[np.uint8]:
    """Write what is at the left edge into the upper left corner."""
    if letter not in _GLYPHS:
        return picture
    glyph = np.array([[int(dot) for dot in row] for row in _GLYPHS[letter]], np.uint8)
    dots = glyph.repeat(_GLYPH_SCALE, 0).repeat(_GLYPH_SCALE, 1)
    if picture.shape[0] < dots.shape[0] + 4 or picture.shape[1] < dots.shape[1] + 4:
        return picture
    marked = picture.copy()
    marked[2 : 2 + dots.shape[0], 2 : 2 + dots.shape[1]][dots == 1] = 255
    return marked


def _centre(picture: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    above = (height - picture.shape[0]) // 2
    rest = [(0, 0)] * (picture.ndim - 1)
    return np.pad(picture, [(above, height - picture.shape[0] - above), *rest])
