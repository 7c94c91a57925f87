"""The command lines of container runtimes, and a stand-in that runs one."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import yaml

from hpc_bridge.bucket import MemoryBucket
from hpc_bridge.catalog import load_function
from hpc_bridge.containers import RUNTIMES, Folders, text
from hpc_bridge.protocol import State, fetch
from tests.hpc_bridge.site import Site

FOLDERS = Folders(input=Path("/s/input"), job=Path("/s/job"), function=Path("/f"))


def words(runtime: str) -> list[str]:
    argv = RUNTIMES[runtime](Path("/images/tool"), FOLDERS, [text("tool"), text("-x")], {"A": "b c"})
    return ["".join(piece.get("text", f"<{piece.get('path')}>") for piece in item) for item in argv]


def test_apptainer_gets_a_clean_environment_and_read_only_inputs() -> None:
    argv = words("apptainer")
    assert argv[:2] == ["apptainer", "exec"]
    assert {"--containall", "--cleanenv", "--no-home", "--no-privs"} <= set(argv)
    binds = [argv[index + 1] for index, word in enumerate(argv) if word == "--bind"]
    assert binds == [
        "/s/input:/input:ro",
        "<output>:/output:rw",
        "/s/job:/work:ro",
        "/f:/mnt/0:ro",
        "<status>:/mnt/1:rw",
    ]
    assert argv[argv.index("--env") + 1] == "A=b c"
    assert argv[-3:] == ["/images/tool", "tool", "-x"]
    assert words("singularity") == ["singularity", *argv[1:]]


def test_charliecloud_gets_a_clean_environment_and_the_folders() -> None:
    argv = words("charliecloud")
    assert argv[0] == "ch-run"
    assert {"--unset-env=*", "--set-env=A=b c", "--bind=/s/input:/input", "--bind=<output>:/output"} <= set(argv)
    assert argv[-4:] == ["/images/tool", "--", "tool", "-x"]


@pytest.mark.parametrize("stated", ["", "0" * 64])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_image_beside_its_entry_counts_by_the_digest_that_is_stated_or_by_its_bytes(
    tmp_path: Path, kind: str, stated: str
) -> None:
    function = tmp_path / "looks"
    inner = function / ("image" if kind == "file" else "image/usr/bin/tool")
    inner.parent.mkdir(parents=True)
    entry = {"name": "looks", "version": "1", "title": "Looks", "command": ["true"]}
    container = {"runtime": "apptainer", "image": "image", "sha256": stated}
    (function / "function.yml").write_text(yaml.safe_dump({**entry, "container": container}))
    inner.write_bytes(b"one")
    before = load_function(function).digest
    inner.write_bytes(b"another")
    assert (load_function(function).digest == before) is bool(stated)
    (function / "more.py").write_bytes(b"")
    assert load_function(function).digest != before


@pytest.mark.parametrize(("keep", "lacking"), [(False, ["mnt/1"]), (True, ["mnt/2"]), (True, ["input", "mnt/2"])])
def test_an_image_folder_without_a_place_that_charliecloud_needs_can_not_be_used(
    tmp_path: Path, keep: bool, lacking: list[str]
) -> None:
    function = tmp_path / "looks"
    for place in {"input", "output", "work", "mnt/0", "mnt/1", "mnt/2"}.difference(lacking):
        (function / "image" / place).mkdir(parents=True)
    entry = {"name": "looks", "version": "1", "title": "Looks", "command": ["true"], "keep": keep}
    container = {"runtime": "charliecloud", "image": "image"}
    (function / "function.yml").write_text(yaml.safe_dump({**entry, "container": container}))
    lack = f"the image lacks {', '.join(f'/{place}' for place in lacking)}, "
    assert load_function(function).lack.startswith(lack)
    for place in lacking:
        (function / "image" / place).mkdir(parents=True)
    assert (load_function(function).entry.keep, load_function(function).lack) == (keep, "")


def test_without_a_container_the_command_is_what_runs() -> None:
    assert words("none") == ["tool", "-x"]


def test_a_function_in_apptainer_runs_what_stands_in_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in does what apptainer would: it leaves its own options away and runs the rest on the bound folders."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "apptainer"
    program.write_text(
        "#!/usr/bin/python3\n"
        "import subprocess, sys, os\n"
        "words = sys.argv[1:]\n"
        "binds = {w.split(':')[1]: w.split(':')[0] for i, w in enumerate(words) if words[i - 1] == '--bind'}\n"
        "command = words[[i for i, w in enumerate(words) if w.endswith('.sif')][0] + 1:]\n"
        "for inside, outside in binds.items():\n"
        "    command = [outside + w[len(inside):] if (w + '/').startswith(inside + '/') else w for w in command]\n"
        "sys.exit(subprocess.run(command, env={'PATH': '/usr/bin:/bin'}).returncode)\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr("hpc_bridge.plans.PATH", f"{folder}:/usr/local/bin:/usr/bin:/bin")
    site = Site(tmp_path, MemoryBucket())
    function = site.home / "functions" / "checksum-report"
    (function / "tool.sif").write_bytes(b"image")
    entry = yaml.safe_load((function / "function.yml").read_text())
    entry["container"] = {"runtime": "apptainer", "image": "tool.sif"}
    (function / "function.yml").write_text(yaml.safe_dump(entry))
    job = site.ask(parameters={"label": "inside"}).job
    standing = site.until(job)
    fetch(site.rdm, site.conclusion(job), tmp_path / "result")
    assert standing.state is State.FINISHED, (tmp_path / "result/logs/stderr.txt").read_text()
    assert json.loads((tmp_path / "result/output/report.json").read_text())["label"] == "inside"
