"""Candidates as the scanners make them, and the shipped rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from heartbrain_ingest.bids.model import Candidate, NamedImage
from heartbrain_ingest.bids.rules import NamingRules, load_naming_rules
from heartbrain_ingest.bids.session import name_session

Make = Callable[..., Candidate]
Name = Callable[[Iterable[Candidate]], dict[str, NamedImage]]


@pytest.fixture(scope="session")
def rules(project_root: Path) -> NamingRules:
    return load_naming_rules(project_root / "crawler_config" / "bids_rules.yml")


@pytest.fixture
def make() -> Make:
    """Make a candidate of a Siemens series; ``sidecar`` and ``header`` add to it."""

    def build(name: str, series: int = 1, **extra: Any) -> Candidate:
        stem = extra.pop("stem", str(series))
        header = {"Manufacturer": "SIEMENS", "SeriesDescription": name, "ProtocolName": extra.pop("protocol", name)}
        header |= {"ImageType": extra.pop("image_type", ["ORIGINAL", "PRIMARY", "M", "ND"])}
        header |= extra.pop("header", {})
        sidecar = {"EchoTime": extra.pop("echo_time", 0.03), "RepetitionTime": 2.0, "Manufacturer": "Siemens"}
        sidecar |= extra.pop("sidecar", {})
        shape = extra.pop("shape", (64, 64, 30))
        minute = extra.pop("minute", series)
        return Candidate(
            key=f"{series}/{stem}",
            series_uid=f"2.25.{series}",
            series_number=series,
            acquisition_time=f"10:{minute:02d}:00.000000",
            header=header,
            sidecar=sidecar,
            shape=shape,
            voxel_size=(2.0, 2.0, 2.0),
            **extra,
        )

    return build


@pytest.fixture
def name(rules: NamingRules) -> Name:
    """Name a session; give the images by key."""

    def run(candidates: Iterable[Candidate]) -> dict[str, NamedImage]:
        images = name_session(list(candidates), rules, subject="sub-K7Q2ABCD", session="ses-20230504")
        return {image.candidate.key: image for image in images}

    return run


@pytest.fixture
def short() -> Callable[[NamedImage], str]:
    """Give folder and name of an image without what all images of the session share."""

    def strip(image: NamedImage) -> str:
        assert image.path is not None
        text = str(image.path).replace("sub-K7Q2ABCD/ses-20230504/", "")
        return text.replace("sub-K7Q2ABCD_ses-20230504_", "")

    return strip
