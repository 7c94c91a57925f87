"""Which session a recording of the inbox belongs to: its header, name and the ledger tell, else the clock or a UUID.

Recordings are read here only where header and name leave a choice.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path, PurePosixPath

from heartbrain_ingest import physio
from heartbrain_ingest.inbox import valid_date
from heartbrain_ingest.ledger import FileRow, Ledger

#: A series goes on for so long after its last instance began, where no other one follows sooner. Unit: seconds.
LAST_SERIES = 600.0
#: A session that goes on over midnight began after the one and ends before the other. Unit: seconds of the day.
EVENING_BEGINS = 20 * 3600.0
NIGHT_ENDS = 6 * 3600.0


@dataclass(kw_only=True)
class _Series:
    """First and last instance of a series, as far as they are in the inbox."""

    first: FileRow
    last: FileRow


def find_delivery(row: FileRow, ledger: Ledger, rules: physio.PhysioRules, inbox: Path) -> int:
    """Find the session of a recording.

    Parameters
    ----------
    row
        The recording; a DICOM object with the facts of its header.
    inbox
        Folder that names are relative to.

    Returns
    -------
    The id of the session's delivery.

    Raises
    ------
    physio.RecordingError
        PHYSIO_NO_SESSION, PHYSIO_AMBIGUOUS, or PHYSIO_UNREADABLE where it had to be read.
    """
    path = PurePosixPath(row.path)
    name = physio.identify(path.relative_to(inbox) if path.is_relative_to(inbox) else PurePosixPath(path.name), rules)
    patient_id = row.facts.get("patient_id") or (name.patient_id if name else None)
    day = valid_date(row.facts.get("study_date", "")) or (name.day if name else None)
    study = ledger.delivery(row.facts["key"]) if row.facts.get("key") else None
    recordings: tuple[physio.Recording, ...] = ()
    if day is None:
        recordings = _read(row, name, rules)
        day = recordings[0].day
    if patient_id is None and day is None:
        raise physio.RecordingError("PHYSIO_NO_SESSION", "neither the name nor the log tells the subject or the day")
    found = ledger.sessions_on(patient_id, day.isoformat() if day else None)
    if not found and day is not None:
        return _last_night(recordings or _read(row, name, rules), patient_id, day, ledger)
    if study is not None and study.id in found:
        return study.id
    if len(found) == 1 and patient_id is not None and day is not None:
        return found[0]
    recording = (recordings or _read(row, name, rules))[0]
    has_uuid = recording.uuid is not None
    sessions = [
        # Subject and day are those that the ledger was asked for.
        physio.SessionSpan(
            key=str(delivery), patient_id=patient_id, day=None, images=_images(delivery, ledger, has_uuid=has_uuid)
        )
        for delivery in found
    ]
    told = physio.RecordingName(patient_id=patient_id, day=day, time_s=None, rule=name.rule if name else "")
    return int(physio.find_session(recording, told, sessions).key)


def _last_night(recordings: Sequence[physio.Recording], patient_id: str | None, day: date, ledger: Ledger) -> int:
    """Find a session that began in the evening before; only the clock can tell that it was still going on."""
    recording = replace(recordings[0], day=None)
    sessions = []
    if recording.start_s < NIGHT_ENDS:
        for delivery in ledger.sessions_on(patient_id, (day - timedelta(days=1)).isoformat()):
            images = _images(delivery, ledger, has_uuid=recording.uuid is not None)
            if any(image.start_s >= EVENING_BEGINS for image in images):
                sessions.append(physio.SessionSpan(key=str(delivery), patient_id="", day=None, images=images))
    if not sessions:
        raise physio.RecordingError("PHYSIO_NO_SESSION", "no session of this subject and day")
    told = physio.RecordingName(patient_id="", day=None, time_s=None, rule="")
    return int(physio.find_session(recording, told, sessions).key)


def _read(row: FileRow, name: physio.RecordingName | None, rules: physio.PhysioRules) -> tuple[physio.Recording, ...]:
    recordings = physio.read_recordings(Path(row.path), rules)
    if not recordings:
        raise physio.RecordingError("PHYSIO_NO_SESSION", "the file holds no recording of its own")
    return tuple(physio.at_time(one, name.time_s if name else None) for one in recordings)


def _images(delivery: int, ledger: Ledger, *, has_uuid: bool) -> tuple[physio.ImageSpan, ...]:
    """Give when the series of a session ran, from the headers of two instances of each that are in the inbox."""
    series: dict[str, _Series] = {}
    for row in ledger.files("delivery = ? AND kind = 'dicom'", (delivery,)):
        known = series.setdefault(row.series or "", _Series(first=row, last=row))
        known.first = min(known.first, row, key=_place)
        known.last = max(known.last, row, key=_place)
    spans = []
    for one in series.values():
        start, stop = _acquired(one.first.path), _acquired(one.last.path)
        if start is not None:
            uuid = physio.read_image_uuid(Path(one.first.path)) if has_uuid else None
            spans.append((start, stop if stop is not None and stop > start else start, uuid))
    spans.sort(key=lambda span: span[0])
    starts = [start for start, _, _ in spans[1:]]
    return tuple(
        physio.ImageSpan(
            path=Path(str(delivery)),
            start_s=start,
            duration_s=max(stop, following if following - stop < LAST_SERIES else stop + LAST_SERIES) - start,
            uuid=uuid,
        )
        for (start, stop, uuid), following in zip(spans, [*starts, float("inf")], strict=True)
    )


def _place(row: FileRow) -> tuple[int, str]:
    return row.facts["instance_number"], row.instance or ""


def _acquired(path: str) -> float | None:
    """Give the AcquisitionTime of an instance in seconds since midnight; None where it can't be read."""
    from pydicom import dcmread  # noqa: PLC0415 - only where the clock must decide

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = dcmread(path, stop_before_pixels=True, specific_tags=["AcquisitionTime", "AcquisitionDateTime"])
            text = str(header.get("AcquisitionTime") or str(header.get("AcquisitionDateTime") or "")[8:])
    except Exception:  # noqa: BLE001 - a damaged file raises anything from the parser
        return None
    return _seconds(text)


def _seconds(text: str) -> float | None:
    """Read `hhmmss.ffffff` (DICOM TM) as seconds since midnight."""
    try:
        return int(text[0:2]) * 3600 + int(text[2:4] or 0) * 60 + float(text[4:].split("+", maxsplit=1)[0] or 0.0)
    except ValueError:
        return None
