"""The small study, generated and converted once for all tests of this folder."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # sample_data is a folder of the checkout, not installed

from sample_data import generate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # nibabel calls its own DICOM readers experimental whenever they are imported
    from nibabel.nicom import csareader


def read_csa(header: bytes) -> dict[str, Any]:
    """Read a CSA header by a reader that is not ours."""
    content: dict[str, Any] = csareader.read(header)  # type: ignore[no-untyped-call]
    return content


@dataclass(frozen=True, kw_only=True)
class Study:
    """A generated study: its folder and its truth."""

    folder: Path
    truth: dict[str, Any]

    @property
    def inbox(self) -> Path:
        return self.folder / "inbox"

    def dicom_files(self) -> list[Path]:
        return sorted((self.inbox / "EXPORT").iterdir())

    def sessions(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        for subject in self.truth["subjects"]:
            for session in subject["sessions"]:
                yield subject, session

    def series(self) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
        for subject, session in self.sessions():
            for series in session["series"]:
                yield subject, session, series


@dataclass(frozen=True, kw_only=True)
class Image:
    """A converted image: voxels, affine and sidecar."""

    path: Path
    sidecar: dict[str, Any]
    affine: NDArray[np.float64]
    voxels: NDArray[np.float64]
    zooms: tuple[float, ...]

    def table(self, suffix: str) -> NDArray[np.float64]:
        return np.loadtxt(self.path.with_suffix(suffix), ndmin=2)


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What dcm2niix made of the study."""

    output: str
    images: dict[tuple[str, int], list[Image]]


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study") / "small"
    return Study(folder=folder, truth=generate(folder, small=True))


@pytest.fixture(scope="session")
def converted(small_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """Convert the inbox; images are found by StudyInstanceUID and series number."""
    target = tmp_path_factory.mktemp("nifti")
    program = Path(sys.executable).with_name("dcm2niix")
    command = [str(program), "-b", "y", "-ba", "n", "-z", "n", "-f", "%k_%s", "-o", str(target)]
    done = subprocess.run(
        [*command, str(small_study.inbox / "EXPORT")], capture_output=True, text=True, check=True, timeout=120
    )
    images: dict[tuple[str, int], list[Image]] = {}
    for path in sorted(target.glob("*.nii")):
        sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        loaded = nibabel.Nifti1Image.from_filename(path)
        image = Image(
            path=path,
            sidecar=sidecar,
            affine=loaded.affine,
            voxels=np.asarray(loaded.dataobj, dtype=np.float64),
            zooms=tuple(float(one) for one in loaded.header["pixdim"][1 : loaded.ndim + 1]),
        )
        images.setdefault((sidecar["StudyInstanceUID"], sidecar["SeriesNumber"]), []).append(image)
    return Converted(output=done.stdout + done.stderr, images=images)
