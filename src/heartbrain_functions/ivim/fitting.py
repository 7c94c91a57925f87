"""Fit the model to many voxels: four methods, with standard errors and a reason where a voxel can't be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from heartbrain_functions.ivim import model
from heartbrain_functions.ivim.model import COUNT, D_STAR, S0, Array, Bounds, D, F, Failure
from heartbrain_functions.ivim.plain import fit_plain
from heartbrain_functions.ivim.shrinkage import Population, learn, most_probable, start_near, to_parameters
from heartbrain_functions.ivim.solver import Rows, Solution, least_squares
from heartbrain_functions.ivim.starting import SEPARATION, start_on_grid

Method = Literal["segmented", "nlls", "varpro", "shrinkage"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
#: Voxels at a time: memory stays bounded, and arrays in the processor's cache.
CHUNK: Final = 2048
#: Voxels from which `shrinkage` learns.
_SAMPLE: Final = 4096
#: From here on in b (s/mm2) perfusion is taken to be gone, in the segmented method.
THRESHOLD: Final = 200.0
#: Closer to a limit than this part of it counts as at the limit.
_AT_LIMIT: Final = 1e-3
#: f from which the other compartment can't be measured.
_NO_F: Final = 1e-3
_LEAST_IN_SEGMENT: Final = 2
#: Diffusion of free water at body temperature, mm2/s (Holz et al., Phys Chem Chem Phys 2000;2:4740).
_FREE_WATER: Final = 3e-3
#: More than this part of the signal: not perfusion of a tissue.
_MOST: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What was found.

    Attributes
    ----------
    values
        (n, 4): S0, f, D, D* (mm2/s); NaN where there is no signal.
    errors
        (n, 4): standard errors, from the inverse of J^T J and the residual variance; of `shrinkage` those of the
        posterior, of `segmented` those of the full model at its result. NaN where a parameter is at a limit.
    residual
        (n,): root of the mean squared residual, in units of the signal.
    failure
        (n,): why a voxel is not to be trusted, `Failure`.
    population
        What `shrinkage` learned of all voxels.
    """

    values: Array
    errors: Array
    residual: Array
    failure: NDArray[np.uint8]
    population: Population | None = None


def fit(
    data: Array,
    b_values: Array,
    *,
    method: Method = "shrinkage",
    bounds: Bounds | None = None,
    noise: float = 0.0,
    threshold: float = THRESHOLD,
    progress: Callable[[int], None] | None = None,
) -> Fit:
    """Fit the model to each row.

    Parameters
    ----------
    data
        (n, m) signals of n voxels, >= 0.
    b_values
        (m,), s/mm2, in any order.
    method
        `nlls`: least squares of all four parameters within the bounds, from the best point of a grid. `varpro`: the
        same minimum, searched over D and D* alone. `segmented`: D and the intercept from b >= threshold by a line
        through the logarithms, then f, then D* alone; fast and steady, biased where perfusion is not gone at the
        threshold. `shrinkage`: the most probable parameters when all voxels are draws from one population, whose mean
        and spread are learned from the data (after Orton et al., Magn Reson Med 2014;71:411); it tames D* where the
        signal says little of it.
    bounds
        Limits of the parameters.
    noise
        Standard deviation of the noise in the magnitude image's channels; above 0, its floor is part of the model.
    threshold
        For `segmented`, s/mm2.
    progress
        Called with the number of voxels that are done.

    Raises
    ------
    ValueError
        The shapes do not fit, or there are too few b-values for the method.
    """
    data = np.ascontiguousarray(data, dtype=float)
    b_values = np.ascontiguousarray(b_values, dtype=float)
    _check(data, b_values, method, threshold)
    bounds = bounds or Bounds()
    usable = np.all(np.isfinite(data), axis=1) & (np.max(data, axis=1, initial=0) > 0)
    result = _empty(len(data))
    rows = np.flatnonzero(usable)
    # The signals are scaled to about 1, so that no tolerance depends on the scanner's gain.
    scale = np.max(data[rows], axis=1, initial=0)[:, None]
    population = None
    if method == "shrinkage":
        sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(int)] if len(rows) else rows
        unit = np.max(data[sample], axis=1, initial=0)[:, None]
        population = learn(data[sample] / unit, b_values, bounds, noise / unit) if len(sample) else None
    for first in range(0, len(rows), CHUNK):
        chunk = rows[first : first + CHUNK]
        unit = scale[first : first + CHUNK]
        part = _fit_chunk(data[chunk] / unit, b_values, method, bounds, noise / unit, threshold, population)
        part.values[:, [S0]] *= unit
        part.errors[:, [S0]] *= unit
        result.values[chunk], result.errors[chunk] = part.values, part.errors
        result.residual[chunk] = part.residual * unit[:, 0]
        result.failure[chunk] = part.failure
        if progress is not None:
            progress(len(chunk))
    return Fit(
        values=result.values,
        errors=result.errors,
        residual=result.residual,
        failure=result.failure,
        population=population,
    )


