"""`python -m benchmarks.ivim [--voxels N] [--snr S] [--json]`: ms a voxel and errors, beside dipy and scipy.

Everybody fits the same simulated voxels: brain-like f, D and D*, Rician noise, the 16 b-values of the sample study.
Times are processor time of one process with one thread. A million voxels are fitted once more in another process,
whose largest memory is told.
"""

# ruff: noqa: E402 - threads are limited before NumPy is loaded

from __future__ import annotations

import os

# One thread for everybody, said before NumPy is loaded.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heartbrain_functions.ivim import METHODS, fit, signal
from heartbrain_functions.ivim.model import D_STAR, D, F

Array = NDArray[np.float64]
Fit = Callable[[Array], Array]
#: s/mm2: the sample study's.
B_VALUES = np.array([0, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 500, 600, 800, 1000], dtype=float)
COLUMNS = {"f": F, "D": D, "D*": D_STAR}
#: Lowest and highest value of S0, f, D, D* of the voxels; D in mm2/s.
TISSUE = ((800.0, 1200.0), (0.05, 0.25), (6e-4, 1.3e-3), (8e-3, 6e-2))
#: dipy's variable projection searches by differential evolution: so many voxels take long enough.
FEW = 10
MILLION = 1_000_000
REFERENCE = "dipy LM"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ivim", description=__doc__)
    parser.add_argument("--voxels", type=int, default=200, help="that everybody fits (default: %(default)s)")
    parser.add_argument("--many", type=int, default=50_000, help="that only ours fits (default: %(default)s)")
    parser.add_argument("--snr", type=float, default=30, help="signal to noise at b = 0 (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--million", choices=METHODS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.million:
        return fit_a_million(arguments.million, arguments.snr)
    data = measure(arguments.voxels, arguments.many, arguments.snr)
    if arguments.json:
        json.dump(data, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        show(data)
    return 0


def voxels(count: int, snr: float, seed: int) -> tuple[Array, Array]:
    """Give true parameters (n, 4) and magnitude signals (n, 16) with Rician noise."""
    draw = np.random.default_rng(seed)
    truth = np.stack([draw.uniform(low, high, count) for low, high in TISSUE], axis=1)
    clean = signal(truth, B_VALUES)
    sigma = truth[:, [0]] / snr
    return truth, np.hypot(clean + sigma * draw.normal(size=clean.shape), sigma * draw.normal(size=clean.shape))


def dipy(method: str) -> Fit:
    """Fit with dipy, within our limits where it takes any."""

    def run(data: Array) -> Array:
        from dipy.core.gradients import gradient_table  # noqa: PLC0415 - seconds
        from dipy.reconst.ivim import IvimModel  # noqa: PLC0415 - the same

        directions = np.tile([1.0, 0, 0], (len(B_VALUES), 1))
        directions[B_VALUES == 0] = 0
        limits = {"bounds": ([0, 0, 3e-3, 5e-5], [np.inf, 1, 0.3, 5e-3])} if method == "trr" else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = gradient_table(B_VALUES, bvecs=directions, b0_threshold=0)
            found: Array = IvimModel(table, fit_method=method, **limits).fit(data).model_params
        return found[:, [0, 1, 3, 2]]

    return run


def plain(data: Array) -> Array:
    """Fit each voxel with `scipy.optimize.least_squares`, as a script of ten lines does."""
    from scipy.optimize import least_squares  # noqa: PLC0415 - the same

    scale = np.array([1, 1, 1e-3, 1e-2])

    def residual(p: Array, signals: Array) -> Array:
        s0, f, d, d_star = p * scale
        misfit: Array = s0 * (f * np.exp(-B_VALUES * d_star) + (1 - f) * np.exp(-B_VALUES * d)) - signals
        return misfit

    limits = ([0, 0, 0.05, 0.3], [np.inf, 1, 5, 30])
    return np.array(
        [least_squares(residual, [row[0], 0.1, 1, 1], args=(row,), bounds=limits).x * scale for row in data]
    )


def measure(count: int, many: int, snr: float) -> dict[str, Any]:
    """Let everybody fit the same voxels."""
    truth, data = voxels(count, snr, seed=1)
    peers: dict[str, tuple[Fit, int]] = {
        REFERENCE: (dipy("trr"), count),
        "dipy VarPro": (dipy("VarPro"), FEW),
        "scipy": (plain, count),
    }
    rows = {name: timed(run, data[:number], truth[:number]) for name, (run, number) in peers.items()}
    _, large = voxels(many, snr, seed=2)
    for method in METHODS:
        row = timed(lambda some: fit(some, B_VALUES, method=method).values, data, truth)  # noqa: B023 - called at once
        began = time.process_time()
        fit(large, B_VALUES, method=method)
        row["ms"] = 1000 * (time.process_time() - began) / many
        rows[f"ours, {method}"] = row
    for row in rows.values():
        row["times"] = rows[REFERENCE]["ms"] / row["ms"]
    return {
        "b_values": B_VALUES.tolist(),
        "snr": snr,
        "voxels": count,
        "many": many,
        "rows": rows,
        "million": {method: of_a_million(method, snr) for method in ("nlls", "shrinkage")},
    }


def timed(run: Fit, data: Array, truth: Array) -> dict[str, float]:
    """Give ms a voxel and the median relative errors."""
    run(data[:2])  # what is loaded or compiled at the first call is not counted
    began = time.process_time()
    found = run(data)
    spent = time.process_time() - began
    errors = {name: float(np.median(np.abs(found[:, at] / truth[:, at] - 1))) for name, at in COLUMNS.items()}
    return {"voxels": len(data), "ms": 1000 * spent / len(data), **errors}


def of_a_million(method: str, snr: float) -> dict[str, float]:
    """Fit a million voxels in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ivim", "--million", method, "--snr", str(snr)]
    answer: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return answer


def fit_a_million(method: str, snr: float) -> int:
    """Say what it took, as JSON."""
    # In pieces, so that making the signals takes less memory than fitting them.
    piece = MILLION // 100
    data = np.empty((MILLION, len(B_VALUES)))
    for number in range(100):
        data[number * piece : (number + 1) * piece] = voxels(piece, snr, seed=number)[1]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    fit(data, B_VALUES, method=method)  # type: ignore[arg-type]  # one of the choices
    spent = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = {"s": spent, "peak_mb": peak / 1024, "before_mb": before / 1024}
    json.dump(report, sys.stdout)
    return 0


def show(data: dict[str, Any]) -> None:
    """Print the table."""
    print(
        f"IVIM at SNR {data['snr']:g}, b = {' '.join(f'{b:g}' for b in data['b_values'])} s/mm2; median relative errors"
    )
    print("| | voxels | ms/voxel | times dipy LM | f | D | D* |")
    print("|---|---|---|---|---|---|---|")
    for name, row in data["rows"].items():
        errors = " | ".join(f"{row[key]:.3f}" for key in COLUMNS)
        print(f"| {name} | {row['voxels']} | {row['ms']:.3g} | {row['times']:.3g} | {errors} |")
    print(f"ms/voxel of ours over {data['many']} other voxels.")
    for method, one in data["million"].items():
        text = f"{one['s']:.0f} s, {one['peak_mb']:.0f} MB at most ({one['before_mb']:.0f} MB before it began)"
        print(f"A million voxels, {method}: {text}")


if __name__ == "__main__":
    sys.exit(main())
