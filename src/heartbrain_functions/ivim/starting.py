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


def start_on_grid(data: Array, b_values: Array, bounds: Bounds) -> Array:
    """Give a starting point for each voxel.

    Parameters
    ----------
    data
        (n, m) signals.
    b_values
        (m,), s/mm2.
    bounds
        Limits; the grid lies within.

    Returns
    -------
    array
        (n, 4): S0, f, D, D*.
    """
    slow = np.geomspace(*bounds.d, GRID)
    fast = np.geomspace(*bounds.d_star, GRID)
    slow_basis, fast_basis = np.exp(-np.outer(slow, b_values)), np.exp(-np.outer(fast, b_values))
    first, second = (index.ravel() for index in np.meshgrid(np.arange(GRID), np.arange(GRID), indexing="ij"))
    apart = fast[second] > SEPARATION * slow[first]
    first, second = first[apart], second[apart]
    # Both amplitudes by the normal equations of two columns.
    aa, bb = np.sum(slow_basis**2, axis=1)[first], np.sum(fast_basis**2, axis=1)[second]
    ab = (slow_basis @ fast_basis.T)[first, second]
    determinant = aa * bb - ab**2
    ya, yb = (data @ slow_basis.T)[:, first], (data @ fast_basis.T)[:, second]
    amplitude_slow = (ya * bb - yb * ab) / determinant
    amplitude_fast = (yb * aa - ya * ab) / determinant
    # A negative amplitude means that one compartment alone fits best.
    only_slow, only_fast = amplitude_fast < 0, amplitude_slow < 0
    amplitude_slow = np.where(only_slow, np.maximum(ya / aa, 0), np.where(only_fast, 0, amplitude_slow))
    amplitude_fast = np.where(only_slow, 0, np.where(only_fast, np.maximum(yb / bb, 0), amplitude_fast))
    explained = (
        2 * (amplitude_slow * ya + amplitude_fast * yb)
        - amplitude_slow**2 * aa
        - amplitude_fast**2 * bb
        - 2 * amplitude_slow * amplitude_fast * ab
    )
    best = np.argmax(explained, axis=1)
    rows = np.arange(len(data))
    start = np.empty((len(data), COUNT))
    start[:, S0] = amplitude_slow[rows, best] + amplitude_fast[rows, best]
    start[:, F] = amplitude_fast[rows, best] / np.maximum(start[:, S0], np.finfo(float).tiny)
    start[:, D] = slow[first[best]]
    start[:, D_STAR] = fast[second[best]]
    return start
