"""The exchange is killed again and again while a real S3 server and a real batch system do the work."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from linkahead.queries import count

from heartbrain_ingest.settings import load_settings
from tests.postprocessing.conftest import SETTLED, Bridged, status
from tests.services.rgw import Rgw
from tests.services.slurm import Slurm


@pytest.mark.slow
def test_requests_survive_kill_9_of_the_exchange_with_a_real_store_and_batch_system(
    bridged: Bridged, rgw: Rgw, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm.env["SLURM_CONF"])
    owner = rgw.user("owner")
    address = {"bucket": rgw.bucket(owner), **rgw.settings(owner, tmp_path)}
    bucket = {key: str(value) for key, value in address.items()}
    settings = bridged.folder / "heartbrain.yml"
    route = {"name": "default", "users": ["*"], "bucket": bucket}
    settings.write_text(yaml.safe_dump({"bridge": {"routes": [route]}}), encoding="utf-8")
    config = bridged.centre.home / "config.yml"
    scheduler = {"kind": "slurm", "accounting": "jobcomp"}
    changed = {**yaml.safe_load(config.read_text(encoding="utf-8")), "bucket": bucket, "scheduler": scheduler}
    config.write_text(yaml.safe_dump(changed), encoding="utf-8")
    bridged.centre.tick()
    over_s3 = replace(bridged, settings=load_settings(settings))
    names = [over_s3.request(where=f"FIND {kind}")[0] for kind in ("T1WeightedImage", "DiffusionWeightedImage")]

    before = len(slurm.completions())
    chance, killed, patience = random.Random(6), 0, 0.6
    deadline = time.monotonic() + 150
    while any(status(name)[0] not in SETTLED for name in names) or over_s3.exchange().did_anything:
        assert time.monotonic() < deadline, [status(name) for name in names]
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("heartbrain")), "bridge", "--settings", str(settings)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.communicate(timeout=chance.uniform(0.5, 1.0) * patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed, patience = killed + 1, patience * 1.3
        assert bridged.centre.tick() == []
    assert killed > 2
    assert [status(name)[0] for name in names] == ["finished"] * 2
    assert count("COUNT AnalysisResult") == 2
    assert len(bridged.results) == 2
    assert len(slurm.completions()) - before == 2
    store = rgw.client(owner)
    assert "Contents" not in store.list_objects_v2(Bucket=bucket["bucket"], Prefix="open/")
