"""The rules of `crawler_config/deidentification.yml`, resolved to one action for each attribute."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from heartbrain_ingest import __version__
from heartbrain_ingest.deidentify import table, vocabulary
from heartbrain_ingest.deidentify.recipe import WHOLE_TAG, Override, Pattern, Private, Recipe, read_recipe
from heartbrain_ingest.deidentify.table import CODES, IDENTITIES, Action, Option
from heartbrain_ingest.deidentify.validation import refuse_identifiers
from heartbrain_ingest.dicom.encoding import known_vr


class Described(NamedTuple):
    """What happens to one attribute, and which rule says so."""

    #: Keyword, or tag or name where it has none.
    attribute: str
    #: `gggg,eeee`; x stands for any digit. Empty for what has no tag.
    tag: str
    action: Action
    rule: str


class _Resolved(NamedTuple):
    pattern: Pattern
    described: Described


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

    def __init__(self, content: Recipe) -> None:
        self.version = content.version
        #: The options that are on, in the order of PS3.15.
        self.options = tuple(option for option in Option if content.options.get(option, False))
        self._content = content
        self._by_vr = {vr: Action(action) for action, vrs in content.by_vr.items() for vr in vrs}
        chosen = frozenset(self.options)
        self._overrides = [
            resolved for override in content.overrides if override.holds(chosen) for resolved in _resolve(override)
        ]
        required = dict.fromkeys(content.required.type1, 1) | dict.fromkeys(content.required.type2, 2)
        self._table = [
            _Resolved(
                Pattern(row.name, row.tag, row.mask),
                Described(
                    row.name,
                    _shown(Pattern(row.name, row.tag, row.mask)),
                    *table.decide(row, chosen, required),
                ),
            )
            for row in table.rows()
        ]
        self._exact = {
            resolved.pattern.tag: resolved.described.action
            for resolved in (*self._table, *self._overrides)
            if resolved.pattern.mask == WHOLE_TAG
        }
        self._repeating = [
            resolved for resolved in (*reversed(self._overrides), *self._table) if resolved.pattern.mask != WHOLE_TAG
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
        self.vocabulary = vocabulary.Vocabulary(content.vocabulary.words, content.vocabulary.patterns)

    @property
    def keeps_dates(self) -> bool:
        """Whether shifted dates may be published, in names of folders too."""
        return Option.MODIFIED_DATES in self.options

    @property
    def keeps_characteristics(self) -> bool:
        """Whether age and sex may be published."""
        return Option.PATIENT_CHARACTERISTICS in self.options

    @cached_property
    def retained(self) -> frozenset[int]:
        """Attributes that the options keep on purpose, so that their values are no identifiers any more."""
        chosen = IDENTITIES.intersection(self.options)
        return frozenset(
            row.tag
            for row in table.rows()
            if any(row.options.get(option) == "K" for option in chosen) and self._exact.get(row.tag) is Action.KEEP
        )

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
        """Give the action for a standard attribute: an override, the table, or what its VR says, in this order.

        Parameters
        ----------
        tag
            (group << 16) | element.
        vr
            As written in the file. Where the dictionary says another one, the stricter of both decides.
        """
        found = self._exact.get(tag)
        if found is not None:
            return found
        for resolved in self._repeating:
            if resolved.pattern.meets(tag):
                return resolved.described.action
        known = known_vr(tag)
        if known == "UN":
            return Action.REMOVE
        written, listed = (self._by_vr.get(name, Action.REMOVE) for name in (vr, known))
        return listed if written is Action.KEEP or listed is Action.REMOVE else written

    def private(self, creator: str, group: int) -> dict[int, Action]:
        """Give the elements (last byte of the tag) of a private creator that stay, and what to do with each."""
        return self._private.get((creator.strip().lower(), group), {})

    def describe(self) -> list[Described]:
        """List what happens to each attribute: overrides, table, VRs, private elements, CSA, protocols, audit."""
        overridden = {resolved.pattern.tag for resolved in self._overrides}
        found = [resolved.described for resolved in self._overrides]
        found += [resolved.described for resolved in self._table if resolved.pattern.tag not in overridden]
        found += [
            Described(f"{vr}, not in the table", "", action, "by_vr") for vr, action in sorted(self._by_vr.items())
        ]
        found.append(Described("attributes that the standard does not know", "", Action.REMOVE, "by_vr"))
        found += [
            Described(creator, f"{group:04X},xx{element:02X}", action, "private: allow-list")
            for (creator, group), elements in sorted(self._private.items())
            for element, action in sorted(elements.items())
        ]
        found.append(Described("other private elements", "", Action.REMOVE, "private: not on the allow-list"))
        return found + self._describe_blocks() + self._describe_audit()

    def _describe_blocks(self) -> list[Described]:
        sorts = {"number": Action.NUMBER, "text": Action.CLEAN, "protocol": Action.PROTOCOL}
        found = [Described(f"CSA {name}", "", sorts[sort], "csa") for name, sort in sorted(self.csa.items())]
        found.append(Described("other CSA elements", "", Action.EMPTY, "csa: not on the list"))
        strings = sorted(name.decode("latin-1") for name in self.protocol_strings | self.protocol_versions)
        found += [Described(f"ASCCONV string {name}", "", Action.CLEAN, "siemens_protocol") for name in strings]
        found.append(Described("other ASCCONV strings", "", Action.EMPTY, "siemens_protocol: not on the list"))
        found.append(Described("ASCCONV numbers", "", Action.NUMBER, "siemens_protocol"))
        found += [
            Described(f"GE protocol {name}", "", Action.EMPTY, "ge_protocol: drop")
            for name in sorted(self.ge_protocol_drop)
        ]
        found.append(Described("other values of the GE protocol", "", Action.CLEAN, "ge_protocol"))
        return found

    def _describe_audit(self) -> list[Described]:
        exemptions = self.exemptions
        found = [
            Described(f"{len(words)} words", "", Action.KEEP, f"audit: {rule}")
            for rule, words in sorted(exemptions.words.items())
        ]
        if exemptions.equipment:
            found.append(
                Described(
                    "manufacturer, model and software of the session's header", "", Action.KEEP, "audit: equipment"
                )
            )
        found.append(Described("the configured `responsible`", "", Action.KEEP, "audit: responsible"))
        found += [Described(text, "", Action.KEEP, f"audit: {rule}") for rule, text in BUILT_IN_EXEMPTIONS.items()]
        return found


#: What the audit passes over in any case (`audit.py`, `identifiers.py`), by the name of the rule.
BUILT_IN_EXEMPTIONS: Final = {
    "short": "words of fewer than four characters, and numbers of fewer than five digits that are no PatientID",
    "general": "words of addresses that name no place, such as `university`",
    "inside_words": "what stands within a longer word or a decimal number",
    "json_keys": "keys of JSON",
    "measured": "numbers of fewer than six digits in tables, in JSON and in elements of numbers",
    "standard_uids": "UIDs below 1.2.840.10008, and those that name a class of objects",
    "pixels": "pixels and voxels",
    "spectra": "in spectra, words of fewer than seven letters that stand in no text of twelve bytes",
}


def load_rules(path: Path) -> Rules:
    """Read and check a rules file.

    Raises
    ------
    RulesError
        The file is missing or not YAML, has a key or attribute that does not exist (the nearest one is named), or keeps
        what identifies a person.
    """
    recipe = read_recipe(path)
    refuse_identifiers(recipe, path.name)
    return Rules(recipe)


def _resolve(override: Override) -> Iterator[_Resolved]:
    for pattern in override.patterns():
        rule = f"override: {override.reason}"
        yield _Resolved(pattern, Described(pattern.name, _shown(pattern), override.action, rule))


def _shown(pattern: Pattern) -> str:
    """Write a tag as `gggg,eeee`, with an x for each digit that does not count."""
    digits = "".join(
        digit if bits == "F" else "x" for digit, bits in zip(f"{pattern.tag:08X}", f"{pattern.mask:08X}", strict=True)
    )
    return f"{digits[:4]},{digits[4:]}"


def _private(blocks: Iterable[Private]) -> dict[tuple[str, int], dict[int, Action]]:
    found: dict[tuple[str, int], dict[int, Action]] = {}
    for block in blocks:
        found.setdefault((block.creator.strip().lower(), int(block.group, 16)), {}).update(block.elements())
    return found
