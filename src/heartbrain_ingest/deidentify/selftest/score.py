"""The score in the manner of MIDI-B: correct actions by required actions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Category(StrEnum):
    """What is required of an element."""

    #: What stood there is nowhere in the output.
    REMOVED = "removed"
    #: The pseudonym stands there.
    REPLACED = "replaced"
    #: What identifies is gone from a text.
    CLEANED = "cleaned"
    #: Moved by the subject's days, so that intervals stay.
    SHIFTED = "dates shifted"
    #: Another UID, the same one wherever the old one stood.
    UIDS = "UIDs consistent"
    #: What conversion, BIDS and science need stays as it is.
    KEPT = "kept"
    #: The profile and exactly the options that are on.
    STAMPED = "stamped"
    #: Every byte of the pixel data.
    PIXELS = "pixels untouched"


@dataclass(frozen=True)
class Failure:
    """One required action that was not done. Never holds a value."""

    vendor: str
    #: Keyword or tag, and where it stands.
    attribute: str
    category: Category
    reason: str


@dataclass
class Score:
    """How many of the required actions were right."""

    required_by: Counter[Category] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def note(self, vendor: str, attribute: str, category: Category, reason: str | None) -> None:
        """Count one required action; a reason says that it was not done."""
        self.required_by[category] += 1
        if reason is not None:
            self.failures.append(Failure(vendor, attribute, category, reason))

    @property
    def required(self) -> int:
        """Number of required actions."""
        return self.required_by.total()

    @property
    def correct(self) -> int:
        """Number of those that were right."""
        return self.required - len(self.failures)

    @property
    def percent(self) -> float:
        """Right ones per hundred."""
        return 100.0 * self.correct / self.required if self.required else 0.0

    def table(self) -> Iterator[tuple[str, int, int, str]]:
        """Give a row for each category: name, required, correct, per cent."""
        wrong = Counter(failure.category for failure in self.failures)
        for category in Category:
            count = self.required_by[category]
            if count:
                right = count - wrong[category]
                yield category.value, count, right, f"{100.0 * right / count:.2f} %"

    def failed(self) -> Iterator[tuple[str, str, str, str]]:
        """Give a row for each attribute that failed: vendors, attribute, category, reason."""
        vendors: dict[tuple[str, Category, str], list[str]] = {}
        for failure in self.failures:
            found = vendors.setdefault((failure.attribute, failure.category, failure.reason), [])
            if failure.vendor not in found:
                found.append(failure.vendor)
        for (attribute, category, reason), names in sorted(vendors.items()):
            yield ", ".join(names), attribute, category.value, reason

    def as_data(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "required": self.required,
            "correct": self.correct,
            "percent": round(self.percent, 4),
            "categories": {
                name: {"required": required, "correct": correct} for name, required, correct, _ in self.table()
            },
            "failures": [
                {"vendors": vendors.split(", "), "attribute": attribute, "category": category, "reason": reason}
                for vendors, attribute, category, reason in self.failed()
            ],
        }
