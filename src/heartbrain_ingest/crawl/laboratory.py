"""Converters for a laboratory delivery: a table of values becomes samples and measurements.

`laboratory.tsv` has one row for each value and these columns (BIDS: tab-separated, `n/a` for what is missing):
`participant_id session_id sample_id material collection_date analyte loinc value unit qualifier reference_low
reference_high flag original_value original_unit comment`. `session_id` is the session nearest to the day of the sample.
Only `participant_id`, `material` and `analyte` must be there.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caoscrawler.converters import Converter, SimpleFileConverter
from caoscrawler.stores import GeneralStore, RecordStore
from caoscrawler.structure_elements import File, StructureElement

from heartbrain_ingest.crawl.converters import KeysModified, TypedConverter
from heartbrain_ingest.crawl.sidecars import type_fields, warn
from heartbrain_ingest.crawl.values import clean_text

Row = dict[str, str]

#: How BIDS writes that a value is missing.
_MISSING = frozenset({"", "n/a"})
_NUMBERS = frozenset({"value", "reference_low", "reference_high"})


@dataclass(frozen=True, kw_only=True)
class _Level:
    """One level of grouping: the columns whose values a group shares."""

    kind: str
    columns: tuple[str, ...]


#: From the outside in; rows without a session skip that level.
_LEVELS = (
    _Level(kind="subject", columns=("participant_id",)),
    _Level(kind="session", columns=("session_id",)),
    _Level(kind="sample", columns=("material", "collection_date", "sample_id")),
    _Level(kind="value", columns=("analyte",)),
)


class LaboratoryElement(StructureElement):  # type: ignore[misc]
    """Rows of a table that share a subject, a session, a sample or an analyte.

    Parameters
    ----------
    name
        The shared values, joined.
    depth
        Index of the level of grouping.
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
    def kind(self) -> str:
        """Give the level: subject, session, sample or value."""
        return _LEVELS[self.depth].kind


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
            lacking = [column for column in ("participant_id", "material", "analyte") if column not in row]
            if lacking:
                warn("INVALID_LABORATORY_ROW", path, f"line {number} lacks {', '.join(lacking)}")
            else:
                rows.append(row)
    return rows


def group_rows(rows: Sequence[Row], depth: int, table: Path) -> list[LaboratoryElement]:
    """Group rows by the columns of one level; rows that have none of them are grouped by the next level.

    Parameters
    ----------
    rows
        Rows of a table.
    depth
        Index of the level of grouping.
    table
        The file, for reports.

    Returns
    -------
    list[LaboratoryElement]
        One element for each group, in the order of first appearance; empty below the last level.
    """
    if depth >= len(_LEVELS):
        return []
    groups: dict[str, list[Row]] = {}
    rest: list[Row] = []
    for row in rows:
        key = "_".join(row[column] for column in _LEVELS[depth].columns if column in row)
        if key:
            groups.setdefault(key, []).append(row)
        else:
            rest.append(row)
    elements = [LaboratoryElement(key, depth, group, table) for key, group in groups.items()]
    return elements + (group_rows(rest, depth + 1, table) if rest else [])


class LaboratoryTableConverter(SimpleFileConverter):  # type: ignore[misc]
    """A laboratory table; its children are its subjects."""

    def create_children(self, generalStore: GeneralStore, element: File) -> list[StructureElement]:  # noqa: ARG002, N803
        """Read and group the table."""
        path = Path(element.path)
        return list(group_rows(read_table(path), 0, path))


class LaboratoryGroupConverter(Converter):  # type: ignore[misc]
    """Rows that share a subject, session or sample.

    Keys: `level` (subject, session, sample or value). Variables: each column that all rows of the group share, and
    `$group`, the values they are grouped by, joined with underscores.
    """

    def typecheck(self, element: StructureElement) -> bool:
        """Take groups of one level."""
        return isinstance(element, LaboratoryElement) and element.kind == self.definition["level"]

    def match(self, element: LaboratoryElement) -> dict[str, str]:
        """Give what all rows share; every group matches."""
        shared = {
            column: cell
            for column, cell in element.rows[0].items()
            if all(row.get(column) == cell for row in element.rows)
        }
        return shared | {"group": element.name}

    def create_children(self, generalStore: GeneralStore, element: LaboratoryElement) -> list[StructureElement]:  # noqa: ARG002, N803
        """Group further."""
        return list(group_rows(element.rows, element.depth + 1, element.table))


class LaboratoryValueConverter(TypedConverter):
    """Values of one group as properties of a record: a sample, or a measurement.

    Keys, beside `datamodel` and `record`: `level`; `columns`, which maps columns to properties; `unit_of`, which maps
    a property to the column that holds its unit; `types`, with `column`, `default` and `names` (value of the column
    to RecordType) for `$RecordType`; `references`, records that the filled one refers to where the table names them.
    """

    def typecheck(self, element: StructureElement) -> bool:
        """Take groups of one level."""
        return isinstance(element, LaboratoryElement) and element.kind == self.definition["level"]

    def match(self, element: LaboratoryElement) -> dict[str, str]:
        """Give the columns of the last row: the newest of several for the same value."""
        if element.kind == "value" and len(element.rows) > 1:
            warn("REPEATED_LABORATORY_VALUE", element.table, f"{element.name}: the last of {len(element.rows)} is used")
        types = self.definition.get("types")
        row = element.rows[-1]
        if types is None:
            return row | {"group": element.name}
        named = types["names"].get(row.get(types["column"], ""), types["default"])
        return row | {"group": element.name, "RecordType": named}

    def create_records(self, values: GeneralStore, records: RecordStore, element: LaboratoryElement) -> KeysModified:
        """Create what the cfood says, then add the columns."""
        modified: KeysModified = super().create_records(values, records, element)
        row = element.rows[-1]
        columns: dict[str, str] = self.definition["columns"]
        fields = {
            name: _number(row[column]) if column in _NUMBERS else row[column]
            for column, name in columns.items()
            if column in row
        }
        name: str = self.definition["record"]
        record = records[name]
        properties = type_fields(fields, record_type=record.parents[0].name, view=self.view, source=element.table)
        modified += self.add(records, [prop for prop in properties if prop.name in columns.values()])
        for prop_name, column in (self.definition.get("unit_of") or {}).items():
            prop = record.get_property(prop_name)
            if prop is not None and column in row:
                prop.unit = row[column]
        for reference in self.definition.get("references") or []:
            if reference in records and record.get_property(reference) is None:
                record.add_property(name=reference, value=records[reference])
        return modified

    def create_children(self, generalStore: GeneralStore, element: LaboratoryElement) -> list[StructureElement]:  # noqa: ARG002, N803
        """Group further."""
        return list(group_rows(element.rows, element.depth + 1, element.table))


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell
