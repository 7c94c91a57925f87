from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from heartbrain_ingest.physio import (
    ImageSpan,
    Kind,
    Recording,
    RecordingError,
    RecordingName,
    SessionSpan,
    find_session,
)

DAY = dt.date(2023, 5, 4)


def make_recording(start_s: float, uuid: str | None = None, day: dt.date | None = None) -> Recording:
    return Recording(
        kind=Kind.PULSE,
        sampling_frequency=50,
        start_ms=start_s * 1000,
        stop_ms=start_s * 1000 + 60_000,
        samples=np.zeros((3000, 1)),
        triggers=np.zeros(3000, dtype=np.bool_),
        columns=("cardiac",),
        units=("arbitrary",),
        uuid=uuid,
        day=day,
    )


def make_session(key: str, patient_id: str, day: dt.date, start_s: float, uuid: str | None = None) -> SessionSpan:
    image = ImageSpan(path=Path("x.nii.gz"), start_s=start_s, duration_s=600, uuid=uuid)
    return SessionSpan(key=key, patient_id=patient_id, day=day, images=(image,))


def make_name(patient_id: str | None, day: dt.date | None) -> RecordingName:
    return RecordingName(patient_id=patient_id, day=day, time_s=None, rule="test")


MORNING = make_session("morning", "A", DAY, 36_000)
EVENING = make_session("evening", "A", DAY, 64_000)
NEXT_WEEK = make_session("next week", "A", DAY + dt.timedelta(days=7), 36_000)
OTHER = make_session("other", "B", DAY, 36_000)
ALL = (MORNING, EVENING, NEXT_WEEK, OTHER)


@pytest.mark.parametrize(
    ("patient_id", "day", "start_s", "expected"),
    [
        ("B", DAY, 36_100, "other"),
        ("B", DAY, 30_000, "other"),
        ("A", DAY, 36_100, "morning"),
        ("A", DAY, 64_100, "evening"),
        ("A", None, 64_100, "evening"),
        (None, DAY, 64_100, "evening"),
    ],
)
def test_the_name_finds_the_session_and_the_clock_decides_between_two_of_one_day(
    patient_id: str | None, day: dt.date | None, start_s: float, expected: str
) -> None:
    assert find_session(make_recording(start_s), make_name(patient_id, day), ALL).key == expected


@pytest.mark.parametrize(
    ("patient_id", "day", "start_s", "code"),
    [
        (None, None, 64_100, "PHYSIO_NO_SESSION"),
        ("C", DAY, 36_100, "PHYSIO_NO_SESSION"),
        ("A", DAY + dt.timedelta(days=1), 36_100, "PHYSIO_NO_SESSION"),
        ("A", DAY, 50_000, "PHYSIO_NO_SESSION"),
        ("A", None, 36_100, "PHYSIO_AMBIGUOUS"),
        (None, DAY, 36_100, "PHYSIO_AMBIGUOUS"),
    ],
)
def test_what_fits_no_session_or_several_is_refused_with_a_code(
    patient_id: str | None, day: dt.date | None, start_s: float, code: str
) -> None:
    with pytest.raises(RecordingError) as caught:
        find_session(make_recording(start_s), make_name(patient_id, day), ALL)
    assert caught.value.code == code


def test_a_day_that_the_log_itself_holds_stands_in_for_the_name() -> None:
    assert find_session(make_recording(64_100, day=DAY), None, ALL).key == "evening"


def test_a_shared_uuid_finds_the_session_without_a_name() -> None:
    session = make_session("multiband", "Z", DAY, 36_000, uuid="u")
    assert find_session(make_recording(1, uuid="u"), None, (*ALL, session)).key == "multiband"


def test_a_recording_after_midnight_belongs_to_the_session_that_began_the_evening_before() -> None:
    night = make_session("night", "N", DAY, 86_000)
    found = find_session(make_recording(10), make_name("N", DAY + dt.timedelta(days=1)), (*ALL, night))
    assert found.key == "night"


def test_neither_a_name_nor_a_session_shows_whose_it_is_when_printed() -> None:
    assert "HB0471100" not in f"{make_name('HB0471100', DAY)} {make_session('x', 'HB0471100', DAY, 1)}"
