"""Rows of a table of records: which columns, and what stands in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from heartbrain_ingest.portal.asking import retrieve_entities
from heartbrain_ingest.portal.datamodel import element_type
from heartbrain_ingest.portal.kinds import AS_STORED

#: A path goes over so many references at most: each costs LinkAhead one more answer.
MOST_HOPS = 3
MOST_COLUMNS = 12
_SCALARS = frozenset({"TEXT", "DOUBLE", "INTEGER", "BOOLEAN", "DATETIME"})
#: Pictures of a record, the best first; an analysis has one among its output.
PICTURES = ("PlanesPicture", "MeanPicture", "TracePicture", "SpectrumPicture", "TSNRPicture")
OUTPUT = "OutputFiles"
_DRAWINGS = ("TracePicture", "SpectrumPicture")
#: Shown without being asked for, in this order, where records have them.
_LEADING = (
    *("Subject", "Session.Date", "Session.Age", "Function", "Status", "StatusMessage", "RequestTime"),
    *("Date", "Age", "Sex", "CollectionDate", "Material"),
    *("Analyte", "MeasuredValue", "ReferenceLow", "ReferenceHigh", "ReferenceFlag"),
    *("MeanRate", "SignalQuality", "OverlapFraction"),
    *("mean_f", "mean_D", "mean_Dstar", "GreyMatterVolume", "WhiteMatterVolume", "CSFVolume", "IntracranialVolume"),
    *("volume", "area", "mean_thickness", "mean_contrast"),
    *("Left_Hippocampus_volume", "Right_Hippocampus_volume", "eTIV"),
    *("RepetitionTime", "EchoTime", "NumberOfVolumes", "MaximumBValue", "Images", "ManufacturersModelName"),
)
#: Of a visit, beside each record that belongs to one.
_OF_SESSION = ("Session.Date", "Session.Age", "Session.ManufacturersModelName")
_SHOWN_COLUMNS = 7
_SHOWN_ELEMENTS = 4
#: Elements of a list that are followed for one cell, and entities that are retrieved for a page of a table.
_FOLLOWED, _MOST_REFERRED = 20, 2_000
#: The same for a part of a file.
_WRITTEN, _MOST_WRITTEN = 1_000, 10_000
_SHOWN_LETTERS = 160
_SHORT = 24


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A value, or an element of a list."""

    text: str
    #: The number behind the text, to be written as the visitor's language does.
    number: float | None = None
    #: Whether it is written as it is stored.
    is_exact: bool = False
    #: Where more about it is.
    link: str = ""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a record has in a column."""

    pieces: tuple[Piece, ...] = ()
    #: Elements of a list that are not shown.
    more: int = 0
    #: Where it is not that of the column.
    unit: str = ""

    @property
    def is_number(self) -> bool:
        """Whether numbers stand in it, and nothing else."""
        return bool(self.pieces) and all(one.number is not None for one in self.pieces)

    @property
    def is_short(self) -> bool:
        """Whether it fits into a line: a date, a label."""
        return len(self.pieces) == 1 and len(self.pieces[0].text) <= _SHORT


@dataclass(frozen=True, kw_only=True)
class Row:
    """A record."""

    id: int
    name: str
    kinds: tuple[str, ...]
    cells: tuple[Cell, ...]
    #: Entity whose picture is shown; 0 without one.
    picture: int = 0
    #: Whether the picture is drawn in dark lines, for a light ground.
    is_drawn: bool = False


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: a property, or the path of one."""

    name: str
    unit: str = ""
    is_number: bool = False
    #: Whether units differ from record to record, so that they stand in a column of their own in a file.
    has_units: bool = False

    @property
    def heads(self) -> tuple[str, ...]:
        """What stands above it in a file."""
        if self.has_units:
            return self.name, f"{self.name} unit"
        return (f"{self.name} ({self.unit})" if self.unit else self.name,)


def shown_columns(sample: Sequence[Any]) -> tuple[str, ...]:
    """Choose what is shown of records like these, where nobody chose."""
    present = available_columns(sample)
    leading = [name for name in _LEADING if name in present]
    others = [name for name in present if name not in leading and "." not in name and not _is_bulky(name, sample)]
    return tuple((leading if len(leading) > 1 else leading + others)[:_SHOWN_COLUMNS])


def available_columns(sample: Sequence[Any]) -> tuple[str, ...]:
    """Give what records like these have to show."""
    names = dict.fromkeys(
        str(prop.name)
        for entity in sample
        for prop in entity.get_properties()
        if prop.value is not None and prop.name and "." not in str(prop.name)
    )
    if "Session" in names:
        names.update(dict.fromkeys(_OF_SESSION))
    return tuple(names)


