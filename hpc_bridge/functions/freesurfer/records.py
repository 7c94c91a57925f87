"""Makes tables of records of FreeSurfer's numbers: a row for each region, each curvature and each file's totals.

The database makes a record of each row. A column is named like the property that takes it; what has no such name keeps
FreeSurfer's own. Standard library only, like `stats`.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stats import plain

if TYPE_CHECKING:
    from pathlib import Path

    from stats import Cell

    Row = dict[str, str | float]

_REGION = {
    "SegId": "segment_number",
    "NVoxels": "voxels",
    "NumVert": "vertices",
    "NVertices": "vertices",
    "Volume_mm3": "volume",
    "GrayVol": "volume",
    "SurfArea": "area",
    "Area_mm2": "area",
    "ThickAvg": "mean_thickness",
    "ThickStd": "thickness_sd",
    "MeanCurv": "mean_curvature",
    "GausCurv": "gaussian_curvature",
    "FoldInd": "folding_index",
    "CurvInd": "curvature_index",
    "normMean": "mean_intensity",
    "normStdDev": "intensity_sd",
    "normMin": "min_intensity",
    "normMax": "max_intensity",
    "normRange": "intensity_range",
}
#: The contrast of white and grey matter, 100 (W - G) / (0.5 (W + G)): FreeSurfer's pctsurfcon.
_CONTRAST = {
    "Mean": "mean_contrast",
    "StdDev": "contrast_sd",
    "Min": "min_contrast",
    "Max": "max_contrast",
    "Range": "contrast_range",
    "SNR": "contrast_snr",
}
_PERCENT = frozenset({"mean_contrast", "contrast_sd", "min_contrast", "max_contrast", "contrast_range"})
_TOTALS = {
    "NumVert": "vertices",
    "WhiteSurfArea": "white_surface_area",
    "PialSurfArea": "pial_surface_area",
    "MeanThickness": "mean_thickness",
    "Folding Index (FI)": "folding_index",
    "Intrinsic Curvature Index - positive (ICIp)": "positive_curvature_index",
    "Intrinsic Curvature Index - negative (ICIn)": "negative_curvature_index",
    "Intrinsic Curvature Index - natural  (ICIt)": "natural_curvature_index",
    "Mean across curvatures": "mean_across_curvatures",
    "Mean across curvatures std": "sd_across_curvatures",
}
_CURVATURE = {
    "mean": "curvature_mean",
    "std": "curvature_sd",
    "Min": "curvature_min",
    "Min vertex": "curvature_min_vertex",
    "Max": "curvature_max",
    "Max vertex": "curvature_max_vertex",
    "Mean Vertex Separation (Whole Surface)": "vertex_separation_mean",
    "Mean Vertex Separation (Whole Surface) std": "vertex_separation_sd",
    "Total Surface Area": "area",
    "Total Number of Vertices": "vertices",
    "Average Vertex Area (Whole Surface)": "mean_vertex_area",
}
for _part in ("Natural", "Rectified", "Positive", "Negative"):
    _CURVATURE.update(
        {
            f"{_part} Surface Integral": f"{_part.lower()}_integral",
            f"Mean {_part} Surface Integral": f"mean_{_part.lower()}_integral",
            f"Mean {_part} Surface Integral vertices": f"{_part.lower()}_vertices",
            f"AreaNorm {_part} Surface Integral": f"normalized_{_part.lower()}_integral",
            f"AreaNorm {_part} Surface Integral mm^2": f"{_part.lower()}_area",
        }
    )
_SIDE = re.compile(r"(?:ctx-|wm-)?(lh|rh|Left|Right)[-_]")
_HEMISPHERES = {"lh": "lh", "Left": "lh", "rh": "rh", "Right": "rh"}


@dataclass
class Table:
    """Rows that become records of one RecordType."""

    #: Label in the file's name.
    label: str
    record_type: str
    #: Columns that together say which row it is.
    key: tuple[str, ...]
    #: Units of the other columns; empty for a bare number.
    units: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


def to_tables(cells: list[Cell]) -> list[Table]:
    """Give the tables of all numbers; a number that FreeSurfer wrote as nan is left out.

    A column has one unit in a table: curvatures of another unit are another table.
    """
    tables: dict[str, Table] = {}
    rows: dict[tuple[str, ...], Row] = {}
    units = {(cell.table, cell.region): cell.unit for cell in cells if cell.quantity == "mean"}
    for cell in cells:
        if cell.value is None:
            continue
        label, record_type, key, column, unit = _place(cell, units.get((cell.table, cell.region), ""))
        table = tables.setdefault(label, Table(label, record_type, tuple(key)))
        if table.units.setdefault(column, unit) != unit:
            column = f"{column}_in_{plain(unit) or 'no_unit'}"
            table.units[column] = unit
        _row_without(column, rows, table, key)[column] = cell.value
    return list(tables.values())


def _row_without(column: str, rows: dict[tuple[str, ...], Row], table: Table, key: dict[str, str]) -> Row:
    """Give the row of a key; a second row of the same name in FreeSurfer's table is a row of its own, `name 2`."""
    *_, last = key
    for number in itertools.count(1):
        named = {**key, last: f"{key[last]} {number}"} if number > 1 else key
        identity = (table.label, *named.values())
        if identity not in rows:
            rows[identity] = {name: text for name, text in named.items() if text}
            table.rows.append(rows[identity])
        if column not in rows[identity]:
            return rows[identity]
    raise AssertionError  # counting has no end


