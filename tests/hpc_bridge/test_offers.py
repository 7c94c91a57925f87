"""What the catalogue in the bucket says: what can run, what can't and why, and nothing that is gone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hpc_bridge.bucket import MemoryBucket
from hpc_bridge.errors import DeniedError
from hpc_bridge.offers import publish_catalogue
from hpc_bridge.protocol import Description
from tests.hpc_bridge.conftest import Clock
from tests.hpc_bridge.site import Site

LICENCE = "functions/freesurfer/license.txt"


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def agent_of(tmp_path: Path, bucket: MemoryBucket, clock: Clock) -> Callable[..., Site]:
    """Give a function that sets up the agent of a name, at the one bucket."""

    def make(name: str = "cluster-1") -> Site:
        return Site(tmp_path / name, bucket, clock, settings={"agent": name})

    return make


def entries(bucket: MemoryBucket) -> dict[str, Description]:
    return {
        key.removeprefix("catalogue/").removesuffix(".json"): Description.from_bytes(body)
        for key, body in bucket.objects.items()
        if key.startswith("catalogue/")
    }


def unavailable(bucket: MemoryBucket, name: str) -> str:
    (found,) = (one for one in entries(bucket).values() if one.name == name)
    return found.unavailable


def put(site: Site, *, name: str = "looks", version: str = "1", **more: object) -> Path:
    folder = site.home / "functions" / name
    folder.mkdir(exist_ok=True)
    entry = {"name": name, "version": version, "title": "Looks", "command": ["true"], **more}
    (folder / "function.yml").write_text(yaml.safe_dump(entry), encoding="utf-8")
    return folder


def test_a_function_whose_program_or_licence_is_missing_says_so_until_it_is_there(
    agent_of: Callable[..., Site], bucket: MemoryBucket, tmp_path: Path
) -> None:
    site = agent_of()
    folder = site.home / "functions" / "freesurfer"
    publish_catalogue(site.agent())
    assert unavailable(bucket, "freesurfer").startswith("freesurfer is not there at the computing centre")
    assert unavailable(bucket, "checksum-report") == ""
    program = tmp_path / "fs" / "bin" / "recon-all"
    program.parent.mkdir(parents=True)
    program.touch()
    (folder / "place").write_text(str(tmp_path / "fs"), encoding="utf-8")
    publish_catalogue(site.agent())
    assert LICENCE in unavailable(bucket, "freesurfer")
    (folder / "license.txt").write_text("a licence", encoding="utf-8")
    publish_catalogue(site.agent())
    assert unavailable(bucket, "freesurfer") == ""


def test_in_a_container_the_image_the_runtime_and_the_licence_are_looked_for(
    agent_of: Callable[..., Site], bucket: MemoryBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = agent_of()
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    folder = site.home / "functions" / "freesurfer"
    path = folder / "function.yml"
    entry = yaml.safe_load(path.read_text(encoding="utf-8"))
    entry["container"] = {"runtime": "apptainer", "image": "freesurfer.sif"}
    path.write_text(yaml.safe_dump(entry), encoding="utf-8")
    report = site.agent()
    publish_catalogue(report)
    assert "the image freesurfer.sif is missing" in unavailable(bucket, "freesurfer")
    assert report.report.problems == ["freesurfer: the image freesurfer.sif is missing"]
    (folder / "freesurfer.sif").touch()
    publish_catalogue(site.agent())
    assert unavailable(bucket, "freesurfer").endswith("apptainer is not installed there.")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apptainer").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "bin" / "apptainer").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (folder / "remark.txt").touch()  # anything new in the folder, or five minutes
    publish_catalogue(site.agent())
    assert LICENCE in unavailable(bucket, "freesurfer")


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (["true"], ""),
        (["echo", "not today"], ""),
        (["/bin/sh", "-c", "echo; echo no room in {function}; exit 4"], "no room in "),
        (["false"], "Its check at the computing centre ended with status 1."),
        (["/no/such/program"], "Its check at the computing centre ended with status 127."),
    ],
)
def test_a_check_says_in_its_first_line_why_not(
    agent_of: Callable[..., Site], bucket: MemoryBucket, check: list[str], reason: str
) -> None:
    site = agent_of()
    put(site, check=check)
    publish_catalogue(site.agent())
    found = unavailable(bucket, "looks")
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


def test_of_a_function_in_a_container_only_a_check_that_names_the_image_is_asked(
    agent_of: Callable[..., Site], bucket: MemoryBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "apptainer"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    site = agent_of()
    container = {"runtime": "apptainer", "image": "tool.sif"}
    folder = put(site, check=["false"], container=container)
    (folder / "tool.sif").touch()
    publish_catalogue(site.agent())
    assert unavailable(bucket, "looks") == ""
    put(site, check=["/bin/sh", "-c", "echo not with $0; exit 1", "{image}"], container=container)
    publish_catalogue(site.agent())
    assert unavailable(bucket, "looks") == f"not with {folder / 'tool.sif'}"


def test_what_is_taken_away_at_the_centre_goes_from_the_catalogue_at_the_next_tick(
    agent_of: Callable[..., Site], bucket: MemoryBucket
) -> None:
    site = agent_of()
    folder = put(site)
    publish_catalogue(site.agent())
    assert "looks/1" in entries(bucket)
    put(site, version="2")
    publish_catalogue(site.agent())
    assert {name for name in entries(bucket) if name.startswith("looks/")} == {"looks/2"}
    shutil.rmtree(folder)
    publish_catalogue(site.agent())
    assert not {name for name in entries(bucket) if name.startswith("looks/")}


def test_where_nothing_may_be_deleted_the_entry_says_that_it_is_gone(
    agent_of: Callable[..., Site], bucket: MemoryBucket
) -> None:
    site = agent_of()
    folder = put(site)
    publish_catalogue(site.agent())
    shutil.rmtree(folder)

    def forbid(moment: str, operation: str, key: str) -> None:
        if operation == "delete":
            raise DeniedError(f"{key}: {moment} it was deleted")

    agent = site.agent()
    agent.bucket = bucket.view(forbid)
    publish_catalogue(agent)
    assert entries(bucket)["looks/1"].is_withdrawn


def test_of_two_agents_that_which_can_run_it_describes_it(
    agent_of: Callable[..., Site], bucket: MemoryBucket, clock: Clock
) -> None:
    able, other = agent_of("able"), agent_of("other")
    put(able, check=["true"])
    folder = put(other, check=["false"])
    for order in ((able, other), (other, able), (other, other), (able, able)):
        for site in order:
            clock.forward(minutes=6)
            publish_catalogue(site.agent())
        assert (entries(bucket)["looks/1"].agent, unavailable(bucket, "looks")) == ("able", "")
    shutil.rmtree(folder)
    clock.forward(minutes=6)
    publish_catalogue(other.agent())
    assert "looks/1" in entries(bucket)
    # The one that could run it can't any more, and is the only one left.
    put(able, check=["false"])
    publish_catalogue(able.agent())
    assert unavailable(bucket, "looks") != ""


def test_an_entry_that_another_agent_took_away_comes_back(
    agent_of: Callable[..., Site], bucket: MemoryBucket, clock: Clock
) -> None:
    first, second = agent_of("first"), agent_of("second")
    put(first)
    folder = put(second)
    for site in (first, second):
        publish_catalogue(site.agent())
    assert entries(bucket)["looks/1"].agent == "second"
    shutil.rmtree(folder)
    publish_catalogue(second.agent())
    assert "looks/1" not in entries(bucket)
    clock.forward(minutes=6)
    publish_catalogue(first.agent())
    assert entries(bucket)["looks/1"].agent == "first"


def test_two_agents_that_both_can_do_not_take_turns(
    agent_of: Callable[..., Site], bucket: MemoryBucket, clock: Clock
) -> None:
    sites = [agent_of("first"), agent_of("second")]
    for site in sites:
        put(site)
    for _ in range(3):
        for site in sites:
            clock.forward(minutes=6)
            publish_catalogue(site.agent())
    puts = bucket.requests["put"]
    for site in sites:
        clock.forward(minutes=6)
        publish_catalogue(site.agent())
    assert bucket.requests["put"] == puts


def test_a_tick_with_nothing_new_asks_the_bucket_for_nothing(
    agent_of: Callable[..., Site], bucket: MemoryBucket, clock: Clock
) -> None:
    site = agent_of()
    publish_catalogue(site.agent())
    before = dict(bucket.requests)
    clock.forward(seconds=10)
    publish_catalogue(site.agent())
    assert bucket.requests == before
