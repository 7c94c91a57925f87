"""Where a fit begins: the best of a grid of D and D*, with the amplitudes solved for (variable projection).

For fixed D and D* the model is linear in the amplitudes of both compartments (Golub and Pereyra, SIAM J Numer Anal
1973;10:413), so a search over two numbers finds the global basin that a search over four from one point can miss.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from heartbrain_functions.ivim.model import COUNT, D_STAR, S0, Array, Bounds, D, F

GRID: Final = 18
#: D* below this multiple of D is no second compartment.
SEPARATION: Final = 1.5
#: Voxels at a time: what is computed of them stays in the processor's cache.
_BLOCK: Final = 256


def grid_of(bounds: Bounds) -> tuple[Array, Array]:
    """Give the values of D and of D* that are tried, mm2/s."""
    return np.geomspace(*bounds.d, GRID), np.geomspace(*bounds.d_star, GRID)


def start_on_grid(data: Array, b_values: Array, bounds: Bounds, penalty: Array | None = None) -> Array:
    """Give a starting point for each voxel.

    Parameters
    ----------
    data
        (n, m) signals.
    b_values
        (m,), s/mm2.
    bounds
        Limits; the grid lies within.
    penalty
        What speaks against each pair of D and D*, (GRID, GRID), in units of squared signals.

    Returns
    -------
    array
        (n, 4): S0, f, D, D*.
    """
    slow, fast = grid_of(bounds)
    penalty = np.zeros((GRID, GRID)) if penalty is None else penalty
    slow_basis, fast_basis = (np.exp(-np.outer(rates, b_values)) for rates in (slow, fast))
    slow_size, fast_size = (np.sqrt(np.sum(basis**2, axis=1)) for basis in (slow_basis, fast_basis))
    slow_basis, fast_basis = slow_basis / slow_size[:, None], fast_basis / fast_size[:, None]
    # Of each fast decay what the slow one can't explain: both then explain signals independently of each other.
    cosine = slow_basis @ fast_basis.T
    sine = np.sqrt(np.maximum(1 - cosine**2, np.finfo(float).tiny))
    rest = (fast_basis - cosine[:, :, None] * slow_basis[:, None]) / sine[:, :, None]
    rest[fast <= SEPARATION * slow[:, None]] = 0
    rest = rest.reshape(-1, len(b_values))
    # The part that only the fast one explains is at most so many times the rest while both amplitudes are positive.
    steepest = sine / cosine
    start = np.empty((len(data), COUNT))
    for first in range(0, len(data), _BLOCK):
        signals = data[first : first + _BLOCK]
        by_slow = np.maximum(signals @ slow_basis.T, 0)
        by_fast = signals @ fast_basis.T
        by_rest = (signals @ rest.T).reshape(-1, GRID, GRID)
        # A negative amplitude means that one compartment alone fits best.
        by_rest *= (by_rest > 0) & (by_rest <= by_slow[:, :, None] * steepest)
        explained = by_rest**2
        explained += (by_slow**2)[:, :, None]
        explained -= penalty
        fast_alone = np.maximum(by_fast, 0) ** 2 - np.min(penalty, axis=0)
        rows = np.arange(len(signals))
        i, j = np.divmod(explained.reshape(-1, GRID * GRID).argmax(axis=1), GRID)
        alone = fast_alone.argmax(axis=1)
        slow_part = (by_slow[rows, i] - by_rest[rows, i, j] / steepest[i, j]) / slow_size[i]
        fast_part = by_rest[rows, i, j] / (sine[i, j] * fast_size[j])
        none_slow = fast_alone[rows, alone] > explained[rows, i, j]
        j = np.where(none_slow, alone, j)
        slow_part = np.where(none_slow, 0, slow_part)
        fast_part = np.where(none_slow, by_fast[rows, j] / fast_size[j], fast_part)
        here = start[first : first + _BLOCK]
        here[:, S0] = slow_part + fast_part
        here[:, F] = fast_part / np.maximum(here[:, S0], np.finfo(float).tiny)
        here[:, D], here[:, D_STAR] = slow[i], fast[j]
    return start