def _check(data: Array, b_values: Array, method: Method, threshold: float) -> None:
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; there are {', '.join(METHODS)}")
    if data.ndim != 2 or data.shape[1:] != b_values.shape:  # noqa: PLR2004 - voxels and b-values
        raise ValueError(f"{data.shape} signals do not fit {b_values.shape} b-values")
    if len(np.unique(b_values)) < COUNT:
        raise ValueError(f"four parameters need at least four different b-values, there are {len(np.unique(b_values))}")
    if method == "segmented" and len(np.unique(b_values[b_values >= threshold])) < _LEAST_IN_SEGMENT:
        raise ValueError(f"the segmented method needs two b-values of at least {threshold:g} s/mm2")


def _empty(n: int) -> Fit:
    return Fit(
        values=np.full((n, COUNT), np.nan),
        errors=np.full((n, COUNT), np.nan),
        residual=np.full(n, np.nan),
        failure=np.full(n, Failure.NO_SIGNAL, dtype=np.uint8),
    )


def _fit_chunk(
    data: Array,
    b_values: Array,
    method: Method,
    bounds: Bounds,
    noise: Array,
    threshold: float,
    population: Population | None,
) -> Fit:
    if population is not None:
        return _judged(data, bounds, *_most_probable(data, b_values, bounds, noise, population))
    if method == "segmented":
        solution = _segmented(data, b_values, bounds, noise, threshold)
    elif method == "varpro":
        solution = _varpro(data, b_values, bounds, noise)
    else:
        start = start_on_grid(_without_floor(data, noise), b_values, bounds)
        solution = fit_plain(data, b_values, bounds, noise, start)
    return _judged(data, bounds, solution)


def _without_floor(data: Array, noise: Array) -> Array:
    """Take the noise floor off, which the linear parts of the methods know nothing of."""
    return np.sqrt(np.maximum(data**2 - 2 * noise**2, 0)) if np.any(noise) else data


def _varpro(data: Array, b_values: Array, bounds: Bounds, noise: Array) -> Solution:
    """Search D and D* with the amplitudes solved for at each point (Kaufman, BIT 1975;15:49)."""
    level = _without_floor(data, noise)
    start = start_on_grid(level, b_values, bounds)

    def evaluate(rows: Rows, rates: Array) -> tuple[Array, Array]:
        basis = np.exp(-rates[:, :, None] * b_values)
        amplitudes = _amplitudes(level[rows], basis)
        residual = np.einsum("nk,nkm->nm", amplitudes, basis) - level[rows]
        slopes = -amplitudes[:, :, None] * b_values * basis
        # Only what the amplitudes can't take up counts.
        return residual, slopes - _projected(slopes, basis)

    low, high = np.array([bounds.d[0], bounds.d_star[0]]), np.array([bounds.d[1], bounds.d_star[1]])
    found = least_squares(evaluate, start[:, [D, D_STAR]], low, high)
    amplitudes = _amplitudes(level, np.exp(-found.values[:, :, None] * b_values))
    values = np.empty((len(data), COUNT))
    values[:, S0] = amplitudes.sum(axis=1)
    values[:, F] = amplitudes[:, 1] / np.maximum(values[:, S0], np.finfo(float).tiny)
    values[:, [D, D_STAR]] = found.values
    return _as_solution(data, b_values, noise, values, found.converged)


