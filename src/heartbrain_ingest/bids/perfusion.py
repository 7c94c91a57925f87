"""What BIDS asks of arterial spin labelling beyond dcm2niix: which volume is what, and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from heartbrain_ingest.bids.drafts import Draft

if TYPE_CHECKING:
    from pydicom import Dataset

# ASLContext (PS3.3 C.8.13.5.14) -> volume_type of aslcontext.tsv (BIDS, arterial spin labeling perfusion data).
_SUPPRESSION = re.compile(rb"sAsl\.ulSuppressionMode\s*=\s*(0x[0-9a-fA-F]+|\d+)")
_VOLUME_TYPES = {"M_ZERO_SCAN": "m0scan", "LABEL": "label", "CONTROL": "control"}


def read_asl_context(instances: Iterable[Dataset]) -> list[str]:
    """Read which volume of a series is what from enhanced MR instances.

    Parameters
    ----------
    instances
        Headers of one series, in any order.

    Returns
    -------
    list of str
        ASLContext of each volume in the order of acquisition; empty when a header does not tell.
    """
    volumes: dict[tuple[Any, ...], str] = {}
    for instance in instances:
        for frame in instance.get("PerFrameFunctionalGroupsSequence") or ():
            labelling = frame.get("MRArterialSpinLabelingSequence")
            content = frame.get("FrameContentSequence")
            if not labelling or not content:
                return []
            when = str(instance.get("AcquisitionDateTime") or ""), int(content[0].get("TemporalPositionIndex") or 0)
            volumes[when] = str(labelling[0].get("ASLContext") or "")
    return [volumes[key] for key in sorted(volumes)]


def read_background_suppression(header: bytes) -> bool | None:
    """Read from a Siemens protocol whether the static tissue was suppressed.

    Parameters
    ----------
    header
        An instance, or its part before the pixels, with the protocol as text (`MrPhoenixProtocol`).

    Returns
    -------
    bool or None
        ``sAsl.ulSuppressionMode`` of the protocol's ASCCONV part: 1 is none, more is some. None without that line.
    """
    found = _SUPPRESSION.search(header)
    if found is None or not (mode := int(found[1], 0)):
        return None
    return mode > 1


def complete_labelling(drafts: Sequence[Draft]) -> None:
    """Write aslcontext.tsv and the fields that follow from it, where the header tells what each volume is."""
    separate = any(draft.is_raw and draft.datatype == "perf" and draft.suffix == "m0scan" for draft in drafts)
    for draft in drafts:
        if not draft.is_raw or draft.datatype != "perf":
            continue
        sidecar = draft.sidecar
        if "RepetitionTimePreparation" not in sidecar and draft.facts["repetition_time"]:
            draft.metadata["RepetitionTimePreparation"] = draft.facts["repetition_time"]
        if draft.suffix != "asl":
            continue
        suppressed = draft.candidate.header.get("BackgroundSuppression")
        if "BackgroundSuppression" not in sidecar and isinstance(suppressed, bool):
            draft.metadata["BackgroundSuppression"] = suppressed
        context = draft.candidate.header.get("ASLContext")
        types = (
            [_VOLUME_TYPES.get(str(value).upper()) for value in context] if isinstance(context, list | tuple) else []
        )
        if not types or None in types or len(types) != draft.facts["volumes"]:
            continue
        draft.tables["aslcontext.tsv"] = "\n".join(["volume_type", *filter(None, types), ""])
        draft.metadata.setdefault("M0Type", "Included" if "m0scan" in types else "Separate" if separate else "Absent")
        draft.metadata.setdefault("TotalAcquiredPairs", min(types.count("label"), types.count("control")))
