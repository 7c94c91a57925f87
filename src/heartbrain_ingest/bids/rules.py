"""Read `bids_rules.yml` and decide by it what an image is: the first rule whose selectors hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from heartbrain_ingest.bids.facts import FACTS, NAME_ENTITIES, describe
from heartbrain_ingest.bids.model import UNCLASSIFIED, Candidate, Naming, Tried
from heartbrain_ingest.bids.schema import RESOLVED_ENTITIES, BidsSchema, load_schema
from heartbrain_ingest.bids.selectors import Evidence, Selector, check_keys, nearest, parse_selector
from heartbrain_ingest.bids.statements import Stated, Statement, parse_statements, state
from heartbrain_ingest.errors import RulesError
from heartbrain_ingest.issues import ISSUES
from heartbrain_ingest.yaml_model import QuickSafeLoader

_TOP_KEYS = ("record_types", "ignored_words", "statements", "rules")
_RULE_KEYS = ("id", "note", "when", "set")
_SET_KEYS = ("datatype", "suffix", "entities", "RecordType", "folder", "metadata", "ignore")
#: `{number: "{group}"}` as the value of a metadata field: the filled text as a number.
_NUMBER = "number"
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_FOLDER = re.compile(r"sourcedata(/[A-Za-z0-9]+)+")
_DERIVATIVE = re.compile(r"derivatives/[A-Za-z0-9]+")
_LABEL = re.compile(r"[A-Za-z0-9]+")
#: Where an image goes that no rule names.
UNCLASSIFIED_FOLDER = "sourcedata/unclassified"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One entry of the rules file."""

    id: str
    when: Selector
    datatype: str | None
    suffix: str
    #: Entity -> templates, of which the first that is not empty counts.
    entities: Mapping[str, tuple[str, ...]]
    record_type: str
    folder: str | None
    metadata: Mapping[str, Any]
    ignore: str | None

    def name(self, facts: Mapping[str, Any], captures: Mapping[str, str], schema: BidsSchema) -> Naming:
        """Fill the templates for one image."""
        values = {**facts, **captures}
        entities = {}
        for entity, templates in self.entities.items():
            label = next(filter(None, (make_label(_fill(text, values)) for text in templates)), "")
            if entity in schema.index_entities:
                label = re.sub(r"\D", "", label).lstrip("0")
            if label:
                entities[entity] = label
        metadata = {key: _fill_value(value, values) for key, value in self.metadata.items()}
        return Naming(
            datatype=self.datatype,
            suffix=self.suffix,
            entities=entities,
            record_type=self.record_type,
            folder=self.folder,
            metadata={key: value for key, value in metadata.items() if value != ""},
            rule=self.id,
            code=self.ignore,
            ignored=self.ignore is not None,
        )


@dataclass(frozen=True)
class NamingRules:
    """The ordered rules of a site."""

    rules: tuple[Rule, ...]
    ignored_words: frozenset[str]
    #: What the site knows of its protocols and no header tells.
    statements: tuple[Statement, ...] = ()

    def state(self, candidate: Candidate) -> Stated:
        """Give what the site's statements add to the sidecar of an image."""
        return state(candidate, describe(candidate, self.ignored_words), self.statements)

    def decide(self, candidate: Candidate) -> tuple[Naming, list[Tried]]:
        """Find the rule for an image.

        Returns
        -------
        tuple
            What the rule says (code UNCLASSIFIED where no rule holds), and every rule that was tried, in order, with
            the selector that kept it from matching.
        """
        facts = describe(candidate, self.ignored_words)
        evidence = Evidence(candidate, facts)
        tried = []
        for rule in self.rules:
            outcome = rule.when.check(evidence)
            tried.append(Tried(rule=rule.id, matched=outcome.holds, failed_selector=outcome.failed))
            if outcome.holds:
                return rule.name(facts, outcome.captures, load_schema()), tried
        return _unclassified(candidate, facts), tried


