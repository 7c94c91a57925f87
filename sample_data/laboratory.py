"""Laboratory tables: an Excel workbook of the first visits (German, long), a CSV of the second ones (English, wide)."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from sample_data.people import Person, Visit
from sample_data.plan import Subject

WORKBOOK_NAME = "Laborbefunde_HeartBrain.xlsx"
CSV_NAME = "lab_results_followup.csv"
_EPOCH = (2023, 1, 1, 0, 0, 0)
"""Time stamp of every member of the workbook: a table's bytes must not depend on the clock."""

_BLOOD = ("Kreatinin", "Natrium", "Kalium", "Hämoglobin", "Hämatokrit", "CRP", "Glukose")
_URINE = ("Kreatinin", "Protein", "Albumin")
_UNITS = {
    ("Blut", "Kreatinin"): ("mg/dl", "0,7-1,2"),
    ("Blut", "Natrium"): ("mmol/l", "136-145"),
    ("Blut", "Kalium"): ("mmol/l", "3,5-5,1"),
    ("Blut", "Hämoglobin"): ("g/dl", "12,0-17,5"),
    ("Blut", "Hämatokrit"): ("%", "36-51"),
    ("Blut", "CRP"): ("mg/l", "<5,0"),
    ("Blut", "Glukose"): ("mg/dl", "70-99"),
    ("Urin", "Kreatinin"): ("mg/dl", "40-278"),
    ("Urin", "Protein"): ("mg/l", "<140"),
    ("Urin", "Albumin"): ("mg/l", "<20"),
}
_FIRST: Sequence[Mapping[tuple[str, str], str]] = (
    {
        ("Blut", "Kreatinin"): "0,94",
        ("Blut", "Natrium"): "140",
        ("Blut", "Kalium"): "4,2",
        ("Blut", "Hämoglobin"): "15,1",
        ("Blut", "Hämatokrit"): "44,8",
        ("Blut", "CRP"): "1,7",
        ("Blut", "Glukose"): "92",
        ("Urin", "Kreatinin"): "131",
        ("Urin", "Protein"): "64",
        ("Urin", "Albumin"): "7,5",
    },
    {
        ("Blut", "Kreatinin"): "0,71",
        ("Blut", "Natrium"): "138",
        ("Blut", "Kalium"): "3,9",
        ("Blut", "Hämoglobin"): "12,8",
        ("Blut", "Hämatokrit"): "38,1",
        ("Blut", "CRP"): "<0,3",
        ("Blut", "Glukose"): "81",
        ("Urin", "Kreatinin"): "88",
        ("Urin", "Protein"): "41",
        ("Urin", "Albumin"): "<3,0",
    },
    {
        ("Blut", "Kreatinin"): "1,62",
        ("Blut", "Natrium"): "134",
        ("Blut", "Kalium"): "5,3",
        ("Blut", "Hämoglobin"): "12,2",
        ("Blut", "Hämatokrit"): "37,0",
        ("Blut", "CRP"): "8,4",
        ("Blut", "Glukose"): "n.d.",
        ("Urin", "Kreatinin"): "57",
        ("Urin", "Protein"): "212",
        ("Urin", "Albumin"): "96",
    },
)
_SECOND_COLUMNS = (
    ("blood", "Creatinine", "umol/L"),
    ("blood", "Sodium", "mmol/L"),
    ("blood", "Potassium", "mmol/L"),
    ("blood", "Hemoglobin", "g/L"),
    ("blood", "CRP", "mg/L"),
    ("urine", "Creatinine", "mmol/L"),
    ("urine", "Protein", "g/L"),
)
_SECOND = (
    ("81.3", "141", "4.3", "149", "2.1", "11.2", "0.07"),
    ("64.5", "139", "4.0", "126", "<0.3", "7.4", "0.05"),
    ("151.2", "133", "5.4", "119", "11.9", "4.6", "0.26"),
)
_QUALIFIERS = ("<", ">")


@dataclass(frozen=True, kw_only=True)
class LaboratoryValue:
    """One value of a table and what a reader should make of it.

    Attributes
    ----------
    row:
        Of the sheet or file, counted from 1 with the header.
    text:
        As written in the table.
    value, qualifier:
        The number (None where there is none) and `<` or `>` where the value lies beyond the limit of detection.
    refused:
        Why the value must not be taken over, or None.
    """

    file: str
    sheet: str | None
    row: int
    patient_id: str
    sampled: datetime
    material: str
    analyte: str
    text: str
    value: float | None
    qualifier: str | None
    unit: str
    refused: str | None = None

    def as_truth(self) -> dict[str, Any]:
        """Give the value for the truth file."""
        return asdict(self) | {"sampled": self.sampled.isoformat()}


_STRANGER = ("Petersilie", "Irmtraud", "17.04.1958", "HB0999999")
_HEADER = (
    "Name",
    "Vorname",
    "Geburtsdatum",
    "Patienten-ID",
    "Probennummer",
    "Entnahmezeit",
    "Analyt",
    "Wert",
    "Einheit",
    "Referenzbereich",
    "Bemerkung",
)


