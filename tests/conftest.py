"""Fixtures that every part of the tests shares."""

from __future__ import annotations

from pathlib import Path

import pytest

#: Fixtures that start a real batch system, S3 server and containers when a test asks for them.
pytest_plugins = ["tests.services.fixtures"]

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Give the folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the folder of real reference data beside the checkout; skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared reference data are not beside this checkout")
    return folder
