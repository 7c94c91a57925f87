"""Converters for tables of a result whose rows become records: regions of a brain, or what else there is many of.

A file with the role `records` in `result.json` is a BIDS table (TSV, `n/a` for what is missing). The JSON beside it
says `RecordType` (of a row), `Key` (the columns that together say which row it is) and the `Units` of columns. A new
function needs no new rule.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from caoscrawler.converters import Converter
from caoscrawler.stores import GeneralStore, RecordStore
from caoscrawler.structure_elements import StructureElement

from heartbrain_ingest.crawl.converters import KeysModified, TypedConverter
from heartbrain_ingest.crawl.model import ModelView
from heartbrain_ingest.crawl.sidecars import TypedProperty, read_sidecar, type_fields, warn
from heartbrain_ingest.crawl.values import PropertyType, as_json_text, clean_text

ROLE = "records"
BASE = "ResultRow"
#: The TEXT property that takes values that have no place of their own.
OTHER_VALUES = "OtherResultValues"
#: More rows are left in the table: a record for each voxel is nobody's wish.
MOST_ROWS = 5_000
_MISSING = frozenset({"", "n/a"})


class TableElement(StructureElement):  # type: ignore[misc]  # caoscrawler has no types
    """A table whose rows become records.

    Parameters
    ----------
    path
        The table.
    facts
        Variables: `project`, `subject`, `session` of the result's inputs; empty where these are of several sessions.
    """

    def __init__(self, path: Path, facts: Mapping[str, str]) -> None:
        super().__init__(path.name)
        self.path = path
        self.facts = dict(facts)


class RowElement(StructureElement):  # type: ignore[misc]  # caoscrawler has no types
    """One row: its name, its cells, and what the file beside the table says."""

    def __init__(self, name: str, cells: Mapping[str, str], description: Mapping[str, Any], table: Path) -> None:
        super().__init__(name)
        self.cells = dict(cells)
        self.description = description
        self.table = table


class ResultTableConverter(Converter):  # type: ignore[misc]
    """A table of a result; its children are its rows.

    Keys: `shares_session`, whether it takes tables of results whose inputs are all of one session. Variables, if so:
    `$project`, `$subject`, `$session`.
    """

    def typecheck(self, element: StructureElement) -> bool:
        """Take tables."""
        return isinstance(element, TableElement)

    def match(self, element: TableElement) -> dict[str, str] | None:
        """Match by whether the inputs share a session."""
        return element.facts if bool(element.facts) == self.definition["shares_session"] else None

    def create_children(self, generalStore: GeneralStore, element: TableElement) -> list[StructureElement]:  # noqa: ARG002, N803
        """Read the rows."""
        return list(_rows(element.path))


class ResultRowConverter(TypedConverter):
    """A row of a result's table.

    Keys: `datamodel`, `record`. Variables: `$RecordType`, and `$row`, the name of the row.
    """

    def typecheck(self, element: StructureElement) -> bool:
        """Take rows."""
        return isinstance(element, RowElement)

    def match(self, element: RowElement) -> dict[str, str]:
        """Every row matches."""
        named = element.description.get("RecordType", BASE)
        return {"RecordType": self.below(BASE, named, element.table), "row": element.name}

    def create_records(self, values: GeneralStore, records: RecordStore, element: RowElement) -> KeysModified:
        """Create what the cfood says, then add the columns."""
        modified: KeysModified = super().create_records(values, records, element)
        fitting, units, other = sort_cells(element, self.view, values["RecordType"])
        properties = type_fields(fitting, record_type=values["RecordType"], view=self.view, source=element.table)
        properties = [prop for prop in properties if prop.name in fitting]
        if other:
            properties.append(TypedProperty(name=OTHER_VALUES, value=as_json_text(other)[0], datatype="TEXT"))
        modified += self.add(records, properties)
        for name, unit in units.items():
            prop = records[self.definition["record"]].get_property(name)
            if prop is not None:
                prop.unit = unit
        return modified

    def create_children(self, generalStore: GeneralStore, element: StructureElement) -> list[StructureElement]:  # noqa: ARG002, N803
        """Hand on nothing."""
        return []


def sort_cells(
    row: RowElement, view: ModelView, record_type: str
) -> tuple[dict[str, object], dict[str, str], dict[str, object]]:
    """Say which cells are properties of the RecordType, which units these take of the table, and what is left.

    A property that the model gives a unit takes values in that unit only; one without takes the table's.
    """
    known = view.of_record_type.get(record_type, {})
    fitting: dict[str, object] = {}
    units: dict[str, str] = {}
    other: dict[str, object] = {}
    for name, text in row.cells.items():
        unit = _unit(row.description.get(name))
        kind = known.get(name)
        value = _cell(text, kind)
        if kind is None or (kind.unit is not None and kind.unit != unit):
            other[name] = {"value": value, "unit": unit} if unit else value
            continue
        fitting[name] = value
        if unit and kind.unit is None:
            units[name] = unit
    return fitting, units, other


def _rows(path: Path) -> Iterator[RowElement]:
    description = read_sidecar(path.with_suffix(".json"))
    if description is None:
        return
    key = description.get("Key")
    if not isinstance(key, list) or not key:
        warn("INVALID_RESULT_TABLE", path, "the file beside it does not say which columns are its key")
        return
    seen: set[str] = set()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for number, cells in enumerate(csv.DictReader(file, delimiter="\t"), start=2):
                row = {
                    column: clean_text(text)
                    for column, text in cells.items()
                    if isinstance(column, str) and isinstance(text, str) and text.strip() not in _MISSING
                }
                name = " ".join(row[column] for column in map(str, key) if column in row)
                if not name or name in seen:
                    why = "is there twice" if name else "lacks its key"
                    warn("INVALID_RESULT_TABLE", path, f"line {number} {why} and is left out")
                    continue
                if len(seen) == MOST_ROWS:
                    warn("INVALID_RESULT_TABLE", path, f"has more than {MOST_ROWS} rows: the others stay in the file")
                    return
                seen.add(name)
                yield RowElement(name, row, description, path)
    except (OSError, ValueError, csv.Error) as error:
        warn("INVALID_RESULT_TABLE", path, f"it can't be read ({type(error).__name__})")


def _unit(column: object) -> str | None:
    unit = column.get("Units") if isinstance(column, dict) else None
    return unit if isinstance(unit, str) and unit else None


def _cell(text: str, kind: PropertyType | None) -> object:
    if kind is not None and kind.element not in {"DOUBLE", "INTEGER"}:
        return text
    try:
        return float(text)
    except ValueError:
        return text