def make_rows(entities: Sequence[Any], columns: Sequence[str]) -> tuple[tuple[Column, ...], tuple[Row, ...]]:
    """Lay records out; what they refer to is retrieved, as far as a column shows it and the visitor may see it."""
    known: dict[int, Any] = {}
    followed = _add_referred(entities, columns, known, followed=_FOLLOWED, at_end=_SHOWN_ELEMENTS, most=_MOST_REFERRED)
    found = [[_values(entity, name.split("."), known, followed) for name in columns] for entity in entities]
    shown = tuple(_column(name, [row[at] for row in found]) for at, name in enumerate(columns))
    rows = tuple(
        Row(
            id=int(entity.id),
            name=str(entity.name or ""),
            kinds=tuple(str(parent.name) for parent in entity.get_parents() if parent.name),
            cells=tuple(_cell(values, column, known, followed) for values, column in zip(row, shown, strict=True)),
            picture=_picture(entity),
            is_drawn=any(_property(entity, drawing) is not None for drawing in _DRAWINGS),
        )
        for entity, row in zip(entities, found, strict=True)
    )
    return shown, rows


def file_columns(
    entities: Sequence[Any], columns: Sequence[str], known: dict[int, Any], unit_of: Callable[[str], str]
) -> tuple[Column, ...]:
    """Say where the units of columns stand in a file: in the head where all records have the data model's.

    Parameters
    ----------
    entities
        The first of the records.
    known
        What was retrieved; what these records refer to is added.
    unit_of
        Gives the data model's unit of a property.
    """
    followed = _add_written(entities, columns, known)
    found = []
    for name in columns:
        unit = unit_of(name)
        values = [_values(entity, name.split("."), known, followed) for entity in entities]
        units = {one.unit for one in values if one.elements}
        found.append(Column(name=name, unit=unit, has_units=not units <= {unit}))
    return tuple(found)


def plain_rows(
    entities: Sequence[Any], columns: Sequence[Column], known: dict[int, Any]
) -> list[list[str | int | float]]:
    """Lay records out for a file: id, name, then the columns.

    Parameters
    ----------
    entities
        The records.
    columns
        Properties, or paths of them.
    known
        What was retrieved for earlier rows; what these refer to is added.
    """
    followed = _add_written(entities, [one.name for one in columns], known)
    rows: list[list[str | int | float]] = []
    for entity in entities:
        row: list[str | int | float] = [int(entity.id), str(entity.name or "")]
        for column in columns:
            values = _values(entity, column.name.split("."), known, followed)
            text = _plain(values, known, followed)
            if column.has_units:
                row += [text, values.unit]
            elif values.unit and values.unit != column.unit:
                row.append(f"{text} {values.unit}")
            else:
                row.append(text)
        rows.append(row)
    return rows


def _add_written(entities: Sequence[Any], columns: Sequence[str], known: dict[int, Any]) -> int:
    return _add_referred(entities, columns, known, followed=_WRITTEN, at_end=_WRITTEN, most=_MOST_WRITTEN)


@dataclass(frozen=True, kw_only=True)
class _Values:
    elements: tuple[Any, ...] = ()
    unit: str = ""
    is_reference: bool = False
    #: Elements on the way that were not followed; each may lead to some.
    left_out: int = 0


def _values(entity: Any, path: Sequence[str], known: Mapping[int, Any], followed: int) -> _Values:
    """Give what a path leads to, over `followed` elements of a list on its way at most."""
    found = _own(entity, path[0], is_end=len(path) == 1)
    left_out = 0
    for at, name in enumerate(path[1:], start=2):
        elements = found.elements if found.is_reference else ()
        left_out += max(0, len(elements) - followed)
        targets = [target for one in elements[:followed] if (target := known.get(_id(one))) is not None]
        inner = [_own(target, name, is_end=at == len(path)) for target in targets]
        units = [one.unit for one in inner for _element in one.elements]
        found = _Values(
            elements=tuple(element for one in inner for element in one.elements),
            unit=units[0] if len(set(units)) == 1 else "; ".join(units),
            is_reference=any(one.is_reference for one in inner),
        )
    return replace(found, left_out=left_out) if left_out else found


def _own(entity: Any, name: str, *, is_end: bool) -> _Values:
    """Give what an entity has itself."""
    if name == "path" and is_end and getattr(entity, "path", None):
        return _Values(elements=(entity.path,))
    prop = _property(entity, name)
    if prop is None:
        text = getattr(entity, name, None) if name in {"name", "description"} else None
        return _Values(elements=(text,)) if text is not None else _Values()
    elements = tuple(one for one in (prop.value if isinstance(prop.value, list) else [prop.value]) if one is not None)
    is_reference = element_type(getattr(prop.datatype, "name", None) or prop.datatype) not in _SCALARS
    return _Values(elements=elements, unit=prop.unit or "", is_reference=is_reference)


