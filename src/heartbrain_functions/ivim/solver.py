"""Levenberg-Marquardt for many small least-squares problems at once, within limits (Marquardt 1963, Nocedal ch. 10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heartbrain_functions.ivim.model import Array

Rows = NDArray[np.intp]
#: Rows (k,) and parameters (k, p) to residuals (k, m) and their derivatives (k, p, m).
Evaluate = Callable[[Rows, Array], tuple[Array, Array]]

ITERATIONS: Final = 100
#: A problem is done when a step changes its parameters by less than this part.
TOLERANCE: Final = 1e-5
#: ... or its sum of squares by less than this part, while the parameters change by less than its square root.
GAIN: Final = 1e-7
_FIRST_DAMPING: Final = 1e-3
_LEAST_DAMPING: Final = 1e-12
_MOST_DAMPING: Final = 1e9
_EASE, _STIFFEN = 0.2, 8.0
_RIDGE: Final = 1e-12


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Where the solver ended.

    Attributes
    ----------
    values
        (n, p).
    information
        (n, p, p): J^T J.
    squares
        (n,): sum of squared residuals.
    converged
        (n,).
    """

    values: Array
    information: Array
    squares: Array
    converged: NDArray[np.bool_]


def least_squares(
    evaluate: Evaluate, start: Array, low: Array, high: Array, *, size: float = 0.0, iterations: int = ITERATIONS
) -> Solution:
    """Minimise the sum of squared residuals of each row.

    Parameters
    ----------
    evaluate
        Gives residuals and derivatives of the rows asked for.
    start
        (n, p).
    low, high
        (p,) limits.
    iterations
        So many steps at most.
    size
        Of parameters smaller than this a change counts as if they were this large; for coordinates that may be 0.
    """
    values = np.clip(start, low, high)
    n = len(values)
    active: Rows = np.arange(n)
    residual, slopes = evaluate(active, values)
    squares = np.einsum("nm,nm->n", residual, residual)
    information = slopes @ slopes.transpose(0, 2, 1)
    gradient = np.einsum("nim,nm->ni", slopes, residual)
    damping = np.full(n, _FIRST_DAMPING)
    converged = np.zeros(n, dtype=bool)
    tiny = np.finfo(float).tiny
    size = max(size, tiny)
    for _ in range(iterations):
        if not len(active):
            break
        here = values[active]
        step = _step(information[active], gradient[active], damping[active], here, low, high)
        trial = np.clip(here + step, low, high)
        residual, slopes = evaluate(active, trial)
        new = np.einsum("nm,nm->n", residual, residual)
        old = squares[active]
        better = new <= old
        moved = np.max(np.abs(trial - here) / np.maximum(np.abs(here), size), axis=1)
        gained = (old - new) / np.maximum(old, tiny)
        done = (moved < TOLERANCE) | (better & (gained < GAIN) & (moved < np.sqrt(TOLERANCE)))
        accepted = active[better]
        values[accepted] = trial[better]
        squares[accepted] = new[better]
        slopes = slopes[better]
        information[accepted] = slopes @ slopes.transpose(0, 2, 1)
        gradient[accepted] = np.einsum("nim,nm->ni", slopes, residual[better])
        damping[active] = np.maximum(damping[active] * np.where(better, _EASE, _STIFFEN), _LEAST_DAMPING)
        # No step however small makes it better: this is the minimum as far as numbers go.
        done |= damping[active] > _MOST_DAMPING
        converged[active[done]] = True
        active = active[~done]
    return Solution(values=values, information=information, squares=squares, converged=converged)


def _step(information: Array, gradient: Array, damping: Array, values: Array, low: Array, high: Array) -> Array:
    """Solve the damped normal equations; a parameter at its limit that would leave it stays."""
    # The gradient of the residual points uphill: the step goes against it.
    downhill = -gradient
    held = ((values <= low) & (downhill < 0)) | ((values >= high) & (downhill > 0))
    diagonal = np.arange(values.shape[1])
    # Scaled to a unit diagonal: S0 and D differ by many orders of magnitude.
    size = np.sqrt(information[:, diagonal, diagonal])
    held |= size == 0
    size[held] = 1
    matrix = information / (size[:, :, None] * size[:, None, :])
    keep = (~held).astype(float)
    matrix *= keep[:, :, None] * keep[:, None, :]
    matrix[:, diagonal, diagonal] = np.where(held, 1.0, 1.0 + damping[:, None] + _RIDGE)
    solved: Array = np.linalg.solve(matrix, (downhill * keep / size)[:, :, None])[:, :, 0]
    return solved / size
