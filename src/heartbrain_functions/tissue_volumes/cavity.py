"""What lies within the skull of a T1-weighted image: the brain, found from its middle, and the fluid around it.

Air, bone and fluid are dark, fat is bright, and only thin bridges lead from the brain to what is as bright as it: the
brain is what hangs together after those were worn off (Shattuck et al., NeuroImage 2001;13:856). Works as well where
somebody took the skull away before.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from heartbrain_functions.errors import FunctionError
from heartbrain_functions.images import Array, Mask, object_mask

#: Radius of the sphere that is brain for sure, relative to the head's.
_CORE: Final = 0.55
#: Brighter than this times white matter is fat, a vessel or contrast agent.
_FAT: Final = 1.5
#: Bridges thinner than twice this are worn off, mm.
_BRIDGE_MM: Final = 3.5
#: Sulci narrower than twice this belong to the cavity, mm.
_SULCUS_MM: Final = 8.0
#: Fluid between brain and skull is at most so thick, mm.
_FLUID_MM: Final = 9.0
_LEAST_VOXELS: Final = 500
_BINS: Final = 256


@dataclass(frozen=True, kw_only=True)
class Cavity:
    """The intracranial cavity.

    Attributes
    ----------
    mask
        (i, j, k): all within the skull.
    centers
        Typical signals of fluid, grey and white matter.
    """

    mask: Mask
    centers: Array


def find_cavity(volume: Array, voxel_mm: Array) -> Cavity:
    """Find what lies within the skull.

    Parameters
    ----------
    volume
        (i, j, k), >= 0, T1-weighted: white matter brighter than grey, grey brighter than fluid.
    voxel_mm
        (3,): edges of a voxel.

    Raises
    ------
    FunctionError
        There is no brain in it that this way can find.
    """
    core = _core(volume, voxel_mm)
    centers = three_centers(volume[core])
    fluid, grey, white = centers
    if not 0 <= fluid < grey < white:
        raise FunctionError("NO_BRAIN", "No brain with grey and white matter was found: is this a T1-weighted image?")
    tissue = (volume > (fluid + grey) / 2) & (volume < _FAT * white)
    brain = _held_together(tissue, core, voxel_mm)
    if np.count_nonzero(brain) < _LEAST_VOXELS:
        raise FunctionError("NO_BRAIN", "No brain was found in the image.")
    mask = _with_fluid(volume, brain, fluid, (fluid + grey) / 2, voxel_mm)
    return Cavity(mask=mask, centers=centers)


def three_centers(values: Array) -> Array:
    """Give the means of three classes of numbers, dark to bright: the best two borders of all (Otsu 1979)."""
    values = values[values <= np.percentile(values, 99.5)]
    counts, edges = np.histogram(values, bins=_BINS)
    below = np.concatenate([[0], np.cumsum(counts)]).astype(float)
    sums = np.concatenate([[0.0], np.cumsum(counts * (edges[1:] + edges[:-1]) / 2)])

    def part(low: NDArray[np.int_], high: NDArray[np.int_]) -> Array:
        number = below[high] - below[low]
        found: Array = (sums[high] - sums[low]) ** 2 / np.maximum(number, 1)
        return found

    first, second = np.triu_indices(_BINS + 1, k=1)
    ends = np.zeros_like(first), np.full_like(first, _BINS)
    best = int(np.argmax(part(ends[0], first) + part(first, second) + part(second, ends[1])))
    limits = (0, int(first[best]), int(second[best]), _BINS)
    return np.array([(sums[b] - sums[a]) / max(below[b] - below[a], 1) for a, b in pairwise(limits)])


def _core(volume: Array, voxel_mm: Array) -> Mask:
    head = object_mask(volume)
    if np.count_nonzero(head) < _LEAST_VOXELS:
        raise FunctionError("NO_BRAIN", "The image shows nothing but air.")
    # A neck pulls the middle down: a head is as high as it is long.
    middle = np.array([np.median(places) for places in np.nonzero(head)])
    radius = (3 * np.count_nonzero(head) * np.prod(voxel_mm) / (4 * np.pi)) ** (1 / 3)
    places: tuple[NDArray[np.int_], ...] = np.indices(volume.shape, sparse=True)
    squares = sum(((place - m) * mm) ** 2 for place, m, mm in zip(places, middle, voxel_mm, strict=True))
    core: Mask = np.asarray(squares <= (_CORE * radius) ** 2) & (volume > 0)
    return core


def _held_together(tissue: Mask, core: Mask, voxel_mm: Array) -> Mask:
    """Wear off thin bridges, keep the part around the core, and give it back its rim and its sulci."""
    worn = distance(tissue, voxel_mm) > _BRIDGE_MM
    labels, count = ndimage.label(worn)
    if not count:
        return np.zeros(tissue.shape, dtype=bool)
    shares = np.bincount(labels[core], minlength=count + 1)
    shares[0] = 0
    kept = labels == int(np.argmax(shares))
    rim = tissue & (distance(~kept, voxel_mm) <= _BRIDGE_MM + float(voxel_mm.max()))
    return filled(rim | kept, _SULCUS_MM, voxel_mm)


def _with_fluid(volume: Array, brain: Mask, fluid: float, border: float, voxel_mm: Array) -> Mask:
    """Add the fluid around the brain as far as the bone, which is darker."""
    reach = distance(~brain, voxel_mm)
    around = volume[(reach > 0) & (reach <= 2 * _FLUID_MM)]
    bone = float(np.percentile(around, 10)) if around.size else 0.0
    if bone >= fluid:
        return brain
    wet = (volume > (bone + fluid) / 2) & (volume < border) & (reach <= _FLUID_MM)
    labels, _count = ndimage.label(wet | brain)
    joined = labels == np.bincount(labels[brain]).argmax()
    # Threads into the bone are no fluid around the brain.
    step = float(voxel_mm.max())
    thick = distance(joined, voxel_mm) > step
    opened = joined & (distance(~thick, voxel_mm) <= 1.5 * step)
    return filled(brain | opened, step, voxel_mm)


def filled(mask: Mask, radius_mm: float, voxel_mm: Array) -> Mask:
    """Close gaps narrower than twice a radius, and fill what has no way out."""
    margin = [int(np.ceil(radius_mm / mm)) + 1 for mm in voxel_mm]
    wide = np.pad(mask, [(one, one) for one in margin])
    grown = distance(~wide, voxel_mm) <= radius_mm
    closed = distance(grown, voxel_mm) > radius_mm
    inner = closed[tuple(slice(one, -one) for one in margin)]
    solid: Mask = ndimage.binary_fill_holes(inner | mask)
    return solid


def distance(mask: Mask, voxel_mm: Array) -> NDArray[np.float64]:
    """Give each voxel's distance to the nearest one outside the mask, mm; 0 outside."""
    found: NDArray[np.float64] = ndimage.distance_transform_edt(mask, sampling=voxel_mm)
    return found
