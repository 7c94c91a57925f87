from __future__ import annotations

import datetime as dt
from pathlib import Path, PurePosixPath

import pytest
import yaml

from heartbrain_ingest.errors import RulesError
from heartbrain_ingest.physio import PhysioRules, identify, load_rules

DAY = dt.date(2023, 5, 4)


@pytest.mark.parametrize(
    ("path", "patient_id", "day", "time_s"),
    [
        ("Physio_HB-0001_20230504_101500.ecg", "HB-0001", DAY, 36_900),
        ("physio/Physio_HB_0001_20230504_101500.puls", "HB_0001", DAY, 36_900),
        ("4711_20230504.resp", "4711", DAY, None),
        ("4711_20230504/scan1.resp", "4711", DAY, None),
        ("4711/2023-05-04/scan1.resp", "4711", DAY, None),
        ("4711/scan1.ecg", "4711", None, None),
    ],
)
def test_names_tell_subject_day_and_time(
    rules: PhysioRules, path: str, patient_id: str, day: dt.date | None, time_s: int | None
) -> None:
    name = identify(PurePosixPath(path), rules)
    assert name is not None
    assert (name.patient_id, name.day, name.time_s) == (patient_id, day, time_s)


@pytest.mark.parametrize("path", ["scan1.ecg", "Physio_4711_20231399_101500.ecg"])
def test_a_name_without_subject_or_with_an_impossible_date_tells_nothing(rules: PhysioRules, path: str) -> None:
    assert identify(PurePosixPath(path), rules) is None


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("surprise",), 1, "surprise"),
        (("channels", "respiratory", "colour"), "red", "channels.respiratory.colour"),
        (("names", 0, "pattern"), "(?P<nurse>.*)", "names.0.pattern"),
        (("names", 0, "pattern"), "(", "names.0.pattern"),
        (("rates", 0, "rate"), 0, "rates.0.rate"),
    ],
)
def test_an_unknown_key_or_a_wrong_value_is_refused_by_name(
    project_root: Path, tmp_path: Path, place: tuple[str | int, ...], value: object, named: str
) -> None:
    content = yaml.safe_load((project_root / "crawler_config" / "physio.yml").read_text())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    changed = tmp_path / "physio.yml"
    changed.write_text(yaml.safe_dump(content))
    with pytest.raises(RulesError, match=named):
        load_rules(changed)
