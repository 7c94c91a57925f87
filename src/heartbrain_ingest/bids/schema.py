"""What BIDS allows and asks for, read from the schema that `bidsschematools` carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from heartbrain_ingest.bids.expressions import NotKnownError, evaluate
from heartbrain_ingest.errors import ToolError

#: Entities that the resolution of a whole session adds, so that a rule need not.
RESOLVED_ENTITIES = frozenset({"sub", "ses", "run", "echo", "part"})


@dataclass(frozen=True)
class Requirement:
    """Expressions that must hold (or fields that must be there) for images that the selectors pick."""

    name: str
    selectors: tuple[str, ...]
    checks: tuple[str, ...] = ()
    #: Fields that must be there.
    fields: tuple[str, ...] = ()
    #: Fields that may be there -> what their value must be like (a JSON schema).
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def may_concern(self, kind: Mapping[str, Any]) -> bool:
        """Say whether the selectors leave room for a kind of image of which nothing else is known."""
        for selector in self.selectors:
            try:
                if not evaluate(selector, kind):
                    return False
            except NotKnownError:
                continue
        return True

    def failure(self, context: Mapping[str, Any]) -> str | None:
        """Say what is not met; None when all is well, the image is not meant, or naming can't know."""
        try:
            if not all(evaluate(selector, context) for selector in self.selectors):
                return None
        except NotKnownError:
            return None
        missing = [name for name in self.fields if context["sidecar"].get(name) is None]
        if missing:
            return f"{self.name}: lacks {', '.join(missing)}"
        for name, definition in self.values.items():
            value = context["sidecar"].get(name)
            if value is not None and not conforms(value, definition):
                return f"{self.name}: {name} may not be {value!r}"
        for check in self.checks:
            try:
                holds = evaluate(check, context)
            except NotKnownError:
                continue
            if not holds:
                return f"{self.name}: {' '.join(check.split())}"
        return None


