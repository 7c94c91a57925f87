from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from heartbrain_functions.ivim import METHODS, Bounds, Failure, Method, fit, signal
from heartbrain_functions.ivim.model import D_STAR, NAMES, S0, Array, D, F, signal_and_slopes

#: Those of the sample study's diffusion series, s/mm2.
B_VALUES = np.array([0, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 500, 600, 800, 1000], dtype=float)
FULL: tuple[Method, ...] = ("nlls", "varpro", "shrinkage")


def tissue(n: int, seed: int = 0) -> Array:
    """Draw parameters as they are in organs with blood flow: S0, f, D, D*."""
    draw = np.random.default_rng(seed)
    return np.stack(
        [
            draw.uniform(500, 1500, n),
            draw.uniform(0.05, 0.3, n),
            draw.uniform(0.5e-3, 2e-3, n),
            draw.uniform(8e-3, 8e-2, n),
        ],
        axis=1,
    )


def measured(truth: Array, signal_to_noise: float, seed: int = 1) -> Array:
    """Give magnitude signals with Rician noise."""
    draw = np.random.default_rng(seed)
    clean = signal(truth, B_VALUES)
    sigma = truth[:, [S0]] / signal_to_noise
    noisy: Array = np.hypot(clean + sigma * draw.normal(size=clean.shape), sigma * draw.normal(size=clean.shape))
    return noisy


def relative_errors(found: Array, truth: Array) -> Array:
    errors: Array = np.abs(found / truth - 1)
    return errors


@pytest.mark.parametrize("method", FULL)
def test_signals_without_noise_give_back_every_parameter_of_every_voxel(method: Method) -> None:
    truth = tissue(500)
    found = fit(signal(truth, B_VALUES), B_VALUES, method=method)
    assert relative_errors(found.values, truth).max() < 0.01
    assert np.all(found.failure == Failure.NONE)
    assert found.residual.max() < 1e-3 * truth[:, S0].min()


def test_the_segmented_method_is_exact_where_perfusion_is_gone_at_its_threshold() -> None:
    truth = tissue(500)
    truth[:, D_STAR] = np.random.default_rng(3).uniform(0.05, 0.08, 500)
    found = fit(signal(truth, B_VALUES), B_VALUES, method="segmented")
    assert relative_errors(found.values, truth).max() < 0.01


def test_the_derivatives_are_those_of_the_signal() -> None:
    truth = tissue(20)
    for noise in (0.0, 200.0):
        _, slopes = signal_and_slopes(truth, B_VALUES, noise)
        for column in range(4):
            step = 1e-6 * truth[:, [column]]
            up, down = truth.copy(), truth.copy()
            up[:, [column]] += step
            down[:, [column]] -= step
            numeric = (signal(up, B_VALUES, noise) - signal(down, B_VALUES, noise)) / (2 * step)
            scale = np.abs(numeric).max(axis=1, keepdims=True)
            assert np.all(np.abs(slopes[:, column] - numeric) <= 1e-5 * scale), NAMES[column]


@pytest.mark.parametrize("signal_to_noise", [30, 100])
def test_shrinkage_is_nearer_to_the_truth_than_least_squares_and_fails_less(signal_to_noise: float) -> None:
    truth = tissue(2000)
    data = measured(truth, signal_to_noise)
    plain, tamed = fit(data, B_VALUES, method="nlls"), fit(data, B_VALUES, method="shrinkage")
    for column in (F, D, D_STAR):
        ours = np.median(relative_errors(tamed.values, truth)[:, column])
        assert ours <= np.median(relative_errors(plain.values, truth)[:, column]), NAMES[column]
    assert np.count_nonzero(tamed.failure) <= np.count_nonzero(plain.failure)
    assert np.count_nonzero(tamed.failure) < 20


def test_variable_projection_ends_at_the_minimum_of_least_squares() -> None:
    data = measured(tissue(300), 60)
    plain, projected = fit(data, B_VALUES, method="nlls"), fit(data, B_VALUES, method="varpro")
    inside = (plain.failure == 0) & (projected.failure == 0)
    assert inside.sum() > 250
    assert relative_errors(projected.residual[inside], plain.residual[inside]).max() < 1e-3
    assert np.median(relative_errors(projected.values, plain.values)[inside]) < 1e-3


