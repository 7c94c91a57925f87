"""The two bucket policies keep each side to its own keys, on a real server that enforces them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from hpc_bridge.bucket.policies import policy
from hpc_bridge.bucket.probe import probe
from hpc_bridge.bucket.s3 import S3Bucket
from hpc_bridge.protocol import keys
from tests.services.rgw import Credentials, Rgw

JOB = keys.job_name("site", "request", 1)
ATTEMPT = f"hb-{32 * 'a'}.0"
PREFIX = "centre"

#: What each side may write, and what only the other may; each also with the other's folder name inside its own.
RDM_KEYS = (
    keys.spec(JOB),
    keys.input_file(JOB, "image.nii.gz"),
    keys.history(JOB),
    keys.receipt(JOB),
    keys.cancel(JOB),
)
AGENT_KEYS = (
    keys.catalogue("ivim", "1.0"),
    keys.agent("centre-1"),
    keys.output_file(JOB, ATTEMPT, "map.nii.gz"),
    keys.log_file(JOB, ATTEMPT, "stdout.txt"),
    keys.manifest(JOB),
)
RDM_TRICKS = (keys.output_file(JOB, ATTEMPT, "spec.json"), keys.output_file(JOB, "input", "x"))
AGENT_TRICKS = (keys.input_file(JOB, "output/x"), keys.input_file(JOB, "logs/x"))


@pytest.fixture
def sides(rgw: Rgw, owner: Credentials, stranger: Credentials, bucket_name: str) -> tuple[S3Bucket, S3Bucket]:
    """Give the bucket as the RDM side and as an agent see it, neither of which owns it."""
    guest = rgw.user("rdm-exchange")
    names = {"rdm": f"arn:aws:iam:::user/{guest.user}", "agent": f"arn:aws:iam:::user/{stranger.user}"}
    rules = policy(bucket_name, PREFIX, **names)
    rgw.client(owner).put_bucket_policy(Bucket=bucket_name, Policy=json.dumps(rules))
    return S3Bucket(rgw.client(guest), bucket_name, PREFIX), S3Bucket(rgw.client(stranger), bucket_name, PREFIX)


def refused(action: Callable[[], Any]) -> bool:
    try:
        action()
    except botocore.exceptions.ClientError as problem:
        return bool(problem.response["Error"]["Code"] == "AccessDenied")
    return False


def may_write(side: S3Bucket, key: str) -> bool:
    whole = f"{PREFIX}/{key}"
    return not refused(lambda: side.client.put_object(Bucket=side.name, Key=whole, Body=b"body"))


def test_each_side_writes_its_own_keys_and_none_of_the_others(sides: tuple[S3Bucket, S3Bucket]) -> None:
    rdm, agent = sides
    assert {key: may_write(rdm, key) for key in RDM_KEYS + AGENT_KEYS} == {
        key: key in RDM_KEYS for key in RDM_KEYS + AGENT_KEYS
    }
    written = {key: may_write(agent, key) for key in RDM_KEYS + AGENT_KEYS}
    assert written == {key: key in AGENT_KEYS or key == keys.cancel(JOB) for key in RDM_KEYS + AGENT_KEYS}


def test_a_folder_named_like_the_other_sides_opens_nothing(sides: tuple[S3Bucket, S3Bucket]) -> None:
    rdm, agent = sides
    assert [key for key in RDM_TRICKS if may_write(rdm, key)] == []
    assert [key for key in AGENT_TRICKS if may_write(agent, key)] == []


def test_nobody_writes_outside_of_the_prefix_or_changes_the_rules(sides: tuple[S3Bucket, S3Bucket]) -> None:
    for side in sides:
        assert refused(lambda side=side: side.client.put_object(Bucket=side.name, Key="jobs/x/spec.json", Body=b""))
        assert refused(lambda side=side: side.client.delete_bucket_policy(Bucket=side.name))
        assert refused(lambda side=side: side.client.put_bucket_acl(Bucket=side.name, ACL="public-read"))


def test_an_agent_deletes_nothing_of_a_job_and_the_rdm_side_all(sides: tuple[S3Bucket, S3Bucket]) -> None:
    rdm, agent = sides
    rdm.put(keys.spec(JOB), b"{}")
    agent.put(keys.manifest(JOB), b"{}")
    assert refused(lambda: agent.client.delete_object(Bucket=agent.name, Key=f"{PREFIX}/{keys.spec(JOB)}"))
    rdm.delete([keys.spec(JOB), keys.manifest(JOB)])
    assert list(agent.listing("")) == []


def test_an_agent_takes_a_function_out_of_the_catalogue_and_the_rdm_side_does_not(
    sides: tuple[S3Bucket, S3Bucket],
) -> None:
    rdm, agent = sides
    entry = keys.catalogue("ivim", "1.0")
    agent.put(entry, b"{}")
    assert refused(lambda: rdm.client.delete_object(Bucket=rdm.name, Key=f"{PREFIX}/{entry}"))
    agent.delete([entry])
    assert list(rdm.listing(keys.CATALOGUE_PREFIX)) == []


def test_each_side_reads_what_the_other_wrote_and_can_probe(sides: tuple[S3Bucket, S3Bucket], tmp_path: Path) -> None:
    rdm, agent = sides
    rdm.put(keys.spec(JOB), b"specification")
    agent.put(keys.manifest(JOB), b"manifest")
    assert agent.get(keys.spec(JOB), limit=100) == b"specification"
    assert rdm.get(keys.manifest(JOB), limit=100) == b"manifest"
    for side in sides:
        assert probe(side).conditions.value == "honoured"
        assert list(side.listing("open/")) == []
