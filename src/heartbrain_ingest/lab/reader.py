"""From the cells of a table to measurements and refusals."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from pathlib import Path

from heartbrain_ingest.lab.measurement import UNREVIEWED, LabDelivery, LabTableError, Measurement, Refusal, SubjectRef
from heartbrain_ingest.lab.rules import AnalyteRule, LabRules, MethodRule, Role, normalise, normalise_unit
from heartbrain_ingest.lab.tables import Cell, Sheet, read_sheets
from heartbrain_ingest.lab.units import convert
from heartbrain_ingest.lab.values import (
    CellError,
    Decimal,
    Reading,
    decimal_of_table,
    read_comments,
    read_moment,
    read_range,
    read_value,
    text_of,
)

HEADER_ROWS = 20
#: `Kreatinin [mg/dl]`, `Kreatinin (mg/dl)`, `Kreatinin / mg/dl`
NAME_AND_UNIT = re.compile(r"(?P<name>.*?)\s*(?:[\[(](?P<unit>[^\])]*)[\])]|\s/\s(?P<slashed>\S+))\s*")

DAYS_IN_YEAR = 365.25

CONNECTIVES = frozenset({"im", "in", "of"})

ResolveSubject = Callable[[str], SubjectRef | None]


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One value with all that its row and header say about it."""

    place: tuple[int, int, int]
    roles: dict[Role, Cell]
    analyte: str
    unit: str
    value: Cell


