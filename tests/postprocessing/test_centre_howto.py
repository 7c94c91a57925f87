"""A route to a computing centre as docs/howto-steward.md sets it up, and `heartbrain bridge policy`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from heartbrain_ingest.cli import main
from heartbrain_ingest.postprocessing.bridge import agent_keys
from heartbrain_ingest.settings import load_settings
from hpc_bridge.protocol import SigningKey

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


def test_the_how_to_names_a_route_that_works_and_the_file_of_the_agents_key(project_root: Path, tmp_path: Path) -> None:
    page = (project_root / "docs" / "howto-steward.md").read_text(encoding="utf-8")
    section = page.partition("## A computing centre\n")[2].partition("\n## ")[0]
    path = tmp_path / "heartbrain.yml"
    path.write_text(section.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    settings = load_settings(path)
    (route,) = settings.bridge.routes
    assert route.bucket.credentials_file == tmp_path / "state/bridge/centre.credentials"
    commands = [line.split() for line in section.splitlines() if line.strip().startswith("heartbrain bridge policy")]
    assert [words[3] for words in commands] == [route.name]
    done = CliRunner().invoke(main, ["--settings", str(path), *commands[0][1:-2]])
    assert {one["Sid"] for one in json.loads(done.output)["Statement"]} > {"RdmWrite", "AgentWrite"}
    done = CliRunner().invoke(main, ["--settings", str(path), "bridge", "keys"])
    assert done.output.startswith("hpc-bridge-ed25519 ")
    assert done.output.endswith(" heart-brain-centre\n")
    assert "`state/bridge/centre.agents`" in section
    public = SigningKey.generate().public
    (tmp_path / "state/bridge/centre.agents").write_text(public.line("agent") + "\n", encoding="ascii")
    assert agent_keys(settings, route) == {public.name: public}


@pytest.mark.parametrize(
    ("route", "words"), [("center", "there is centre, next-door"), ("next-door", "is a folder: its owners and modes")]
)
def test_a_route_without_a_policy_is_refused_with_what_there_is(tmp_path: Path, route: str, words: str) -> None:
    code, out = heartbrain(tmp_path, route, *SIDES)
    assert code == 2
    assert words in out