def _place(cell: Cell, curvature_unit: str) -> tuple[str, str, dict[str, str], str, str]:
    """Give where a number goes: table, RecordType, key, column and unit."""
    if not cell.region:
        key = {"atlas": cell.table, "hemisphere": cell.hemisphere}
        column = _TOTALS.get(cell.quantity) or plain(cell.quantity)
        return "totals", "SegmentationTotals", key, column, cell.unit
    if cell.table == "curv":
        curvature, _, surface = cell.region.partition(" ")
        key = {"hemisphere": cell.hemisphere, "curvature": curvature, "surface": surface}
        column = _CURVATURE.get(cell.quantity) or plain(cell.quantity)
        label = {"mm^-1": "curvaturePerMm", "mm^-2": "curvaturePerMm2"}.get(curvature_unit, "curvature")
        unit = curvature_unit if column in {"curvature_min", "curvature_max"} else cell.unit
        return label, "SurfaceCurvature", key, column, unit
    side = _SIDE.match(cell.region)
    hemisphere = cell.hemisphere or (_HEMISPHERES[side[1]] if side else "")
    key = {"atlas": cell.table, "hemisphere": hemisphere, "region": cell.region}
    names = {**_REGION, **_CONTRAST} if cell.table.endswith("w-g.pct") else _REGION
    column = names.get(cell.quantity) or plain(cell.quantity)
    return "regions", "RegionMeasurement", key, column, "%" if column in _PERCENT else cell.unit


def write_tables(folder: Path, stem: str, tables: list[Table]) -> list[Path]:
    """Write each table (`<stem>_desc-<label>_morph.tsv`) and what describes it (`.json`); give the tables' files."""
    return [_write(folder / f"{stem}_desc-{table.label}_morph.tsv", table) for table in tables]


def _write(path: Path, table: Table) -> Path:
    others = {name: None for row in table.rows for name in row if name not in table.key}
    columns = [*table.key, *others]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        for row in table.rows:
            writer.writerow([_shown(row.get(name)) for name in columns])
    description = {"RecordType": table.record_type, "Key": list(table.key)}
    description.update({name: {"Units": unit} for name, unit in table.units.items() if unit})
    path.with_suffix(".json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    return path


def _shown(value: object) -> str:
    if value is None:
        return "n/a"
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)
