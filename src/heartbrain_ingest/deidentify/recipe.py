"""The format of `crawler_config/deidentification.yml`: read, what is not known refused with the nearest name."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydicom.datadict import keyword_dict

from heartbrain_ingest.deidentify.table import Action, Option
from heartbrain_ingest.errors import RulesError
from heartbrain_ingest.yaml_model import QuickSafeLoader

_TAG: Final = re.compile(r"([0-9A-Fa-fXx]{4}),([0-9A-Fa-fXx]{4})")
_HEX_RANGE: Final = re.compile(r"([0-9A-Fa-f]{2})(?:-([0-9A-Fa-f]{2}))?")
#: All bits of a tag.
WHOLE_TAG: Final = 0xFFFFFFFF

HexRanges = list[Annotated[str, Field(pattern=_HEX_RANGE.pattern)]]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Required(_Model):
    """Attributes that the image objects require, by type."""

    type1: tuple[str, ...] = ()
    type2: tuple[str, ...] = ()


class Override(_Model):
    """What happens to some attributes instead of what the table says."""

    attributes: tuple[str, ...]
    action: Action
    reason: str = Field(min_length=1)
    #: The option that it needs; without it the table decides.
    under: Option | None = None
    #: The option under which the table decides after all.
    unless: Option | None = None

    def holds(self, chosen: frozenset[Option]) -> bool:
        """Tell whether it is in force under the options that are on."""
        return (self.under is None or self.under in chosen) and self.unless not in chosen

    def patterns(self) -> list[Pattern]:
        """Give the tags that the attributes name."""
        return [pattern(attribute) for attribute in self.attributes]


class Private(_Model):
    """The elements of one private creator that stay, by what their values have to be."""

    creator: str
    group: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{3}[13579BDFbdf]$")]
    number: HexRanges = []
    text: HexRanges = []
    shift: HexRanges = []
    contents: HexRanges = []
    csa: HexRanges = []
    protocol: HexRanges = []
    ge_protocol: HexRanges = []
    spectrum: HexRanges = []
    blank_text: HexRanges = []

    def elements(self) -> dict[int, Action]:
        """Give the last byte of the tag of each element, and what to do with it."""
        found: dict[int, Action] = {}
        for sort, action in PRIVATE_SORTS.items():
            for text in getattr(self, sort):
                found |= dict.fromkeys(hex_range(text), action)
        return found


class Csa(_Model):
    """Elements of Siemens CSA headers that stay."""

    number: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()


class SiemensProtocol(_Model):
    """Strings of the ASCCONV part that stay."""

    strings: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


class GeProtocol(_Model):
    """Keys of the GE protocol block whose values go."""

    drop: tuple[str, ...] = ()


class Vocabulary(_Model):
    """What may stay of a text whose author is free to write anything."""

    words: tuple[Annotated[str, Field(pattern=r"^[A-Za-z]+$")], ...] = ()
    patterns: tuple[str, ...] = ()

    @field_validator("patterns")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for text in patterns:
            try:
                re.compile(text)
            except re.error as error:
                message = f"not a regular expression: {error}"
                raise ValueError(message) from error
        return patterns


class Audit(_Model):
    """What the leak audit passes over."""

    dicom_keywords: bool = True
    bids_terms: bool = True
    equipment: bool = True
    words: tuple[str, ...] = ()


class Recipe(_Model):
    """The whole file."""

    version: str
    options: dict[Option, bool]
    required: Required = Required()
    overrides: tuple[Override, ...] = ()
    by_vr: dict[
        Literal["remove", "empty", "shift", "remap", "clean", "contents", "keep"],
        tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...],
    ]
    private: tuple[Private, ...] = ()
    csa: Csa = Csa()
    siemens_protocol: SiemensProtocol = SiemensProtocol()
    ge_protocol: GeProtocol = GeProtocol()
    vocabulary: Vocabulary = Vocabulary()
    audit: Audit = Audit()


#: The sorts of private elements, and what each means.
PRIVATE_SORTS: Final = {
    "number": Action.NUMBER,
    "text": Action.CLEAN,
    "shift": Action.SHIFT,
    "contents": Action.CONTENTS,
    "csa": Action.CSA,
    "protocol": Action.PROTOCOL,
    "ge_protocol": Action.GE_PROTOCOL,
    "spectrum": Action.SPECTRUM,
    "blank_text": Action.BLANK_TEXT,
}


class Pattern(NamedTuple):
    """One attribute, or a group of them."""

    #: As written.
    name: str
    tag: int
    #: Bits of the tag that count.
    mask: int

    def meets(self, tag: int, mask: int = WHOLE_TAG) -> bool:
        """Tell whether a tag of the other pattern is one of this pattern as well."""
        return not (self.tag ^ tag) & self.mask & mask


def pattern(attribute: str) -> Pattern:
    """Give the tags that a keyword, `gggg,eeee` or a pattern with x for any digit stands for.

    Raises
    ------
    RulesError
        DICOM has no such keyword; the nearest one is named.
    """
    found = _TAG.fullmatch(attribute)
    if found is None:
        return Pattern(attribute, _tag_of(attribute), WHOLE_TAG)
    digits = (found[1] + found[2]).upper()
    mask = int("".join("0" if digit == "X" else "F" for digit in digits), 16)
    return Pattern(attribute, int(digits.replace("X", "0"), 16), mask)


def _tag_of(keyword: str) -> int:
    tag = keyword_dict.get(keyword)
    if tag is None:
        near = difflib.get_close_matches(keyword, keyword_dict, n=1)
        raise RulesError(f"DICOM has no {keyword}" + (f"; did you mean {near[0]}?" if near else ""))
    return tag


def hex_range(text: str) -> range:
    """Give the numbers of `0A` or `0A-0F`."""
    first, _, last = text.partition("-")
    return range(int(first, 16), int(last or first, 16) + 1)


def read_recipe(path: Path) -> Recipe:
    """Read a rules file.

    Raises
    ------
    RulesError
        The file is missing or not YAML, or has a key that does not exist (the nearest one is named).
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), QuickSafeLoader)  # noqa: S506 - it is a safe one
    except OSError as error:
        raise RulesError(f"{path.name}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise RulesError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from error
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RulesError(f"{path.name}: {_explain(error)}") from error


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
