"""Which session a recording belongs to: its name says subject and day, the clock decides what the name leaves open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from heartbrain_ingest.physio.matching import SECONDS_PER_DAY, ImageSpan, overlap_seconds
from heartbrain_ingest.physio.recording import Recording, RecordingError
from heartbrain_ingest.physio.rules import RecordingName


@dataclass(frozen=True, kw_only=True)
class SessionSpan:
    """What a recording can be compared with. Identifying: it never leaves the inbox."""

    #: Whatever the caller calls the session.
    key: str
    #: PatientID of the DICOM headers.
    patient_id: str | None = field(repr=False)
    #: Day of the study, not shifted; None for an undated session.
    day: date | None = field(repr=False)
    #: When its images were acquired.
    images: tuple[ImageSpan, ...] = ()


def find_session(recording: Recording, name: RecordingName | None, sessions: Sequence[SessionSpan]) -> SessionSpan:
    """Find the one session that fits.

    Subject and day must agree where the name (or the log) tells them. One of both must be known: a time of day alone
    fits some session on most days. Of several that fit, the clock must leave one.

    Raises
    ------
    RecordingError
        PHYSIO_NO_SESSION: none fits. PHYSIO_AMBIGUOUS: several do.
    """
    patient_id = name.patient_id if name else None
    day = (name.day if name else None) or recording.day
    if recording.uuid:
        sharing = [s for s in sessions if any(image.uuid == recording.uuid for image in s.images)]
        if len(sharing) == 1:
            return sharing[0]
    if patient_id is None and day is None:
        raise RecordingError("PHYSIO_NO_SESSION", "neither the name nor the log tells the subject or the day")
    fitting = [s for s in sessions if patient_id in {None, s.patient_id} and _is_day(day, s)]
    if not fitting:
        raise RecordingError("PHYSIO_NO_SESSION", "no session of this subject and day")
    if len(fitting) == 1 and patient_id is not None and day is not None:
        return fitting[0]
    overlapping = [s for s in fitting if any(overlap_seconds(recording, image) > 0 for image in s.images)]
    if len(overlapping) > 1:
        raise RecordingError("PHYSIO_AMBIGUOUS", f"{len(overlapping)} sessions ran while it was recorded")
    if not overlapping:
        raise RecordingError("PHYSIO_NO_SESSION", "no session ran while it was recorded")
    return overlapping[0]


def _is_day(day: date | None, session: SessionSpan) -> bool:
    """Tell whether a recording of this day can be of the session; an evening's session may end after midnight."""
    if day is None or session.day is None:
        return True
    return day == session.day or (
        day == session.day + timedelta(days=1) and any(image.stop_s > SECONDS_PER_DAY for image in session.images)
    )
