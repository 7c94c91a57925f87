"""Write a laboratory delivery: the clean table, what its columns mean, and the list of refused rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    "ReferenceSource": "Where the range comes from: the laboratory (sent with the value), or lab.yml (reviewed or not)",
    "ReferenceFlag": "L below, N within, H above the reference range",
    "OriginalValue": "Value as the laboratory wrote it",
    "OriginalUnit": "Unit in which the laboratory gave it (UCUM)",
    "LaboratoryComment": "Known remarks of the laboratory, separated by commas",
}
REPLACED_COLUMNS = ("SampleLabel", "Analyte", "LOINC", "Value", "PreviousValue", "MeasuredUnit", "PreviousDelivery")
REFUSED_COLUMNS = ("Sheet", "Row", "Column", "Code", "Meaning", "Action")
NOTHING = "n/a"


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """A value that came before, and was another one then."""

    measurement: Measurement
    #: As it stands in the earlier table.
    previous: str
    #: Folder of the earlier delivery.
    delivery: str


def find_replaced(delivery: LabDelivery, earlier: Iterable[Path]) -> tuple[Replaced, ...]:
    """Compare with what was published before: the same analyte in the same sample with another value.

    Parameters
    ----------
    earlier
        Published `laboratory.tsv` files, the oldest first; the last that holds a value counts.

    Returns
    -------
    In the order of the measurements. A value that came before and is the same is none.
    """
    new = {(m.sample, m.loinc): m for m in delivery.measurements}
    samples = {sample for sample, _ in new}
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for path in earlier:
        with path.open(encoding="utf-8", newline="") as table:
            for row in csv.DictReader(table, delimiter="\t"):
                if row.get("SampleLabel") in samples and (row["SampleLabel"], row.get("LOINC", "")) in new:
                    place = (row["SampleLabel"], row["LOINC"])
                    found[place] = _shown(row.get("Qualifier", ""), row.get("MeasuredValue", "")), path.parent.name
    return tuple(
        Replaced(measurement=m, previous=found[place][0], delivery=found[place][1])
        for place, m in new.items()
        if place in found and found[place][0] != _shown(m.qualifier or NOTHING, _number(m.value) or NOTHING)
    )


def write_refused(delivery: LabDelivery, folder: Path) -> Path:
    """Write `refused.tsv`: places and codes without any content, which may be sent to the laboratory."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "refused.tsv"
    path.write_text(_table(REFUSED_COLUMNS, map(_refused_row, delivery.refused)), encoding="utf-8", newline="")
    return path


def write_delivery(delivery: LabDelivery, folder: Path, replaced: Sequence[Replaced] = ()) -> list[Path]:
    """Write `laboratory.tsv`, `laboratory.json`, `refused.tsv` and, where there is something to say, `replaced.tsv`.

    The same delivery gives the same bytes.

    Returns
    -------
    The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table, columns = folder / "laboratory.tsv", folder / "laboratory.json"
    table.write_text(_table(tuple(COLUMNS), map(_row, delivery.measurements)), encoding="utf-8", newline="")
    descriptions = {name: {"Description": text} for name, text in COLUMNS.items()}
    columns.write_text(json.dumps(descriptions, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="")
    written = [table, columns, write_refused(delivery, folder)]
    if replaced:
        path = folder / "replaced.tsv"
        path.write_text(_table(REPLACED_COLUMNS, map(_replaced_row, replaced)), encoding="utf-8", newline="")
        written.append(path)
    return written


def _replaced_row(one: Replaced) -> Sequence[str]:
    m = one.measurement
    value = _shown(m.qualifier or NOTHING, _number(m.value) or NOTHING)
    return (m.sample, m.analyte, m.loinc, value, one.previous, m.unit, one.delivery)


def _shown(qualifier: str, value: str) -> str:
    """Give `<0.3`, `1.7` or a mark."""
    return "".join(part for part in (qualifier, value) if part != NOTHING)


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
        m.reference_source,
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
