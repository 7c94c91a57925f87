from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heartbrain_functions.errors import FunctionError
from heartbrain_functions.images import background_noise, object_mask
from heartbrain_functions.ivim.volumes import average, find_rounding, read_b_values


def test_volumes_of_nearly_equal_b_values_are_averaged_geometrically() -> None:
    b_values = np.array([0, 10, 995, 0, 10, 1005, 1000])
    data = np.array([[100.0, 80, 20, 110, 90, 30, 25]])
    averaged = average(data, b_values)
    assert averaged.b_values.tolist() == [0, 10, 1000]
    assert averaged.counts.tolist() == [2, 2, 3]
    assert averaged.data[0] == pytest.approx([np.sqrt(11000), np.sqrt(7200), 15000 ** (1 / 3)])
    assert average(data, b_values, geometric=False).data[0] == pytest.approx([105, 85, 25])


def test_low_b_values_five_apart_stay_apart() -> None:
    b_values = np.array([0, 5, 10, 15, 20, 100])
    assert average(np.ones((1, 6)), b_values).b_values.tolist() == b_values.tolist()


@pytest.mark.parametrize("text", ["0 10 20", "0\n10\n20\n", " 0  10 2e1 "])
def test_a_table_of_b_values_may_be_a_row_or_a_column(tmp_path: Path, text: str) -> None:
    path = tmp_path / "dwi.bval"
    path.write_text(text)
    assert read_b_values(path, 3).tolist() == [0, 10, 20]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0 10", "INCOMPLETE_SERIES"),
        ("0 ten 20", "BAD_B_VALUES"),
        ("0 -5 20", "BAD_B_VALUES"),
        ("0 nan 2", "BAD_B_VALUES"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_what_to_do(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "dwi.bval"
    path.write_text(text)
    with pytest.raises(FunctionError) as caught:
        read_b_values(path, 3)
    assert caught.value.code == code
    assert caught.value.message.endswith("again.")


def signals(true_b: list[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    b = np.array(true_b)
    values: np.ndarray[tuple[int], np.dtype[np.float64]] = 900 * (0.2 * np.exp(-b * 0.03) + 0.8 * np.exp(-b * 1e-3))
    return values


def test_b_values_that_a_scanner_rounded_are_found_by_their_falling_signals() -> None:
    true = [0.0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 200, 500, 1000]
    written = [0.0, *([50] * 9), 200, 500, 1000]
    found = find_rounding(signals(true), np.array(written))
    assert found is not None
    assert found[0] == "B_VALUES_ROUNDED"
    assert "9 images say b = 50 s/mm2" in found[1]


def test_repeated_low_b_values_are_only_suspicious_where_the_signal_stays() -> None:
    written = np.array([0.0, *([50] * 9), 200, 500, 1000])
    steady = signals(list(written)) + np.random.default_rng(0).normal(0, 5, len(written))
    found = find_rounding(steady, written)
    assert found is not None
    assert found[0] == "B_VALUES_SUSPICIOUS"


def test_directions_of_a_common_protocol_raise_no_suspicion() -> None:
    b_values = np.array([0.0, *np.repeat([10, 20, 50, 100, 400, 1000], 6)])
    assert find_rounding(signals(list(b_values)), b_values) is None


def test_noise_is_measured_in_the_air_and_only_where_there_is_air() -> None:
    draw = np.random.default_rng(0)
    x, y, z = np.mgrid[-1:1:48j, -1:1:48j, -1:1:12j]
    clean = np.where(x**2 + y**2 + z**2 < 0.3, 500.0, 0.0)
    noisy = np.hypot(clean + draw.normal(0, 20, clean.shape), draw.normal(0, 20, clean.shape))
    mask = object_mask(noisy)
    assert np.mean(mask == (clean > 0)) > 0.995
    assert background_noise(noisy, mask) == pytest.approx(20, rel=0.05)
    assert background_noise(np.where(mask, noisy, 0), mask) is None
    ghosts = noisy + np.where(np.abs(y) < 0.3, 150, 0)
    assert background_noise(ghosts, mask) is None


def test_an_image_of_nothing_has_no_object() -> None:
    assert not object_mask(np.zeros((4, 4, 4))).any()
