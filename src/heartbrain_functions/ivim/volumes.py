"""b-values and what they say: averages over directions, and numbers that a scanner rounded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from heartbrain_functions.errors import FunctionError

Array = NDArray[np.float64]
#: b-values nearer than this are one, s/mm2: scanners write 995 and 1005 for 1000.
_SAME: Final = 6.0
#: Up to here a scanner may have rounded, s/mm2.
_LOW: Final = 100.0
#: Images of one low b-value from which a rounding is suspected: more than any usual number of directions' shares.
_MANY: Final = 4
#: A fall of the signal, first to last, that no direction explains at a low b-value.
_FALL: Final = 0.05
_ZERO_B: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Averaged:
    """Signals by b-value.

    Attributes
    ----------
    data
        (..., k).
    b_values
        (k,), s/mm2, ascending.
    counts
        (k,): volumes in each.
    """

    data: Array
    b_values: Array
    counts: NDArray[np.int_]


def read_b_values(path: Path, volumes: int) -> Array:
    """Read a `.bval` file, in one row or one column.

    Raises
    ------
    FunctionError
        It is no list of one number for each volume.
    """
    try:
        values = np.array(path.read_text(encoding="ascii").split(), dtype=float)
    except (ValueError, OSError) as error:
        raise FunctionError("BAD_B_VALUES", "The table of b-values can't be read: send the series again.") from error
    if len(values) != volumes:
        raise FunctionError(
            "INCOMPLETE_SERIES",
            f"The series has {volumes} of {len(values)} volumes: ask the scanner staff to send it again.",
        )
    if not np.all(np.isfinite(values)) or values.min() < 0:
        raise FunctionError("BAD_B_VALUES", "A b-value is negative or no number: send the series again.")
    return values


def group(b_values: Array) -> NDArray[np.int_]:
    """Give the group of each volume: 0 for the lowest b-value, then upwards; nearly equal ones are one."""
    order = np.argsort(b_values, kind="stable")
    steps = np.diff(b_values[order], prepend=b_values[order[0]])
    low = b_values[order] <= _LOW
    groups = np.empty(len(b_values), dtype=int)
    groups[order] = np.cumsum(steps > np.where(low, _ZERO_B, _SAME))
    return groups


def average(data: Array, b_values: Array, *, geometric: bool = True) -> Averaged:
    """Average the volumes of each b-value over its directions and repetitions.

    The geometric mean over three orthogonal directions gives the trace-weighted signal, free of anisotropy.

    Parameters
    ----------
    data
        (..., m).
    b_values
        (m,), s/mm2.
    geometric
        False for the arithmetic mean.
    """
    groups = group(b_values)
    parts, means, counts = [], [], []
    for number in range(groups.max() + 1):
        members = groups == number
        volumes = data[..., members]
        if geometric and members.sum() > 1:
            with np.errstate(divide="ignore"):
                parts.append(np.exp(np.log(np.maximum(volumes, 0)).mean(axis=-1)))
        else:
            parts.append(volumes.mean(axis=-1))
        means.append(b_values[members].mean())
        counts.append(int(members.sum()))
    return Averaged(data=np.stack(parts, axis=-1), b_values=np.array(means), counts=np.array(counts))


def find_rounding(medians: Array, b_values: Array) -> tuple[str, str] | None:
    """Find b-values that a scanner rounded: some write 50 for each of 5, 10, ... 45.

    Parameters
    ----------
    medians
        (m,): typical signal of each volume, in the order of acquisition.
    b_values
        (m,), s/mm2.

    Returns
    -------
    (code, text) or None
        `B_VALUES_ROUNDED` where the signals of one low b-value fall from image to image as if it had been several;
        `B_VALUES_SUSPICIOUS` where there are many images of the only low b-value.
    """
    low = (b_values > _ZERO_B) & (b_values <= _LOW)
    for value in np.unique(b_values[low]):
        members = np.flatnonzero(b_values == value)
        others = np.unique(b_values[(b_values > _LOW)])
        usual = max((int(np.count_nonzero(b_values == other)) for other in others), default=0)
        if len(members) < _MANY or len(members) <= usual:
            continue
        signals = medians[members]
        # Rank correlation of the signal with its place in the series.
        ranks = np.argsort(np.argsort(signals))
        trend = float(np.corrcoef(ranks, np.arange(len(members)))[0, 1]) if np.ptp(signals) > 0 else 0.0
        fall = 1 - signals.min() / max(signals.max(), np.finfo(float).tiny)
        images = f"{len(members)} images say b = {value:g} s/mm2"
        if fall > _FALL and abs(trend) > 0.8:  # noqa: PLR2004 - a steady change
            text = (
                f"{images}, but their signals change by {fall:.0%} from one to the next: the scanner has rounded its "
                "low b-values. Enter the true ones of the protocol into the .bval file and ask again."
            )
            return "B_VALUES_ROUNDED", text
        if len(np.unique(b_values[low])) == 1:
            return ("B_VALUES_SUSPICIOUS", f"{images} and no other is below {_LOW:g}: check them against the protocol.")
    return None
