"""`heartbrain bridge policy`: what the owner of a bucket sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from heartbrain_ingest.cli import main

SETTINGS = """
bridge:
  routes:
    - name: centre
      bucket: {kind: s3, bucket: data, prefix: site-1/, endpoint: "https://s3.example.org"}
    - name: next-door
      bucket: {kind: folder, folder: shared}
"""
SIDES = ("--rdm", "arn:aws:iam:::user/rdm", "--agent", "arn:aws:iam:::user/agent")


def heartbrain(folder: Path, *words: str) -> tuple[int, str]:
    path = folder / "heartbrain.yml"
    path.write_text(SETTINGS, encoding="utf-8")
    done = CliRunner().invoke(main, ["--settings", str(path), "bridge", "policy", *words])
    return done.exit_code, done.output


def test_the_policy_names_the_routes_bucket_and_what_each_side_may_write(tmp_path: Path) -> None:
    code, out = heartbrain(tmp_path, "centre", *SIDES)
    rules = {one["Sid"]: one for one in json.loads(out)["Statement"]}
    assert code == 0
    assert f"arn:aws:s3:::data/site-1/jobs/{'?' * 32}/spec.json" in rules["RdmWrite"]["Resource"]
    assert f"arn:aws:s3:::data/site-1/jobs/{'?' * 32}/output/*" in rules["AgentWrite"]["Resource"]
    assert {name: rule["Principal"]["AWS"] for name, rule in rules.items()} == {
        **{f"Rdm{what}": ["arn:aws:iam:::user/rdm"] for what in ("Write", "Read", "Delete", "List")},
        **{f"Agent{what}": ["arn:aws:iam:::user/agent"] for what in ("Write", "Read", "Delete", "List")},
    }


@pytest.mark.parametrize(
    ("route", "words"), [("center", "there is centre, next-door"), ("next-door", "is a folder: its owners and modes")]
)
def test_a_route_without_a_policy_is_refused_with_what_there_is(tmp_path: Path, route: str, words: str) -> None:
    code, out = heartbrain(tmp_path, route, *SIDES)
    assert code == 2
    assert words in out
