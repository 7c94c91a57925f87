from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from heartbrain_functions.command import main
from heartbrain_functions.ivim import signal
from heartbrain_functions.ivim.run import run as ivim

B_VALUES = np.array([0, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 500, 600, 800, 1000], dtype=float)
NAME = "sub-01_ses-20230504_acq-ivim_dwi"
#: S0, f, D, D* of two halves of a ball.
LEFT, RIGHT = (1000.0, 0.1, 0.7e-3, 0.02), (800.0, 0.25, 1.4e-3, 0.05)


@dataclass
class Done:
    code: int
    folder: Path
    error: str

    @property
    def result(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return content

    def value(self, name: str) -> float:
        (found,) = (one["value"] for one in self.result["Values"] if one["name"] == name)
        return float(found)

    def image(self, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        path = (
            self.folder / "sub-01" / "ses-20230504" / "dwi" / f"sub-01_ses-20230504_acq-ivim_model-ivim_{name}.nii.gz"
        )
        image: Any = nib.load(path)
        data: np.ndarray[Any, np.dtype[np.float64]] = image.get_fdata()
        return data


def ball() -> np.ndarray[Any, np.dtype[np.int_]]:
    """Give 0 for air, 1 and 2 for the halves."""
    x, y, z = np.mgrid[-1:1:28j, -1:1:28j, -1:1:7j]
    inside = x**2 + y**2 + z**2 < 0.4
    halves: np.ndarray[Any, np.dtype[np.int_]] = np.where(inside, np.where(x < 0, 1, 2), 0)
    return halves


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Write a series without noise, or with air in which noise can be measured."""

    def write(noise: float = 0.0, b_values: np.ndarray[Any, Any] = B_VALUES, written: Any = None) -> Path:
        halves = ball()
        clean = np.zeros((*halves.shape, len(b_values)))
        for label, truth in ((1, LEFT), (2, RIGHT)):
            clean[halves == label] = signal(np.array([truth]), b_values)[0]
        draw = np.random.default_rng(0)
        data = np.hypot(clean + noise * draw.normal(size=clean.shape), noise * draw.normal(size=clean.shape))
        folder = tmp_path / "input"
        folder.mkdir()
        affine = np.diag([2.0, 2.0, 4.0, 1.0])
        series: Any = nib.Nifti1Image
        nib.save(series(data.astype(np.float32), affine), folder / f"{NAME}.nii.gz")
        numbers = b_values if written is None else written
        (folder / f"{NAME}.bval").write_text(" ".join(f"{value:g}" for value in numbers) + "\n")
        nib.save(series(halves.astype(np.uint8), affine), folder / "sub-01_ses-20230504_dseg.nii.gz")
        return folder

    return write


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Call the function as the centre does, but in this process."""

    def call(folder: Path, **parameters: Any) -> Done:
        output = tmp_path / "output"
        (tmp_path / "status").mkdir(exist_ok=True)
        (tmp_path / "parameters.json").write_text(json.dumps(parameters))
        argv = ["--input", folder, "--output", output, "--parameters", tmp_path / "parameters.json"]
        code = main("ivim", "", ivim, [str(one) for one in [*argv, "--status", tmp_path / "status"]])
        return Done(code, output, capsys.readouterr().err)

    return call


def test_the_command_works_by_itself(put: Callable[..., Path], tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "heartbrain_functions.ivim", "--input", put(), "--output", tmp_path / "output"]
    done = subprocess.run([str(one) for one in argv], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "100% done"
    assert Done(0, tmp_path / "output", "").value("FailedFraction") == 0


def test_the_maps_hold_the_parameters_that_the_signals_were_made_of(
    put: Callable[..., Path], run: Callable[..., Done], tmp_path: Path
) -> None:
    done = run(put())
    assert done.code == 0, done.error
    halves = ball()
    for name, column in (("S0", 0), ("f", 1), ("D", 2), ("Dstar", 3)):
        values = done.image(f"param-{name}_dwimap")
        for label, truth in ((1, LEFT), (2, RIGHT)):
            assert np.median(np.abs(values[halves == label] / truth[column] - 1)) < 0.01, name
        assert np.isnan(values[halves == 0]).all()
        assert np.isfinite(done.image(f"param-{name}_desc-error_dwimap")[halves > 0]).all()
    assert done.image("param-fDstar_dwimap")[halves == 2] == pytest.approx(0.25 * 0.05, rel=0.01)
    assert done.image("param-failure_desc-mask_dwimap")[halves == 0].tolist() == [1] * int((halves == 0).sum())
    assert float((tmp_path / "status" / "progress").read_text()) == 1.0


def test_the_result_says_all_numbers_files_and_what_is_needed_to_do_it_again(
    put: Callable[..., Path], run: Callable[..., Done]
) -> None:
    done = run(put(), method="nlls", directions="keep")
    result = done.result
    assert (result["ResultType"], result["Function"], result["Sources"]) == ("IVIMAnalysis", "ivim", [f"{NAME}.nii.gz"])
    halves = ball()
    left = np.count_nonzero(halves == 1) / np.count_nonzero(halves)
    assert done.value("mean_f") == pytest.approx(left * 0.1 + (1 - left) * 0.25, rel=0.01)
    assert done.value("NumberOfVoxels") == np.count_nonzero(halves)
    assert done.value("FailedFraction") == 0
    units = {one["name"]: one.get("unit") for one in result["Values"]}
    assert (units["mean_f"], units["mean_D"], units["mean_Dstar"]) == (None, "mm^2/s", "mm^2/s")
    details = result["Details"]
    assert details["BValues"] == B_VALUES.tolist()
    assert (details["Method"], details["BoundsD"], details["Threshold"]) == ("nlls", [5e-5, 5e-3], 200)
    assert {"map", "error", "mask", "table", "picture", "report"} == {file["role"] for file in result["Files"]}
    assert all((done.folder / file["path"]).stat().st_size > 0 for file in result["Files"])
    description = json.loads((done.folder / "dataset_description.json").read_text())
    assert (description["DatasetType"], description["GeneratedBy"][0]["Name"]) == ("derivative", "ivim")


def test_region_means_are_those_of_the_segmentation(put: Callable[..., Path], run: Callable[..., Done]) -> None:
    done = run(put())
    (table,) = (done.folder / file["path"] for file in done.result["Files"] if file["role"] == "table")
    header, *rows = (line.split("\t") for line in table.read_text().splitlines())
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert set(found) == {"1", "2"}
    assert float(found["1"]["median_f"]) == pytest.approx(0.1, rel=0.01)
    assert float(found["2"]["mean_D"]) == pytest.approx(1.4e-3, rel=0.01)
    assert int(found["1"]["voxels"]) == np.count_nonzero(ball() == 1)


def test_noise_in_the_air_becomes_part_of_the_model(put: Callable[..., Path], run: Callable[..., Done]) -> None:
    assert run(put(noise=25)).result["Details"]["NoiseSigma"] == pytest.approx(25, rel=0.1)


def test_the_page_shows_numbers_and_a_picture_and_loads_nothing(
    put: Callable[..., Path], run: Callable[..., Done]
) -> None:
    done = run(put())
    (page,) = (done.folder / file["path"] for file in done.result["Files"] if file["role"] == "report")
    text = page.read_text()
    assert "f: perfusion fraction" in text
    assert "data:image/png;base64," in text
    assert "http" not in text
    assert "<script" not in text


def test_rounded_b_values_are_refused_and_may_be_accepted_knowingly(
    put: Callable[..., Path], run: Callable[..., Done]
) -> None:
    true = np.array([0.0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 200, 400, 700, 1000])
    folder = put(b_values=true, written=[0, *([50] * 9), 200, 400, 700, 1000])
    done = run(folder)
    assert done.code == 3
    assert "B_VALUES_ROUNDED" in done.error
    assert json.loads((done.folder / "error.json").read_text())["code"] == "B_VALUES_ROUNDED"
    assert not (done.folder / "result.json").exists()
    accepted = run(folder, accept_rounded=True)
    assert accepted.code == 0, accepted.error
    assert accepted.result["Notes"][0]["code"] == "B_VALUES_ROUNDED"


def test_a_series_with_missing_volumes_is_refused_in_words_for_a_clinician(
    put: Callable[..., Path], run: Callable[..., Done]
) -> None:
    done = run(put(written=np.append(B_VALUES, 1200)))
    assert done.code == 3
    assert "The series has 16 of 17 volumes: ask the scanner staff to send it again." in done.error


def test_an_empty_input_is_refused(tmp_path: Path, run: Callable[..., Done]) -> None:
    (tmp_path / "nothing").mkdir()
    done = run(tmp_path / "nothing")
    assert (done.code, "MISSING_INPUT" in done.error) == (3, True)