@pytest.mark.parametrize("method", FULL)
def test_the_truth_lies_within_two_standard_errors_in_about_95_of_100_voxels(method: Method) -> None:
    truth = tissue(2000)
    found = fit(measured(truth, 100), B_VALUES, method=method)
    inside = np.abs(found.values - truth) < 1.96 * found.errors
    covered = [np.mean(inside[np.isfinite(found.errors[:, column]), column]) for column in range(4)]
    assert all(0.88 < part < 0.98 for part in covered), covered


def test_the_noise_floor_is_part_of_the_model_where_the_noise_is_known() -> None:
    truth = tissue(2000)
    truth[:, [S0, D]] = [1000, 1.8e-3]
    sigma = 1000 / 12
    data = measured(truth, 12)
    ignored, known = (fit(data, B_VALUES, method="nlls", noise=noise).values[:, D] for noise in (0, sigma))
    bias = [np.median(values) / 1.8e-3 - 1 for values in (ignored, known)]
    assert bias[0] < -0.1
    assert abs(bias[1]) < abs(bias[0]) / 2


def test_results_do_not_depend_on_the_gain_of_the_scanner_or_the_order_of_the_b_values() -> None:
    data = measured(tissue(100), 50)
    order = np.random.default_rng(2).permutation(len(B_VALUES))
    for method in METHODS:
        plain = fit(data, B_VALUES, method=method)
        again = fit(1e4 * data[:, order], B_VALUES[order], method=method)
        trusted = plain.failure == 0
        assert trusted.sum() > 50
        assert np.median(relative_errors(again.values[:, 1:], plain.values[:, 1:])[trusted]) < 1e-6, method
        assert np.median(relative_errors(again.values[:, S0], 1e4 * plain.values[:, S0])[trusted]) < 1e-6, method


def test_voxels_without_signal_and_without_perfusion_say_so() -> None:
    truth = tissue(6)
    truth[2:4, F] = 0
    data = signal(truth, B_VALUES)
    data[0] = 0
    data[1, 3] = np.nan
    found = fit(data, B_VALUES, method="nlls")
    assert list(found.failure[:4]) == [Failure.NO_SIGNAL, Failure.NO_SIGNAL, Failure.F_AT_LIMIT, Failure.F_AT_LIMIT]
    assert np.all(np.isnan(found.values[:2]))
    assert np.all(np.isnan(found.errors[2:4, F]))
    assert relative_errors(found.values[2:4, D], truth[2:4, D]).max() < 0.01
    assert np.all(found.failure[4:] == Failure.NONE)


def test_nothing_to_fit_gives_nothing() -> None:
    for method in METHODS:
        assert fit(np.zeros((0, 16)), B_VALUES, method=method).values.shape == (0, 4)
        assert np.all(fit(np.zeros((3, 16)), B_VALUES, method=method).failure == Failure.NO_SIGNAL)


def test_values_stay_within_their_bounds() -> None:
    bounds = Bounds(f=(0.0, 0.5), d=(2e-4, 3e-3), d_star=(5e-3, 0.1))
    noise = np.random.default_rng(4).uniform(0, 100, (300, 16))
    for method in METHODS:
        values = fit(noise, B_VALUES, method=method, bounds=bounds).values
        assert values[:, F].min() >= 0
        assert values[:, D].min() >= 2e-4 * (1 - 1e-9)
        assert values[:, D].max() <= 3e-3 * (1 + 1e-9)
        assert values[:, D_STAR].min() >= 5e-3 * (1 - 1e-9)
        assert values[:, D_STAR].max() <= 0.1 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("data", "b_values", "method", "message"),
    [
        (np.ones((2, 3)), [0, 10, 100], "nlls", "four different"),
        (np.ones((2, 5)), [0, 10, 100, 200], "nlls", "do not fit"),
        (np.ones((2, 5)), [0, 10, 20, 50, 100], "segmented", "two b-values of at least 200"),
        (np.ones((2, 4)), [0, 10, 100, 200], "guessed", "no method 'guessed'"),
    ],
)
def test_what_can_not_be_fitted_is_refused_with_a_reason(
    data: Array, b_values: list[float], method: Method, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(data, np.array(b_values, dtype=float), method=method)


def test_memory_beside_data_and_result_does_not_grow_with_the_voxels() -> None:
    peaks = []
    for n in (10_000, 20_000):
        data = measured(tissue(n), 50)
        tracemalloc.start()
        fit(data, B_VALUES, method="segmented")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    own = 10_000 * (16 + 2 * 4 + 2) * 8
    assert peaks[1] - peaks[0] < 1.5 * own
