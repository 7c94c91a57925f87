"""Volumes of tissues: against the phantom of the sample study and the MNI template."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import load_mni152_template
from numpy.typing import NDArray

from heartbrain_functions.command import main
from heartbrain_functions.tissue_volumes import Tissue, classify, find_cavity
from heartbrain_functions.tissue_volumes.run import run
from sample_data.phantom import Head, lookup
from sample_data.phantom import Tissue as Body

HEAD = Head(scale=1.0, white_fraction=0.78, ventricle_scale=1.0, lesion_centre=(30.0, -20.0, 25.0), lesion_radius=9.0)
#: Signals of the sample study's MPRAGE, whose noise is 12.
SIGNAL = {
    Body.SCALP: 2138.0,
    Body.SKULL: 17.6,
    Body.CSF: 102.8,
    Body.VENTRICLE: 102.8,
    Body.GREY_MATTER: 369.9,
    Body.WHITE_MATTER: 753.0,
    Body.LESION: 235.7,
}
TRUE = {one: volume / 1000 for one, volume in HEAD.volumes(2.0).items()}
EDGE = 2.5


def phantom(*, noise: float = 12.0, unevenness: float = 0.0, bald: bool = False) -> NDArray[Any]:
    """Give an image of the head with Rician noise, brighter to the front, with or without all around the brain."""
    axes = [np.arange(-half, half, EDGE) for half in (90.0, 112.0, 100.0)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    classes = HEAD.classify(points)
    if bald:
        classes[np.isin(classes, [Body.SCALP, Body.SKULL])] = Body.AIR
    clean = lookup(classes, SIGNAL) * np.exp(unevenness * points[..., 1] / 80 + unevenness * (points[..., 2] / 80) ** 2)
    draw = np.random.default_rng(7)
    image: NDArray[Any] = np.hypot(clean + noise * draw.normal(size=clean.shape), noise * draw.normal(size=clean.shape))
    return np.where(classes > 0, image, 0) if bald else image


def measure(tmp_path: Path, image: Any) -> dict[str, Any]:
    folder, output = tmp_path / "input", tmp_path / "output"
    folder.mkdir()
    nib.save(image, folder / "sub-01_ses-20230504_T1w.nii.gz")
    assert main("tissue_volumes", "", run, ["--input", str(folder), "--output", str(output)]) == 0
    result: dict[str, Any] = json.loads((output / "result.json").read_text())
    assert {one["unit"] for one in result["Values"]} == {"mL"}
    for one in result["Files"]:
        assert (output / one["path"]).stat().st_size > 0
    return {**result, **{one["name"]: one["value"] for one in result["Values"]}}


def nifti(data: NDArray[Any], edge: float = EDGE) -> Any:
    image: Any = nib.Nifti1Image
    return image(data.astype(np.float32), np.diag([edge, edge, edge, 1.0]))


@pytest.mark.parametrize("unevenness", [0.0, 0.15])
def test_the_volumes_of_the_sample_studys_head_are_within_five_per_cent(tmp_path: Path, unevenness: float) -> None:
    found = measure(tmp_path, nifti(phantom(unevenness=unevenness)))
    fluid = TRUE[Body.CSF] + TRUE[Body.VENTRICLE]
    total = fluid + TRUE[Body.GREY_MATTER] + TRUE[Body.WHITE_MATTER] + TRUE[Body.LESION]
    assert found["GreyMatterVolume"] == pytest.approx(TRUE[Body.GREY_MATTER], rel=0.05)
    assert found["WhiteMatterVolume"] == pytest.approx(TRUE[Body.WHITE_MATTER], rel=0.05)
    assert found["CSFVolume"] == pytest.approx(fluid, rel=0.05)
    assert found["IntracranialVolume"] == pytest.approx(total, rel=0.05)
    assert found["Notes"] == []


def test_a_head_whose_skull_was_taken_away_gives_the_same_volumes(tmp_path: Path) -> None:
    found = measure(tmp_path, nifti(phantom(bald=True)))
    assert found["GreyMatterVolume"] == pytest.approx(TRUE[Body.GREY_MATTER], rel=0.05)
    assert found["CSFVolume"] == pytest.approx(TRUE[Body.CSF] + TRUE[Body.VENTRICLE], rel=0.08)


def test_uneven_brightness_is_taken_out(tmp_path: Path) -> None:
    uneven = phantom(unevenness=0.15)
    mask = find_cavity(uneven, np.full(3, EDGE)).mask
    tissues = classify(uneven, mask)
    white = tissues.labels == Tissue.WHITE_MATTER
    assert uneven[white].std() / uneven[white].mean() > 0.05
    assert tissues.corrected[white].std() / tissues.corrected[white].mean() < 0.03


def test_the_mni_template_has_the_volumes_of_a_brain(tmp_path: Path) -> None:
    found = measure(tmp_path, load_mni152_template(resolution=2))
    assert 600 < found["GreyMatterVolume"] < 900
    assert 450 < found["WhiteMatterVolume"] < 750
    parts = found["GreyMatterVolume"] + found["WhiteMatterVolume"] + found["CSFVolume"]
    assert found["IntracranialVolume"] == pytest.approx(parts)


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    image = nifti(phantom())
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        measure(tmp_path / name, image)
        output = tmp_path / name / "output"
        contents.append({p.relative_to(output): p.read_bytes() for p in output.rglob("*") if p.is_file()})
    assert contents[0] == contents[1]
    assert len(contents[0]) > 10


@pytest.mark.parametrize(("data", "code"), [(np.zeros((40, 40, 40)), "NO_BRAIN"), (np.ones((40, 40, 40)), "NO_BRAIN")])
def test_an_image_without_a_brain_is_refused_in_plain_words(
    tmp_path: Path, data: NDArray[Any], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = tmp_path / "input", tmp_path / "output"
    folder.mkdir()
    nib.save(nifti(data), folder / "sub-01_T1w.nii.gz")
    assert main("tissue_volumes", "", run, ["--input", str(folder), "--output", str(output)]) == 3
    problem = json.loads((output / "error.json").read_text())
    assert problem["code"] == code
    assert problem["message"] in capsys.readouterr().err
    assert not (output / "result.json").exists()


@pytest.mark.shared_data
def test_a_real_t1_weighted_image_of_a_fruit_has_no_brain(tmp_path: Path, shared_data: Path) -> None:
    folder, output = tmp_path / "input", tmp_path / "output"
    folder.mkdir()
    source = shared_data / "dicom" / "ge_hdxt_t1w_deident_codes" / "dicom"
    command = [sys.executable, "-m", "dcm2niix", "-z", "y", "-f", "sub-01_T1w", "-o", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    assert main("tissue_volumes", "", run, ["--input", str(folder), "--output", str(output)]) == 3
    assert json.loads((output / "error.json").read_text())["code"] == "NO_BRAIN"
