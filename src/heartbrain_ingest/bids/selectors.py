r"""The small language in which a rule says what it is for.

A mapping of field to condition: all must hold. ``any``, ``all`` and ``not`` combine further mappings.
A field is ``dicom.<keyword>``, ``sidecar.<BIDS name>``, ``name.<entity>`` or a fact (see `facts.FACTS`).
A condition is a plain value (equal), a list (one of) or operators:
``equals in contains contains_any matches min max above below exists``.
Text is compared without regard to case; ``matches`` searches a regular expression, whose named groups entities can use.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from heartbrain_ingest.bids.facts import FACTS, NAME_ENTITIES
from heartbrain_ingest.bids.model import Candidate
from heartbrain_ingest.errors import RulesError

_COMBINERS = ("any", "all", "not")
#: What dcm2niix writes beyond BIDS and DICOM names.
_DCM2NIIX_FIELDS = frozenset(
    {
        "BidsGuess",
        "ImageTypeText",
        "PhaseEncodingAxis",
        "RawImage",
        "InternalPulseSequenceName",
        "ImageOrientationText",
        "InPlanePhaseEncodingDirectionDICOM",
        "PhaseEncodingPolarityGE",
        "PhaseEncodingDirectionDisplayed",
        "ShimSetting",
        "CoilString",
        "EchoNumber",
        "ImageOrientationPatientDICOM",
    }
)


@dataclass(frozen=True)
class Evidence:
    """All that selectors can look at for one image."""

    candidate: Candidate
    facts: Mapping[str, Any]

    def value(self, name: str) -> Any:
        """Give the value of a field; None when the image has none."""
        source, _, key = name.partition(".")
        if source == "dicom":
            return self.candidate.header.get(key)
        if source == "sidecar":
            return self.candidate.sidecar.get(key)
        return self.facts.get(name)


@dataclass(frozen=True)
class Outcome:
    """Whether a selector holds; if not, why; and what its regular expressions caught."""

    holds: bool
    failed: str | None = None
    captures: Mapping[str, str] = field(default_factory=dict)


class Selector:
    """Part of a rule's ``when``."""

    def check(self, evidence: Evidence) -> Outcome:
        """Say whether the image is meant."""
        raise NotImplementedError

    def groups(self) -> frozenset[str]:
        """Name the groups that regular expressions may catch."""
        return frozenset()


@dataclass(frozen=True)
class FieldTest(Selector):
    """One operator on one field."""

    name: str
    operator: str
    operand: Any

    def check(self, evidence: Evidence) -> Outcome:
        """Apply the operator to the field's value."""
        value = evidence.value(self.name)
        if self.operator == "exists":
            holds = (value not in (None, "", [], ())) == bool(self.operand)
            return Outcome(holds, None if holds else self._failure(value))
        if value is None:
            return Outcome(holds=False, failed=self._failure(value))
        if self.operator == "matches":
            found = next((hit for text in _as_list(value) if (hit := self.operand.search(str(text)))), None)
            if found:
                return Outcome(True, None, {key: text for key, text in found.groupdict().items() if text})
            return Outcome(holds=False, failed=self._failure(value))
        holds = _OPERATORS[self.operator](value, self.operand)
        return Outcome(holds, None if holds else self._failure(value))

    def groups(self) -> frozenset[str]:
        """Name the groups of the regular expression."""
        return frozenset(self.operand.groupindex) if self.operator == "matches" else frozenset()

    def _failure(self, value: Any) -> str:
        operand = self.operand.pattern if self.operator == "matches" else self.operand
        return f"{self.name} {self.operator} {operand!r} (is {value!r})"


@dataclass(frozen=True)
class AllOf(Selector):
    """Every part must hold."""

    parts: tuple[Selector, ...]

    def check(self, evidence: Evidence) -> Outcome:
        """Stop at the first part that does not hold."""
        captures: dict[str, str] = {}
        for part in self.parts:
            outcome = part.check(evidence)
            if not outcome.holds:
                return outcome
            captures |= outcome.captures
        return Outcome(True, None, captures)

    def groups(self) -> frozenset[str]:
        """Name the groups of all parts."""
        return frozenset().union(*(part.groups() for part in self.parts))


@dataclass(frozen=True)
class AnyOf(Selector):
    """One part must hold."""

    parts: tuple[Selector, ...]

    def check(self, evidence: Evidence) -> Outcome:
        """Stop at the first part that holds."""
        failures = []
        for part in self.parts:
            outcome = part.check(evidence)
            if outcome.holds:
                return outcome
            failures.append(outcome.failed or "")
        return Outcome(holds=False, failed=f"any of: {'; '.join(failures)}")

    def groups(self) -> frozenset[str]:
        """Name the groups of all parts."""
        return frozenset().union(*(part.groups() for part in self.parts))


@dataclass(frozen=True)
class Not(Selector):
    """The part must not hold."""

    part: Selector
    text: str

    def check(self, evidence: Evidence) -> Outcome:
        """Turn the part's outcome round."""
        if self.part.check(evidence).holds:
            return Outcome(holds=False, failed=f"not {self.text}")
        return Outcome(holds=True)


