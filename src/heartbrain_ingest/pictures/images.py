"""Draw the planes of an image; of a series of volumes also the mean and the temporal signal-to-noise ratio."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from heartbrain_ingest.pictures.places import ENDINGS
from heartbrain_ingest.pictures.planes import Plane, cut_planes, lay_out
from heartbrain_ingest.pictures.png import encode_png
from heartbrain_ingest.pictures.spectra import draw_spectrum, is_spectroscopy

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Fewer volumes have no temporal signal-to-noise ratio worth a look.
_LEAST_VOLUMES: Final = 4
#: Of longer series so many volumes count, evenly spaced: a picture needs no more.
_MOST_VOLUMES: Final = 128
_COLOURS: Final = ("R", "G", "B")


def draw_pictures(nifti: Path, stem: Path) -> list[Path]:
    """Draw the pictures of an image beside each other in one folder.

    Only three planes of the image are read. The same image gives the same bytes.

    Parameters
    ----------
    nifti
        The image.
    stem
        Path of the pictures without ``_<kind>.png``; the folder is made.

    Returns
    -------
    list of Path
        What was written: the planes; for four volumes or more also the mean and the temporal signal-to-noise ratio.
        Of spectra a drawing, and nothing else.
    """
    import nibabel  # noqa: PLC0415 - 0.2 s, only where images are made

    image: Any = nibabel.load(nifti)
    stem.parent.mkdir(parents=True, exist_ok=True)
    if is_spectroscopy(image):
        drawing = stem.with_name(f"{stem.name}{ENDINGS[-1]}")
        drawing.write_text(draw_spectrum(image), encoding="ascii")
        return [drawing]
    volumes = image.shape[3] if len(image.shape) > 3 else 1  # noqa: PLR2004 - i, j, k, t
    step = -(-volumes // _MOST_VOLUMES)
    planes = [replace(plane, voxels=_plain(plane.voxels)) for plane in cut_planes(image, slice(0, None, step))]
    shown = {"planes": [replace(plane, voxels=_first(plane.voxels, volumes)) for plane in planes]}
    if volumes >= _LEAST_VOLUMES and planes[0].voxels.dtype.names is None:
        parts = [_moments(plane) for plane in planes]
        shown["mean"] = [replace(plane, voxels=mean) for plane, (mean, _) in zip(planes, parts, strict=True)]
        shown["tsnr"] = [replace(plane, voxels=ratio) for plane, (_, ratio) in zip(planes, parts, strict=True)]
    written = []
    for kind, laid in shown.items():
        path = stem.with_name(f"{stem.name}_{kind}.png")
        path.write_bytes(encode_png(lay_out([replace(one, voxels=_colours(one.voxels)) for one in laid])))
        written.append(path)
    return written


def _plain(voxels: NDArray[Any]) -> NDArray[Any]:
    """Turn complex values into magnitudes."""
    return np.abs(voxels) if np.iscomplexobj(voxels) else voxels


def _colours(voxels: NDArray[Any]) -> NDArray[Any]:
    """Turn the structured type of colour images into a last axis."""
    if voxels.dtype.names is None:
        return voxels
    return np.stack([voxels[name] for name in _COLOURS], axis=-1)


def _first(voxels: NDArray[Any], volumes: int) -> NDArray[Any]:
    return voxels[..., 0] if volumes > 1 or voxels.ndim > 2 else voxels  # noqa: PLR2004 - columns and rows


def _moments(plane: Plane) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the mean over the volumes, and mean over standard deviation (0 where nothing varies)."""
    voxels = plane.voxels
    # Sums of whole numbers are exact: the same on every processor, whatever the order of adding.
    exact = np.issubdtype(voxels.dtype, np.integer)
    values = voxels.astype(np.int64 if exact else np.float64)
    count = values.shape[-1]
    total = values.sum(axis=-1)
    squares = (values * values).sum(axis=-1)
    mean = total / count
    variance = np.maximum(count * squares - total * total, 0) / (count * (count - 1))
    deviation = np.sqrt(variance)
    ratio = np.divide(np.abs(mean), deviation, out=np.zeros_like(mean), where=deviation > 0)
    return mean, ratio
