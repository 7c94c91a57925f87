"""Write recordings as BIDS tables: `_physio.tsv.gz` without header, and its sidecar."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heartbrain_ingest.filesystem.packing import pack
from heartbrain_ingest.physio.matching import ImageSpan, cut, overlap_seconds
from heartbrain_ingest.physio.recording import Kind, Recording

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heartbrain_ingest.physio.rules import PhysioRules

TIME_DIGITS = 6
RATE_DIGITS = 3
MONITOR_TRIGGER = "monitor_trigger"
SCANNER_TRIGGER = "trigger"
LEVELS = {"0": "no event", "1": "event"}


def physio_stem(image: Path) -> Path | None:
    """Name of the recordings beside an image, without `_recording-...`: the entities that BIDS allows both.

    Parameters
    ----------
    image
        `.../<datatype>/<entities>_<suffix>.nii.gz`.

    Returns
    -------
    None where BIDS has no place for physiology (anatomical images without a task, field maps, what is not BIDS).
    The allowed entities are those of `rules/files/raw/task.yaml` of the BIDS schema.
    """
    allowed = _physio_entities().get(image.parent.name)
    if allowed is None:
        return None
    parts = image.name.split(".", 1)[0].split("_")[:-1]
    entities = dict(part.split("-", 1) for part in parts if "-" in part)
    if any(level == "required" and name not in entities for name, level in allowed.items()):
        return None
    return image.parent / "_".join(f"{name}-{value}" for name, value in entities.items() if name in allowed)


def write_bids(recording: Recording, span: ImageSpan, dest_stem: Path, rules: PhysioRules) -> list[Path]:
    """Write the part of a recording that belongs to an image.

    Parameters
    ----------
    dest_stem
        Path of the files without `_recording-<label>_physio.tsv.gz`, as `physio_stem` gives it.

    Returns
    -------
    The table and its sidecar. `StartTime` counts from the first volume and is negative when the part begins earlier
    (BIDS, Physiological recordings).
    """
    part, start_time = cut(recording, span, rules.margin)
    shared = overlap_seconds(recording, span)
    fraction = min(1.0, shared / span.duration_s) if span.duration_s > 0 else 0.0
    return _write(part, start_time, dest_stem, rules, {"OverlapFraction": round(fraction, TIME_DIGITS)})


def write_whole(recording: Recording, dest_stem: Path, rules: PhysioRules) -> list[Path]:
    """Write a whole recording for `sourcedata/physio/`; its `StartTime` is seconds since midnight, without a date."""
    return _write(recording, recording.start_s, dest_stem, rules, {})


def _write(
    recording: Recording, start_time: float, stem: Path, rules: PhysioRules, facts: dict[str, Any]
) -> list[Path]:
    label = rules.channels[recording.kind].recording
    table = stem.with_name(f"{stem.name}_recording-{label}_physio.tsv.gz")
    sidecar = stem.with_name(f"{stem.name}_recording-{label}_physio.json")
    table.parent.mkdir(parents=True, exist_ok=True)
    pack(_table(recording), table)
    content = _sidecar(recording, start_time, rules) | facts
    sidecar.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [table, sidecar]


def _sidecar(recording: Recording, start_time: float, rules: PhysioRules) -> dict[str, Any]:
    from heartbrain_ingest.physio.peaks import find_rhythm  # noqa: PLC0415 - loads numpy

    rule = rules.channels[recording.kind]
    rhythm = find_rhythm(recording, rule)
    columns: dict[str, Any] = {
        name: {"Description": rule.description, "Units": unit}
        for name, unit in zip(recording.columns, recording.units, strict=True)
    }
    columns[MONITOR_TRIGGER] = {"Description": "1 where the monitor's own detector marked an event", "Levels": LEVELS}
    if recording.scanner_triggers is not None:
        columns[SCANNER_TRIGGER] = {"Description": "1 where the scanner began a volume", "Levels": LEVELS}
    content: dict[str, Any] = {
        "SamplingFrequency": recording.sampling_frequency,
        "StartTime": round(start_time, TIME_DIGITS),
        "Columns": list(columns),
        "PhysioType": "generic",
    }
    content |= columns
    content |= {
        "RecordType": rule.record_type,
        "RecordingFormat": recording.source,
        "NumberOfSamples": len(recording.samples),
        "NumberOfMonitorTriggers": int(recording.triggers.sum()),
    }
    if rule.band is not None and recording.kind is not Kind.TRIGGER:
        content["NumberOfPeaks"] = len(rhythm.peaks)
        # What can't be told is absent, as everywhere in BIDS sidecars.
        for name, value in (("MeanRate", rhythm.mean_rate), ("SignalQuality", rhythm.quality)):
            if value is not None:
                content[name] = round(value, RATE_DIGITS)
    return content


def _table(recording: Recording) -> bytes:
    """Write one line a sample, column by column rather than value by value: a session has millions of values."""
    events = [recording.triggers]
    if recording.scanner_triggers is not None:
        events.append(recording.scanner_triggers)
    columns = [_texts(recording.samples[:, channel]) for channel in range(recording.samples.shape[1])]
    columns += [map("01".__getitem__, event.astype(int).tolist()) for event in events]
    return "".join(f"{line}\n" for line in map("\t".join, zip(*columns, strict=True))).encode("ascii")


def _texts(values: NDArray[np.float64]) -> Iterable[str]:
    import numpy as np  # noqa: PLC0415 - only where a recording is written

    if np.isfinite(values).all() and (values == np.rint(values)).all():
        return map(str, values.astype(np.int64).tolist())
    return map(_number, values.tolist())


def _number(value: float) -> str:
    if value != value:  # noqa: PLR0124 - NaN; BIDS writes n/a
        return "n/a"
    return str(int(value)) if value.is_integer() else repr(value)


@functools.cache
def _physio_entities() -> dict[str, dict[str, str]]:
    """Give the entities of physiology files by datatype: {datatype: {short name: required|optional}}."""
    from bidsschematools.schema import load_schema  # noqa: PLC0415 - takes part of a second

    schema = load_schema()
    allowed: dict[str, dict[str, str]] = {}
    for rule in schema.rules.files.raw.task.values():
        if "physio" not in rule.suffixes:
            continue
        names = {schema.objects.entities[entity].name: str(level) for entity, level in rule.entities.items()}
        names.pop("recording")
        for datatype in rule.datatypes:
            allowed[datatype] = names
    return allowed
