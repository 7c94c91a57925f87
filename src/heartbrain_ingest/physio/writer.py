"""Write recordings as BIDS tables: `_physio.tsv.gz` without header, and its sidecar."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heartbrain_ingest.filesystem.packing import pack
from heartbrain_ingest.physio.matching import ImageSpan, Match, cut, day_offset, overlap_fraction
from heartbrain_ingest.physio.recording import Recording

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heartbrain_ingest.physio.peaks import Rhythm
    from heartbrain_ingest.physio.rules import ChannelRule, PhysioRules

TIME_DIGITS = 6
RATE_DIGITS = 3
#: Above, a float holds no longer every whole number.
LARGEST_EXACT = 2**53
MONITOR_TRIGGER = "monitor_trigger"
SCANNER_TRIGGER = "trigger"
LEVELS = {"0": "no event", "1": "event"}


def physio_stem(image: Path) -> Path | None:
    """Name of the recordings beside an image, without `_recording-...`: the entities that BIDS allows both.

    Beside what BIDS has no name for (cine, real-time, phase contrast, in `sourcedata`), all entities
    but those of parts of one scan.

    Parameters
    ----------
    image
        `.../<datatype>/<entities>_<suffix>.nii.gz`.

    Returns
    -------
    None where BIDS has no place for physiology (anatomical images without a task, field maps).
    The allowed entities are those of `rules/files/raw/task.yaml` of the BIDS schema.
    """
    parts = image.name.split(".", 1)[0].split("_")
    if "sourcedata" in image.parts:
        return image.parent / "_".join(part for part in parts[:-1] if not part.startswith(("echo-", "part-")))
    allowed = _physio_entities().get(image.parent.name)
    if allowed is None:
        return None
    parts = parts[:-1]
    entities = dict(part.split("-", 1) for part in parts if "-" in part)
    if any(level == "required" and name not in entities for name, level in allowed.items()):
        return None
    return image.parent / "_".join(f"{name}-{value}" for name, value in entities.items() if name in allowed)


def choose_parts(matches: Iterable[Match], rules: PhysioRules) -> list[tuple[Path, Match]]:
    """Give the parts to write, each with the stem of its files.

    Images that BIDS tells apart by suffix, echo or part share their recordings. Of a single-band reference and the run
    behind it, the longer one counts.
    """
    chosen: dict[Path, tuple[Path, Match]] = {}
    for match in matches:
        stem = physio_stem(match.image.path)
        if stem is None:
            continue
        table = table_path(stem, match.recording, rules)
        if table not in chosen or match.image.duration_s > chosen[table][1].image.duration_s:
            chosen[table] = stem, match
    return list(chosen.values())


@dataclass(frozen=True, kw_only=True)
class Written:
    """The files of one recording."""

    table: Path
    sidecar: Path
    #: Drawing; None where none was asked for.
    picture: Path | None = None


def write_bids(
    recording: Recording, span: ImageSpan, dest_stem: Path, rules: PhysioRules, *, pictures: Path | None = None
) -> Written:
    """Write the part of a recording that belongs to an image.

    Parameters
    ----------
    dest_stem
        Path of the files without `_recording-<label>_physio.tsv.gz`, as `physio_stem` gives it.
    pictures
        Folder for the drawing.

    Returns
    -------
    What was written. `StartTime` counts from the first volume and is negative when the part begins earlier
    (BIDS, Physiological recordings).
    """
    part, start_time = cut(recording, span, rules.margin)
    facts = {"OverlapFraction": round(overlap_fraction(recording, span), TIME_DIGITS)}
    scans = [(-start_time, span.duration_s - start_time)]
    return _write(part, start_time, dest_stem, rules, facts, scans, pictures)


def write_whole(
    recording: Recording,
    dest_stem: Path,
    rules: PhysioRules,
    *,
    images: Sequence[ImageSpan] = (),
    pictures: Path | None = None,
) -> Written:
    """Write a whole recording for `sourcedata/physio/`; its `StartTime` is seconds since midnight, without a date.

    Parameters
    ----------
    images
        Those that it covers, shaded in the drawing.
    pictures
        Folder for the drawing.
    """
    begins = [image.start_s - recording.start_s - day_offset(recording, image) for image in images]
    scans = [(begin, begin + image.duration_s) for begin, image in zip(begins, images, strict=True)]
    return _write(recording, recording.start_s, dest_stem, rules, {}, scans, pictures)


def table_path(stem: Path, recording: Recording, rules: PhysioRules) -> Path:
    """Give the path of the table of a recording whose files' names start with a stem."""
    label = rules.channels[recording.kind].recording + (str(recording.part) if recording.part > 1 else "")
    return stem.with_name(f"{stem.name}_recording-{label}_physio.tsv.gz")


