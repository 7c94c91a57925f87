"""Reads the tables that FreeSurfer writes below `stats/`: by their headers, so any version's columns are understood.

Standard library only: it runs in FreeSurfer's own image. Three forms are known: rows of regions with a line of column
names (aseg, wmparc, aparc, BA, w-g.pct), `# Measure` lines (brainvol, and above the rows), and mris_curvature_stats'
report (curv).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    Rest = tuple[str, str, float | None, str]

#: Columns that say which row it is and of which region.
_LABELS = frozenset({"Index", "StructName"})
#: Units that say that there is none.
_NO_UNIT = frozenset({"", "NA", "unitless", "unknown", "none", "MR"})
_FILE = re.compile(r"(?:(?P<hemisphere>lh|rh)\.)?(?P<table>.+)\.stats")
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf)"
_SECTION = re.compile(
    rf"^\s*(\w+) <mean> \+- <std> \(using '(?:[lr]h\.)?(.+?)'\):\s*({_NUMBER}) \+- ({_NUMBER})\s*(\S*)"
)
_LINE = re.compile(
    rf"^\s*(\w+) (.+?):\s+({_NUMBER})(?: \+- ({_NUMBER}))?"
    rf"(?: at vertex (\d+)| across ({_NUMBER}) \(.*%\) (vertices|mm\^2)|\s+(mm\S*))?\s*$"
)
_TOTAL = re.compile(rf"^curv -- (.+?):\s+({_NUMBER})\s*$")
_ACROSS = re.compile(rf"^Mean across \d+ curvatures:\s+({_NUMBER}) \+- ({_NUMBER})\s*$")


@dataclass(frozen=True)
class Cell:
    """One number of one table.

    `table` is the file's name without hemisphere and ending; `hemisphere` is lh, rh or empty; `region` is empty for
    what is said of the whole; `unit` is empty for a bare number. `value` is None where FreeSurfer wrote nan.
    """

    table: str
    hemisphere: str
    region: str
    quantity: str
    value: float | None
    unit: str


def read_all(folder: Path, unread: list[str] | None = None) -> list[Cell]:
    """Read every table of a `stats` folder, in the order of the file names.

    The names of tables that can't be read go into `unread`; without it they raise ValueError.
    """
    cells = []
    for path in sorted(folder.glob("*.stats")):
        try:
            cells += read_table(path)
        except (KeyError, IndexError, ValueError):  # noqa: PERF203 - one bad table does not cost the others
            if unread is None:
                raise
            unread.append(path.name)
    return cells


def read_table(path: Path) -> list[Cell]:
    """Read one table.

    Raises
    ------
    ValueError
        A row has another number of columns than the header, or a number can't be read.
    """
    found = _FILE.fullmatch(path.name)
    if found is None:
        raise ValueError(f"{path.name} is not the name of a table")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    hemisphere, table = found["hemisphere"] or "", found["table"]
    reader = _curvature if table == "curv" else _rows
    return [Cell(table, hemisphere, *rest) for rest in reader(lines)]


def _rows(lines: list[str]) -> Iterator[Rest]:
    names: list[str] = []
    headers: dict[str, str] = {}
    units: dict[str, str] = {}
    for line in lines:
        words = line.split()
        if line.startswith("#"):
            if words[1:2] == ["Measure"]:
                yield _measure(line)
            elif words[1:2] == ["ColHeaders"]:
                names = words[2:]
            elif words[1:2] == ["TableCol"] and len(words) > 4:  # noqa: PLR2004 - # TableCol 4 Units mm^3
                if words[3] == "ColHeader":
                    headers[words[2]] = words[4]
                elif words[3] == "Units":
                    units[headers.get(words[2], "")] = words[4]
            continue
        if not words:
            continue
        if len(words) != len(names):
            raise ValueError(f"a row has {len(words)} columns, the header {len(names)}")
        row = dict(zip(names, words))  # noqa: B905 - Python 3.8; the lengths were compared
        for name in names:
            if name not in _LABELS:
                yield row["StructName"], name, _number(row[name]), _unit(units.get(name, ""))


def _measure(line: str) -> Rest:
    """`# Measure BrainSeg, BrainSegVol, Brain Segmentation Volume, 1169408.000000, mm^3`."""
    parts = [part.strip() for part in line.split("Measure", 1)[1].split(",")]
    return "", parts[1], _number(parts[-2]), _unit(parts[-1])


def _curvature(lines: list[str]) -> Iterator[Rest]:
    """Leave out the shares in brackets (`across 61323 (48.00%) vertices`): they are the counts over the total."""
    region = ""
    for line in lines:
        section, total, across, one = (form.match(line) for form in (_SECTION, _TOTAL, _ACROSS, _LINE))
        if section:
            region = f"{section[1]} {section[2]}"
            yield region, "mean", _number(section[3]), section[5]
            yield region, "std", _number(section[4]), section[5]
        elif total:
            yield "", total[1], _number(total[2]), ""
        elif across:
            yield "", "Mean across curvatures", _number(across[1]), ""
            yield "", "Mean across curvatures std", _number(across[2]), ""
        elif one and region.startswith(one[1] + " "):
            _, quantity, number, spread, vertex, part, counted, unit = one.groups()
            yield region, quantity, _number(number), unit or ""
            if spread:
                yield region, f"{quantity} std", _number(spread), unit or ""
            if vertex:
                yield region, f"{quantity} vertex", _number(vertex), ""
            if part:
                yield region, f"{quantity} {counted}", _number(part), "" if counted == "vertices" else counted


def _number(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _unit(text: str) -> str:
    return "" if text in _NO_UNIT else text


_WORDS = {"3rd": "Third", "4th": "Fourth", "5th": "Fifth"}
#: Columns of the Desikan-Killiany table, as FreeSurfer's aparcstats2table calls them.
_SURFACE = {"GrayVol": "volume", "SurfArea": "area", "ThickAvg": "thickness"}
#: Totals that have a name of their own in the data model, in mL.
_TOTALS = {
    "eTIV": "IntracranialVolume",
    "TotalGrayVol": "GreyMatterVolume",
    "CerebralWhiteMatterVol": "WhiteMatterVolume",
}
_ML = 1000.0


def to_values(cells: list[Cell]) -> dict[str, tuple[float, str]]:
    """Give the numbers that a database is asked for by name: (value, unit).

    Volumes of the regions of aseg (`Left_Hippocampus_volume`), volume, area and thickness of those of aparc
    (`lh_entorhinal_thickness`), and the measures of the whole brain (`BrainSegVol`). The same measure stands in several
    tables; that of aseg counts.
    """
    values: dict[str, tuple[float, str]] = {}
    for cell in sorted(cells, key=lambda one: one.table != "aseg"):
        name = value_name(cell)
        if name and cell.value is not None and name not in values:
            whole = "Holes" in name  # a count
            values[name] = (int(cell.value) if whole else cell.value, cell.unit)
            if cell.quantity in _TOTALS and not cell.region:
                values[_TOTALS[cell.quantity]] = (cell.value / _ML, "mL")
    return values


def value_name(cell: Cell) -> str:
    """Give the name of a number in the data model; empty when it has none."""
    if not cell.region:
        if cell.table == "aparc" and cell.quantity in {"MeanThickness", "WhiteSurfArea"}:
            return f"{cell.hemisphere}_{cell.quantity}"
        return plain(cell.quantity) if cell.table in {"aseg", "brainvol"} else ""
    if cell.table == "aseg" and cell.quantity == "Volume_mm3":
        return f"{plain(cell.region)}_volume"
    if cell.table == "aparc" and cell.quantity in _SURFACE:
        return f"{cell.hemisphere}_{plain(cell.region)}_{_SURFACE[cell.quantity]}"
    return ""


def plain(name: str) -> str:
    """Give a name that a question can hold: letters, digits and `_`, a letter first."""
    for old, new in _WORDS.items():
        name = name.replace(old, new)
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
