"""The laboratory's tables hold the values of the truth, and the rows that must be refused."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import openpyxl

from sample_data.laboratory import CSV_NAME, WORKBOOK_NAME, csv_file, workbook
from sample_data.plan import study_plan

from .conftest import Study

SUBJECTS = study_plan().subjects


def sheets(content: bytes) -> dict[str, list[dict[str, Any]]]:
    book = openpyxl.load_workbook(io.BytesIO(content))
    tables = {}
    for sheet in book.worksheets:
        header, *rows = sheet.iter_rows(values_only=True)
        tables[sheet.title] = [dict(zip(map(str, header), row, strict=True)) for row in rows]
    return tables


def test_the_workbook_has_a_sheet_for_blood_and_one_for_urine_with_german_headers() -> None:
    content, _ = workbook(SUBJECTS)
    tables = sheets(content)
    assert list(tables) == ["Blut", "Urin"]
    assert {"Name", "Geburtsdatum", "Patienten-ID", "Entnahmezeit", "Analyt", "Wert", "Einheit"} <= set(
        tables["Blut"][0]
    )


def test_every_value_of_the_workbook_stands_in_the_row_that_the_truth_names() -> None:
    content, values = workbook(SUBJECTS)
    tables = sheets(content)
    assert len(values) == sum(len(rows) for rows in tables.values())
    for value in values:
        row = tables[value.sheet or ""][value.row - 2]
        assert row["Patienten-ID"] == value.patient_id
        assert row["Analyt"] == value.analyte
        assert str(row["Wert"]) == value.text
        assert row["Einheit"] == value.unit


def test_decimal_commas_limits_and_missing_values_are_read_as_meant() -> None:
    _, values = workbook(SUBJECTS)
    found = {(one.patient_id, one.material, one.analyte): (one.value, one.qualifier) for one in values}
    assert found["0008150042", "blood", "Kreatinin"] == (1.62, None)
    assert found["UMG20231187", "blood", "CRP"] == (0.3, "<")
    assert found["0008150042", "blood", "Glukose"] == (None, None)
    assert found["HB0471100", "urine", "Protein"] == (64.0, None)


def test_one_row_is_of_an_unknown_subject_and_one_has_an_impossible_unit() -> None:
    _, values = workbook(SUBJECTS)
    known = {subject.person.patient_id for subject in SUBJECTS}
    refused = {one.refused: one for one in values if one.refused}
    assert set(refused) == {"unknown subject", "unit"}
    assert refused["unknown subject"].patient_id not in known
    assert refused["unit"].unit == "Stück"


def test_samples_are_taken_within_the_hour_before_the_visit() -> None:
    for make, number in ((workbook, 0), (csv_file, 1)):
        _, values = make(SUBJECTS)
        starts = {subject.person.patient_id: subject.visits[number].start for subject in SUBJECTS}
        for value in values:
            if value.patient_id in starts:
                assert 0 < (starts[value.patient_id] - value.sampled).total_seconds() < 3600


def test_the_csv_file_holds_a_row_for_each_subject_and_a_column_for_each_analyte() -> None:
    content, values = csv_file(SUBJECTS)
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), delimiter=";"))
    assert [row["Patient ID"] for row in rows] == [subject.person.patient_id for subject in SUBJECTS]
    for value in values:
        assert rows[value.row - 2][f"{value.material} {value.analyte} [{value.unit}]"] == value.text


def test_tables_name_the_patients(small_study: Study) -> None:
    assert "Müllerschön" in (small_study.inbox / "Labor" / CSV_NAME).read_text(encoding="utf-8-sig")
    tables = sheets((small_study.inbox / "Labor" / WORKBOOK_NAME).read_bytes())
    assert {row["Name"] for row in tables["Blut"]} == {"Müllerschön", "Petersilie"}


def test_the_workbook_does_not_know_when_it_was_written() -> None:
    content, _ = workbook(SUBJECTS)
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert {member.date_time for member in packed.infolist()} == {(2023, 1, 1, 0, 0, 0)}
        assert packed.read("docProps/core.xml").count(b"2023-01-01T00:00:00Z") == 2


def test_one_creatinine_is_above_the_reference_range() -> None:
    _, values = workbook(SUBJECTS)
    high = [
        one.patient_id
        for one in values
        if one.analyte == "Kreatinin" and one.material == "blood" and (one.value or 0) > 1.2
    ]
    assert high == ["0008150042"]
