"""The recipe validator: refuses rules that would keep a direct identifier, whichever way they try."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from pydicom.datadict import keyword_dict

from heartbrain_ingest.deidentify import table
from heartbrain_ingest.deidentify.recipe import Override, Pattern, Recipe
from heartbrain_ingest.deidentify.table import Action, Option
from heartbrain_ingest.dicom.encoding import known_vr
from heartbrain_ingest.errors import RulesError

#: What an override may name; the others belong to private elements.
_STANDARD_ACTIONS: Final = frozenset(
    {Action.KEEP, Action.REMOVE, Action.EMPTY, Action.DUMMY, Action.CLEAN, Action.SHIFT, Action.REMAP}
    | {Action.SUBJECT, Action.DEVICE, Action.AGE, Action.CONTENTS, Action.VOCABULARY, Action.SPECTRUM}
)
#: Actions that leave nothing of a value.
_WIPING: Final = frozenset({Action.REMOVE, Action.EMPTY, Action.DUMMY, Action.SUBJECT, Action.DEVICE})
_TEXTS: Final = {Action.REMOVE, Action.EMPTY, Action.CLEAN, Action.VOCABULARY}
#: What must become of a value of these VRs that the table does not list.
_FORCED: Final = {
    "PN": {Action.REMOVE, Action.EMPTY},
    "UI": {Action.REMAP, Action.REMOVE, Action.EMPTY},
    "DA": {Action.SHIFT, Action.REMOVE, Action.EMPTY},
    "DT": {Action.SHIFT, Action.REMOVE, Action.EMPTY},
    "UN": {Action.REMOVE, Action.EMPTY},
    "UR": {Action.REMOVE, Action.EMPTY},
    "SQ": {Action.CONTENTS, Action.REMOVE, Action.EMPTY},
    **dict.fromkeys(("AE", "LO", "LT", "SH", "ST", "UC", "UT"), _TEXTS),
}
#: Text attributes that the table does not list and that may stay as they are: they say how the rest is written.
_HARMLESS: Final = frozenset({"SpecificCharacterSet", "Manufacturer", "ManufacturerModelName"})
_CLASS: Final = re.compile("SOPClass|TransferSyntax|ImplementationClass|CodingScheme|ContextUID|Mapping")
#: Private creators whose elements name the patient, the visit or the equipment.
_IDENTIFYING_CREATORS: Final = re.compile(
    r"GEMS_(?:PATI|IDEN|STDY|GENIE|PETD)_.*|SIEMENS MEDCOM (?:HEADER2?|OOG)|SIEMENS CM VA0.*|SIEMENS RIS|SPI.*"
    r"|SIEMENS DICOM|.*PATIENT.*|SIEMENS SYNGO (?:WORKFLOW|INDEX SERVICE)"
    r"|ELSCINT.*|AGFA.*|MITRA.*|DLX_PATNT.*|INTEGRIS.*|ISG SHADOW",
    re.IGNORECASE,
)
#: A longer run of elements is no choice of some.
_MOST_IN_A_RUN: Final = 48
#: Elements of CSA headers, and keys of Siemens protocols, that hold what names people, visits or objects.
_IDENTIFYING_NAMES: Final = re.compile(
    r"PatReinPattern|SequenceFileOwner|Referenced\w*Sequence|t?Patient(?:s?Name|ID|Birth\w*|Sex|LOID|Comment\w*)"
    r"|\w*(?:Physician|Operator|Institution|SerialN|Address|Insurance|Accession)\w*|\w*UID|tReferenceImage\d*|StudyID",
    re.IGNORECASE,
)
_PLAIN_CREATOR: Final = re.compile(r"[A-Za-z][A-Za-z0-9 ._/:-]{2,63}")
#: Letters of a name that a pattern of the vocabulary must not let through.
_NAMES_TO_TRY: Final = ("Mustermann", "mustermann", "MUSTERMANN", "Erika Mustermann", "Mustermann^Erika", "19740812")


class _RefusalError(ValueError):
    """What is too open."""


def refuse_identifiers(recipe: Recipe, name: str) -> None:
    """Refuse rules that would leave what identifies a person.

    Raises
    ------
    RulesError
        With the attribute, creator or list that is too open.
    """
    try:
        _check_by_vr(recipe)
        _check_overrides(recipe)
        _check_private(recipe)
        _check_names(recipe)
        _check_vocabulary(recipe)
    except _RefusalError as error:
        raise RulesError(f"{name}: {error}") from error


def _check_by_vr(recipe: Recipe) -> None:
    for action, vrs in recipe.by_vr.items():
        for vr in vrs:
            if Action(action) not in _FORCED.get(vr, {Action(action)}):
                raise _RefusalError(f"by_vr.{action} may not hold {vr}: it identifies people")


def _check_overrides(recipe: Recipe) -> None:
    chosen = frozenset(option for option, on in recipe.options.items() if on)
    for override in recipe.overrides:
        if not override.holds(chosen):
            continue
        if override.action not in _STANDARD_ACTIONS:
            raise _RefusalError(f"overrides: `{override.action}` is for private elements only")
        for pattern in override.patterns():
            if pattern.mask & 0x10000 and pattern.tag & 0x10000:
                raise _RefusalError(f"overrides: {pattern.name} is private: list its creator under `private`")
            if override.action not in _WIPING:
                _check_override(override, pattern, chosen)


def _check_override(override: Override, pattern: Pattern, chosen: frozenset[Option]) -> None:
    for row in table.rows():
        if pattern.meets(row.tag, row.mask) and not _permits(row, override.action, chosen):
            raise _RefusalError(_refusal(override.action, row.name, row, chosen))
    listed = _listed()
    for tag, keyword in _dictionary().items():
        if tag in listed or keyword in _HARMLESS or not pattern.meets(tag):
            continue
        vr = known_vr(tag)
        if vr == "UI" and _CLASS.search(keyword):
            continue
        if override.action not in _FORCED.get(vr, {override.action}):
            raise _RefusalError(f"overrides: `{override.action}` would leave {keyword}, which names people ({vr})")


def _refusal(action: Action, attribute: str, row: table.Row, chosen: frozenset[Option]) -> str:
    said = f"overrides: `{action}` would leave {attribute}, which names people"
    others = [option for option in Option if option not in chosen and _permits(row, action, frozenset({option}))]
    return f"{said}; the option `{others[0]}` says so, and its code is stamped" if others else said


def _permits(row: table.Row, action: Action, chosen: frozenset[Option]) -> bool:
    """Tell whether an option that is on lets something of the attribute stay."""
    letters = {letter for option, letter in row.options.items() if option in chosen}
    if action is Action.REMAP:
        return row.vr == "UI"
    if action is Action.CONTENTS:
        return row.vr == "SQ" and (bool(letters) or "U" in row.basic)
    if action is Action.KEEP:
        return "K" in letters or (row.vr == "TM" and "C" in letters)
    if action is Action.SHIFT:
        return row.vr in {"DA", "DT"} and "C" in letters
    if action is Action.AGE:
        return row.vr == "AS" and bool(letters)
    return bool(letters)


def _check_private(recipe: Recipe) -> None:
    for block in recipe.private:
        creator = block.creator.strip()
        if not _PLAIN_CREATOR.fullmatch(creator):
            raise _RefusalError(f"private: `{creator}` is no name of a creator; patterns are not allowed")
        if _IDENTIFYING_CREATORS.fullmatch(creator):
            raise _RefusalError(f"private: elements of {creator} name the patient or the visit")
        for sort in type(block).model_fields:
            for text in getattr(block, sort) if sort not in {"creator", "group"} else ():
                first, _, last = text.partition("-")
                if last and int(last, 16) - int(first, 16) >= _MOST_IN_A_RUN:
                    raise _RefusalError(f"private: {creator}: {text} is everything; list the elements that are needed")


def _check_names(recipe: Recipe) -> None:
    kept = (
        ("csa", (*recipe.csa.number, *recipe.csa.text, *recipe.csa.protocol)),
        ("siemens_protocol", (*recipe.siemens_protocol.strings, *recipe.siemens_protocol.versions)),
    )
    for place, names in kept:
        for one in names:
            if _IDENTIFYING_NAMES.fullmatch(one.rpartition(".")[2]):
                raise _RefusalError(f"{place}: {one} names people")


def _check_vocabulary(recipe: Recipe) -> None:
    for text in recipe.vocabulary.patterns:
        if any(re.fullmatch(text, name) for name in _NAMES_TO_TRY):
            raise _RefusalError(f"vocabulary: the pattern `{text}` lets names and dates through")


@cache
def _listed() -> frozenset[int]:
    return frozenset(row.tag for row in table.rows())


@cache
def _dictionary() -> dict[int, str]:
    """Give tag and keyword of the standard's attributes."""
    return {tag: keyword for keyword, tag in keyword_dict.items()}
