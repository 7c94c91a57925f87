"""What all voxels together say of one: a normal population of transformed parameters, learned from the data.

After Orton et al., Magn Reson Med 2014;71:411, with expectation-maximisation and the most probable value in place of
sampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from heartbrain_functions.ivim import model
from heartbrain_functions.ivim.model import COUNT, D_STAR, S0, Array, Bounds, D, F
from heartbrain_functions.ivim.plain import fit_plain
from heartbrain_functions.ivim.solver import ITERATIONS, Rows, Solution, least_squares
from heartbrain_functions.ivim.starting import GRID, grid_of, start_on_grid

#: The population says nothing of S0.
_LEARNED: Final = [F, D, D_STAR]
_ROUNDS: Final = 12
_SETTLED: Final = 1e-2
#: Steps of a voxel in a round: the next round goes on from there.
_STEPS: Final = 20
#: The least spread of the population, in transformed coordinates: voxels are never all the same.
_LEAST_VARIANCE: Final = 0.05**2
#: Transformed coordinates stay within these.
_LARGEST: Final = 12.0
#: Changes of a transformed coordinate are judged beside this: a coordinate near 0 is no smaller than others.
_SIZE: Final = 1.0
#: A voxel begins within this many standard deviations of the population's f.
_NEAR: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Population:
    """What was learned.

    Attributes
    ----------
    center
        (3,): mean of the logits of f, D and D* within their bounds (of the logarithms for D and D*).
    covariance
        (3, 3).
    noise
        Standard deviation of the residuals relative to the largest signal of a voxel.
    """

    center: Array
    covariance: Array
    noise: float


def to_free(values: Array, bounds: Bounds) -> Array:
    """Give coordinates without limits: log S0, and the logit of where each other one lies between its limits."""
    low, high = _limits(bounds)
    free = np.empty_like(values)
    free[:, S0] = np.log(np.maximum(values[:, S0], np.finfo(float).tiny))
    inner = values[:, _LEARNED].copy()
    inner[:, 1:] = np.log(inner[:, 1:])
    part = np.clip((inner - low) / (high - low), 1e-4, 1 - 1e-4)
    free[:, _LEARNED] = np.log(part / (1 - part))
    return free


def to_parameters(free: Array, bounds: Bounds) -> tuple[Array, Array]:
    """Give the parameters, (n, 4), and the derivative of each by its coordinate, (n, 4)."""
    low, high = _limits(bounds)
    values, slopes = np.empty_like(free), np.empty_like(free)
    values[:, S0] = slopes[:, S0] = np.exp(free[:, S0])
    part = 1 / (1 + np.exp(-free[:, _LEARNED]))
    inner = low + (high - low) * part
    inner_slopes = (high - low) * part * (1 - part)
    inner[:, 1:] = np.exp(inner[:, 1:])
    inner_slopes[:, 1:] *= inner[:, 1:]
    values[:, _LEARNED], slopes[:, _LEARNED] = inner, inner_slopes
    return values, slopes


def _limits(bounds: Bounds) -> tuple[Array, Array]:
    low, high = bounds.low[_LEARNED].copy(), bounds.high[_LEARNED].copy()
    low[1:], high[1:] = np.log(low[1:]), np.log(high[1:])
    return low, high


def most_probable(
    data: Array,
    b_values: Array,
    bounds: Bounds,
    floor: Array,
    start: Array,
    population: Population,
    *,
    iterations: int = ITERATIONS,
) -> Solution:
    """Find the most probable transformed coordinates of each voxel from a start, (n, 4).

    The population adds three residuals to those of the signals, which are in units of their noise.
    """
    root = np.linalg.cholesky(np.linalg.inv(population.covariance))
    measured = len(b_values)

    def evaluate(rows: Rows, free: Array) -> tuple[Array, Array]:
        values, inner = to_parameters(free, bounds)
        predicted, slopes = model.signal_and_slopes(values, b_values, floor[rows])
        residual = np.empty((len(rows), measured + len(_LEARNED)))
        np.subtract(predicted, data[rows], out=residual[:, :measured])
        residual[:, :measured] /= population.noise
        residual[:, measured:] = (free[:, _LEARNED] - population.center) @ root
        all_slopes = np.empty((len(rows), COUNT, residual.shape[1]))
        np.multiply(slopes, (inner / population.noise)[:, :, None], out=all_slopes[:, :, :measured])
        all_slopes[:, S0, measured:] = 0
        all_slopes[:, _LEARNED, measured:] = root
        return residual, all_slopes

    return least_squares(
        evaluate, start, np.full(COUNT, -_LARGEST), np.full(COUNT, _LARGEST), size=_SIZE, iterations=iterations
    )


def start_near(data: Array, b_values: Array, bounds: Bounds, population: Population) -> Array:
    """Give the transformed coordinates to begin from, (n, 4): the best of the grid in view of the population."""
    slow, fast = np.meshgrid(*grid_of(bounds), indexing="ij")
    pairs = np.stack([np.ones(slow.size), np.full(slow.size, 0.5), slow.ravel(), fast.ravel()], axis=1)
    away = to_free(pairs, bounds)[:, [D, D_STAR]] - population.center[1:]
    root = np.linalg.cholesky(np.linalg.inv(population.covariance[1:, 1:]))
    penalty = population.noise**2 * np.sum((away @ root) ** 2, axis=1)
    free = to_free(start_on_grid(data, b_values, bounds, penalty.reshape(GRID, GRID)), bounds)
    reach = _NEAR * np.sqrt(population.covariance[0, 0])
    free[:, F] = np.clip(free[:, F], population.center[0] - reach, population.center[0] + reach)
    return free


def learn(data: Array, b_values: Array, bounds: Bounds, floor: Array) -> Population:
    """Learn the population of a sample of voxels, (n, m), with signals of about 1.

    Each round finds the most probable point of each voxel and its uncertainty, then the mean and the spread that make
    these most probable.
    """
    plain = fit_plain(data, b_values, bounds, floor, start_on_grid(data, b_values, bounds))
    noise = float(np.sqrt(np.median(plain.squares) / max(len(b_values) - COUNT, 1)))
    noise = max(noise, 1e-6)
    free = to_free(plain.values, bounds)
    # Begin wide: what is at a limit now would narrow the population to it.
    learned = free[:, _LEARNED]
    population = Population(
        center=np.median(learned, axis=0),
        covariance=np.diag(np.maximum(_robust_variance(learned), _LEAST_VARIANCE)),
        noise=noise,
    )
    for _ in range(_ROUNDS):
        found = most_probable(data, b_values, bounds, floor, free, population, iterations=_STEPS)
        free = found.values
        spread = np.linalg.inv(found.information + 1e-9 * np.eye(COUNT))[:, 1:, 1:]
        center = free[:, _LEARNED].mean(axis=0)
        away = free[:, _LEARNED] - center
        covariance = (away.T @ away) / len(free) + spread.mean(axis=0)
        covariance += _LEAST_VARIANCE * np.eye(len(_LEARNED))
        moved = np.max(np.abs(center - population.center) / np.sqrt(np.diag(covariance)))
        population = Population(center=center, covariance=covariance, noise=noise)
        if moved < _SETTLED:
            break
    return population


def _robust_variance(values: Array) -> Array:
    low, high = np.percentile(values, [16, 84], axis=0)
    variance: Array = ((high - low) / 2) ** 2
    return variance
