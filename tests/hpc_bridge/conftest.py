"""Stores, keys and a clock for the tests of the bridge."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hpc_bridge.bucket import Bucket, BucketSettings, FolderBucket, MemoryBucket, open_bucket
from hpc_bridge.bucket.s3 import S3Bucket
from hpc_bridge.digests import nonce
from hpc_bridge.protocol import Journal, Side, SigningKey
from tests.hpc_bridge.stores import MotoServer
from tests.services.rgw import Rgw


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **amount: float) -> None:
        self.now += timedelta(**amount)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def rdm_key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture(scope="session")
def agent_key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture(scope="session")
def moto_server() -> Iterator[MotoServer]:
    with MotoServer() as server:
        yield server


@pytest.fixture(params=["memory", "folder", "moto", "rgw"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    """Give an empty store; `rgw` is a real Ceph RGW over TLS, which skips where its packages are not installed."""
    if request.param == "memory":
        return MemoryBucket()
    if request.param == "folder":
        return FolderBucket(tmp_path / "bucket")
    if request.param == "rgw":
        rgw: Rgw = request.getfixturevalue("rgw")
        owner = rgw.user("rdm")
        return open_bucket(BucketSettings(bucket=rgw.bucket(owner), prefix="site/", **rgw.settings(owner, tmp_path)))
    server: MotoServer = request.getfixturevalue("moto_server")
    name = f"b{nonce()[:12]}"
    server.client().create_bucket(Bucket=name)
    return open_bucket(BucketSettings(kind="s3", bucket=name, prefix="site/", **server.address(tmp_path)))


@pytest.fixture(params=["moto", "rgw"])
def s3_bucket(request: pytest.FixtureRequest, tmp_path: Path) -> S3Bucket:
    """Give an empty S3 store, for tests that look at its requests."""
    if request.param == "rgw":
        rgw: Rgw = request.getfixturevalue("rgw")
        owner = rgw.user("rdm")
        return S3Bucket(rgw.client(owner, endpoint=rgw.tls_endpoint), rgw.bucket(owner))
    server: MotoServer = request.getfixturevalue("moto_server")
    name = f"b{nonce()[:12]}"
    server.client().create_bucket(Bucket=name)
    return S3Bucket(server.client(), name)


@pytest.fixture
def rdm(bucket: Bucket, clock: Clock) -> Journal:
    return Journal(bucket, writer="exchange", side=Side.RDM, clock=clock)


@pytest.fixture
def hpc(bucket: Bucket, clock: Clock) -> Journal:
    return Journal(bucket, writer="cluster", side=Side.AGENT, clock=clock)
