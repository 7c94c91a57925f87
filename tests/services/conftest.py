"""Users and buckets of the S3 server."""

from __future__ import annotations

import pytest

from tests.services.rgw import Credentials, Rgw


@pytest.fixture(scope="session")
def owner(rgw: Rgw) -> Credentials:
    """Give the credentials of the user who owns buckets: the RDM side."""
    return rgw.user("rdm")


@pytest.fixture(scope="session")
def stranger(rgw: Rgw) -> Credentials:
    """Give the credentials of a second user."""
    return rgw.user("agent")


@pytest.fixture
def bucket_name(rgw: Rgw, owner: Credentials) -> str:
    """Give the name of a fresh bucket of `owner`."""
    return rgw.bucket(owner)
