"""Which session a recording of the inbox belongs to: its header, name and the ledger tell, else the clock or a UUID.

Recordings are read here only where header and name leave a choice.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path, PurePosixPath

from heartbrain_ingest import physio
from heartbrain_ingest.inbox import valid_date
from heartbrain_ingest.ledger import FileRow, Ledger
from heartbrain_ingest.withheld import find_stored

#: A series goes on for so long after its last instance began, where no other one follows sooner. Unit: seconds.
LAST_SERIES = 600.0
#: A session that goes on over midnight began after the one and ends before the other. Unit: seconds of the day.
EVENING_BEGINS = 20 * 3600.0
NIGHT_ENDS = 6 * 3600.0


@dataclass(kw_only=True)
class _Series:
    """First and last instance of a series."""

    first: FileRow
    last: FileRow


@dataclass(frozen=True, kw_only=True)
class SessionFinder:
    """Finds the session of a recording."""

    ledger: Ledger
    rules: physio.PhysioRules
    #: Folder that names are relative to.
    inbox: Path
    #: The published tree, and the DICOM that is stored and not published: images that left the inbox are read there.
    archive: Path
    withheld: Path
    #: Gives the UUID that stands for another in what is published.
    keyed: Callable[[str], str]

    def find(self, row: FileRow) -> int:
        """Find the session of a recording.

        Parameters
        ----------
        row
            The recording; a DICOM object with the facts of its header.

        Returns
        -------
        The id of the session's delivery.

        Raises
        ------
        physio.RecordingError
            PHYSIO_NO_SESSION, PHYSIO_AMBIGUOUS, or PHYSIO_UNREADABLE where it had to be read.
        """
        path = PurePosixPath(row.path)
        inside = path.relative_to(self.inbox) if path.is_relative_to(self.inbox) else PurePosixPath(path.name)
        name = physio.identify(inside, self.rules)
        patient_id = row.facts.get("patient_id") or (name.patient_id if name else None)
        day = valid_date(row.facts.get("study_date", "")) or (name.day if name else None)
        study = self.ledger.delivery(row.facts["key"]) if row.facts.get("key") else None
        recordings: tuple[physio.Recording, ...] = ()
        if day is None:
            recordings = self._read(row, name)
            day = recordings[0].day
        if patient_id is None and day is None:
            raise physio.RecordingError(
                "PHYSIO_NO_SESSION", "neither the name nor the log tells the subject or the day"
            )
        found = self.ledger.sessions_on(patient_id, day.isoformat() if day else None)
        if not found and day is not None:
            return self._last_night(recordings or self._read(row, name), patient_id, day)
        if study is not None and study.id in found:
            return study.id
        if len(found) == 1 and patient_id is not None and day is not None:
            return found[0]
        recording = (recordings or self._read(row, name))[0]
        has_uuid = recording.uuid is not None
        sessions = [
            # Subject and day are those that the ledger was asked for.
            physio.SessionSpan(
                key=str(delivery), patient_id=patient_id, day=None, images=self._images(delivery, has_uuid=has_uuid)
            )
            for delivery in found
        ]
        told = physio.RecordingName(patient_id=patient_id, day=day, time_s=None, rule=name.rule if name else "")
        return int(physio.find_session(recording, told, sessions).key)

    def _last_night(self, recordings: Sequence[physio.Recording], patient_id: str | None, day: date) -> int:
        """Find a session that began in the evening before; only the clock can tell that it was still going on."""
        recording = replace(recordings[0], day=None)
        sessions = []
        if recording.start_s < NIGHT_ENDS:
            for delivery in self.ledger.sessions_on(patient_id, (day - timedelta(days=1)).isoformat()):
                images = self._images(delivery, has_uuid=recording.uuid is not None)
                if any(image.start_s >= EVENING_BEGINS for image in images):
                    sessions.append(physio.SessionSpan(key=str(delivery), patient_id="", day=None, images=images))
        if not sessions:
            raise physio.RecordingError("PHYSIO_NO_SESSION", "no session of this subject and day")
        told = physio.RecordingName(patient_id="", day=None, time_s=None, rule="")
        return int(physio.find_session(recording, told, sessions).key)

    def _read(self, row: FileRow, name: physio.RecordingName | None) -> tuple[physio.Recording, ...]:
        recordings = physio.read_recordings(Path(row.path), self.rules)
        if not recordings:
            raise physio.RecordingError("PHYSIO_NO_SESSION", "the file holds no recording of its own")
        return tuple(
            physio.at_time(replace(one, uuid=self.keyed(one.uuid) if one.uuid else None), name.time_s if name else None)
            for one in recordings
        )

    def _images(self, delivery: int, *, has_uuid: bool) -> tuple[physio.ImageSpan, ...]:
        """Give when the series of a session ran, from the headers of two instances of each."""
        series: dict[str, _Series] = {}
        for row in self.ledger.files("delivery = ? AND kind = 'dicom'", (delivery,)):
            known = series.setdefault(row.series or "", _Series(first=row, last=row))
            known.first = min(known.first, row, key=_place)
            known.last = max(known.last, row, key=_place)
        spans = []
        for one in series.values():
            (start, header), (stop, _) = self._acquired(one.first), self._acquired(one.last)
            if start is not None:
                uuid = physio.find_image_uuid(header) if has_uuid else None
                spans.append(
                    (start, stop if stop is not None and stop > start else start, self.keyed(uuid) if uuid else None)
                )
        spans.sort(key=lambda span: span[0])
        followers = [*(start for start, _, _ in spans[1:]), *([float("inf")] if spans else [])]
        return tuple(
            physio.ImageSpan(
                path=Path(str(delivery)),
                start_s=start,
                duration_s=max(stop, following if following - stop < LAST_SERIES else stop + LAST_SERIES) - start,
                uuid=uuid,
            )
            for (start, stop, uuid), following in zip(spans, followers, strict=True)
        )

    def _acquired(self, row: FileRow) -> tuple[float | None, bytes]:
        """Give the AcquisitionTime of an instance in seconds since midnight, and its first bytes.

        Of one that left the inbox the stored copy is read, whose times of day are the same. None where no time can be
        read.
        """
        for is_stored in (False, True):
            try:
                header = self._stored_beginning(row) if is_stored else _beginning(Path(row.path))
                time = _acquisition_time(header)
            except Exception:  # noqa: BLE001, S112 - a damaged file raises anything from the parser
                continue
            if time is not None:
                return time, header
        return None, b""

    def _stored_beginning(self, row: FileRow) -> bytes:
        found = find_stored(row.destination, archive=self.archive, withheld=self.withheld)
        if found is None:
            return b""
        with zipfile.ZipFile(found[0]) as archive, archive.open(found[1]) as member:
            return member.read(physio.LONGEST_HEADER)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(physio.LONGEST_HEADER)


def _place(row: FileRow) -> tuple[int, str]:
    return row.facts["instance_number"], row.instance or ""


def _acquisition_time(header: bytes) -> float | None:
    from pydicom import dcmread  # noqa: PLC0415 - only where the clock must decide

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = dcmread(
            io.BytesIO(header), stop_before_pixels=True, specific_tags=["AcquisitionTime", "AcquisitionDateTime"]
        )
        return _seconds(str(found.get("AcquisitionTime") or str(found.get("AcquisitionDateTime") or "")[8:]))


def _seconds(text: str) -> float | None:
    """Read `hhmmss.ffffff` (DICOM TM) as seconds since midnight."""
    try:
        return int(text[0:2]) * 3600 + int(text[2:4] or 0) * 60 + float(text[4:].split("+", maxsplit=1)[0] or 0.0)
    except ValueError:
        return None
