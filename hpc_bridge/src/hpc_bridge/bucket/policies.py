"""The two bucket policies: what the RDM side's credential may do, and what an agent's may."""

from __future__ import annotations

from typing import Any

#: A job, as long as `keys.job_name` makes it. With `*`, which also stands for `/`, a side could write the other's keys.
_JOB = "jobs/" + "?" * 32
_RDM_WRITES = (f"{_JOB}/spec.json", f"{_JOB}/input/*", f"{_JOB}/history.json", f"{_JOB}/receipt.json", "open/*")
_RDM_DELETES = ("jobs/*", "open/*")
_AGENT_WRITES = ("catalogue/*", "agents/*", f"{_JOB}/output/*", f"{_JOB}/logs/*", "open/*")
_AGENT_DELETES = ("open/probe-*", "catalogue/*")


def policy(bucket: str, prefix: str, *, rdm: str, agent: str) -> dict[str, Any]:
    """Give one policy for the bucket with the rules of both sides.

    `rdm` and `agent` are the stores' names of the two users, e.g. `arn:aws:iam:::user/rdm`.
    The RDM side may not write outputs or the catalogue, the agent may not write specifications or inputs.
    """
    below = f"arn:aws:s3:::{bucket}/{prefix.strip('/')}/" if prefix.strip("/") else f"arn:aws:s3:::{bucket}/"

    def allow(name: str, who: str, actions: list[str], resources: list[str]) -> dict[str, Any]:
        return {"Sid": name, "Effect": "Allow", "Principal": {"AWS": [who]}, "Action": actions, "Resource": resources}

    def side(name: str, who: str, writes: tuple[str, ...], deletes: tuple[str, ...]) -> list[dict[str, Any]]:
        put = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        about = ["s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:GetBucketVersioning"]
        return [
            allow(f"{name}Write", who, put, [below + place for place in writes]),
            allow(f"{name}Read", who, ["s3:GetObject"], [f"{below}*"]),
            allow(f"{name}Delete", who, ["s3:DeleteObject"], [below + place for place in deletes]),
            allow(f"{name}List", who, about, [f"arn:aws:s3:::{bucket}"]),
        ]

    statements = [*side("Rdm", rdm, _RDM_WRITES, _RDM_DELETES), *side("Agent", agent, _AGENT_WRITES, _AGENT_DELETES)]
    return {"Version": "2012-10-17", "Statement": statements}
