"""Plain least squares of all four parameters: a method of its own, and where another one begins."""

from __future__ import annotations

from heartbrain_functions.ivim import model
from heartbrain_functions.ivim.model import Array, Bounds
from heartbrain_functions.ivim.solver import Rows, Solution, least_squares


def fit_plain(data: Array, b_values: Array, bounds: Bounds, noise: Array, start: Array) -> Solution:
    """Find the least squares within the bounds.

    Parameters
    ----------
    data
        (n, m) signals.
    noise
        (n, 1): standard deviation of the noise in the magnitude image's channels; 0 leaves its floor out.
    start
        (n, 4) parameters to begin from.
    """

    def evaluate(rows: Rows, values: Array) -> tuple[Array, Array]:
        predicted, slopes = model.signal_and_slopes(values, b_values, noise[rows])
        return predicted - data[rows], slopes

    return least_squares(evaluate, start, bounds.low, bounds.high)
