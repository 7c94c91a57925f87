"""Three tissues of a brain: uneven brightness taken out, then a hidden Markov random field."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heartbrain_functions.errors import FunctionError
from heartbrain_functions.images import Array, Mask
from heartbrain_functions.tissue_volumes.cavity import three_centers

#: Order of the polynomial that the brightness follows.
_ORDER: Final = 3
_ROUNDS: Final = 8
#: The field changes by less: done.
_STILL: Final = 0.002
#: What a neighbour of the same tissue adds to the logarithm of a voxel's probability.
_BETA: Final = 0.3
_ITERATIONS: Final = 30
#: Voxels that the polynomial is fitted to.
_MOST_FITTED: Final = 200_000
#: Brighter than this times white matter counts as this bright.
_BRIGHTEST: Final = 1.2
_COUNT: Final = 3


class Tissue(IntEnum):
    """Labels of the segmentation; 0 is outside."""

    CSF = 1
    GREY_MATTER = 2
    WHITE_MATTER = 3


@dataclass(frozen=True, kw_only=True)
class Tissues:
    """What was found.

    Attributes
    ----------
    labels
        (i, j, k): the most probable `Tissue`, 0 outside the mask.
    probabilities
        (i, j, k, 3): of each tissue; 0 outside the mask.
    corrected
        (i, j, k): the image without its uneven brightness.
    field
        (i, j, k): what it was divided by; 1 outside the mask.
    """

    labels: NDArray[np.uint8]
    probabilities: Array
    corrected: Array
    field: Array


def classify(volume: Array, mask: Mask) -> Tissues:
    """Tell the three tissues apart within a mask.

    A hidden Markov random field, learned by expectation maximisation (Zhang et al., IEEE Trans Med Imaging 2001;20:45)
    with mean-field neighbours: no chance is in it, so the same image always gives the same numbers.

    Raises
    ------
    FunctionError
        The image has no three tissues.
    """
    field = find_field(volume, mask)
    corrected = np.where(mask, volume / field, 0.0)
    centers = three_centers(corrected[mask])
    if not centers[0] < centers[1] < centers[2]:
        raise FunctionError("NO_TISSUES", "The brain does not show three tissues: is this a T1-weighted image?")
    box = tuple(slice(max(0, places.min() - 1), places.max() + 2) for places in np.nonzero(mask))
    inside = mask[box]
    shown = np.minimum(corrected[box], _BRIGHTEST * centers[2])
    likely = _learn(shown, inside, centers)
    labels = np.zeros(volume.shape, dtype=np.uint8)
    labels[box] = np.where(inside, likely.argmax(axis=0) + 1, 0)
    probabilities = np.zeros((*volume.shape, _COUNT))
    probabilities[box] = np.moveaxis(likely, 0, -1)
    return Tissues(labels=labels, probabilities=probabilities, corrected=corrected, field=field)


def _learn(values: Array, inside: Mask, centers: Array) -> Array:
    """Give the probability of each tissue (3, i, j, k)."""
    borders = (centers[1:] + centers[:-1]) / 2
    first = np.digitize(values, borders)
    likely = np.stack([(first == one) & inside for one in range(_COUNT)]).astype(float)
    means = centers
    for _ in range(_ITERATIONS):
        weights = likely.reshape(_COUNT, -1).sum(axis=1)
        if weights.min() < 1:
            raise FunctionError("NO_TISSUES", "The brain does not show three tissues: is this a T1-weighted image?")
        found = (likely * values).reshape(_COUNT, -1).sum(axis=1) / weights
        squares = (likely * (values - found[:, None, None, None]) ** 2).reshape(_COUNT, -1).sum(axis=1) / weights
        squares = np.maximum(squares, (0.01 * np.ptp(found)) ** 2)
        logs = np.stack(
            [
                -((values - mean) ** 2) / (2 * square) - np.log(square) / 2 + _BETA * _neighbours(part)
                for mean, square, part in zip(found, squares, likely, strict=True)
            ]
        )
        logs -= logs.max(axis=0)
        likely = np.exp(logs)
        likely *= inside / likely.sum(axis=0)
        still = np.allclose(found, means, rtol=1e-4)
        means = found
        if still:
            break
    return likely


def _neighbours(part: Array) -> Array:
    """Add up the six neighbours of each voxel."""
    total = np.zeros_like(part)
    for axis in range(3):
        ahead = [slice(None)] * 3
        behind = [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        total[tuple(behind)] += part[tuple(ahead)]
        total[tuple(ahead)] += part[tuple(behind)]
    return total


def find_field(volume: Array, mask: Mask) -> Array:
    """Find how unevenly bright an image is: a polynomial in place that makes each tissue one brightness.

    The logarithm of each voxel of grey and white matter, less that of its tissue's mean, is fitted by least squares,
    and the tissues are told apart anew (Meyer et al., IEEE Trans Med Imaging 1995;14:36).

    Parameters
    ----------
    volume
        (i, j, k), >= 0.
    mask
        (i, j, k): the brain.

    Returns
    -------
    Array
        (i, j, k); its mean over the mask is 1, and outside it is 1.
    """
    places = np.argwhere(mask)
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    half = np.maximum((places.max(axis=0) - places.min(axis=0)) / 2, 1)
    values = volume[mask]
    chosen = slice(None, None, max(1, len(values) // _MOST_FITTED))
    terms = _terms((places - middle) / half)
    logarithms = np.log(np.maximum(values, np.finfo(float).tiny))
    field = np.zeros(len(values))
    for _ in range(_ROUNDS):
        corrected = values * np.exp(-field)
        centers = three_centers(corrected[chosen])
        if not 0 < centers[0] < centers[1] < centers[2]:
            break
        labels = np.digitize(corrected[chosen], (centers[1:] + centers[:-1]) / 2)
        off = logarithms[chosen] - np.log(centers)[labels]
        # Fluid is dark and mixed with what is beside it; fat and vessels are bright.
        clean = (labels > 0) & (corrected[chosen] < _BRIGHTEST * centers[2])
        weights, *_ = np.linalg.lstsq(terms[chosen][clean], off[clean], rcond=None)
        found = terms @ weights
        found -= found.mean()
        change = float(np.abs(found - field).max())
        field = found
        if change < _STILL:
            break
    whole = np.ones(volume.shape)
    whole[mask] = np.exp(field) / np.exp(field).mean()
    return whole


def _terms(places: Array) -> Array:
    """Give all products of powers of the three coordinates up to the order."""
    powers = [one for one in product(range(_ORDER + 1), repeat=3) if sum(one) <= _ORDER]
    return np.stack([np.prod(places**one, axis=1) for one in powers], axis=1)
