"""The rules of `crawler_config/deidentification.yml`: read, checked, and resolved to one action for each attribute."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydicom.datadict import keyword_dict

from heartbrain_ingest import __version__
from heartbrain_ingest.deidentify import table, vocabulary
from heartbrain_ingest.deidentify.table import CODES, Action, Option
from heartbrain_ingest.dicom.encoding import known_vr
from heartbrain_ingest.errors import RulesError

_TAG: Final = re.compile(r"([0-9A-Fa-fXx]{4}),([0-9A-Fa-fXx]{4})")
_HEX_RANGE: Final = re.compile(r"([0-9A-Fa-f]{2})(?:-([0-9A-Fa-f]{2}))?")
#: What an override may name; the others belong to private elements.
_STANDARD_ACTIONS: Final = frozenset(
    {Action.KEEP, Action.REMOVE, Action.EMPTY, Action.DUMMY, Action.CLEAN, Action.SHIFT, Action.REMAP}
    | {Action.SUBJECT, Action.DEVICE, Action.AGE, Action.CONTENTS}
)
#: What must become of a value of these VRs that the table does not list.
_FORCED: Final = {
    "PN": {Action.REMOVE, Action.EMPTY},
    "UI": {Action.REMAP, Action.REMOVE, Action.EMPTY},
    "DA": {Action.SHIFT, Action.REMOVE, Action.EMPTY},
    "DT": {Action.SHIFT, Action.REMOVE, Action.EMPTY},
    "UN": {Action.REMOVE, Action.EMPTY},
}
#: Actions that leave nothing of a value.
_WIPING: Final = frozenset({Action.REMOVE, Action.EMPTY, Action.DUMMY, Action.SUBJECT, Action.DEVICE})

HexRanges = list[Annotated[str, Field(pattern=_HEX_RANGE.pattern)]]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Required(_Model):
    type1: tuple[str, ...] = ()
    type2: tuple[str, ...] = ()


class _Override(_Model):
    attributes: tuple[str, ...]
    action: Action
    reason: str = Field(min_length=1)


class _Private(_Model):
    creator: str
    group: Annotated[str, Field(pattern=r"[0-9A-Fa-f]{3}[13579BDFbdf]")]
    number: HexRanges = []
    text: HexRanges = []
    shift: HexRanges = []
    contents: HexRanges = []
    csa: HexRanges = []
    protocol: HexRanges = []
    ge_protocol: HexRanges = []
    blank_text: HexRanges = []


class _Csa(_Model):
    number: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()


class _SiemensProtocol(_Model):
    strings: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


class _GeProtocol(_Model):
    drop: tuple[str, ...] = ()


class _Audit(_Model):
    dicom_keywords: bool = True
    bids_terms: bool = True
    equipment: bool = True
    words: tuple[str, ...] = ()


class _File(_Model):
    version: str
    options: dict[Option, bool]
    required: _Required = _Required()
    overrides: tuple[_Override, ...] = ()
    by_vr: dict[
        Literal["remove", "empty", "shift", "remap", "clean", "contents", "keep"],
        tuple[Annotated[str, Field(pattern=r"[A-Z]{2}")], ...],
    ]
    private: tuple[_Private, ...] = ()
    csa: _Csa = _Csa()
    siemens_protocol: _SiemensProtocol = _SiemensProtocol()
    ge_protocol: _GeProtocol = _GeProtocol()
    audit: _Audit = _Audit()


class Described(NamedTuple):
    """What happens to one attribute, and which rule says so."""

    attribute: str
    action: Action
    rule: str


class _Resolved(NamedTuple):
    tag: int
    mask: int
    described: Described


_PRIVATE_SORTS: Final = {
    "number": Action.NUMBER,
    "text": Action.CLEAN,
    "shift": Action.SHIFT,
    "contents": Action.CONTENTS,
    "csa": Action.CSA,
    "protocol": Action.PROTOCOL,
    "ge_protocol": Action.GE_PROTOCOL,
    "blank_text": Action.BLANK_TEXT,
}


@dataclass(frozen=True)
class Exemptions:
    """What the leak audit passes over, by the name of the rule that says so; words in lower case."""

    words: dict[str, frozenset[str]]
    #: Whether the words that name make and model of the scanner are passed over.
    equipment: bool = True

    @cached_property
    def all_words(self) -> frozenset[str]:
        """The words of all rules."""
        return frozenset[str]().union(*self.words.values())

    def with_words(self, rule: str, words: Iterable[str]) -> Exemptions:
        """Add a rule, such as the configured `responsible`."""
        found = {part.lower() for word in words for part in (word, *word.split()) if part}
        return Exemptions({**self.words, rule: frozenset(found)}, self.equipment)


class Rules:
    """The checked rules of a site. Made by `load_rules`; can be sent to another process."""

    def __init__(self, content: _File) -> None:
        self.version = content.version
        #: The options that are on, in the order of PS3.15.
        self.options = tuple(option for option in Option if content.options.get(option, False))
        self._content = content
        self._by_vr = {vr: Action(action) for action, vrs in content.by_vr.items() for vr in vrs}
        self._overrides = [resolved for override in content.overrides for resolved in _resolve(override)]
        required = dict.fromkeys(content.required.type1, 1) | dict.fromkeys(content.required.type2, 2)
        chosen = frozenset(self.options)
        self._table = [
            _Resolved(row.tag, row.mask, Described(row.name, *table.decide(row, chosen, required)))
            for row in table.rows()
        ]
        self._exact = {
            resolved.tag: resolved.described.action
            for resolved in (*self._table, *self._overrides)
            if resolved.mask == 0xFFFFFFFF  # noqa: PLR2004 - all bits: no repeating group
        }
        self._repeating = [
            resolved
            for resolved in (*reversed(self._overrides), *self._table)
            if resolved.mask != 0xFFFFFFFF  # noqa: PLR2004
        ]
        self._private = _private(content.private) if Option.SAFE_PRIVATE in self.options else {}
        #: CSA element to `number`, `text` or `protocol`.
        self.csa = {
            **dict.fromkeys(content.csa.number, "number"),
            **dict.fromkeys(content.csa.text, "text"),
            **dict.fromkeys(content.csa.protocol, "protocol"),
        }
        self.protocol_strings = frozenset(name.encode("latin-1") for name in content.siemens_protocol.strings)
        self.protocol_versions = frozenset(name.encode("latin-1") for name in content.siemens_protocol.versions)
        self.ge_protocol_drop = frozenset(content.ge_protocol.drop)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides: the rules, the standard's table and the version of this program."""
        content = json.dumps(self._content.model_dump(mode="json"), sort_keys=True).encode()
        return hashlib.sha256(b"\0".join((content, table.content(), __version__.encode()))).hexdigest()

    @cached_property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Code and meaning of the profile and its options (PS3.16 CID 7050), for (0012,0064)."""
        return (CODES[None], *sorted(CODES[option] for option in self.options))

    @cached_property
    def exemptions(self) -> Exemptions:
        """What the leak audit passes over."""
        audit = self._content.audit
        words = {"words": frozenset(word.lower() for word in audit.words)}
        if audit.dicom_keywords:
            words["dicom_keywords"] = vocabulary.dicom_keywords()
        if audit.bids_terms:
            words["bids_terms"] = vocabulary.bids_terms()
        return Exemptions(words, audit.equipment)

    def action(self, tag: int, vr: str) -> Action:
        """Give the action for a standard attribute: an override, the table, or what its VR says, in this order."""
        found = self._exact.get(tag)
        if found is not None:
            return found
        for resolved in self._repeating:
            if tag & resolved.mask == resolved.tag:
                return resolved.described.action
        if known_vr(tag) == "UN":
            return Action.REMOVE
        return self._by_vr.get(vr, Action.REMOVE)

    def private(self, creator: str, group: int) -> dict[int, Action]:
        """Give the elements (last byte of the tag) of a private creator that stay, and what to do with each."""
        return self._private.get((creator.strip().lower(), group), {})

    def describe(self) -> list[Described]:
        """List what happens to each attribute: overrides, table, VRs, private elements, CSA, audit."""
        overridden = {resolved.tag for resolved in self._overrides}
        found = [resolved.described for resolved in self._overrides]
        found += [resolved.described for resolved in self._table if resolved.tag not in overridden]
        found += [Described(f"{vr}, not in the table", action, "by_vr") for vr, action in sorted(self._by_vr.items())]
        found += [
            Described(f"({group:04X},xx{element:02X}) {creator}", action, "private: allow-list")
            for (creator, group), elements in sorted(self._private.items())
            for element, action in sorted(elements.items())
        ]
        found.append(Described("other private elements", Action.REMOVE, "private: not on the allow-list"))
        sorts = {"number": Action.NUMBER, "text": Action.CLEAN, "protocol": Action.PROTOCOL}
        found += [Described(f"CSA {name}", sorts[sort], "csa") for name, sort in sorted(self.csa.items())]
        found.append(Described("other CSA elements", Action.EMPTY, "csa: not on the list"))
        found += [
            Described(f"{len(words)} words", Action.KEEP, f"audit: {rule}")
            for rule, words in sorted(self.exemptions.words.items())
        ]
        return found


def load_rules(path: Path) -> Rules:
    """Read and check a rules file.

    Raises
    ------
    RulesError
        The file is missing or not YAML, has a key or attribute that does not exist (the nearest one is named), or keeps
        what identifies a person.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RulesError(f"{path.name}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise RulesError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from error
    try:
        parsed = _File.model_validate(content)
    except ValidationError as error:
        raise RulesError(f"{path.name}: {_explain(error)}") from error
    _refuse_identifiers(parsed, path.name)
    return Rules(parsed)


def _explain(error: ValidationError) -> str:
    """Say in one line what is wrong first, with the nearest name for an unknown key."""
    first: Any = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] in {"extra_forbidden", "enum", "literal_error"}:
        wrong = str(first["loc"][-1] if first["type"] == "extra_forbidden" else first["input"])
        wrong = str(first["loc"][-2]) if first["loc"][-1] == "[key]" else wrong
        names = [name for model in _Model.__subclasses__() for name in model.model_fields]
        near = difflib.get_close_matches(wrong, [*names, *map(str, Option), *map(str, Action)], n=1)
        return f"`{place}` is not known" + (f"; did you mean `{near[0]}`?" if near else "")
    return f"`{place}`: {first['msg']}"


