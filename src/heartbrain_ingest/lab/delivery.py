"""Write a laboratory delivery: the clean table, what its columns mean, and the list of refused rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from heartbrain_ingest.issues import ISSUES
from heartbrain_ingest.lab.measurement import LabDelivery, Measurement, Refusal

#: Column -> what it means. The names are those of the properties in datamodel.yml.
COLUMNS = {
    "SubjectLabel": "Pseudonym of the subject",
    "SampleLabel": "Sample: subject, day, time and material",
    "Material": "Material of the sample",
    "CollectionDate": "Day of sampling, shifted like the sessions of the subject",
    "CollectionTime": "Time of sampling",
    "Analyte": "What was measured",
    "LOINC": "Code of analyte, material and method (https://loinc.org)",
    "MeasuredValue": "Value in MeasuredUnit",
    "MeasuredUnit": "Standard unit of the analyte (https://ucum.org)",
    "Qualifier": "Sign of a limit of detection (<, >), or a mark that stands in place of a value",
    "ReferenceLow": "Lower limit of the reference range, in MeasuredUnit",
    "ReferenceHigh": "Upper limit of the reference range, in MeasuredUnit",
    "ReferenceFlag": "L below, N within, H above the reference range",
    "OriginalValue": "Value as the laboratory wrote it",
    "OriginalUnit": "Unit in which the laboratory gave it (UCUM)",
    "LaboratoryComment": "Known remarks of the laboratory, separated by commas",
}
REFUSED_COLUMNS = ("Sheet", "Row", "Column", "Code", "Meaning", "Action")
NOTHING = "n/a"


def write_delivery(delivery: LabDelivery, folder: Path) -> list[Path]:
    """Write `laboratory.tsv`, `laboratory.json` and `refused.tsv`.

    The same delivery gives the same bytes. `refused.tsv` holds places and codes and may be sent to the laboratory.

    Returns
    -------
    The three files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table, columns, refused = folder / "laboratory.tsv", folder / "laboratory.json", folder / "refused.tsv"
    table.write_text(_table(tuple(COLUMNS), map(_row, delivery.measurements)), encoding="utf-8", newline="")
    descriptions = {name: {"Description": text} for name, text in COLUMNS.items()}
    columns.write_text(json.dumps(descriptions, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="")
    refused.write_text(_table(REFUSED_COLUMNS, map(_refused_row, delivery.refused)), encoding="utf-8", newline="")
    return [table, columns, refused]


def _row(m: Measurement) -> Sequence[str]:
    return (
        m.subject,
        m.sample,
        m.material,
        m.day.isoformat(),
        m.time.isoformat() if m.time else "",
        m.analyte,
        m.loinc,
        _number(m.value),
        m.unit,
        m.qualifier,
        _number(m.low),
        _number(m.high),
        m.flag,
        m.original_value,
        m.original_unit,
        ",".join(m.comments),
    )


def _refused_row(refusal: Refusal) -> Sequence[str]:
    issue = ISSUES[refusal.code]
    place = (str(refusal.sheet), str(refusal.row), str(refusal.column) if refusal.column else "")
    return (*place, refusal.code, issue.meaning, issue.action)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter="\t", lineterminator="\n")
    writer.writerow(header)
    writer.writerows([cell or NOTHING for cell in row] for row in rows)
    return buffer.getvalue()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)  # noqa: PLR2004 - exact integers
