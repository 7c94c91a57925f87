"""Real services for tests. Each starts when first asked for and ends with the run, or with its sudden death."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.disk import mounted
from tests.services.image import make_image, need_charliecloud
from tests.services.rgw import Rgw, store
from tests.services.slurm import Slurm, cluster


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """Give a Slurm that writes down ended jobs (jobcomp), without an accounting database."""
    with cluster() as running:
        yield running


@pytest.fixture(scope="session")
def forgetful_slurm() -> Iterator[Slurm]:
    """Give a Slurm without accounting of any kind, which forgets a job some seconds after its end."""
    with cluster(accounting=False, remembered=2) as running:
        yield running


@pytest.fixture
def fragile_slurm() -> Iterator[Slurm]:
    """Give a Slurm of this one test's own, to be broken."""
    with cluster() as running:
        yield running


@pytest.fixture(scope="session")
def rgw() -> Iterator[Rgw]:
    """Give an S3 server; tests share it, so each makes buckets of its own."""
    with store() as running:
        yield running


@pytest.fixture
def fragile_rgw() -> Iterator[Rgw]:
    """Give an S3 server of this one test's own, to be broken."""
    with store() as running:
        yield running


@pytest.fixture(scope="session")
def container_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a container image with a shell and Python, for charliecloud's `ch-run`."""
    need_charliecloud()
    root = tmp_path_factory.mktemp("image") / "root"
    root.mkdir()
    make_image(root)
    return root


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder with room for 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    with mounted(folder, megabytes=4):
        yield folder