def _refuse_identifiers(content: _File, name: str) -> None:
    for vr, allowed in _FORCED.items():
        for action, vrs in content.by_vr.items():
            if vr in vrs and Action(action) not in allowed:
                raise RulesError(f"{name}: by_vr.{action} may not hold {vr}: it identifies people")
    listed = {row.tag: row for row in table.rows()}
    for override in content.overrides:
        if override.action not in _STANDARD_ACTIONS:
            raise RulesError(f"{name}: overrides: `{override.action}` is for private elements only")
        if override.action in _WIPING:
            continue
        for resolved in _resolve(override):
            row = listed.get(resolved.tag)
            if row is None or resolved.mask != row.mask:
                continue
            if not _permits(row, override.action):
                attribute = resolved.described.attribute
                raise RulesError(f"{name}: overrides: `{override.action}` would leave {attribute}, which names people")


def _permits(row: table.Row, action: Action) -> bool:
    """Tell whether any option of the standard lets something of the attribute stay."""
    letters = set(row.options.values())
    if action is Action.REMAP:
        return row.vr == "UI"
    if action is Action.CONTENTS:
        return row.vr == "SQ" and (bool(letters) or "U" in row.basic)
    if action is Action.KEEP:
        return "K" in letters or (row.vr == "TM" and "C" in letters)
    return bool(letters)


