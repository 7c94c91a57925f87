"""Images lose their faces by a program of the site's choice; what has a face stays out of the published tree."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePath

import nibabel
import numpy as np
import pytest

from heartbrain_ingest.deidentify import defacing_problem, shows_face
from heartbrain_ingest.deidentify.defacing import BrainMask, Deface, deface, tool_version
from heartbrain_ingest.settings import Defacing, Settings

#: What a defacing program does, in small: it takes an image and writes one without its front.
STAND_IN = """#!{python}
import sys
import nibabel, numpy
image = nibabel.load(sys.argv[1])
voxels = numpy.asanyarray(image.dataobj).copy()
voxels[:, : voxels.shape[1] // 3] = 0
nibabel.Nifti1Image(voxels, image.affine, image.header).to_filename(sys.argv[{target}])
"""
MASK = """#!{python}
import sys
import nibabel, numpy
image = nibabel.load(sys.argv[1])
mask = numpy.zeros(image.shape, numpy.uint8)
middle = tuple(slice(size // 3, 2 * size // 3) for size in image.shape)
mask[middle] = 1
nibabel.Nifti1Image(mask, image.affine).to_filename(sys.argv[2] + "_mask.nii.gz")
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def install(folder: Path, name: str, text: str, target: int = 2) -> None:
    path = folder / name
    path.write_text(text.format(python=sys.executable, target=target), encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    rows, columns, slices = np.mgrid[-1:1:48j, -1:1:48j, -1:1:48j]
    head = ((rows**2 + columns**2 + slices**2) < 0.8).astype(np.int16) * 500
    path = tmp_path / "image.nii"
    nibabel.Nifti1Image(head, np.diag([4.0, 4.0, 4.0, 1.0])).to_filename(path)  # type: ignore[no-untyped-call]
    return path


def voxels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    loaded = nibabel.load(path)
    return np.asanyarray(loaded.dataobj)  # type: ignore[attr-defined]


def test_each_program_is_called_as_its_manual_says(tmp_path: Path) -> None:
    image, mask = tmp_path / "t1.nii", tmp_path / "m.nii"
    target = str(tmp_path / "defaced.nii")
    argv = {
        tool: Deface(tool=tool, image=image, folder=tmp_path, mask=mask).argv()
        for tool in ("pydeface", "fsl_deface", "mri_reface", "quickshear")
    }
    assert argv == {
        "pydeface": ["pydeface", str(image), "--outfile", target, "--force"],
        "fsl_deface": ["fsl_deface", str(image), target],
        "mri_reface": ["run_mri_reface.sh", str(image), str(tmp_path)],
        "quickshear": ["quickshear", str(image), str(mask), target],
    }
    stem = str(tmp_path / "brain")
    assert BrainMask(tool="bet", image=image, folder=tmp_path).argv() == ["bet", str(image), stem, "-m", "-n"]


@pytest.mark.parametrize(
    ("path", "shape", "face"),
    [
        ("sub-A/ses-1/anat/x_T1w", (192, 256, 256), True),
        ("sub-A/ses-1/anat/x_T2w", (384, 384, 24), False),
        ("sub-A/ses-1/func/x_bold", (64, 64, 48), False),
        ("sub-A/ses-1/dwi/x_dwi", (128, 128, 64, 65), False),
        ("sourcedata/unclassified/x", (256, 256, 176), True),
        ("sourcedata/localizer/x", (256, 256, 3), False),
    ],
)
def test_a_face_needs_a_volume_of_thin_slices(path: str, shape: tuple[int, ...], face: bool) -> None:
    assert shows_face(PurePath(path), shape) is face


def test_the_defaced_image_takes_the_place_of_the_original(programs: Path, image: Path) -> None:
    install(programs, "pydeface", STAND_IN, target=3)
    before = voxels(image).copy()
    assert deface(image, Defacing(tool="pydeface"))
    after = voxels(image)
    assert not after[:, :16].any()
    assert np.array_equal(after[:, 16:], before[:, 16:])
    assert [path.name for path in image.parent.glob("*.nii*")] == ["image.nii"]


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\nexit 0\n", '#!/bin/sh\ncp "$1" "$2"\n'])
def test_a_program_that_fails_or_changes_nothing_is_no_defacing(programs: Path, image: Path, text: str) -> None:
    (programs / "fsl_deface").write_text(text, encoding="utf-8")
    (programs / "fsl_deface").chmod(0o755)
    before = image.read_bytes()
    assert not deface(image, Defacing(tool="fsl_deface"))
    assert image.read_bytes() == before


def test_a_missing_program_is_a_problem_that_is_told(programs: Path) -> None:
    def told(defacing: Defacing) -> str | None:
        return defacing_problem(Settings(defacing=defacing))

    assert told(Defacing()) is None
    assert "run_mri_reface.sh" in str(told(Defacing(tool="mri_reface")))
    assert "mask" in str(told(Defacing(tool="quickshear")))
    install(programs, "fsl_deface", STAND_IN)
    assert told(Defacing(tool="fsl_deface")) is None


def test_quickshear_itself_takes_the_front_of_a_head_away(
    programs: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Path(sys.executable).with_name("quickshear")
    monkeypatch.setenv("PATH", f"{own.parent}{os.pathsep}{os.environ['PATH']}")
    install(programs, "bet", MASK)
    before = voxels(image).copy()
    assert deface(image, Defacing(tool="quickshear", mask_tool="bet"))
    after = voxels(image)
    gone = (before != 0) & (after == 0)
    assert 0.001 < gone.mean() < 0.4
    assert np.array_equal(after[~gone], before[~gone])
    assert tool_version("quickshear") == "1.2.0"
