"""What a site knows of its protocols and no header tells: fields for the sidecar, checked against the BIDS schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heartbrain_ingest.bids.model import Candidate
from heartbrain_ingest.bids.schema import conforms, load_schema
from heartbrain_ingest.bids.selectors import Evidence, Selector, check_keys, nearest, parse_selector
from heartbrain_ingest.errors import RulesError

#: Sidecar field that names the statements that hold for an image.
STATED_BY = "StatedBy"
CONTRADICTED = "STATEMENT_CONTRADICTED"
_KEYS = ("id", "note", "when", "sidecar")
_DIRECTION, _AXIS = "PhaseEncodingDirection", "PhaseEncodingAxis"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One entry of the list `statements`."""

    id: str
    when: Selector
    #: BIDS field -> value.
    sidecar: Mapping[str, Any]


@dataclass(kw_only=True)
class Stated:
    """What the statements add to an image."""

    fields: dict[str, Any] = field(default_factory=dict)
    #: Issue codes.
    codes: list[str] = field(default_factory=list)


def state(candidate: Candidate, facts: Mapping[str, Any], statements: Sequence[Statement]) -> Stated:
    """Find what the statements say of an image.

    What the scanner wrote is never replaced: a statement that contradicts it is left out, with a code. Of two
    statements about a field the first counts.
    """
    stated = Stated()
    evidence = Evidence(candidate, facts)
    for statement in statements:
        if not statement.when.check(evidence).holds:
            continue
        if any(_contradicts(name, value, candidate.sidecar) for name, value in statement.sidecar.items()):
            stated.codes.append(CONTRADICTED)
            continue
        new = {
            name: value
            for name, value in statement.sidecar.items()
            if name not in candidate.sidecar and name not in stated.fields
        }
        if new:
            stated.fields |= new
            stated.fields[STATED_BY] = [*stated.fields.get(STATED_BY, []), statement.id]
    return stated


def parse_statements(data: Any, source: str) -> tuple[Statement, ...]:
    """Check the list `statements` of a rules file, already parsed from YAML.

    Raises
    ------
    RulesError
        An entry could not work, or says what BIDS does not allow.
    """
    if not isinstance(data, list):
        raise RulesError(f"{source}: statements must be a list")
    statements = []
    for index, entry in enumerate(data):
        if not isinstance(entry, Mapping):
            raise RulesError(f"{source}: statement {index + 1}: expected the keys {', '.join(_KEYS)}")
        place = f"{source}: statement {entry.get('id', index + 1)!r}"
        check_keys(entry, _KEYS, place)
        for key in ("id", "when", "sidecar"):
            if key not in entry:
                raise RulesError(f"{place}: lacks {key!r}")
        if not isinstance(entry["sidecar"], Mapping) or not entry["sidecar"]:
            raise RulesError(f"{place}.sidecar: expected field: value")
        for name, value in entry["sidecar"].items():
            _check_field(name, value, f"{place}.sidecar.{name}")
        when = parse_selector(entry["when"], f"{place}.when")
        statements.append(Statement(id=str(entry["id"]), when=when, sidecar=dict(entry["sidecar"])))
    ids = [statement.id for statement in statements]
    for name in sorted({name for name in ids if ids.count(name) > 1}):
        raise RulesError(f"{source}: two statements have the id {name!r}")
    return tuple(statements)


def _check_field(name: Any, value: Any, place: str) -> None:
    known = load_schema().metadata
    if name not in known:
        raise RulesError(f"{place}: BIDS has no such field; {nearest(str(name), known)}")
    if not conforms(value, known[name]):
        allowed = known[name].get("enum")
        hint = f"; allowed are {', '.join(map(str, allowed))}" if allowed else ""
        raise RulesError(f"{place}: BIDS does not allow {value!r}{hint}")


def _contradicts(name: str, value: Any, sidecar: Mapping[str, Any]) -> bool:
    """Say whether the scanner tells another value, or another axis of phase encoding than that of a direction."""
    if name in sidecar:
        return bool(sidecar[name] != value)
    return name == _DIRECTION and _AXIS in sidecar and sidecar[_AXIS] != value[0]