def _property(entity: Any, name: str) -> Any:
    """Give a property as the client does, without its search through names of another spelling where one fits."""
    return next((one for one in entity.properties if one.name == name), None) or entity.get_property(name)


def _add_referred(
    entities: Sequence[Any],
    columns: Sequence[str],
    known: dict[int, Any],
    *,
    followed: int,
    at_end: int,
    most: int,
) -> int:
    """Retrieve what the columns' paths lead to, all of a step at once.

    Parameters
    ----------
    followed, at_end
        Elements of one list that are retrieved: on the way of a path, and at its end.
    most
        Entities that a step leads to: where it would be more, fewer of each list are followed.

    Returns
    -------
    How many elements of a list were followed.
    """
    for hops in range(1, MOST_HOPS + 1):
        paths = [path for name in columns if len(path := name.split(".")) >= hops]
        while True:
            wanted = {
                _id(element)
                for entity in entities
                for path in paths
                for values in [_values(entity, path[:hops], known, followed)]
                if values.is_reference
                for element in values.elements[: followed if len(path) > hops else min(at_end, followed)]
            }
            if len(wanted) <= most or followed == 1:
                break
            followed = max(1, followed // 2)
        if missing := {one for one in wanted if one and one not in known}:
            known.update(retrieve_entities(missing))
    return followed


def _id(value: Any) -> int:
    """Give the id of what is referred to; 0 where there is none."""
    text = str(getattr(value, "id", None) or value).partition("@")[0]
    return int(text) if text.isdecimal() else 0


def _column(name: str, values: Iterable[_Values]) -> Column:
    filled = [one for one in values if one.elements]
    units = {one.unit for one in filled}
    return Column(
        name=name,
        unit=units.pop() if len(units) == 1 else "",
        is_number=bool(filled) and all(_is_number(one) and len(one.elements) == 1 for one in filled),
    )


def _is_number(values: _Values) -> bool:
    return not values.is_reference and all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in values.elements
    )


def _cell(values: _Values, column: Column, known: Mapping[int, Any], followed: int) -> Cell:
    shown = values.elements[: min(_SHOWN_ELEMENTS, followed) if values.is_reference else _SHOWN_ELEMENTS]
    is_exact = column.name.rpartition(".")[2] in AS_STORED
    pieces = tuple(_reference(one, known) if values.is_reference else _piece(one, is_exact=is_exact) for one in shown)
    unit = values.unit if values.unit != column.unit else ""
    return Cell(pieces=pieces, more=len(values.elements) - len(shown) + values.left_out, unit=unit)


def _piece(value: Any, *, is_exact: bool) -> Piece:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Piece(text=str(value), number=value, is_exact=is_exact)
    text = str(value)
    return Piece(text=text if len(text) <= _SHOWN_LETTERS else text[:_SHOWN_LETTERS].rstrip() + "…")


def _reference(value: Any, known: Mapping[int, Any]) -> Piece:
    target = known.get(_id(value))
    if target is None:
        # Not there any more, or not this visitor's to see.
        return Piece(text="\N{EN DASH}")
    if path := getattr(target, "path", None):
        return Piece(text=PurePosixPath(path).name, link=f"/file/{target.id}")
    return Piece(text=str(target.name or target.id), link=f"/record/{target.id}")


def _plain(values: _Values, known: Mapping[int, Any], followed: int) -> str | int | float:
    elements, left_out = values.elements, values.left_out
    if len(elements) == 1 and not left_out and _is_number(values):
        number: int | float = elements[0]
        return number
    if values.is_reference:
        left_out += max(0, len(elements) - followed)
        targets = [known.get(_id(one)) for one in elements[:followed]]
        texts = [str(getattr(one, "path", None) or one.name or one.id) for one in targets if one is not None]
    else:
        texts = [str(one) for one in elements]
    return "; ".join([*texts, f"and {left_out} more"] if left_out else texts)


def _picture(entity: Any) -> int:
    for name in PICTURES:
        prop = _property(entity, name)
        if prop is not None and prop.value and not isinstance(prop.value, list):
            return _id(prop.value)
    output = entity.get_property(OUTPUT)
    return int(entity.id) if output is not None and output.value else 0


def _is_bulky(name: str, sample: Sequence[Any]) -> bool:
    """Tell whether a column would be files, or long texts."""
    for entity in sample:
        prop = entity.get_property(name)
        if prop is None or prop.value is None:
            continue
        if element_type(prop.datatype) == "FILE" or isinstance(prop.value, list) or len(str(prop.value)) > 40:  # noqa: PLR2004
            return True
    return False
