"""A result's first numbers beside those of the study's other subjects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.portal.entity import Entity, Model, Number, Page, find, finite
from heartbrain_ingest.portal.visitors import Visitor

_NUMBERS: Final = 3
#: The newest results of a kind that are looked at: enough to place a number among them.
MOST_RESULTS: Final = 2_000
_SECONDS: Final = 120.0
#: Property that takes values which have no place of their own, as JSON.
OTHER_VALUES: Final = "OtherResultValues"

#: Width of the strip of dots, in units of the drawing, and how far its ends keep from the edge.
WIDTH: Final = 400
_MARGIN: Final = 14


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One number of a result among those of others.

    Attributes
    ----------
    others
        The newest value of each other subject, in rising order.
    before
        Values of this subject's other results.
    """

    number: Number
    value: float
    others: tuple[float, ...]
    before: tuple[float, ...]

    @property
    def lower(self) -> int:
        """How many others have less."""
        return sum(other < self.value for other in self.others)

    @property
    def higher(self) -> int:
        """How many others have more."""
        return sum(other > self.value for other in self.others)

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and the highest of all values."""
        known = (self.value, *self.others, *self.before)
        return min(known), max(known)

    def place(self, value: float) -> float:
        """Give where a value stands on the strip."""
        low, high = self.span
        share = (value - low) / (high - low) if high > low else 0.5
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)


def compare_result(result: Entity, model: Model, visitor: Visitor) -> tuple[Comparison, ...]:
    """Compare a result's first three numbers with the newest result of the same kind of each other subject.

    What the numbers are is said by the data model: the first that the RecordType declares. A result of a kind that
    declares none is compared by the values that it brought along.
    """
    numbers = _first(result, model)
    if not numbers:
        return ()
    question = _question(result, numbers, model)
    page = visitor.cache.get(("results", question), _newest(question), seconds=_SECONDS)
    own, others = _sorted_out(result, page)
    return tuple(
        Comparison(
            number=number,
            value=value,
            others=tuple(sorted(_known(others, number))),
            before=tuple(_known(own, number)),
        )
        for number in numbers
        if (value := value_of(result, number)) is not None
    )


def value_of(result: Entity, number: Number) -> float | None:
    """Give the number of a result; None where it lacks it or has it in another unit."""
    stored = result.get(number.name)
    if stored is not None:
        return result.number(number.name) if stored.unit == number.unit else None
    other = other_values(result).get(number.name)
    return other[0] if other is not None and other[1] == number.unit else None


def other_values(result: Entity) -> dict[str, tuple[float, str]]:
    """Give the numbers that the data model has no place for, with their units."""
    try:
        content = json.loads(result.text(OTHER_VALUES) or "{}")
    except (ValueError, RecursionError):
        return {}
    return dict(_numbers_in(content)) if isinstance(content, dict) else {}


def _numbers_in(content: Mapping[str, Any]) -> Iterable[tuple[str, tuple[float, str]]]:
    for name, one in content.items():
        value = finite(one.get("value")) if isinstance(one, dict) else None
        if value is not None:
            yield str(name), (value, str(one.get("unit") or ""))


def _first(result: Entity, model: Model) -> tuple[Number, ...]:
    declared = [one for one in model.numbers(result.kind) if value_of(result, one) is not None]
    brought = [Number(name=name, unit=unit, description="") for name, (_, unit) in other_values(result).items()]
    return tuple((declared or brought)[:_NUMBERS])


def _question(result: Entity, numbers: Iterable[Number], model: Model) -> str:
    names = [one.name for one in numbers]
    if not {one.name for one in model.numbers(result.kind)} >= set(names):
        names = [OTHER_VALUES]
    selected = ", ".join(f"'{escape_squoted_text(name)}'" for name in ("Subject", *names))
    same = [f"{name}={one}" for name in ("Project", "Function") if (one := result.reference(name)) is not None]
    condition = f" WITH {' AND '.join(same)}" if same else ""
    return f"SELECT {selected} FROM '{escape_squoted_text(result.kind)}'{condition}"  # noqa: S608 - LQL, escaped


def _newest(question: str) -> Callable[[], Page]:
    def ask() -> Page:
        page = find(question, most=MOST_RESULTS)
        # LinkAhead answers in the order of ids.
        return (
            page if page.total <= MOST_RESULTS else find(question, first=page.total - MOST_RESULTS, most=MOST_RESULTS)
        )

    return ask


def _sorted_out(result: Entity, page: Page) -> tuple[list[Entity], list[Entity]]:
    """Give this subject's other results, and the newest of each other subject."""
    subject = result.reference("Subject")
    own: list[Entity] = []
    newest: dict[int, Entity] = {}
    for one in sorted(page.entities, key=lambda one: one.id):
        whose = one.reference("Subject")
        if one.id == result.id or whose is None:
            continue
        if whose == subject:
            own.append(one)
        else:
            newest[whose] = one
    return own, list(newest.values())


def _known(results: Iterable[Entity], number: Number) -> list[float]:
    return [value for one in results if (value := value_of(one, number)) is not None]