def _amplitudes(data: Array, basis: Array) -> Array:
    """Give the non-negative amplitudes, (n, 2), of two functions, (n, 2, m), that fit best."""
    gram = basis @ basis.transpose(0, 2, 1)
    right = np.einsum("nkm,nm->nk", basis, data)
    determinant = gram[:, 0, 0] * gram[:, 1, 1] - gram[:, 0, 1] ** 2
    determinant = np.where(determinant > 0, determinant, np.inf)
    both = np.stack(
        [
            (right[:, 0] * gram[:, 1, 1] - right[:, 1] * gram[:, 0, 1]) / determinant,
            (right[:, 1] * gram[:, 0, 0] - right[:, 0] * gram[:, 0, 1]) / determinant,
        ],
        axis=1,
    )
    alone = np.maximum(right / np.maximum(gram[:, [0, 1], [0, 1]], np.finfo(float).tiny), 0)
    slow_only = (both[:, 1] <= 0)[:, None]
    fast_only = (both[:, 0] <= 0)[:, None]
    chosen: Array = np.where(slow_only, alone * [1, 0], np.where(fast_only, alone * [0, 1], both))
    return chosen


def _projected(vectors: Array, basis: Array) -> Array:
    """Give the part of vectors, (n, 2, m), within the span of a basis, (n, 2, m)."""
    gram = basis @ basis.transpose(0, 2, 1)
    gram[:, [0, 1], [0, 1]] *= 1 + 1e-10
    coefficients = np.linalg.solve(gram, basis @ vectors.transpose(0, 2, 1))
    projected: Array = coefficients.transpose(0, 2, 1) @ basis
    return projected


def _segmented(data: Array, b_values: Array, bounds: Bounds, noise: Array, threshold: float) -> Solution:
    level = _without_floor(data, noise)
    high = b_values >= threshold
    floor = 1e-3 * np.max(level, axis=1, keepdims=True)
    logs = np.log(np.maximum(level[:, high], np.maximum(floor, np.finfo(float).tiny)))
    # A logarithm's noise grows as the signal falls.
    weights = np.maximum(level[:, high], floor) ** 2
    b = b_values[high]
    total = weights.sum(axis=1)
    mean_b, mean_log = (weights * b).sum(axis=1) / total, (weights * logs).sum(axis=1) / total
    spread = (weights * (b - mean_b[:, None]) ** 2).sum(axis=1)
    slope = (weights * (b - mean_b[:, None]) * (logs - mean_log[:, None])).sum(axis=1) / spread
    values = np.empty((len(data), COUNT))
    values[:, D] = np.clip(-slope, *bounds.d)
    intercept = np.exp(mean_log + values[:, D] * mean_b)
    lowest = b_values == b_values.min()
    values[:, S0] = np.maximum(level[:, lowest].mean(axis=1), np.finfo(float).tiny)
    values[:, F] = np.clip(1 - intercept / values[:, S0], *bounds.f)
    values[:, D_STAR] = _d_star_alone(level, b_values, values, bounds)

    def evaluate(rows: Rows, d_star: Array) -> tuple[Array, Array]:
        here = values[rows].copy()
        here[:, [D_STAR]] = d_star
        predicted, slopes = model.signal_and_slopes(here, b_values, noise[rows])
        return predicted - data[rows], slopes[:, [D_STAR]]

    low, top = np.array([bounds.d_star[0]]), np.array([bounds.d_star[1]])
    found = least_squares(evaluate, values[:, [D_STAR]], low, top)
    values[:, [D_STAR]] = found.values
    return _as_solution(data, b_values, noise, values, found.converged)