def workbook(subjects: Sequence[Subject]) -> tuple[bytes, list[LaboratoryValue]]:
    """Give the workbook of the first visits and its values: a sheet for blood and one for urine.

    Numbers stand as text with a decimal comma, or as numbers where they are whole; dates as text or as dates.
    """
    book = Workbook()
    values: list[LaboratoryValue] = []
    for sheet, analytes in (("Blut", _BLOOD), ("Urin", _URINE)):
        table = book.create_sheet(sheet)
        table.append(_HEADER)
        rows = [
            (subject.person, subject.visits[0], _FIRST[number][sheet, analyte], analyte, *_UNITS[sheet, analyte])
            for number, subject in enumerate(subjects)
            for analyte in analytes
        ]
        for person, visit, text, analyte, unit, reference in rows:
            sampled = _sampled(visit)
            remark = "leicht hämolytisch" if analyte == "Kalium" and person.sex == "F" else None
            table.append(
                (
                    person.family_name,
                    person.given_name,
                    f"{person.birth_date:%d.%m.%Y}",
                    person.patient_id,
                    f"{sheet[0]}{visit.study_id}",
                    sampled if sheet == "Blut" else f"{sampled:%d.%m.%Y %H:%M}",
                    analyte,
                    int(text) if text.isdigit() else text,
                    unit,
                    reference,
                    remark,
                )
            )
            values.append(_value(WORKBOOK_NAME, sheet, table.max_row, person.patient_id, sampled, analyte, text, unit))
        if sheet == "Blut":
            _spoil(table, values, subjects[0])
    del book["Sheet"]
    buffer = io.BytesIO()
    book.save(buffer)
    return _without_clock(buffer.getvalue()), values


def csv_file(subjects: Sequence[Subject]) -> tuple[bytes, list[LaboratoryValue]]:
    """Give the CSV file of the second visits (UTF-8 with byte order mark, semicolons) and its values."""
    columns = [f"{material} {analyte} [{unit}]" for material, analyte, unit in _SECOND_COLUMNS]
    lines = [";".join(("Patient ID", "Last name", "First name", "Date of birth", "Sampled at", *columns, "Comment"))]
    values: list[LaboratoryValue] = []
    for number, subject in enumerate(subjects):
        person, sampled = subject.person, _sampled(subject.visits[1])
        texts = _SECOND[number]
        lines.append(_csv_row(person, sampled, texts))
        values += [
            _value(CSV_NAME, None, len(lines), person.patient_id, sampled, analyte, text, unit, material=material)
            for (material, analyte, unit), text in zip(_SECOND_COLUMNS, texts, strict=True)
        ]
    return ("\r\n".join(lines) + "\r\n").encode("utf-8-sig"), values


def _csv_row(person: Person, sampled: datetime, texts: Sequence[str]) -> str:
    born = f"{person.birth_date:%Y-%m-%d}"
    comment = f"Dr. {person.family_name} informed" if person.sex == "F" else ""
    head = (person.patient_id, person.family_name, person.given_name, born, f"{sampled:%Y-%m-%d %H:%M}")
    return ";".join((*head, *texts, comment))


def _spoil(table: Worksheet, values: list[LaboratoryValue], subject: Subject) -> None:
    """Add the rows that a reader must refuse: an unknown subject and a unit that is no concentration."""
    sampled = _sampled(subject.visits[0]) + timedelta(minutes=5)
    person = subject.person
    table.append((*_STRANGER, "B99999", sampled, "Kreatinin", "0,88", "mg/dl", "0,7-1,2", None))
    values.append(
        _value(
            WORKBOOK_NAME,
            "Blut",
            table.max_row,
            _STRANGER[3],
            sampled,
            "Kreatinin",
            "0,88",
            "mg/dl",
            refused="unknown subject",
        )
    )
    born = f"{person.birth_date:%d.%m.%Y}"
    table.append(
        (
            person.family_name,
            person.given_name,
            born,
            person.patient_id,
            "B88888",
            sampled,
            "Calcium",
            "2,31",
            "Stück",
            "2,2-2,6",
            None,
        )
    )
    values.append(
        _value(
            WORKBOOK_NAME,
            "Blut",
            table.max_row,
            person.patient_id,
            sampled,
            "Calcium",
            "2,31",
            "Stück",
            refused="unit",
        )
    )


def _sampled(visit: Visit) -> datetime:
    return visit.start.replace(second=0) - timedelta(minutes=35)


def _value(
    file: str,
    sheet: str | None,
    row: int,
    patient_id: str,
    sampled: datetime,
    analyte: str,
    text: str,
    unit: str,
    *,
    material: str | None = None,
    refused: str | None = None,
) -> LaboratoryValue:
    qualifier = text[0] if text.startswith(_QUALIFIERS) else None
    digits = text.lstrip("".join(_QUALIFIERS)).replace(",", ".")
    return LaboratoryValue(
        file=file,
        sheet=sheet,
        row=row,
        patient_id=patient_id,
        sampled=sampled,
        material=material or {"Blut": "blood", "Urin": "urine"}[sheet or ""],
        analyte=analyte,
        text=text,
        value=float(digits) if re.fullmatch(r"[\d.]+", digits) else None,
        qualifier=qualifier,
        unit=unit,
        refused=refused,
    )


def _without_clock(workbook_bytes: bytes) -> bytes:
    """Pack a workbook again with fixed times, inside and out."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook_bytes)) as source, zipfile.ZipFile(target, "w") as packed:
        for name in sorted(source.namelist()):
            content = source.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2023-01-01T00:00:00Z", content)
            member = zipfile.ZipInfo(name, _EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(member, content)
    return target.getvalue()
