"""What the end-to-end tests share: each expensive run of the program is done once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sample_data import generate
from tests.pipeline.site import Done, Site


@dataclass(frozen=True, kw_only=True)
class TakenIn:
    """An inbox that the program took in."""

    site: Site
    inbox: Path
    done: Done
    #: How long the command ran, from start to end.
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """The small sample study."""

    inbox: Path
    truth: dict[str, Any]


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study") / "small"
    truth = generate(folder, small=True)
    return Study(inbox=folder / "inbox", truth=truth)


def _take_in(folder: Path, inbox: Path) -> TakenIn:
    site = Site.make(folder)
    began = time.monotonic()
    done = site.ingest(inbox)
    return TakenIn(site=site, inbox=inbox, done=done, seconds=time.monotonic() - began)


@pytest.fixture(scope="session")
def sample(study: Study, tmp_path_factory: pytest.TempPathFactory) -> TakenIn:
    """The sample study, taken in by the program as a user starts it."""
    return _take_in(tmp_path_factory.mktemp("sample") / "site", study.inbox)


@pytest.fixture(scope="session")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TakenIn:
    """All sets of real DICOM of five vendors, taken in at once."""
    return _take_in(tmp_path_factory.mktemp("real") / "site", shared_data / "dicom")


@pytest.fixture(scope="session")
def odd(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TakenIn:
    """Damaged and unusual files, taken in at once."""
    return _take_in(tmp_path_factory.mktemp("odd") / "site", shared_data / "odd_dicom")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A new site of this test's own."""
    return Site.make(tmp_path / "site")
