"""An exchange that is killed anywhere is gone on with by the next; the end is the same as if nothing had happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from linkahead.queries import count, query

from tests.postprocessing.conftest import Bridged, facts, requests


def exchange_until_one_survives(bridged: Bridged, step: int) -> int:
    """Give how many were killed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.postprocessing.killed", str(bridged.folder / "heartbrain.yml"), str(step)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    return int(done.stdout.split()[-1])


@pytest.mark.slow
def test_requests_survive_kill_9_at_every_stage(bridged: Bridged) -> None:
    names = [bridged.request(where=f"FIND {kind}")[0] for kind in ("T1WeightedImage", "DiffusionWeightedImage")]
    assert exchange_until_one_survives(bridged, 900) > 1
    jobs = {facts(one)["Job"] for one in requests(*names)}
    bucket = bridged.settings.bridge.bucket
    assert {path.name for path in (bucket / "jobs").iterdir()} == jobs
    while len(list(bucket.glob("open/*/*.finished"))) < 2:
        assert bridged.centre.tick() == []
    assert exchange_until_one_survives(bridged, 1500) > 1
    for one in requests(*names):
        found = facts(one)
        assert (found["Status"], found["Attempt"], len(found["Results"])) == ("finished", 1, 1)
    assert (count("COUNT AnalysisResult"), count("COUNT PostProcessingRequest")) == (2, 2)
    assert bridged.open_keys() == []
    assert len(bridged.results) == 2
    assert list(bridged.settings.folders.staging.glob("heartbrain-results/*")) == []
    for folder in bridged.results:
        stored = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        manifest = json.loads((folder / "manifest.json").read_text())
        assert {one["name"] for one in manifest["outputs"]} <= stored
        assert {f"logs/{one['name']}" for one in manifest["logs"]} <= stored
    files = [file.path for file in query("FIND FILE WHICH IS STORED AT '/DataAnalysis/**'")]
    assert len(files) == len(set(files))
