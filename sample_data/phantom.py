"""The head: nested smooth bodies of known tissue classes, defined everywhere in patient coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sample_data.geometry import Vector


class Tissue(IntEnum):
    """Classes of the phantom."""

    AIR = 0
    SCALP = 1
    SKULL = 2
    CSF = 3
    VENTRICLE = 4
    GREY_MATTER = 5
    WHITE_MATTER = 6
    LESION = 7


@dataclass(frozen=True, kw_only=True)
class TissueProperties:
    """What decides the signal at 3 T.

    Attributes
    ----------
    proton_density:
        Relative to water.
    t1, t2, t2_star:
        Relaxation times, ms.
    perfusion_fraction, diffusion, pseudo_diffusion:
        f (1), D and D* (mm2/s) of the IVIM model (Le Bihan 1988); D* means nothing where f is 0.
    enhancement:
        Rise of the longitudinal relaxation rate after the contrast agent, 1/s.
    fat:
        Whether fat saturation takes the signal away.
    """

    proton_density: float
    t1: float
    t2: float
    t2_star: float
    perfusion_fraction: float
    diffusion: float
    pseudo_diffusion: float
    enhancement: float
    fat: bool = False


TISSUES: Mapping[Tissue, TissueProperties] = {
    Tissue.AIR: TissueProperties(
        proton_density=0.0,
        t1=1000.0,
        t2=100.0,
        t2_star=20.0,
        perfusion_fraction=0.0,
        diffusion=0.0,
        pseudo_diffusion=0.0,
        enhancement=0.0,
    ),
    Tissue.SCALP: TissueProperties(
        proton_density=0.9,
        t1=370.0,
        t2=70.0,
        t2_star=25.0,
        perfusion_fraction=0.0,
        diffusion=0.0002,
        pseudo_diffusion=0.0,
        enhancement=0.0,
        fat=True,
    ),
    Tissue.SKULL: TissueProperties(
        proton_density=0.01,
        t1=500.0,
        t2=20.0,
        t2_star=5.0,
        perfusion_fraction=0.0,
        diffusion=0.0002,
        pseudo_diffusion=0.0,
        enhancement=0.0,
    ),
    Tissue.CSF: TissueProperties(
        proton_density=1.0,
        t1=4000.0,
        t2=1800.0,
        t2_star=900.0,
        perfusion_fraction=0.0,
        diffusion=0.0030,
        pseudo_diffusion=0.0,
        enhancement=0.0,
    ),
    Tissue.VENTRICLE: TissueProperties(
        proton_density=1.0,
        t1=4000.0,
        t2=1800.0,
        t2_star=900.0,
        perfusion_fraction=0.0,
        diffusion=0.0030,
        pseudo_diffusion=0.0,
        enhancement=0.0,
    ),
    Tissue.GREY_MATTER: TissueProperties(
        proton_density=0.82,
        t1=1350.0,
        t2=95.0,
        t2_star=50.0,
        perfusion_fraction=0.10,
        diffusion=0.00085,
        pseudo_diffusion=0.012,
        enhancement=0.03,
    ),
    Tissue.WHITE_MATTER: TissueProperties(
        proton_density=0.70,
        t1=850.0,
        t2=75.0,
        t2_star=48.0,
        perfusion_fraction=0.05,
        diffusion=0.00070,
        pseudo_diffusion=0.009,
        enhancement=0.01,
    ),
    Tissue.LESION: TissueProperties(
        proton_density=0.90,
        t1=1650.0,
        t2=160.0,
        t2_star=70.0,
        perfusion_fraction=0.20,
        diffusion=0.00120,
        pseudo_diffusion=0.020,
        enhancement=1.0,
    ),
}

BRAIN_AXES = np.array([60.0, 79.0, 70.0])
"""Semi-axes (left-right, front-back, feet-head) of the brain before scaling, mm."""

_CSF_GAP, _SKULL_GAP, _SCALP_GAP = 4.0, 10.0, 16.0


@dataclass(frozen=True, kw_only=True)
class Head:
    """One subject's head; its origin is the middle of the brain.

    Attributes
    ----------
    scale:
        Of all lengths.
    white_fraction:
        Mean radius of the grey-white border relative to the brain's.
    ventricle_scale:
        Of the ventricles' lengths, beyond `scale`.
    lesion_centre, lesion_radius:
        mm, before scaling.
    """

    scale: float
    white_fraction: float
    ventricle_scale: float
    lesion_centre: tuple[float, float, float]
    lesion_radius: float

    def classify(self, points: Vector) -> NDArray[np.uint8]:
        """Give the class of each point.

        Parameters
        ----------
        points:
            Shape (..., 3), LPS relative to the head's middle, mm.

        Returns
        -------
        Values of `Tissue`, shape (...).
        """
        x, y, z = (points[..., axis] / self.scale for axis in range(3))
        tissue = np.zeros(x.shape, dtype=np.uint8)
        for gap, inside in (
            (_SCALP_GAP, Tissue.SCALP),
            (_SKULL_GAP, Tissue.SKULL),
            (_CSF_GAP, Tissue.CSF),
            (0.0, Tissue.GREY_MATTER),
        ):
            a, b, c = BRAIN_AXES + gap
            tissue[(x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 < 1.0] = inside
        a, b, c = BRAIN_AXES
        # Folds: the border between grey and white matter waves with a period of about 40 mm.
        border = self.white_fraction + 0.04 * np.cos(x / 6.5) * np.cos(y / 7.0) * np.cos(z / 6.0)
        tissue[(x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 < border**2] = Tissue.WHITE_MATTER
        side = np.abs(x)
        tissue[((side - 26.0) / 9.0) ** 2 + (y / 19.0) ** 2 + ((z - 2.0) / 12.0) ** 2 < 1.0] = Tissue.GREY_MATTER
        v = self.ventricle_scale
        tissue[
            ((side - 5.5) / (6.5 * v)) ** 2 + ((y - 4.0) / (28.0 * v)) ** 2 + ((z - 14.0) / (10.0 * v)) ** 2 < 1.0
        ] = Tissue.VENTRICLE
        u, w, s = self.lesion_centre
        tissue[(x - u) ** 2 + (y - w) ** 2 + (z - s) ** 2 < self.lesion_radius**2] = Tissue.LESION
        return tissue

    def volumes(self, edge: float = 1.0) -> dict[Tissue, float]:
        """Measure each class's volume in mm3 on a fine grid of cubes with the given edge (mm)."""
        half = (BRAIN_AXES + _SCALP_GAP) * self.scale + edge
        x, y, z = (np.arange(-h, h, edge) for h in half)
        counts = np.zeros(len(Tissue), dtype=np.int64)
        for chunk in np.array_split(z, 12):
            points = np.stack(np.meshgrid(chunk, y, x, indexing="ij")[::-1], axis=-1)
            counts += np.bincount(self.classify(points).ravel(), minlength=len(Tissue))
        return {tissue: float(counts[tissue]) * edge**3 for tissue in Tissue if tissue is not Tissue.AIR}


def lookup(tissue: NDArray[np.uint8], value: Mapping[Tissue, float]) -> Vector:
    """Paint a value per class onto a map of classes; classes without one get 0."""
    table = np.array([value.get(one, 0.0) for one in Tissue])
    painted: Vector = table[tissue]
    return painted
