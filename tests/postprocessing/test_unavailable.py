"""What can't run at the computing centre is not asked for: it is said why, and asked for once it can."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import linkahead as db
import pytest
from linkahead.queries import count, query

from heartbrain_ingest.postprocessing import registration
from heartbrain_ingest.postprocessing.errors import UnavailableFunctionError
from tests.postprocessing.conftest import Bridged, status
from tests.postprocessing.test_asking import heartbrain

RULES = """
rules:
  - {name: FreeSurfer of each, function: freesurfer, record_type: T1WeightedImage}
  - {name: every T1w is counted, function: checksum-report, record_type: T1WeightedImage}
"""
WHY = "freesurfer is not there at the computing centre"


def install(site: Bridged, folder: Path) -> None:
    """Lay a program and a licence where the function looks for them; it is not run here."""
    program = folder / "bin" / "recon-all"
    program.parent.mkdir(parents=True)
    program.touch()
    function = site.centre.home / "functions" / "freesurfer"
    (function / "place").write_text(str(folder), encoding="utf-8")
    (function / "license.txt").write_text("a licence", encoding="utf-8")
    assert site.centre.tick() == []


def test_the_command_says_why_and_asks_for_nothing(bridged: Bridged) -> None:
    code, out = heartbrain(bridged, "run", "--list")
    assert code == 0
    lines = out.splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.startswith("freesurfer "))
    assert WHY in lines[place + 1]
    listed = json.loads(heartbrain(bridged, "run", "--list", "--json")[1])
    assert {one["function"]: bool(one["unavailable"]) for one in listed}["checksum-report"] is False
    assert WHY in heartbrain(bridged, "run", "freesurfer", "--show")[1]
    code, out = heartbrain(bridged, "run", "freesurfer", "--where", "FIND T1WeightedImage", "--as", "ada")
    assert code == 2
    assert WHY in out
    assert count("COUNT PostProcessingRequest") == 0
    with pytest.raises(UnavailableFunctionError):
        bridged.request(function="freesurfer")


def test_rules_ask_once_it_can_run(bridged: Bridged, tmp_path: Path) -> None:
    path = bridged.settings.folders.crawler_config / "postprocessing.yml"
    path.write_text(RULES, encoding="utf-8")
    waiting: dict[str, str] = {}
    made = registration.register_by_rules(bridged.settings, waiting=waiting)
    assert made == {"every T1w is counted": 1}
    assert list(waiting) == ["FreeSurfer of each"]
    assert waiting["FreeSurfer of each"].startswith(f"freesurfer: {WHY}")
    install(bridged, tmp_path / "fs")
    waiting.clear()
    assert registration.register_by_rules(bridged.settings, waiting=waiting) == {"FreeSurfer of each": 1}
    assert waiting == {}
    assert registration.register_by_rules(bridged.settings, waiting=waiting) == {}


def test_a_request_that_somebody_inserted_waits_and_is_sent_once_it_can_run(bridged: Bridged, tmp_path: Path) -> None:
    (image,) = query("FIND T1WeightedImage")
    bridged.exchange()
    (function,) = query("FIND PostProcessingFunction WITH name=freesurfer")
    request = db.Record(name="R-by-hand").add_parent("PostProcessingRequest").add_property("Status", "new")
    request.add_property("Function", function.id).add_property("Inputs", [image.id], datatype="LIST<Acquisition>")
    request.insert()
    bridged.exchange()
    state, message = status("R-by-hand")
    assert state == "new"
    assert message.startswith(f"It waits until the computing centre can run it: freesurfer: {WHY}")
    version = query("FIND RECORD WITH name='R-by-hand'")[0].version.id
    bridged.exchange()
    assert query("FIND RECORD WITH name='R-by-hand'")[0].version.id == version
    install(bridged, tmp_path / "fs")
    bridged.exchange()
    assert status("R-by-hand")[0] == "sent"


def test_what_the_centre_withdrew_is_offered_no_more(bridged: Bridged) -> None:
    shutil.rmtree(bridged.centre.home / "functions" / "fastsurfer")
    assert bridged.centre.tick() == []
    names = {one.name for one in registration.read_catalogue(bridged.settings, "ada")}
    assert "fastsurfer" not in names
    assert {"freesurfer", "checksum-report"} <= names
