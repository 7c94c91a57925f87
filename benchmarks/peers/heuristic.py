"""What heudiconv is told: a name for every series of the sample study, and a plain one for any other.

It runs in the environment of the peers and imports nothing of ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

#: Pattern of the series description; folder, entities and suffix of the name. The first match wins.
NAMES = (
    (r"t1_mprage.*_KM$", "anat", "ce-gadolinium_", "T1w"),
    (r"t1_mprage|T1w", "anat", "", "T1w"),
    (r"dark-fluid", "anat", "", "FLAIR"),
    (r"t2_tse", "anat", "", "T2w"),
    (r"diff|dwi|dti", "dwi", "", "dwi"),
    (r"SpinEchoFieldMap_AP", "fmap", "dir-AP_", "epi"),
    (r"SpinEchoFieldMap_PA", "fmap", "dir-PA_", "epi"),
    (r"bold|fmri|epi", "func", "task-rest_", "bold"),
)
MAGNITUDE = ("fmap", "", "magnitude")
PHASE = ("fmap", "", "phasediff")
OTHER = ("misc", "acq-other_", "unclassified")

Key = tuple[str, tuple[str, ...], None]


def infotodict(seqinfo: Sequence[Any]) -> dict[Key, list[str]]:
    """Give the series of each name; heudiconv calls this with what it knows of each series."""
    found: dict[Key, list[str]] = {}
    for series in seqinfo:
        folder, entities, suffix = _name(series)
        stem = f"{folder}/{{bids_subject_session_prefix}}_{entities}run-{{item:02d}}_{suffix}"
        key: Key = ("{bids_subject_session_dir}/" + stem, ("nii.gz",), None)
        found.setdefault(key, []).append(series.series_id)
    return found


def _name(series: Any) -> tuple[str, str, str]:
    description = series.series_description or ""
    if "field_map" in description:
        return PHASE if "P" in series.image_type else MAGNITUDE
    matching = (
        (folder, entities, suffix) for pattern, folder, entities, suffix in NAMES if _says(pattern, description)
    )
    return next(matching, OTHER)


def _says(pattern: str, description: str) -> bool:
    return re.search(pattern, description, re.IGNORECASE) is not None