def _write(
    recording: Recording,
    start_time: float,
    stem: Path,
    rules: PhysioRules,
    facts: dict[str, Any],
    scans: Sequence[tuple[float, float]],
    pictures: Path | None,
) -> Written:
    from heartbrain_ingest.physio.peaks import find_rhythm  # noqa: PLC0415 - loads numpy
    from heartbrain_ingest.physio.picture import PICTURE_ENDING, draw  # noqa: PLC0415 - the same

    rule = rules.channels[recording.kind]
    table = table_path(stem, recording, rules)
    sidecar = table.with_name(table.name.replace(".tsv.gz", ".json"))
    table.parent.mkdir(parents=True, exist_ok=True)
    pack(_table(recording), table)
    rhythm = find_rhythm(recording, rule)
    content = _sidecar(recording, rhythm, start_time, rule) | facts
    sidecar.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if pictures is None:
        return Written(table=table, sidecar=sidecar)
    pictures.mkdir(parents=True, exist_ok=True)
    picture = pictures / table.name.replace(".tsv.gz", PICTURE_ENDING)
    picture.write_text(draw(recording, rhythm, rule, scans), encoding="utf-8")
    return Written(table=table, sidecar=sidecar, picture=picture)


def _sidecar(recording: Recording, rhythm: Rhythm, start_time: float, rule: ChannelRule) -> dict[str, Any]:
    columns: dict[str, Any] = {
        name: {"Description": rule.description, "Units": unit}
        for name, unit in zip(recording.columns, recording.units, strict=True)
    }
    if recording.triggers is not None:
        columns[MONITOR_TRIGGER] = {
            "Description": "1 where the monitor's own detector marked an event",
            "Levels": LEVELS,
        }
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
        "ClockSource": str(recording.clock),
    }
    if recording.triggers is not None:
        content["NumberOfMonitorTriggers"] = int(recording.triggers.sum())
    if rule.mean is not None and (mean := _mean(recording)) is not None:
        content[rule.mean] = round(mean, RATE_DIGITS)
    if rule.band is not None:
        content["NumberOfPeaks"] = len(rhythm.peaks)
        # What can't be told is absent, as everywhere in BIDS sidecars.
        for name, value in (("MeanRate", rhythm.mean_rate), ("SignalQuality", rhythm.quality)):
            if value is not None:
                content[name] = round(value, RATE_DIGITS)
    return content


def _table(recording: Recording) -> bytes:
    """Write one line a sample, column by column rather than value by value: a session has millions of values."""
    events = [event for event in (recording.triggers, recording.scanner_triggers) if event is not None]
    columns = [_texts(recording.samples[:, channel]) for channel in range(recording.samples.shape[1])]
    columns += [map("01".__getitem__, event.astype(int).tolist()) for event in events]
    return "".join(f"{line}\n" for line in map("\t".join, zip(*columns, strict=True))).encode("ascii")


def _mean(recording: Recording) -> float | None:
    known = recording.samples[recording.samples == recording.samples]  # all but NaN
    return float(known.mean()) if known.size else None


def _texts(values: NDArray[np.float64]) -> Iterable[str]:
    import numpy as np  # noqa: PLC0415 - only where a recording is written

    if (np.abs(values) < LARGEST_EXACT).all() and (values == np.rint(values)).all():
        return map(str, values.astype(np.int64).tolist())
    return map(_number, values.tolist())


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "n/a"  # BIDS, tabular files
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