def parse_selector(data: Any, place: str) -> Selector:
    """Read the ``when`` of a rule.

    Raises
    ------
    RulesError
        For an unknown field or operator (with the nearest name), or an operand that does not fit, naming the place.
    """
    if not isinstance(data, Mapping):
        raise RulesError(f"{place}: expected field: condition, not {data!r}")
    parts: list[Selector] = []
    for name, condition in data.items():
        here = f"{place}.{name}"
        if name in {"any", "all"}:
            if not isinstance(condition, list) or not condition:
                raise RulesError(f"{here}: expected a list of conditions")
            inner = tuple(parse_selector(item, f"{here}[{index}]") for index, item in enumerate(condition))
            parts.append(AnyOf(inner) if name == "any" else AllOf(inner))
        elif name == "not":
            parts.append(Not(parse_selector(condition, here), repr(dict(condition))))
        else:
            _check_field(str(name), here)
            parts += _parse_tests(str(name), condition, here)
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def check_keys(data: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    """Refuse a key that nobody knows.

    Raises
    ------
    RulesError
        It names the nearest known one.
    """
    for key in data:
        if key not in known:
            raise RulesError(f"{place}: unknown key {key!r}; {nearest(str(key), known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Word the hint at the known name that is most like the given one."""
    known = list(known)
    folded = {entry.lower(): entry for entry in known}
    close = difflib.get_close_matches(name.lower(), list(folded), n=1, cutoff=0.5)
    return f"did you mean {folded[close[0]]!r}?" if close else f"known are {', '.join(sorted(known)[:30])}"


def _parse_tests(name: str, condition: Any, place: str) -> list[Selector]:
    if isinstance(condition, list):
        condition = {"in": condition}
    elif not isinstance(condition, Mapping):
        condition = {"equals": condition}
    tests: list[Selector] = []
    for operator, operand in condition.items():
        if operator == "matches":
            try:
                operand = re.compile(str(operand), re.IGNORECASE)  # noqa: PLW2901 - the compiled form replaces the text
            except re.error as error:
                raise RulesError(f"{place}.matches: not a regular expression: {error}") from error
        elif operator == "exists":
            if not isinstance(operand, bool):
                raise RulesError(f"{place}.exists: expected true or false, not {operand!r}")
        elif operator not in _OPERATORS:
            raise RulesError(
                f"{place}.{operator}: unknown operator; {nearest(str(operator), [*_OPERATORS, 'matches', 'exists'])}"
            )
        elif operator in {"in", "contains_any"} and not isinstance(operand, list):
            raise RulesError(f"{place}.{operator}: expected a list, not {operand!r}")
        elif operator in {"min", "max", "above", "below"} and not isinstance(operand, int | float):
            raise RulesError(f"{place}.{operator}: expected a number, not {operand!r}")
        tests.append(FieldTest(name, str(operator), operand))
    if not tests:
        raise RulesError(f"{place}: has no condition")
    return tests


def _check_field(name: str, place: str) -> None:
    source, dot, key = name.partition(".")
    if not dot:
        if name not in FACTS:
            raise RulesError(f"{place}: unknown field; {nearest(name, [*FACTS, *_COMBINERS])}")
        return
    if source == "name":
        if key not in NAME_ENTITIES:
            raise RulesError(f"{place}: unknown entity; {nearest(key, NAME_ENTITIES)}")
        return
    keywords = _dicom_keywords()
    if source == "dicom":
        known: Iterable[str] = keywords
    elif source == "sidecar":
        from heartbrain_ingest.bids.schema import load_schema  # noqa: PLC0415 - only rules that name a sidecar field need it

        known = keywords | _DCM2NIIX_FIELDS | load_schema().metadata.keys()
    else:
        raise RulesError(f"{place}: unknown source {source!r}; fields are dicom.<keyword>, sidecar.<name> or a fact")
    if key not in known:
        raise RulesError(f"{place}: unknown name; {nearest(key, known)}")


def _dicom_keywords() -> frozenset[str]:
    from pydicom._dicom_dict import DicomDictionary  # noqa: PLC0415 - the table alone loads faster than pydicom.datadict

    return frozenset(entry[4] for entry in DicomDictionary.values())


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _same(value: Any, operand: Any) -> bool:
    if isinstance(value, str) or isinstance(operand, str):
        return str(value).casefold() == str(operand).casefold()
    return bool(value == operand)


def _compare(check: Callable[[float, float], bool]) -> Callable[[Any, Any], bool]:
    def compare(value: Any, operand: Any) -> bool:
        try:
            return check(float(_as_list(value)[0]), float(operand))
        except (TypeError, ValueError, IndexError):
            return False

    return compare


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": _same,
    "in": lambda value, operand: any(_same(value, item) for item in operand),
    "contains": lambda value, operand: any(_same(item, operand) for item in _as_list(value)),
    "contains_any": lambda value, operand: any(_same(item, entry) for item in _as_list(value) for entry in operand),
    "min": _compare(lambda value, operand: value >= operand),
    "max": _compare(lambda value, operand: value <= operand),
    "above": _compare(lambda value, operand: value > operand),
    "below": _compare(lambda value, operand: value < operand),
}