@dataclass(frozen=True)
class BidsSchema:
    """The part of the BIDS schema that naming MRI images needs."""

    #: BIDS version the names follow.
    version: str
    #: Short entity names in the order they stand in a file name.
    entity_order: tuple[str, ...]
    #: Short name -> long name.
    entity_names: Mapping[str, str]
    #: Entities whose label is a number.
    index_entities: frozenset[str]
    #: (datatype, suffix) -> short entity name -> required or optional.
    names: Mapping[tuple[str, str], Mapping[str, str]]
    #: (datatype, suffix) of images that have .bval and .bvec.
    with_b_table: frozenset[tuple[str, str]]
    #: Every metadata field: name -> definition.
    metadata: Mapping[str, Mapping[str, Any]]
    #: What the schema requires at level error.
    requirements: tuple[Requirement, ...]
    #: Kind of image -> the requirements that may concern it; filled as kinds are met.
    _relevant: dict[tuple[str, ...], tuple[Requirement, ...]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def datatypes(self) -> frozenset[str]:
        """Every datatype of an MRI session."""
        return frozenset(datatype for datatype, _ in self.names)

    def suffixes(self, datatype: str) -> list[str]:
        """Every suffix of a datatype."""
        return sorted(suffix for known, suffix in self.names if known == datatype)

    def allows(self, datatype: str | None, suffix: str, entity: str) -> bool:
        """Say whether a name may hold an entity; outside BIDS every entity is allowed."""
        return datatype is None or entity in self.names[datatype, suffix]

    def file_name(self, entities: Mapping[str, str], suffix: str) -> str:
        """Write a file name without extension, the entities in BIDS order."""
        parts = [f"{entity}-{entities[entity]}" for entity in self.entity_order if entities.get(entity)]
        return "_".join([*parts, suffix])

    def failures(self, context: Mapping[str, Any]) -> list[str]:
        """Name every requirement that an image does not meet (see `session` for the context)."""
        kind = {key: context[key] for key in ("datatype", "suffix", "extension", "modality")}
        key = tuple(kind.values())
        if key not in self._relevant:
            self._relevant[key] = tuple(each for each in self.requirements if each.may_concern(kind))
        return [failure for requirement in self._relevant[key] if (failure := requirement.failure(context))]


@lru_cache(maxsize=1)
def load_schema() -> BidsSchema:
    """Read the schema once (0.1 s)."""
    from bidsschematools.schema import load_schema as load  # noqa: PLC0415 - keeps the start of the program fast

    try:
        schema = load().to_dict()
    except (OSError, ValueError) as error:
        raise ToolError(f"the BIDS schema can't be read: {error}") from error
    entities = schema["objects"]["entities"]
    short = {long: entry["name"] for long, entry in entities.items()}
    groups = schema["rules"]["files"]["raw"]
    mri = [name for name in schema["rules"]["modalities"]["mri"]["datatypes"] if name in groups]
    return BidsSchema(
        version=schema["bids_version"],
        entity_order=tuple(short[long] for long in schema["rules"]["entities"]),
        entity_names={name: long for long, name in short.items()},
        index_entities=frozenset(short[long] for long, entry in entities.items() if entry.get("format") == "index"),
        names=_names({name: groups[name] for name in mri}, short),
        with_b_table=frozenset(
            (datatype, suffix)
            for name in mri
            for rule in groups[name].values()
            if ".bval" in rule["extensions"]
            for datatype in rule["datatypes"]
            for suffix in rule["suffixes"]
        ),
        metadata={entry["name"]: entry for entry in schema["objects"]["metadata"].values()},
        requirements=tuple(_requirements(schema)),
    )


def _names(groups: Mapping[str, Any], short: Mapping[str, str]) -> dict[tuple[str, str], dict[str, str]]:
    names: dict[tuple[str, str], dict[str, str]] = {}
    for rules in groups.values():
        for rule in rules.values():
            if ".nii.gz" not in rule["extensions"]:
                continue
            levels = {
                short[long]: level if isinstance(level, str) else level["level"]
                for long, level in rule["entities"].items()
            }
            for datatype in rule["datatypes"]:
                for suffix in rule["suffixes"]:
                    names[datatype, suffix] = names.get((datatype, suffix), {}) | levels
    return names


def _requirements(schema: Mapping[str, Any]) -> Iterable[Requirement]:
    fields = schema["objects"]["metadata"]
    for group in schema["rules"]["sidecars"].values():
        for name, rule in group.items():
            if not isinstance(rule, Mapping) or "fields" not in rule:
                continue
            levels = {key: level if isinstance(level, str) else level["level"] for key, level in rule["fields"].items()}
            yield Requirement(
                name,
                tuple(rule["selectors"]),
                fields=tuple(fields[key]["name"] for key, level in levels.items() if level == "required"),
                values={fields[key]["name"]: fields[key] for key in levels},
            )
    for group in schema["rules"]["checks"].values():
        for rule in group.values():
            if rule["issue"]["level"] == "error":
                yield Requirement(rule["issue"]["code"], tuple(rule["selectors"]), tuple(rule["checks"]))


def conforms(value: Any, definition: Mapping[str, Any]) -> bool:
    """Say whether a value is what the schema's definition of a field asks for.

    Knows the words that the metadata definitions use: anyOf, type, enum, items and bounds of numbers. Formats of text
    are left to the validator.
    """
    if "anyOf" in definition:
        return any(conforms(value, choice) for choice in definition["anyOf"])
    kind = definition.get("type")
    if kind is not None and not _is_kind(value, kind):
        return False
    if "enum" in definition and value not in definition["enum"]:
        return False
    if isinstance(value, list):
        return all(conforms(item, definition.get("items", {})) for item in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return (
        value >= definition.get("minimum", value)
        and value <= definition.get("maximum", value)
        and ("exclusiveMinimum" not in definition or value > definition["exclusiveMinimum"])
        and ("exclusiveMaximum" not in definition or value < definition["exclusiveMaximum"])
    )


def _is_kind(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    kinds: dict[str, type | tuple[type, ...]] = {"number": (int, float), "string": str, "array": list, "object": dict}
    return kind in kinds and isinstance(value, kinds[kind])
