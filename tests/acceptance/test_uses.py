"""One test for each use that the system is for: the nightly run, a researcher's question, results that come back."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from heartbrain_ingest.bids import validate
from sample_data import generate
from sample_data.centre import Centre

PROGRAMS = Path(sys.executable).parent


@dataclass
class Place:
    """A machine with a site, where nothing was typed in but what deploy/ says."""

    root: Path
    deploy: Path

    @property
    def site(self) -> Path:
        return self.root / "site"

    def placed(self, text: str) -> str:
        """Put this machine's folders where the files of deploy/ name the usual ones."""
        found = text.replace("/opt/heartbrain/.venv/bin", str(PROGRAMS)).replace("/srv/heartbrain", str(self.site))
        assert "/opt/heartbrain/." not in found
        return found

    def unit(self, name: str) -> int:
        """Do what systemd does for a service: its environment, its command, its judgement of the exit code."""
        text = self.placed((self.deploy / "systemd" / f"{name}.service").read_text(encoding="utf-8"))
        entries = re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)
        environment = dict(value.split("=", 1) for key, value in entries if key == "Environment")
        (command,) = [value for key, value in entries if key == "ExecStart"]
        good = {0, *(int(value) for key, value in entries if key == "SuccessExitStatus")}
        done = subprocess.run(command.split(), env=self._bare(environment), cwd="/", capture_output=True, check=False)
        assert done.returncode in good, done.stderr.decode()[-2000:]
        return done.returncode

    def cron(self, command: str) -> subprocess.CompletedProcess[str]:
        """Do what cron does for the line with a command."""
        lines = self.placed((self.deploy / "cron" / "heartbrain").read_text(encoding="utf-8")).splitlines()
        environment = dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))
        (line,) = [line for line in lines if re.match(r"[\d*]", line) and f"heartbrain {command}" in line]
        words = line.split(maxsplit=6)
        assert words[5] == "heartbrain"
        return subprocess.run(
            ["/bin/sh", "-c", words[6]],
            env=self._bare(environment),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    def _bare(self, environment: dict[str, str]) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.root), "LANG": "C.UTF-8", **environment}

    def heartbrain(self, *words: str) -> str:
        environment = {**os.environ, "HEARTBRAIN_SETTINGS": str(self.site / "heartbrain.yml")}
        done = subprocess.run(
            [str(PROGRAMS / "heartbrain"), *words], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    def find(self, question: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.heartbrain("query", question, "--json"))
        return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Place:
    """Give a site with a computing centre after one night in which a small study had come."""
    root = tmp_path_factory.mktemp("acceptance")
    place = Place(root, project_root / "deploy")
    subprocess.run([str(PROGRAMS / "heartbrain"), "init", str(place.site)], check=True, capture_output=True)
    Centre(root / "centre", place.site / "heartbrain.yml").set_up()
    generate(root / "study", small=True)
    for path in (root / "study" / "inbox").iterdir():
        shutil.move(path, place.site / "inbox" / path.name)
    (place.site / "inbox" / ".complete").touch()
    place.unit("heartbrain-ingest")
    return place


def test_after_the_nightly_run_of_the_timer_a_researcher_finds_the_t1_weighted_images(place: Place) -> None:
    images = place.find("FIND T1WeightedImage")
    assert images
    for image in images:
        assert (place.site / "archive" / str(image["ImageFile"]).lstrip("/")).is_file()


def test_the_cron_line_does_the_same_and_finds_nothing_new_the_night_after(place: Place) -> None:
    before = place.heartbrain("query", "COUNT RECORD")
    done = place.cron("ingest")
    assert done.returncode in (0, 1), done.stderr[-2000:]
    assert done.stdout.startswith("Nothing is new: ")
    assert place.heartbrain("query", "COUNT RECORD") == before


def test_results_of_the_computing_centre_are_crawled_and_found_by_value(place: Place) -> None:
    assert {one["Status"] for one in place.find("FIND PostProcessingRequest")} == {"new"}
    centre = Centre(place.root / "centre", place.site / "heartbrain.yml")
    deadline = time.monotonic() + 300
    while any(one["Status"] not in {"finished", "failed"} for one in place.find("FIND PostProcessingRequest")):
        assert time.monotonic() < deadline
        place.unit("heartbrain-bridge")
        centre.tick()
        place.cron("bridge")
    assert {one["Status"] for one in place.find("FIND PostProcessingRequest")} == {"finished"}
    images = place.find("FIND T1WeightedImage")
    volumes = place.find("FIND TissueVolumes WITH GreyMatterVolume > 500 mL AND GreyMatterVolume < 800 mL")
    assert len(volumes) == len(images)
    analyses = place.find("FIND IVIMAnalysis WITH mean_f > 0.04 AND mean_f < 0.2")
    assert len(analyses) == len(place.find("FIND DiffusionWeightedImage WITH NumberOfBValuesBelow200 >= 4"))
    folders = sorted((place.site / "archive" / "DataAnalysis").glob("*/*"))
    assert len(folders) == len(volumes) + len(analyses)
    for kind in ("ivim", "tissue-volumes"):
        folder = next(one for one in folders if f"_{kind}_" in one.name)
        assert [str(error) for error in validate(folder).errors] == []
    shown = place.heartbrain("explain", str(analyses[0]["name"]))
    assert "DICOM files" in shown
    assert "CHANGED" not in shown


@pytest.mark.parametrize("timer", ["heartbrain-ingest", "heartbrain-bridge", "hpc-bridge-tick"])
def test_every_timer_has_its_service_and_is_good_systemd(timer: str, project_root: Path) -> None:
    folder = project_root / "deploy" / "systemd"
    assert (folder / f"{timer}.service").is_file()
    text = (folder / f"{timer}.timer").read_text(encoding="utf-8")
    assert "WantedBy=timers.target" in text
    program = shutil.which("systemd-analyze")
    for expression in re.findall(r"^OnCalendar=(.*)$", text, re.MULTILINE) if program else []:
        subprocess.run([str(program), "calendar", expression], check=True, capture_output=True)
