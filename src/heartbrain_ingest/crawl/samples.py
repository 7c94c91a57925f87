"""Which session a laboratory sample belongs to: the one of its subject that is nearest in time, if it is near enough.

A table and a session come in any order, so this is looked up in the database after each of them, not in the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from linkahead.queries import query

from heartbrain_ingest.crawl.client import db


def nearest(day: date, candidates: Iterable[tuple[date, int]], within: int) -> int | None:
    """Choose what is nearest to a day.

    Parameters
    ----------
    day
        Day of the sample.
    candidates
        Day and id of each session.
    within
        Largest distance in days.

    Returns
    -------
    int | None
        Id of the nearest session; the earlier of two equally near ones, the smaller id of two on one day. None if
        none is near enough.
    """
    near = [
        (abs((other - day).days), other, identifier)
        for other, identifier in candidates
        if abs((other - day).days) <= within
    ]
    return min(near)[2] if near else None


def attach_samples(subjects: Sequence[int], *, within: int) -> int:
    """Let the samples of some subjects, and what was measured in them, refer to the nearest session.

    Parameters
    ----------
    subjects
        Ids of the subjects.
    within
        Largest distance between sample and session in days; both dates are shifted alike.

    Returns
    -------
    int
        How many records changed.
    """
    changed: list[Any] = []
    for subject in subjects:
        samples = query(f"FIND RECORD 'Sample' WITH 'Subject'='{subject}'")
        if not samples:
            continue
        sessions = query(f"FIND RECORD 'Session' WITH 'Subject'='{subject}'")
        for sample in samples:
            day = _day(sample, "CollectionDate")
            if day is None:
                continue
            project = _reference(sample, "Project")
            dated = [
                (held, session.id)
                for session in sessions
                if _reference(session, "Project") == project and (held := _day(session, "Date")) is not None
            ]
            session_id = nearest(day, dated, within)
            if session_id == _reference(sample, "Session"):
                continue
            measurements = query(f"FIND RECORD 'LaboratoryMeasurement' WITH 'Sample'='{sample.id}'")
            for record in (sample, *measurements):
                _refer(record, session_id)
                changed.append(record)
    if changed:
        db.Container().extend(changed).update(unique=False)
    return len(changed)


def _refer(record: Any, session_id: int | None) -> None:
    prop = record.get_property("Session")
    if session_id is None:
        record.remove_property("Session")
    elif prop is None:
        record.add_property(name="Session", value=session_id)
    else:
        prop.value = session_id


def _reference(record: Any, name: str) -> int | None:
    prop = record.get_property(name)
    return prop.value if prop is not None and isinstance(prop.value, int) else None


def _day(record: Any, name: str) -> date | None:
    prop = record.get_property(name)
    if prop is None or not isinstance(prop.value, str):
        return None
    try:
        return date.fromisoformat(prop.value[:10])
    except ValueError:
        return None