@dataclass(frozen=True, kw_only=True)
class _WideColumn:
    """What the header of a value column says; unit and material are empty where it does not."""

    analyte: str
    unit: str
    material: str


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where what stands in a sheet."""

    header_row: int
    columns: dict[Role, int]
    #: Columns of a wide table.
    analytes: dict[int, _WideColumn]
    #: Columns of a wide table whose header means nothing.
    unknown: tuple[int, ...]


def read_table(path: Path, rules: LabRules, resolve_subject: ResolveSubject) -> LabDelivery:
    """Read a laboratory table.

    A table is long (a row has one analyte and its value) or wide (a column per analyte); sheets may differ. What can't
    be taken over is refused by its place, the rest goes in.

    Parameters
    ----------
    resolve_subject
        PatientID -> pseudonym and days, or None where the subject is unknown.

    Returns
    -------
    Measurements by subject, time, material and analyte; refusals by place. The order of the rows does not matter.

    Raises
    ------
    LabTableError
        LAB_UNREADABLE: no table, or no sheet with a header that lab.yml describes.
    """
    layouts = [(sheet, layout) for sheet in read_sheets(path) if (layout := _find_layout(sheet, rules))]
    if not layouts:
        raise LabTableError("LAB_UNREADABLE", "no sheet has a header that lab.yml describes")
    found: list[tuple[tuple[int, int, int], Measurement]] = []
    refused: list[Refusal] = []
    for sheet, layout in layouts:
        for column in layout.unknown:
            place = (sheet.number, layout.header_row + 1, column + 1)
            refused.append(_refusal(place, "LAB_UNKNOWN_ANALYTE"))
        entries = list(_entries(sheet, layout))
        decimal = decimal_of_table((entry.value for entry in entries), rules.decimal)
        for entry in entries:
            try:
                measurement = _measure(entry, sheet.name, decimal, rules, resolve_subject)
            except CellError as error:
                refused.append(_refusal(entry.place, error.code))
            else:
                if measurement:
                    found.append((entry.place, measurement))
    kept, repeated = _without_repetitions(found)
    return LabDelivery(
        measurements=tuple(sorted(kept, key=_order)),
        refused=tuple(sorted(set(refused + repeated))),
    )


def _find_layout(sheet: Sheet, rules: LabRules) -> _Layout | None:
    """Find the header among the first rows: it names a subject, and a value or known analytes."""
    for number, row in enumerate(sheet.rows[:HEADER_ROWS]):
        headers = {index: text_of(cell) for index, cell in enumerate(row) if text_of(cell)}
        columns: dict[Role, int] = {}
        others: dict[int, str] = {}
        for index, header in headers.items():
            role = rules.role_of.get(normalise(header))
            if role and role not in columns:
                columns[role] = index
            elif role is None and normalise(header) not in rules.dropped:
                others[index] = header
        if "subject" not in columns:
            continue
        if "date" not in columns and "time" in columns:
            # "Entnahmezeit" is a time beside a date, and the whole moment without one.
            columns["date"] = columns.pop("time")
        if "analyte" in columns and "value" in columns:
            # Columns of a long table that have no role are simply not read.
            return _Layout(header_row=number, columns=columns, analytes={}, unknown=())
        known = {index: found for index, header in others.items() if (found := _wide_header(header, rules))}
        if known:
            unknown = tuple(index for index in others if index not in known)
            return _Layout(header_row=number, columns=columns, analytes=known, unknown=unknown)
    return None


def _wide_header(header: str, rules: LabRules) -> _WideColumn | None:
    """Read `Kreatinin`, `Kreatinin [mg/dl]`, `urine Creatinine [mg/dL]`, `Creatinine urine (mg/dL)`."""
    found = NAME_AND_UNIT.fullmatch(header)
    candidates = [(header, "")]
    if found:
        candidates.append((found["name"], found["unit"] or found["slashed"] or ""))
    for text, unit in candidates:
        analyte, material = _read_name(text, rules)
        if analyte:
            return _WideColumn(analyte=analyte, unit=unit, material=material)
    return None


def _read_name(text: str, rules: LabRules) -> tuple[str, str]:
    """Give analyte and material of `Kreatinin`, `Urin-Kreatinin`, `Kreatinin im Urin`; empty where unknown."""
    words = normalise(text).split()
    if analyte := rules.analyte_of.get(" ".join(words)):
        return analyte, ""
    words = [word for word in words if word not in CONNECTIVES]
    for material, rest in ((words[:1], words[1:]), (words[-1:], words[:-1])):
        analyte = rules.analyte_of.get(" ".join(rest)) if rest else None
        if analyte and material[0] in rules.material_of:
            return analyte, rules.material_of[material[0]]
    return "", ""


def _entries(sheet: Sheet, layout: _Layout) -> Iterator[_Entry]:
    for number, row in enumerate(sheet.rows[layout.header_row + 1 :], start=layout.header_row + 2):
        if not any(text_of(cell) for cell in row):
            continue
        roles = {role: row[index] for role, index in layout.columns.items() if index < len(row)}
        if layout.analytes:
            for index, column in layout.analytes.items():
                if index < len(row):
                    yield _Entry(
                        place=(sheet.number, number, index + 1),
                        roles=roles | {"material": column.material} if column.material else roles,
                        analyte=column.analyte,
                        unit=column.unit,
                        value=row[index],
                    )
        else:
            yield _Entry(
                place=(sheet.number, number, 0),
                roles=roles,
                analyte=text_of(roles.get("analyte")),
                unit=text_of(roles.get("unit")),
                value=roles.get("value"),
            )


def _measure(
    entry: _Entry, sheet_name: str, decimal: Decimal | None, rules: LabRules, resolve_subject: ResolveSubject
) -> Measurement | None:
    """Read one entry; None where the cell is empty.

    Raises
    ------
    CellError
        The code says why the entry is refused.
    """
    reading = read_value(entry.value, decimal, rules)
    if reading is None:
        return None
    patient = text_of(entry.roles.get("subject"))
    subject = resolve_subject(patient) if patient else None
    if subject is None:
        raise CellError("LAB_UNKNOWN_SUBJECT")
    name, named_material = _read_name(entry.analyte, rules)
    if not name:
        raise CellError("LAB_UNKNOWN_ANALYTE")
    analyte = rules.analytes[name]
    material = _material(entry, named_material or sheet_name, analyte, rules)
    unit = rules.unit_of.get(normalise_unit(entry.unit or reading.rest))
    method = _method(analyte, material, unit)
    value, unit = _standard_value(reading, unit, entry.unit, method, analyte, rules)
    day, moment = read_moment(entry.roles.get("date"), entry.roles.get("time"), rules)
    age = _age(subject.birth_date, day)
    if age is not None and age < 0:
        raise CellError("LAB_INVALID_DATE")
    day += timedelta(days=subject.days)
    sex = rules.sex_of.get(normalise(text_of(entry.roles.get("sex")))) or subject.sex
    sent = read_range(entry.roles.get("reference"), decimal)
    if sent:
        low, high = (None if v is None else convert(v, unit, method.unit, analyte.molar_mass, rules) for v in sent)
        source = "laboratory"
    else:
        low, high = _reference(sex, age, method, rules)
        source = "" if low is high is None else "lab.yml" if analyte.reviewed else UNREVIEWED
    return Measurement(
        subject=subject.label,
        sample=sample_label(subject.label, day, moment, material),
        material=material,
        day=day,
        time=moment,
        analyte=method.id or name,
        loinc=method.loinc,
        value=value,
        unit=method.unit,
        qualifier=reading.qualifier,
        low=low,
        high=high,
        reference_source=source,
        flag=_flag(value, reading.qualifier, low, high),
        original_value=reading.text,
        original_unit=unit if reading.number is not None else "",
        comments=read_comments(entry.roles.get("comment"), rules),
    )


def sample_label(subject: str, day: date, moment: time | None, material: str) -> str:
    """Name a sample by what defines it, so that two deliveries name it alike: `sub-K7Q2ABCD_20230504T0815_serum`."""
    clock = moment.strftime("T%H%M") if moment else ""
    return f"{subject}_{day:%Y%m%d}{clock}_{material}"


def _material(entry: _Entry, named: str, analyte: AnalyteRule, rules: LabRules) -> str:
    """Take the row's material, else that of the analyte's name or the sheet's, else the only one it is measured in."""
    written = text_of(entry.roles.get("material"))
    material = rules.material_of.get(normalise(written or named))
    if material is None and not written:
        possible = {material for method in analyte.methods for material in method.materials}
        material = possible.pop() if len(possible) == 1 else None
    if material is None:
        raise CellError("LAB_UNKNOWN_MATERIAL")
    return material