def load_naming_rules(path: Path) -> NamingRules:
    """Read and check a rules file.

    Raises
    ------
    RulesError
        When the file can't be read, or holds anything that could not work, naming rule, line and place.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _LineLoader)  # noqa: S506 - a subclass of the safe loader
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RulesError(f"{path.name}: {' '.join(str(error).split())}") from error
    return parse_naming_rules(data, path.name)


def parse_naming_rules(data: Any, source: str = "rules") -> NamingRules:
    """Check the content of a rules file, already parsed from YAML (see `load_naming_rules`)."""
    if not isinstance(data, Mapping):
        raise RulesError(f"{source}: expected the keys {', '.join(_TOP_KEYS)}")
    check_keys(data, _TOP_KEYS, source)
    record_types = data.get("record_types")
    entries = data.get("rules")
    if not isinstance(record_types, list) or not isinstance(entries, list):
        raise RulesError(f"{source}: record_types and rules must be lists")
    rules = tuple(
        _parse_rule(entry, f"{source}: {_place(entry, index)}", record_types) for index, entry in enumerate(entries)
    )
    ids = [rule.id for rule in rules]
    for name in sorted({name for name in ids if ids.count(name) > 1}):
        raise RulesError(f"{source}: two rules have the id {name!r}")
    return NamingRules(
        rules,
        frozenset(str(word) for word in data.get("ignored_words") or ()),
        parse_statements(data.get("statements") or [], source),
    )


def make_label(text: str) -> str:
    """Keep the letters and digits of a text: all that a BIDS label may hold here."""
    return "".join(_LABEL.findall(text))


def _unclassified(candidate: Candidate, facts: Mapping[str, Any]) -> Naming:
    label = make_label(facts["label"]) or make_label(facts["words"]) or f"series{candidate.series_number}"
    return Naming(
        datatype=None,
        suffix="unclassified",
        entities={"desc": label},
        record_type="MRImage",
        folder=UNCLASSIFIED_FOLDER,
        metadata={},
        rule="unclassified",
        code=UNCLASSIFIED,
    )


def _parse_rule(data: Any, place: str, record_types: list[str]) -> Rule:
    if not isinstance(data, Mapping):
        raise RulesError(f"{place}: expected the keys {', '.join(_RULE_KEYS)}")
    check_keys(data, _RULE_KEYS, place)
    for key in ("id", "when", "set"):
        if key not in data:
            raise RulesError(f"{place}: lacks {key!r}")
    sets = data["set"]
    if not isinstance(sets, Mapping):
        raise RulesError(f"{place}.set: expected the keys {', '.join(_SET_KEYS)}")
    check_keys(sets, _SET_KEYS, f"{place}.set")
    when = parse_selector(data["when"], f"{place}.when")
    ignore = sets.get("ignore")
    if ignore is not None:
        if ignore not in ISSUES:
            raise RulesError(f"{place}.set.ignore: unknown issue code {ignore!r}; {nearest(str(ignore), ISSUES)}")
        return Rule(
            id=str(data["id"]),
            when=when,
            datatype=None,
            suffix="",
            entities={},
            record_type="",
            folder=None,
            metadata={},
            ignore=ignore,
        )
    rule = Rule(
        id=str(data["id"]),
        when=when,
        datatype=sets.get("datatype"),
        suffix=str(sets.get("suffix", "")),
        entities=_parse_entities(sets.get("entities") or {}, f"{place}.set.entities", when),
        record_type=str(sets.get("RecordType", "")),
        folder=sets.get("folder"),
        metadata=dict(sets.get("metadata") or {}),
        ignore=None,
    )
    if rule.record_type not in record_types:
        raise RulesError(
            f"{place}.set.RecordType: unknown {rule.record_type!r}; {nearest(rule.record_type, record_types)}"
        )
    for key, value in rule.metadata.items():
        template = value.get(_NUMBER) if isinstance(value, Mapping) else value
        if isinstance(template, str):
            _check_template(template, f"{place}.set.metadata.{key}", when)
    _check_name(rule, f"{place}.set")
    return rule


def _check_name(rule: Rule, place: str) -> None:
    schema = load_schema()
    for entity in rule.entities:
        if entity in {"sub", "ses", "run"}:
            raise RulesError(f"{place}.entities.{entity}: is given by the session, not by a rule")
        if entity not in schema.entity_order:
            raise RulesError(f"{place}.entities.{entity}: unknown entity; {nearest(entity, schema.entity_order)}")
    if rule.datatype is None:
        if not rule.folder or not _FOLDER.fullmatch(str(rule.folder)):
            raise RulesError(f"{place}: needs a datatype, or a folder below sourcedata/ (letters and digits)")
        if not _LABEL.fullmatch(rule.suffix):
            raise RulesError(f"{place}.suffix: expected letters and digits, not {rule.suffix!r}")
        return
    if rule.folder is not None and not _DERIVATIVE.fullmatch(str(rule.folder)):
        raise RulesError(f"{place}.folder: with a datatype only derivatives/<name> (letters and digits) has a meaning")
    if rule.datatype not in schema.datatypes:
        raise RulesError(
            f"{place}.datatype: BIDS has no {rule.datatype!r}; {nearest(str(rule.datatype), schema.datatypes)}"
        )
    allowed = schema.names.get((rule.datatype, rule.suffix))
    if allowed is None:
        hint = nearest(rule.suffix, schema.suffixes(rule.datatype))
        raise RulesError(f"{place}.suffix: BIDS has no {rule.suffix!r} in {rule.datatype}; {hint}")
    for entity in rule.entities:
        if entity not in allowed:
            raise RulesError(f"{place}.entities.{entity}: not allowed for {rule.suffix}; {nearest(entity, allowed)}")
    for entity, level in allowed.items():
        if level == "required" and entity not in rule.entities and entity not in RESOLVED_ENTITIES:
            raise RulesError(f"{place}.entities: BIDS requires {entity!r} for {rule.suffix}")


def _parse_entities(data: Any, place: str, when: Selector) -> dict[str, tuple[str, ...]]:
    if not isinstance(data, Mapping):
        raise RulesError(f"{place}: expected entity: label")
    entities = {}
    for entity, value in data.items():
        templates = tuple(str(item) for item in (value if isinstance(value, list) else [value]))
        for template in templates:
            _check_template(template, f"{place}.{entity}", when)
        entities[str(entity)] = templates
    return entities


def _check_template(template: str, place: str, when: Selector) -> None:
    known = {*FACTS, *when.groups(), *(f"name.{entity}" for entity in NAME_ENTITIES)}
    for name in _PLACEHOLDER.findall(template):
        if name not in known:
            raise RulesError(f"{place}: nothing is called {{{name}}}; {nearest(name, known)}")


def _fill(template: str, values: Mapping[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        filled = values.get(found[1])
        return "" if filled is None else str(filled)

    return _PLACEHOLDER.sub(value, template)


def _fill_value(value: Any, values: Mapping[str, Any]) -> Any:
    """Give the value of a metadata field: a text with its templates filled, a number of one, or what stands there."""
    if isinstance(value, str):
        return _fill(value, values)
    if not isinstance(value, Mapping) or set(value) != {_NUMBER}:
        return value
    text = _fill(str(value[_NUMBER]), values)
    try:
        number = float(text)
    except ValueError:
        return ""
    return int(number) if number.is_integer() else number


def _place(entry: Any, index: int) -> str:
    if not isinstance(entry, Mapping):
        return f"rule {index + 1}"
    line = f" (line {entry.line})" if isinstance(entry, _Located) else ""
    return f"rule {entry.get('id', index + 1)!r}{line}"


class _Located(dict[Any, Any]):
    """A mapping that knows the line of the file it starts in."""

    line: int = 0


class _LineLoader(QuickSafeLoader):
    """YAML's safe loader that keeps line numbers and refuses a key that stands twice."""


def _construct_mapping(loader: _LineLoader, node: yaml.MappingNode) -> _Located:
    loader.flatten_mapping(node)
    located = _Located()
    located.line = node.start_mark.line + 1
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in located:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        located[key] = loader.construct_object(value_node, deep=True)
    return located


_LineLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)
