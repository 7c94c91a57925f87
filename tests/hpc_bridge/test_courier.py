"""The setting `transfers: job`: a small batch job moves the data, for login nodes that must not."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hpc_bridge.bucket import FolderBucket
from hpc_bridge.installation import open_agent
from hpc_bridge.protocol import FINAL, State, fetch
from hpc_bridge.ticking import tick
from tests.hpc_bridge.site import Site
from tests.services.slurm import Slurm


class LoginNode(FolderBucket):
    """The bucket as the login node reaches it; what it moves is noted."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.moved: list[str] = []

    def upload(self, path: Path, key: str, *, sha256: str) -> None:
        self.moved.append(key)
        super().upload(path, key, sha256=sha256)

    def download(self, key: str, path: Path, *, size: int, sha256: str) -> None:
        self.moved.append(key)
        super().download(key, path, size=size, sha256=sha256)


@pytest.mark.parametrize("kind", ["local", "slurm"])
def test_a_courier_moves_all_data_and_the_login_node_none(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if kind == "slurm":
        slurm: Slurm = request.getfixturevalue("slurm")
        monkeypatch.setenv("SLURM_CONF", str(slurm.folder / "slurm.conf"))
    bucket = FolderBucket(tmp_path / "bucket")
    scheduler = {"kind": kind, "accounting": "jobcomp"}
    site = Site(tmp_path, bucket, settings={"transfers": "job", "scheduler": scheduler})
    login = LoginNode(tmp_path / "bucket")
    job = site.ask().job
    deadline = time.monotonic() + 90
    while site.standing(job).state not in FINAL:
        assert time.monotonic() < deadline, site.standing(job)
        assert tick(open_agent(site.home, bucket=login), site.home).problems == []
        time.sleep(0.3)
    conclusion = site.conclusion(job)
    assert conclusion.state is State.FINISHED, conclusion.message
    fetch(site.rdm, conclusion, tmp_path / "result")
    [reported] = json.loads((tmp_path / "result/output/report.json").read_text())["files"]
    assert (reported["name"], reported["size"]) == ("sub/scan.nii", 10)
    assert login.moved == []
    assert (site.home / "courier.log").is_file()


def test_while_a_courier_is_at_work_no_other_is_sent(tmp_path: Path) -> None:
    site = Site(tmp_path, FolderBucket(tmp_path / "bucket"))
    script, log = tmp_path / "courier.sh", tmp_path / "courier.log"
    script.write_text("echo sent\nsleep 1\n")
    scheduler = site.agent().scheduler
    began = time.monotonic()
    for _ in range(3):
        scheduler.send_courier("courier", script, log)
    deadline = time.monotonic() + 30
    while log.read_text() != "sent\nsent\n":
        assert time.monotonic() < deadline
        time.sleep(0.2)
        scheduler.send_courier("courier", script, log)
    assert began + 1 <= time.monotonic()