def _d_star_alone(level: Array, b_values: Array, values: Array, bounds: Bounds) -> Array:
    grid = np.geomspace(*bounds.d_star, 4 * COUNT)
    rest = level - (values[:, [S0]] * (1 - values[:, [F]])) * np.exp(-values[:, [D]] * b_values)
    fast = np.exp(-np.outer(grid, b_values))
    amplitude = values[:, [S0]] * values[:, [F]]
    misfit = amplitude**2 * np.sum(fast**2, axis=1) - 2 * amplitude * (rest @ fast.T)
    best: Array = grid[np.argmin(misfit, axis=1)]
    return best


def _as_solution(data: Array, b_values: Array, noise: Array, values: Array, converged: NDArray[np.bool_]) -> Solution:
    predicted, slopes = model.signal_and_slopes(values, b_values, noise)
    residual = predicted - data
    return Solution(
        values=values,
        information=slopes @ slopes.transpose(0, 2, 1),
        squares=np.einsum("nm,nm->n", residual, residual),
        converged=converged,
    )


def _most_probable(
    data: Array, b_values: Array, bounds: Bounds, noise: Array, population: Population
) -> tuple[Solution, Array]:
    start = start_near(_without_floor(data, noise), b_values, bounds, population)
    found = most_probable(data, b_values, bounds, noise, start, population)
    values, slopes = to_parameters(found.values, bounds)
    covariance = _inverse(found.information)
    errors = np.sqrt(np.einsum("nii->ni", covariance)) * slopes
    return _as_solution(data, b_values, noise, values, found.converged), errors


def _inverse(matrices: Array) -> Array:
    """Invert (n, p, p), scaled to a unit diagonal; rows of a parameter without information become infinite."""
    diagonal = np.arange(matrices.shape[1])
    size = np.sqrt(matrices[:, diagonal, diagonal])
    blind = size <= 0
    size = np.where(blind, 1, size)
    scaled = matrices / (size[:, :, None] * size[:, None, :])
    scaled[:, diagonal, diagonal] = 1 + 1e-10
    inverse: Array = np.linalg.inv(scaled) / (size[:, :, None] * size[:, None, :])
    inverse[:, diagonal, diagonal] = np.where(blind, np.inf, inverse[:, diagonal, diagonal])
    return inverse


def _judged(data: Array, bounds: Bounds, solution: Solution, errors: Array | None = None) -> Fit:
    """Give standard errors and say which voxels are not to be trusted."""
    n, m = data.shape
    values = solution.values
    if errors is None:
        variance = solution.squares / max(m - COUNT, 1)
        errors = np.sqrt(np.einsum("nii->ni", _inverse(solution.information)) * variance[:, None])
    low, high = bounds.low, bounds.high
    at_limit = values <= low + _AT_LIMIT * np.abs(low)
    at_limit |= np.isfinite(high) & (values >= high - _AT_LIMIT * np.abs(np.where(np.isfinite(high), high, 0)))
    at_limit[:, F] |= (values[:, F] < _NO_F) | (values[:, F] > 1 - _NO_F)
    at_limit[:, D_STAR] |= values[:, D_STAR] < SEPARATION * values[:, D]
    errors = np.where(at_limit, np.nan, errors)
    # Without one of the compartments its coefficient means nothing.
    errors[:, D_STAR] = np.where(values[:, F] < _NO_F, np.nan, errors[:, D_STAR])
    failure = np.zeros(n, dtype=np.uint8)
    failure[at_limit[:, D_STAR]] = Failure.D_STAR_AT_LIMIT
    failure[(values[:, F] > _MOST) & (values[:, D_STAR] < 2 * _FREE_WATER)] = Failure.FREE_FLUID
    failure[at_limit[:, D]] = Failure.D_AT_LIMIT
    failure[at_limit[:, F]] = Failure.F_AT_LIMIT
    failure[~solution.converged] = Failure.NOT_CONVERGED
    return Fit(values=values.copy(), errors=errors, residual=np.sqrt(solution.squares / m), failure=failure)
