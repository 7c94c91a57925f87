"""A laboratory value among the subject's others of the same analyte, over time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.portal.entity import Entity, find

_MOST: Final = 500
_SELECTED: Final = (
    "MeasuredValue, Qualifier, ReferenceLow, ReferenceHigh, ReferenceFlag, MeasuredUnit, Sample.CollectionDate, "
    "Sample.CollectionTime"
)

# The drawing, in its own units.
WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 70, 700, 20, 200
#: Air above the highest and below the lowest, as a share.
_AIR: Final = 0.12


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One measurement.

    Attributes
    ----------
    x, y
        Its place in the drawing; None for one without a day or a number.
    """

    id: int
    day: date | None
    time: str
    value: float | None
    qualifier: str
    flag: str
    low: float | None
    high: float | None
    is_here: bool
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True, kw_only=True)
class Course:
    """The values of an analyte of one subject, in the order of time.

    Attributes
    ----------
    band
        Top and bottom of the reference range in the drawing; None without one.
    ticks
        Heights of the axis with what they stand for.
    """

    analyte: str
    unit: str
    here: Reading
    readings: tuple[Reading, ...]
    band: tuple[float, float] | None
    ticks: tuple[tuple[float, float], ...]

    @property
    def points(self) -> tuple[Reading, ...]:
        """What can be drawn."""
        return tuple(one for one in self.readings if one.x is not None)

    @property
    def ends(self) -> tuple[Reading, ...]:
        """The first and the last of them, whose days stand below the drawing."""
        first, last = self.points[:1], self.points[-1:]
        return first if first and first[0].x == last[0].x else (*first, *last)

    @property
    def line(self) -> str:
        """The points of the line between the values."""
        return " ".join(f"{one.x:g},{one.y:g}" for one in self.points)


def follow(measurement: Entity) -> Course:
    """Follow an analyte of a subject."""
    unit = measurement.text("MeasuredUnit")
    found = [_reading(one, measurement.id) for one in _same(measurement) if one.text("MeasuredUnit") == unit]
    readings = sorted(found, key=lambda one: (one.day or date.min, one.time, one.id))
    here = next((one for one in readings if one.is_here), None) or _reading(measurement, measurement.id)
    edges = [one.value for one in readings if one.value is not None and one.day is not None]
    limits = [one for one in (here.low, here.high) if one is not None]
    low, high = min([*edges, *limits], default=0.0), max([*edges, *limits], default=1.0)
    air = (high - low) * _AIR or abs(high) * _AIR or 1.0
    low, high = (max(0.0, low - air) if low >= 0 else low - air), high + air

    def height(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low), 1)

    band = None
    if limits:
        band = (
            height(here.high) if here.high is not None else TOP,
            height(here.low) if here.low is not None else BOTTOM,
        )
    return Course(
        analyte=measurement.text("Analyte"),
        unit=unit,
        here=here,
        readings=tuple(_placed(readings, height)),
        band=band,
        ticks=tuple((height(value), value) for value in _ticks(low, high)),
    )


def _same(measurement: Entity) -> tuple[Entity, ...]:
    subject = measurement.reference("Subject")
    if subject is None:
        return ()
    analyte = escape_squoted_text(measurement.text("Analyte"))
    condition = f"Subject={subject} AND Analyte='{analyte}'"
    if code := measurement.text("LOINC"):
        condition += f" AND LOINC='{escape_squoted_text(code)}'"
    question = f"SELECT {_SELECTED} FROM LaboratoryMeasurement WITH {condition}"  # noqa: S608 - LQL, escaped
    return find(question, most=_MOST).entities


def _reading(measurement: Entity, here: int) -> Reading:
    return Reading(
        id=measurement.id,
        day=_day(measurement.beside("Sample", "CollectionDate")),
        time=measurement.beside("Sample", "CollectionTime")[:5],
        value=measurement.number("MeasuredValue"),
        qualifier=measurement.text("Qualifier"),
        flag=measurement.text("ReferenceFlag"),
        low=measurement.number("ReferenceLow"),
        high=measurement.number("ReferenceHigh"),
        is_here=measurement.id == here,
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _placed(readings: list[Reading], height: Callable[[float], float]) -> list[Reading]:
    days = [one.day.toordinal() for one in readings if one.day is not None and one.value is not None]
    first, last = min(days, default=0), max(days, default=0)
    placed = []
    for one in readings:
        if one.day is None or one.value is None:
            placed.append(one)
            continue
        share = (one.day.toordinal() - first) / (last - first) if last > first else 0.5
        x = round(LEFT + 20 + share * (RIGHT - LEFT - 40), 1)
        placed.append(replace(one, x=x, y=height(one.value)))
    return placed


def _ticks(low: float, high: float) -> list[float]:
    """Give three to six round numbers between two."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= rough)
    first = math.ceil(low / step)
    return [round(number * step, 12) for number in range(first, math.floor(high / step) + 1)]
