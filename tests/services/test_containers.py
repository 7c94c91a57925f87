"""A function in a charliecloud container, run by the job's wrapper in a real batch job."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hpc_bridge import wrapper
from hpc_bridge.catalog import Function, load_function
from hpc_bridge.plans import make_plan
from hpc_bridge.protocol import describe_file
from tests.hpc_bridge.stores import make_spec
from tests.services.slurm import Slurm

ENTRY = """\
name: look-around
version: "1.0"
title: Tells what a job can see and do
container: {{runtime: charliecloud, image: {image}, sha256: ""}}
command: [python3, "{{function}}/look.py", "{{input}}", "{{output}}", "{{parameters}}", "{{status}}", "{{param:label}}",
  "{{keep}}"]
keep: true
parameters:
  type: object
  properties: {{label: {{type: string, title: Label}}}}
network: {network}
"""

#: Writes what it finds, and tries what it must not.
LOOK = """\
import json, os, socket, sys
from pathlib import Path
inputs, output, parameters, status, label, keep = sys.argv[1:]
port = int(Path(inputs, "port").read_text())
def works(action):
    try:
        action()
        return True
    except OSError:
        return False
found = {
    "inputs": {path.name: path.read_text() for path in sorted(Path(inputs).iterdir())},
    "parameters": json.loads(Path(parameters).read_text()),
    "label": label,
    "environment": sorted(os.environ),
    "host folders": sorted(name for name in ("/var", "/srv", "/boot") if Path(name).exists()),
    "interfaces": sorted(name for _, name in socket.if_nameindex()),
    "writes into the image": works(lambda: Path("/usr/bin/new").touch()),
    "reaches the host": works(lambda: socket.create_connection(("127.0.0.1", port), 2)),
}
Path(output, "found.json").write_text(json.dumps(found))
Path(status, "progress").write_text("1")
with Path(keep, "attempts").open("a") as file:
    print("one more", file=file)
"""


@dataclass(frozen=True)
class Attempt:
    """What an attempt left."""

    record: dict[str, Any]
    run: Path

    @property
    def found(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run / "output" / "found.json").read_text())
        return found

    @property
    def said(self) -> str:
        return (self.run / "logs" / "stderr.txt").read_text()


def make_function(folder: Path, image: Path, *, network: bool) -> Function:
    home = folder / "look-around"
    home.mkdir()
    (home / "function.yml").write_text(ENTRY.format(image=image, network=str(network).lower()))
    (home / "look.py").write_text(LOOK)
    return load_function(home)


def run_in_slurm(slurm: Slurm, function: Function, folder: Path, label: str) -> Attempt:
    """Run the function as an agent would: a plan, and the wrapper as the batch job."""
    inputs, batch = folder / "inputs", folder / "batch"
    attempt = batch / "0"
    for place in (inputs, attempt):
        place.mkdir(parents=True)
    (inputs / "scan.txt").write_text("voxels")
    controller = slurm.scontrol("show", "config").partition("SlurmctldPort")[2].partition("=")[2].split()[0]
    (inputs / "port").write_text(controller)
    described = tuple(describe_file(path, path.name) for path in inputs.iterdir())
    spec = make_spec(datetime.now(tz=UTC), function="look-around", parameters={"label": label}, inputs=described)
    parameters = function.check(spec, 1 << 30)
    plan = make_plan(
        spec,
        function,
        parameters,
        folder=attempt,
        inputs=inputs,
        isolation="required",
        most=1 << 30,
        python="python3",
        keep=folder / "keep",
    )
    (attempt / wrapper.PLAN).write_text(json.dumps(plan))
    job = slurm.sbatch(f"exec /usr/bin/env python3 -I {wrapper.__file__} {batch} 0")
    slurm.wait(job, seconds=60)
    record = json.loads((attempt / wrapper.EXIT).read_text())
    return Attempt(record, attempt / record["run"])


@pytest.mark.parametrize("network", [False, True], ids=["without network", "with network"])
def test_a_function_sees_its_folders_and_the_network_only_where_its_entry_allows_it(
    slurm: Slurm, container_image: Path, tmp_path: Path, network: bool
) -> None:
    function = make_function(tmp_path, container_image, network=network)
    label = "a b; touch /tmp/x $(id) 'quoted' \n second line"
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "attempts").write_text("the first\n")
    attempt = run_in_slurm(slurm, function, tmp_path, label)
    assert (attempt.record["exit_code"], attempt.record["problem"], attempt.said) == (0, "", "")
    assert [entry["name"] for entry in attempt.record["outputs"]] == ["found.json"]
    found = attempt.found
    assert found["inputs"]["scan.txt"] == "voxels"
    assert found["label"] == label
    assert found["parameters"] == {"label": label}
    assert found["host folders"] == []
    assert found["writes into the image"] is False
    assert found["reaches the host"] is network
    if not network:
        assert found["interfaces"] == ["lo"]
    assert {name for name in found["environment"] if name.startswith(("SLURM", "MUNGE", "AWS"))} == set()
    assert set(found["environment"]) <= {"CH_RUNNING", "HOME", "LANG", "LC_CTYPE", "OMP_NUM_THREADS", "PATH"}
    assert (attempt.run / "status" / "progress").read_text() == "1"
    assert (tmp_path / "keep" / "attempts").read_text() == "the first\none more\n"


def test_a_function_that_fails_in_its_container_tells_its_exit_status(
    slurm: Slurm, container_image: Path, tmp_path: Path
) -> None:
    function = make_function(tmp_path, container_image, network=False)
    (function.folder / "look.py").write_text("import sys; sys.exit('no voxels')")
    attempt = run_in_slurm(slurm, function, tmp_path, "x")
    assert attempt.record["exit_code"] == 1
    assert attempt.said == "no voxels\n"
    assert attempt.record["outputs"] == []


def test_files_that_a_container_writes_belong_to_the_jobs_user(
    slurm: Slurm, container_image: Path, tmp_path: Path
) -> None:
    function = make_function(tmp_path, container_image, network=False)
    attempt = run_in_slurm(slurm, function, tmp_path, "x")
    assert (attempt.run / "output" / "found.json").stat().st_uid == os.getuid()
