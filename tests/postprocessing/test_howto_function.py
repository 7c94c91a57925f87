"""The how-to for an own function, followed literally: its blocks go where it says, and the result is found."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from linkahead.queries import query

from heartbrain_ingest.cli import main
from heartbrain_ingest.postprocessing import bridge
from heartbrain_ingest.postprocessing.registration import register_by_rules
from tests.postprocessing.conftest import Bridged, facts, status

_BLOCK = re.compile(r"```(?P<kind>python|yaml)\n(?P<text>.*?)```", re.DOTALL)
_FILE = re.compile(r"`(?P<file>~/\.hpc-bridge/functions/[^`]+|crawler_config/[^`]+)`")


@pytest.fixture
def followed(bridged: Bridged, project_root: Path) -> tuple[Bridged, str]:
    """Give a site after every step of the how-to, with a real image."""
    text = (project_root / "docs" / "howto-function.md").read_text(encoding="utf-8")
    blocks = list(_BLOCK.finditer(text))
    assert len(blocks) == 6
    for block in blocks:
        name = list(_FILE.finditer(text, 0, block.start()))[-1]["file"]
        if name.startswith("~"):
            path = bridged.centre.home / name.removeprefix("~/.hpc-bridge/")
            path.parent.mkdir(parents=True, exist_ok=True)
            before = path.read_text(encoding="utf-8") if path.is_file() else ""
            path.write_text(before + block["text"], encoding="utf-8")
        else:
            path = bridged.settings.folders.crawler_config / name.removeprefix("crawler_config/")
            path.write_text(path.read_text(encoding="utf-8") + block["text"], encoding="utf-8")
    (image,) = bridged.settings.folders.archive.rglob("*_T1w.nii.gz")
    made: Any = nib.Nifti1Image
    nib.save(made(np.array([5.0, 30.0, 330.0, 15.0]).reshape(4, 1, 1), np.diag([1.0, 2.0, 3.0, 1.0])), image)
    assert bridged.centre.tick() == []
    bridge.connect(bridged.settings)
    return bridged, text


def test_an_own_function_is_asked_for_and_its_result_found_by_value(followed: tuple[Bridged, str]) -> None:
    site, text = followed
    commands = [
        shlex.split(line.removeprefix("heartbrain ")) for line in text.splitlines() if line.startswith("heartbrain ")
    ]
    assert [words[0] for words in commands] == ["run", "bridge", "query", "query"]

    def do(words: list[str]) -> str:
        done = CliRunner().invoke(main, [*words, "--settings", str(site.folder / "heartbrain.yml")])
        assert done.exit_code == 0, done.output
        return done.output

    assert "1 requests registered" in do(commands[0])
    do(commands[1])
    (request,) = query("FIND PostProcessingRequest")
    site.until_settled(request.name)
    assert status(request.name) == ("finished", "Finished; the result is in LinkAhead.")
    assert "1 found" in do(commands[2])
    assert "1 found" in do(commands[3])
    (result,) = query("FIND SignalSummary")
    assert (facts(result)["mean_signal"], facts(result)["kept_volume"]) == (180.0, pytest.approx(0.012))
    assert "OtherResultValues" not in facts(result)
    (row,) = query("FIND SliceSignal")
    assert (row.name, facts(row)["Result"], facts(row)["kept_volume"]) == ("0", result.id, pytest.approx(0.012))


def test_its_rule_asks_once_for_every_image(followed: tuple[Bridged, str]) -> None:
    site, _ = followed
    made = register_by_rules(site.settings)
    assert made["mean signal of every T1-weighted image"] == 1
    again = register_by_rules(site.settings)
    assert "mean signal of every T1-weighted image" not in again


def test_its_own_words_reach_who_asked(followed: tuple[Bridged, str]) -> None:
    site, _ = followed
    (name,) = site.request(function="mean-signal", words=["threshold=1000"])
    site.until_settled(name)
    message = "The job failed: Nothing in the image is above 1000: choose a lower threshold."
    assert status(name) == ("failed", message)
