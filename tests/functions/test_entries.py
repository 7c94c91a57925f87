"""The catalogue's entries of our functions: they say what the programs take, and the programs make what they say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from heartbrain_functions.ivim.fitting import METHODS
from heartbrain_functions.ivim.run import VERSION, Parameters
from heartbrain_functions.tissue_volumes.run import VERSION as VOLUMES_VERSION
from hpc_bridge.catalog import load_catalogue
from hpc_bridge.protocol import fill

FUNCTIONS = Path(__file__).resolve().parents[2] / "hpc_bridge" / "functions"


def test_every_shipped_entry_can_be_read() -> None:
    found, problems = load_catalogue(FUNCTIONS)
    assert problems == []
    assert {name for name, _ in found} >= {"checksum-report", "ivim", "tissue-volumes"}


def test_the_ivim_entry_describes_the_parameters_of_the_program_with_its_defaults() -> None:
    found, _ = load_catalogue(FUNCTIONS)
    entry = found["ivim", VERSION].entry
    filled = fill({}, entry.parameters)
    assert filled == dataclasses.asdict(Parameters())
    properties = entry.parameters["properties"]
    assert set(properties["method"]["enum"]) == set(METHODS)
    assert all(one["title"] for one in properties.values())
    assert {name: one["unit"] for name, one in properties.items() if "unit" in one} == {
        "threshold": "s/mm^2",
        "d_max": "mm^2/s",
        "d_star_max": "mm^2/s",
    }


@pytest.mark.parametrize(("name", "version"), [("ivim", VERSION), ("tissue-volumes", VOLUMES_VERSION)])
def test_an_entry_has_the_version_that_its_program_writes(name: str, version: str) -> None:
    found, _ = load_catalogue(FUNCTIONS)
    assert (name, version) in found
