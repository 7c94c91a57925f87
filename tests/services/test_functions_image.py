"""The functions' image, built as docs/howto-hpc.md says: Slurm jobs run in it, and their results are found by query."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from linkahead.queries import query
from numpy.typing import NDArray

from heartbrain_functions.ivim import signal
from hpc_bridge.catalog import image_digest
from sample_data.phantom import Tissue
from tests.crawl.conftest import B_VALUES, modelled
from tests.functions.test_tissue_volumes import TRUE, nifti, phantom
from tests.postprocessing.conftest import Bridged, bridged, facts, published_site, status
from tests.services.daemon import PATH, absent, need
from tests.services.image import need_charliecloud
from tests.services.slurm import Slurm

__all__ = ["bridged", "modelled", "published_site"]

#: S0, f, D, D* of all voxels of the diffusion series.
VOXEL = (1000.0, 0.15, 0.9e-3, 0.03)


@pytest.fixture(scope="module")
def functions_image(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Path:
    """Build the image from Debian's packages and the pinned ones of Python."""
    need_charliecloud()
    need("mmdebstrap", package="mmdebstrap")
    image = tmp_path_factory.mktemp("functions") / "functions"
    script = project_root / "deploy" / "containers" / "functions.sh"
    done = subprocess.run(
        [str(script), str(image)],
        env={**os.environ, "PATH": PATH, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        absent(f"the image can't be built here, {done.stderr.strip()[-2000:]}")
    return image


def use_image(functions: Path, image: Path) -> str:
    """Name the image in the entries of both functions, as a user of the centre does; give its digest."""
    digest = image_digest(image)
    for name in ("ivim", "tissue-volumes"):
        path = functions / name / "function.yml"
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))
        entry["container"] = {"runtime": "charliecloud", "image": str(image), "sha256": digest}
        path.write_text(yaml.safe_dump(entry), encoding="utf-8")
    return digest


def perfused() -> NDArray[Any]:
    """Give a diffusion series of a ball of one tissue."""
    x, y, z = np.mgrid[-1:1:20j, -1:1:20j, -1:1:6j]
    ball = x**2 + y**2 + z**2 < 0.5
    series: NDArray[Any] = ball[..., None] * signal(np.array([VOXEL]), np.array(B_VALUES, dtype=float))[0]
    return series


def test_maps_and_volumes_computed_in_the_image_are_found_by_value_and_name_its_digest(
    slurm: Slurm, functions_image: Path, bridged: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    (head,) = bridged.folder.glob("archive/ExperimentalData/**/*_T1w.nii.gz")
    (series,) = bridged.folder.glob("archive/ExperimentalData/**/*_dwi.nii.gz")
    nib.save(nifti(phantom()), head)
    nib.save(nifti(perfused(), edge=2.0), series)
    digest = use_image(bridged.centre.home / "functions", functions_image)
    config = bridged.centre.home / "config.yml"
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    content |= {"scheduler": {"kind": "slurm", "accounting": "jobcomp"}, "isolation": "required"}
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    assert bridged.centre.tick() == []

    names = [
        *bridged.request(function="ivim", where="FIND DiffusionWeightedImage"),
        *bridged.request(function="tissue-volumes"),
    ]
    bridged.until_settled(*names, seconds=180)
    assert [status(name) for name in names] == [("finished", "Finished; the result is in LinkAhead.")] * 2
    (maps,) = query("FIND IVIMAnalysis WITH mean_f > 0.149 AND mean_f < 0.151")
    (volumes,) = query("FIND TissueVolumes WITH GreyMatterVolume > 500 mL")
    assert facts(maps)["mean_D"] == pytest.approx(VOXEL[2], rel=0.01)
    assert facts(volumes)["WhiteMatterVolume"] == pytest.approx(TRUE[Tissue.WHITE_MATTER], rel=0.05)
    for result in (maps, volumes):
        assert facts(result)["ContainerDigest"] == digest
        assert facts(result)["FunctionDigest"] != digest
    assert {one.id for one in query(f"FIND AnalysisResult WITH ContainerDigest='{digest}'")} == {maps.id, volumes.id}
