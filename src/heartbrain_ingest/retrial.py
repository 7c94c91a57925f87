"""Try today's naming rules on a published image: which rule names it, and why none before it did."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

from heartbrain_ingest.bids import Candidate, Naming, NamingRules, Tried
from heartbrain_ingest.errors import HeartbrainError


class RetrialError(HeartbrainError):
    """The rules can't be tried: the image's sidecar or its stored DICOM can't be read; `heartbrain check` says more."""


def try_rules(rules: NamingRules, folder: Path, image: str, withheld: Path | None = None) -> tuple[Naming, list[Tried]]:
    """Decide again what an image is.

    Parameters
    ----------
    rules
        The site's rules, as they are now.
    folder
        The published session folder.
    image
        Path of the image in it.
    withheld
        Zip of its series where that is not published.

    Returns
    -------
    tuple
        What the rules say, before the rest of the session is looked at, and every rule that was tried, in order.

    Raises
    ------
    RetrialError
        When sidecar or DICOM can't be read.
    """
    return rules.decide(read_candidate(folder, image, withheld))


def read_candidate(folder: Path, image: str, withheld: Path | None = None) -> Candidate:
    """Read back from a published folder what the rules looked at; see `try_rules`."""
    from pydicom import dcmread  # noqa: PLC0415 - only for this

    from heartbrain_ingest.workers import plain_header  # noqa: PLC0415 - loads pydicom

    try:
        sidecar: dict[str, Any] = json.loads((folder / f"{image.removesuffix('.nii.gz')}.json").read_bytes())
        series = sidecar.get("SourceSeries")
        archive = withheld if withheld and not series else folder / "sourcedata" / "dicom" / str(series)
        with zipfile.ZipFile(archive) as members, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first = io.BytesIO(members.read(min(members.namelist())))
            header = plain_header(dcmread(first, stop_before_pixels=True))
        i, j, k = sidecar["VoxelSize"]
        return Candidate(
            key=image,
            series_uid=str(header.get("SeriesInstanceUID", "")),
            series_number=int(header.get("SeriesNumber") or 0),
            acquisition_time=str(sidecar.get("AcquisitionTime", "")),
            header=header,
            sidecar=sidecar,
            shape=tuple(sidecar["ImageShape"]),
            voxel_size=(i, j, k),
            b_values=tuple(sidecar.get("BValues") or ()),
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise RetrialError(f"{folder.name}: {image}: {type(error).__name__}") from error


def retrial_lines(rules: NamingRules, folder: Path, image: str, rule: str, withheld: Path | None = None) -> list[str]:
    """Say for one image which rules were tried; `rule` is the one that named it when it was published."""
    try:
        naming, tried = try_rules(rules, folder, image, withheld)
    except RetrialError as error:
        return [str(error)]
    lines = [f"not {one.rule}: {one.failed_selector}" for one in tried if not one.matched]
    if naming.rule != rule:
        lines.append(f"the rules have changed: today {naming.rule} would name it ({naming.record_type})")
    return lines
