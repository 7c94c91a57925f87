"""The how-to for laboratory tables, followed literally."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest

from heartbrain_ingest.lab import LabRules, Measurement, SubjectRef, load_rules, read_table
from tests.test_howto_rules import follow


@pytest.fixture(scope="module")
def changed(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> LabRules:
    folder = tmp_path_factory.mktemp("site") / "crawler_config"
    shutil.copytree(project_root / "crawler_config", folder)
    text = (project_root / "docs" / "howto-laboratory.md").read_text(encoding="utf-8")
    assert follow(text, folder) == text.count("```yaml") == 3
    return load_rules(folder / "lab.yml")


def read(folder: Path, rules: LabRules, row: str, born: dt.date, sex: str = "F") -> Measurement:
    path = folder / "a.csv"
    path.write_text(f"PatientID;Datum;Material;Analyt;Wert;Einheit\nA;04.05.2023;{row}\n", encoding="utf-8")
    subject = SubjectRef(label="sub-AAAAAAA1", days=3, sex=sex, birth_date=born)
    (measurement,) = read_table(path, rules, lambda _: subject).measurements
    return measurement


@pytest.mark.parametrize(
    ("born", "sex", "high"),
    [
        (dt.date(2015, 1, 1), "F", 335),
        (dt.date(1980, 1, 1), "F", 104),
        (dt.date(1980, 1, 1), "M", 129),
        (dt.date(2008, 1, 1), "M", None),
    ],
)
def test_a_new_analyte_is_read_with_the_laboratorys_reviewed_range(
    changed: LabRules, tmp_path: Path, born: dt.date, sex: str, high: float | None
) -> None:
    measurement = read(tmp_path, changed, "Serum;Alkalische Phosphatase;110;U/l", born, sex)
    assert (measurement.analyte, measurement.loinc, measurement.high) == ("alkaline_phosphatase", "6768-6", high)
    assert measurement.reference_source == ("lab.yml" if high else "")


def test_a_new_mark_stands_in_place_of_a_value(changed: LabRules, tmp_path: Path) -> None:
    measurement = read(tmp_path, changed, "Serum;CRP;storniert;mg/l", dt.date(1980, 1, 1))
    assert (measurement.value, measurement.qualifier) == (None, "cancelled")


def test_a_new_unit_is_converted(changed: LabRules) -> None:
    from heartbrain_ingest.lab.units import convert  # noqa: PLC0415 - only here

    assert convert(3000, "ug/g", "mg/g", None, changed) == 3
