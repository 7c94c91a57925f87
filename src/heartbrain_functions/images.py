"""Read and write NIfTI images; find what belongs to an image, and what of it is object and not air."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from heartbrain_functions.errors import FunctionError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
_BINS = 256
#: Parts of an image below this share of its largest one are specks.
_DIMENSIONS_OF_SERIES = 4


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image and where it came from."""

    path: Path
    data: Array
    affine: Array
    header: Any

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000


def read_image(path: Path, *, dimensions: int) -> Image:
    """Read an image.

    Parameters
    ----------
    path
        A NIfTI file.
    dimensions
        3, or 4 for a series of volumes.

    Raises
    ------
    FunctionError
        It can't be read, or has other dimensions.
    """
    try:
        image: Any = nib.load(path)
        data = np.asarray(image.dataobj, dtype=np.float64)
    except (OSError, ValueError, EOFError, nib.filebasedimages.ImageFileError) as error:
        raise FunctionError("UNREADABLE_IMAGE", "The image can't be read: send it again.") from error
    while data.ndim > dimensions and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim != dimensions:
        kind = "a series of volumes" if dimensions == _DIMENSIONS_OF_SERIES else "one volume"
        raise FunctionError("WRONG_DIMENSIONS", f"The image has {data.ndim} dimensions; this function takes {kind}.")
    return Image(path=path, data=data, affine=np.asarray(image.affine), header=image.header)


def write_map(path: Path, data: NDArray[Any], like: Image) -> Path:
    """Write one volume on the grid of another image, as 32-bit numbers or as it is for masks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = data.astype(np.uint8) if data.dtype.kind in "bu" else data.astype(np.float32)
    header = like.header.copy()
    header.set_data_dtype(content.dtype)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["cal_min"] = header["cal_max"] = 0
    nib.save(nib.Nifti1Image(content, like.affine, header), path)  # type: ignore[no-untyped-call]
    return path


def only_one(folder: Path, pattern: str, what: str) -> Path:
    """Find the one input of a kind.

    Raises
    ------
    FunctionError
        There is none, or more than one.
    """
    found = sorted(folder.rglob(pattern))
    if len(found) != 1:
        raise FunctionError("MISSING_INPUT", f"One {what} is needed; there are {len(found)}.")
    return found[0]


def beside(image: Path, ending: str) -> Path | None:
    """Give the file with the name of an image and another ending, if it is there."""
    path = image.with_name(image.name.removesuffix(".gz").removesuffix(".nii") + ending)
    return path if path.is_file() else None


def object_mask(volume: Array) -> Mask:
    """Tell object from air: Otsu's threshold, the largest part, holes filled (Otsu, IEEE Trans SMC 1979;9:62)."""
    top = float(np.percentile(volume, 99))
    if top <= 0:
        return np.zeros(volume.shape, dtype=bool)
    counts, edges = np.histogram(np.clip(volume, 0, top), bins=_BINS, range=(0, top))
    middle = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middle)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    if not np.isfinite(between[:-1]).any():  # all voxels are alike
        return np.zeros(volume.shape, dtype=bool)
    threshold = middle[int(np.nanargmax(between[:-1]))]
    # Dark tissue beside bright fat or fluid is object too.
    labels, count = ndimage.label(volume > threshold / 2)
    if not count:
        return np.zeros(volume.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())[1:]
    largest = labels == 1 + int(np.argmax(sizes))
    mask: Mask = ndimage.binary_fill_holes(largest)
    return mask


def background_noise(volume: Array, mask: Mask) -> float | None:
    """Estimate the noise of a magnitude image from the air around the object.

    In air a magnitude has a Rayleigh distribution, whose mean square is twice the variance of a channel.

    Returns
    -------
    float or None
        Standard deviation of one channel; None where there is no usable air: it was set to zero, or holds ghosts (its
        distribution is not Rayleigh's).
    """
    air = volume[~ndimage.binary_dilation(mask, iterations=3)]
    if len(air) < 1000 or np.count_nonzero(air) < 0.95 * len(air):  # noqa: PLR2004 - too few to say
        return None
    # Motion and ghosts brighten some of it: take the darker part, then check the shape.
    median = float(np.median(air))
    sigma = median / np.sqrt(2 * np.log(2))
    spread = np.percentile(air, 75) / max(np.percentile(air, 25), 1e-12)
    expected = np.sqrt(np.log(4) / np.log(4 / 3))
    return sigma if abs(spread / expected - 1) < 0.15 else None  # noqa: PLR2004 - as measured on simulated air
