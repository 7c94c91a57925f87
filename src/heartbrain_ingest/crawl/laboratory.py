"""Converters for a laboratory delivery: a table of values becomes samples and measurements.

`laboratory.tsv` has one row for each value; its columns are named like the properties of the data model, and `n/a`
stands for what is missing (BIDS, tabular files).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from caoscrawler.converters import SimpleFileConverter
from caoscrawler.stores import GeneralStore, RecordStore
from caoscrawler.structure_elements import File, StructureElement

from heartbrain_ingest.crawl.converters import KeysModified, TypedConverter
from heartbrain_ingest.crawl.sidecars import type_fields, warn
from heartbrain_ingest.crawl.values import PropertyType, clean_text

Row = dict[str, str]

#: From the outside in: the level, and the column whose value its rows share.
_LEVELS = (("subject", "SubjectLabel"), ("sample", "SampleLabel"), ("value", "Analyte"))
_MISSING = frozenset({"", "n/a"})


class LaboratoryElement(StructureElement):  # type: ignore[misc]  # caoscrawler has no types
    """Rows of a table that share a subject, a sample or an analyte.

    Parameters
    ----------
    name
        The shared value.
    depth
        Index of the level.
    rows
        The rows, missing values left out.
    table
        The file.
    """

    def __init__(self, name: str, depth: int, rows: Sequence[Row], table: Path) -> None:
        super().__init__(name)
        self.depth = depth
        self.rows = list(rows)
        self.table = table

    @property
    def level(self) -> str:
        """Give the level: subject, sample or value."""
        return _LEVELS[self.depth][0]


def read_table(path: Path) -> list[Row]:
    """Read a laboratory table; rows that lack what identifies a value are reported and left out."""
    rows: list[Row] = []
    with path.open(encoding="utf-8", newline="") as table:
        for number, raw in enumerate(csv.DictReader(table, delimiter="\t"), start=2):
            row = {
                column: clean_text(cell)
                for column, cell in raw.items()
                if isinstance(column, str) and isinstance(cell, str) and cell.strip() not in _MISSING
            }
            lacking = [column for _level, column in _LEVELS if column not in row]
            if lacking:
                warn("INVALID_LABORATORY_ROW", path, f"line {number} lacks {', '.join(lacking)}")
            else:
                rows.append(row)
    return rows


def group_rows(rows: Sequence[Row], depth: int, table: Path) -> list[LaboratoryElement]:
    """Group rows by the column of one level, in the order of first appearance; nothing below the last level."""
    if depth >= len(_LEVELS):
        return []
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[_LEVELS[depth][1]], []).append(row)
    return [LaboratoryElement(name, depth, group, table) for name, group in groups.items()]


class LaboratoryTableConverter(SimpleFileConverter):  # type: ignore[misc]
    """A laboratory table; its children are its subjects."""

    def create_children(self, generalStore: GeneralStore, element: File) -> list[StructureElement]:  # noqa: ARG002, N803
        """Read and group the table."""
        path = Path(element.path)
        return list(group_rows(read_table(path), 0, path))


class LaboratoryGroupConverter(TypedConverter):
    """Rows of one level as a record: a subject, a sample or a measurement.

    Keys, beside `datamodel` and `record`: `level`; `columns`, the columns that the record takes; `unit_of`, which maps
    a property to the column that holds its unit; `types`, with `column`, `names` (value of the column to RecordType)
    and `default`, for `$RecordType`. Every column of the last row is a variable.
    """

    def typecheck(self, element: StructureElement) -> bool:
        """Take groups of one level."""
        return isinstance(element, LaboratoryElement) and element.level == self.definition["level"]

    def match(self, element: LaboratoryElement) -> dict[str, str]:
        """Give the columns; every group matches."""
        row = dict(element.rows[-1])
        types = self.definition.get("types")
        if types is not None:
            row["RecordType"] = types["names"].get(row.get(types["column"], ""), types["default"])
        return row

    def create_records(self, values: GeneralStore, records: RecordStore, element: LaboratoryElement) -> KeysModified:
        """Create what the cfood says, then add the columns."""
        modified: KeysModified = super().create_records(values, records, element)
        if element.level == "value" and len(element.rows) > 1:
            warn("REPEATED_LABORATORY_VALUE", element.table, f"{element.name}: the last of {len(element.rows)} counts")
        row = element.rows[-1]
        fields = {
            column: _cell(row[column], self.view.properties.get(column))
            for column in self.definition.get("columns") or []
            if column in row
        }
        record = records[self.definition["record"]]
        properties = type_fields(fields, record_type=record.parents[0].name, view=self.view, source=element.table)
        modified += self.add(records, [prop for prop in properties if prop.name in fields])
        for name, column in (self.definition.get("unit_of") or {}).items():
            prop = record.get_property(name)
            if prop is not None and column in row:
                prop.unit = row[column]
        return modified

    def create_children(self, generalStore: GeneralStore, element: LaboratoryElement) -> list[StructureElement]:  # noqa: ARG002, N803
        """Group further."""
        return list(group_rows(element.rows, element.depth + 1, element.table))


def _cell(text: str, kind: PropertyType | None) -> object:
    if kind is None or kind.element not in {"DOUBLE", "INTEGER"}:
        return text
    try:
        return float(text)
    except ValueError:
        return text
