"""The recordings of one session, in a worker process: read, matched to the images, cut, and written.

A recording is read from the file of the inbox, or from what an earlier revision of the session stored of it: both hold
the same, so that rules of now apply to recordings of then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path, PurePosixPath

from heartbrain_ingest import physio, workers
from heartbrain_ingest.ledger import Outcome
from heartbrain_ingest.pictures import picture_stem


@dataclass(frozen=True, kw_only=True)
class RecordingSource:
    """One file of recordings."""

    #: Where it lies or lay in the inbox: its name can tell when it was made.
    path: str
    #: What an earlier revision stored of it; None where the file itself is to be read.
    stored: Path | None


@dataclass(frozen=True, kw_only=True)
class RecordingTask:
    """The recordings of one session and the images they may belong to."""

    sources: tuple[RecordingSource, ...]
    spans: tuple[physio.ImageSpan, ...]
    #: A de-identified DICOM file of each image.
    instances: tuple[Path | None, ...]
    rules: physio.PhysioRules
    #: The day of the session, not shifted: clocks in summer time need it.
    day: date | None
    #: File of the session's identifiers.
    identifiers: str
    #: Start of the file names of whole recordings.
    whole: Path
    #: The session's folder.
    folder: Path


@dataclass(frozen=True, kw_only=True)
class RecordingResult:
    """What became of one file of recordings."""

    outcome: Outcome
    code: str | None = None
    #: What is stored of the file.
    stored: Path | None = None
    notes: tuple[str, ...] = ()


def write_recordings(task: RecordingTask) -> list[RecordingResult]:
    """Write each recording whole, and cut to each image that it covers where BIDS has a place for it."""
    logs = [_read(source, task) for source in task.sources]
    read: list[tuple[physio.Recording, ...] | physio.RecordingError] = [
        log if isinstance(log, physio.RecordingError) else _interpret(log, source, task)
        for log, source in zip(logs, task.sources, strict=True)
    ]
    recordings = [one for found in read if not isinstance(found, physio.RecordingError) for one in found]
    has_uuid = any(recording.uuid for recording in recordings)
    images = physio.with_uuids(task.spans, task.instances) if has_uuid else task.spans
    matched = physio.match_recordings(recordings, images, task.rules)
    for stem, match in physio.choose_parts(matched.matches, task.rules):
        if not physio.table_path(stem, match.recording, task.rules).exists():
            physio.write_bids(match.recording, match.image, stem, task.rules, pictures=_pictures_of(stem, task))
    # Those that were taken over from an earlier revision keep their numbers.
    there = {path.name.partition("_run-")[2].partition("_")[0] for path in task.whole.parent.glob("*.tsv.gz")}
    before = max((int(number) for number in there if number.isdigit()), default=0)
    numbers: Counter[str] = Counter(dict.fromkeys(task.rules.channels, before))
    results = []
    for log, found in zip(logs, read, strict=True):
        if isinstance(found, physio.RecordingError):
            results.append(RecordingResult(outcome=Outcome.QUARANTINED, code=found.code))
        elif log is None or isinstance(log, physio.RecordingError):
            results.append(RecordingResult(outcome=Outcome.IGNORED, code="PHYSIO_PART"))
        else:
            before += 1
            stored = task.whole.with_name(f"{task.whole.name}_run-{before}{physio.LOG_ENDING}")
            physio.store_log(log, stored, task.rules, lambda text: workers.clean_text(text, task.identifiers))
            notes = _write_whole(found, task, numbers, matched)
            results.append(RecordingResult(outcome=Outcome.STORED, stored=stored, notes=notes))
    return results


def _read(source: RecordingSource, task: RecordingTask) -> physio.Log | physio.RecordingError | None:
    try:
        if source.stored is not None:
            return replace(physio.load_log(source.stored), day=task.day)
        log = physio.read_log(Path(source.path), task.rules)
    except physio.RecordingError as error:
        return error
    # The images of now are de-identified already.
    return replace(log, uuid=workers.keyed_uuid(log.uuid)) if log is not None and log.uuid else log


def _interpret(
    log: physio.Log | None, source: RecordingSource, task: RecordingTask
) -> tuple[physio.Recording, ...] | physio.RecordingError:
    if log is None:
        return ()
    name = physio.identify(Path(source.path), task.rules)
    try:
        return tuple(physio.at_time(one, name.time_s if name else None) for one in physio.interpret(log, task.rules))
    except physio.RecordingError as error:
        return error


def _pictures_of(stem: Path, task: RecordingTask) -> Path:
    """Give the folder of the drawings of recordings whose names start so."""
    return (task.folder / picture_stem(PurePosixPath(stem.relative_to(task.folder)))).parent


def _write_whole(
    found: Sequence[physio.Recording], task: RecordingTask, numbers: Counter[str], matched: physio.MatchResult
) -> tuple[str, ...]:
    """Write the whole recordings of a file; give the codes of what is to be noted."""
    notes = [note for recording in found for note in recording.issues]
    for recording in found:
        numbers[recording.kind] += recording.part == 1
        stem = task.whole.with_name(f"{task.whole.name}_run-{numbers[recording.kind]}")
        matches = [match for match in matched.matches if match.source is recording]
        notes += physio.clock_notes(recording, matches)
        images = [match.image for match in matches]
        physio.write_whole(recording, stem, task.rules, images=images, pictures=_pictures_of(stem, task))
    notes += ["PHYSIO_AMBIGUOUS" for recording in found if any(recording is one for one in matched.ambiguous)]
    return tuple(notes)