def _resolve(override: _Override) -> list[_Resolved]:
    rule = f"override: {override.reason}"
    found = []
    for attribute in override.attributes:
        pattern = _TAG.fullmatch(attribute)
        if pattern:
            digits = (pattern[1] + pattern[2]).upper()
            tag = int(digits.replace("X", "0"), 16)
            mask = int("".join("0" if digit == "X" else "F" for digit in digits), 16)
        else:
            tag, mask = _tag_of(attribute), 0xFFFFFFFF
        found.append(_Resolved(tag, mask, Described(attribute, override.action, rule)))
    return found


def _tag_of(keyword: str) -> int:
    tag = keyword_dict.get(keyword)
    if tag is None:
        near = difflib.get_close_matches(keyword, keyword_dict, n=1)
        raise RulesError(f"DICOM has no {keyword}" + (f"; did you mean {near[0]}?" if near else ""))
    return tag


def _private(blocks: tuple[_Private, ...]) -> dict[tuple[str, int], dict[int, Action]]:
    found: dict[tuple[str, int], dict[int, Action]] = {}
    for block in blocks:
        elements = found.setdefault((block.creator.lower(), int(block.group, 16)), {})
        for sort, action in _PRIVATE_SORTS.items():
            for text in getattr(block, sort):
                element = _HEX_RANGE.fullmatch(text)
                if element is None:  # pragma: no cover - the model has checked it
                    continue
                first = int(element[1], 16)
                last = int(element[2], 16) if element[2] else first
                elements.update(dict.fromkeys(range(first, last + 1), action))
    return found
