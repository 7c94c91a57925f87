"""Users and buckets of the S3 server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpc_bridge.bucket import policy
from tests.services.centre import Centre
from tests.services.rgw import Credentials, Rgw
from tests.services.slurm import Slurm


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


def make_centre(folder: Path, rgw: Rgw, slurm: Slurm, *, user: str = "hpc", **more: Any) -> Centre:
    """Make a bucket with the policy of both sides, and an agent and an exchange with a credential each."""
    agent, exchange = rgw.user(user), rgw.user(f"{user}-exchange")
    owner = rgw.user("owner")
    name = rgw.bucket(owner)
    rules = policy(name, "", rdm=f"arn:aws:iam:::user/{exchange.user}", agent=f"arn:aws:iam:::user/{agent.user}")
    rgw.client(owner).put_bucket_policy(Bucket=name, Policy=json.dumps(rules))
    return Centre(
        home=folder / user,
        agent=f"agent-{user}",
        agent_bucket={"bucket": name, **rgw.settings(agent, folder)},
        rdm_bucket={"bucket": name, **rgw.settings(exchange, folder)},
        slurm_conf=slurm.env["SLURM_CONF"],
        site=user,
        **more,
    )


@pytest.fixture
def new_centre(rgw: Rgw, slurm: Slurm, tmp_path: Path) -> Callable[..., Centre]:
    """Give what makes a centre on the shared services; `slurm=` takes another batch system."""
    shared = slurm

    def make(*, slurm: Slurm = shared, **more: Any) -> Centre:
        return make_centre(tmp_path, rgw, slurm, **more)

    return make
