"""The signal model, its derivatives, the limits of its parameters (Le Bihan et al., Radiology 1988;168:497)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e, i1e

Array = NDArray[np.float64]

#: Columns of a parameter array.
S0, F, D, D_STAR = range(4)
NAMES: Final = ("S0", "f", "D", "D_star")
COUNT: Final = 4
#: Signals of so many standard deviations of the noise are far above it: the series is then exact to 5e-8.
_FAR: Final = 6.0
#: Of the mean magnitude and its slope, in powers of (noise / signal)^2.
_SERIES: Final = (1.0, 1 / 2, 1 / 8, 3 / 16, 75 / 128)
_SERIES_SLOPE: Final = (1.0, -1 / 2, -3 / 8, -15 / 16, -525 / 128)


class Failure(IntEnum):
    """Why a voxel has no trustworthy value; 0 where it has. A map of these is written beside the others."""

    NONE = 0
    OUTSIDE_MASK = 1
    NO_SIGNAL = 2
    NOT_CONVERGED = 3
    D_AT_LIMIT = 4
    D_STAR_AT_LIMIT = 5
    #: f is 0 or 1, so one of the two compartments can't be measured.
    F_AT_LIMIT = 6
    #: Most of the signal decays as free water does: fluid of the brain, a cyst, a bladder; no perfused tissue.
    FREE_FLUID = 7


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Lowest and highest value of each parameter.

    Attributes
    ----------
    f
        Perfusion fraction.
    d, d_star
        Diffusion and pseudo-diffusion coefficient, mm2/s.
    """

    f: tuple[float, float] = (0.0, 1.0)
    d: tuple[float, float] = (5e-5, 5e-3)
    d_star: tuple[float, float] = (3e-3, 0.3)

    @property
    def low(self) -> Array:
        """Lowest values, in the order of the columns."""
        return np.array([0.0, self.f[0], self.d[0], self.d_star[0]])

    @property
    def high(self) -> Array:
        """Highest values, in the order of the columns."""
        return np.array([np.inf, self.f[1], self.d[1], self.d_star[1]])


def signal(parameters: Array, b_values: Array, noise: Array | float = 0.0) -> Array:
    """Give the signal S0 (f exp(-b D*) + (1 - f) exp(-b D)), raised by the noise of a magnitude image.

    Parameters
    ----------
    parameters
        (n, 4): S0, f, D, D* (mm2/s).
    b_values
        (m,), s/mm2.
    noise
        Standard deviation of the noise in each of the two channels, for all or (n, 1). The expected magnitude is then
        the mean of the Rice distribution (Gudbjartsson and Patz, Magn Reson Med 1995;34:910).

    Returns
    -------
    array
        (n, m).
    """
    value, _ = signal_and_slopes(parameters, b_values, noise)
    return value


def signal_and_slopes(parameters: Array, b_values: Array, noise: Array | float = 0.0) -> tuple[Array, Array]:
    """Give the signal, (n, m), and its derivatives by S0, f, D and D*, (n, 4, m)."""
    s0, f, d, d_star = (parameters[:, [column]] for column in range(COUNT))
    slow = np.exp(-d * b_values)
    fast = np.exp(-d_star * b_values)
    relative = f * fast + (1 - f) * slow
    value = s0 * relative
    slopes = np.empty((len(parameters), COUNT, len(b_values)))
    slopes[:, S0] = relative
    slopes[:, F] = s0 * (fast - slow)
    slopes[:, D] = -s0 * (1 - f) * b_values * slow
    slopes[:, D_STAR] = -s0 * f * b_values * fast
    if np.any(noise):
        value, raising = _magnitude(value, np.maximum(noise, np.finfo(float).tiny))
        slopes *= raising[:, None, :]
    return value, slopes


def _magnitude(value: Array, noise: Array | float) -> tuple[Array, Array]:
    """Give the mean magnitude of a signal with complex noise, and its derivative by the signal."""
    # Far above the noise a few terms of the mean's asymptotic series are enough, and Bessel functions cost most.
    square: Array = (noise / np.maximum(value, _FAR * noise)) ** 2
    mean: Array = value * _polynomial(square, _SERIES)
    slope: Array = _polynomial(square, _SERIES_SLOPE)
    near = value < _FAR * noise
    if np.any(near):
        spread = np.broadcast_to(noise, value.shape)[near]
        x = (value[near] / spread) ** 2 / 2
        zero, one = i0e(x / 2), i1e(x / 2)
        mean[near] = spread * np.sqrt(np.pi / 2) * ((1 + x) * zero + x * one)
        slope[near] = np.sqrt(np.pi / 8) * value[near] / spread * (zero + one)
    return mean, slope


def _polynomial(x: Array, factors: tuple[float, ...]) -> Array:
    value = np.full(x.shape, factors[-1])
    for factor in factors[-2::-1]:
        value *= x
        value += factor
    return value