def _method(analyte: AnalyteRule, material: str, unit: str | None) -> MethodRule:
    fitting = [method for method in analyte.methods if material in method.materials]
    if not fitting:
        raise CellError("LAB_UNKNOWN_MATERIAL")
    accepting = [method for method in fitting if not method.accepts or unit in method.accepts]
    if not accepting:
        raise CellError("LAB_UNKNOWN_UNIT")
    return accepting[0]


def _standard_value(
    reading: Reading, unit: str | None, written: str, method: MethodRule, analyte: AnalyteRule, rules: LabRules
) -> tuple[float | None, str]:
    """Give the value in the standard unit, and the unit it came in (UCUM)."""
    if reading.number is None:
        return None, unit or method.unit
    if reading.rest and rules.unit_of.get(normalise_unit(reading.rest)) != unit:
        raise CellError("LAB_INVALID_VALUE")
    if unit is None:
        # Only a pure number (pH, INR) may come without a unit.
        if written or reading.rest or rules.units[method.unit].pint != "dimensionless":
            raise CellError("LAB_UNKNOWN_UNIT")
        unit = method.unit
    value = convert(reading.number, unit, method.unit, analyte.molar_mass, rules)
    low, high = method.possible
    if value > high or (value < low and not reading.qualifier.startswith("<")) or value < 0 <= low:
        raise CellError("LAB_IMPOSSIBLE_VALUE")
    return value, unit


def _reference(
    sex: str | None, age: float | None, method: MethodRule, rules: LabRules
) -> tuple[float | None, float | None]:
    """Give the range of lab.yml for a sex and an age in years, in the standard unit; nothing where it is not known."""
    for rule in method.reference:
        if rule.sex not in {None, sex}:
            continue
        if rule.age is None:
            fits = age is None or age >= rules.adult_age
        else:
            first, last = rule.age
            fits = age is not None and first <= age and (last is None or age < last)
        if fits:
            return rule.low, rule.high
    return None, None


def _age(born: date | None, day: date) -> float | None:
    """Give the age in years, whole ones but for the first: a child's range may change from month to month."""
    if born is None:
        return None
    years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    return float(years) if years >= 1 else (day - born).days / DAYS_IN_YEAR


def _flag(value: float | None, qualifier: str, low: float | None, high: float | None) -> str:
    """Compare with the range; a limit such as `<5` only where it leaves no doubt."""
    if value is None or (low is None and high is None):
        return ""
    below = qualifier.startswith("<")
    above = qualifier.startswith(">")
    if low is not None and (value < low or (below and value <= low)):
        return "" if above else "L"
    if high is not None and (value > high or (above and value >= high)):
        return "" if below else "H"
    certain = not (below and low is not None) and not (above and high is not None)
    return "N" if certain else ""


def _without_repetitions(
    found: list[tuple[tuple[int, int, int], Measurement]],
) -> tuple[list[Measurement], list[Refusal]]:
    """Keep the first of equal rows; keep none of rows that give one sample different values."""
    groups: dict[tuple[str, str, time | None], list[tuple[tuple[int, int, int], Measurement]]] = defaultdict(list)
    for place, measurement in found:
        groups[measurement.sample, measurement.loinc, measurement.time].append((place, measurement))
    kept: list[Measurement] = []
    refused: list[Refusal] = []
    for group in groups.values():
        if len({(m.value, m.qualifier) for _, m in group}) > 1:
            refused += [_refusal(place, "LAB_CONTRADICTION") for place, _ in group]
            continue
        comments = tuple(sorted({comment for _, m in group for comment in m.comments}))
        kept.append(replace(group[0][1], comments=comments))
        refused += [_refusal(place, "LAB_DUPLICATE") for place, _ in group[1:]]
    return kept, refused


def _refusal(place: tuple[int, int, int], code: str) -> Refusal:
    return Refusal(sheet=place[0], row=place[1], column=place[2], code=code)


def _order(measurement: Measurement) -> tuple[str, date, time, str, str]:
    return (
        measurement.subject,
        measurement.day,
        measurement.time or time(),
        measurement.material,
        measurement.analyte,
    )
