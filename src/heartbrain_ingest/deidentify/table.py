"""The attribute confidentiality profiles of DICOM PS3.15 table E.1-1, and what they mean under chosen options."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from heartbrain_ingest.dicom.encoding import known_vr

_TABLE = "ps3.15-table-e1-1.tsv"


class Action(StrEnum):
    """What happens to an attribute."""

    #: Stays as it is.
    KEEP = "keep"
    #: Goes with its value.
    REMOVE = "remove"
    #: Stays without a value.
    EMPTY = "empty"
    #: Gets a value that says nothing and that the VR allows.
    DUMMY = "dummy"
    #: Text keeps its words, but not the session's identifiers, dates and numbers of people.
    CLEAN = "clean"
    #: Text keeps the words of a vocabulary only.
    VOCABULARY = "vocabulary"
    #: A date moves by the subject's number of days; the time of day stays.
    SHIFT = "shift"
    #: A UID becomes its keyed hash.
    REMAP = "remap"
    #: Gets the subject's label.
    SUBJECT = "subject"
    #: A serial number becomes its keyed hash.
    DEVICE = "device"
    #: An age over 89 years becomes 90.
    AGE = "age"
    #: A sequence stays; each attribute in it is treated by its own rule.
    CONTENTS = "contents"
    #: A number stays if it is one.
    NUMBER = "number"
    #: A Siemens CSA header is taken apart, cleaned and put together again.
    CSA = "csa"
    #: A Siemens protocol text keeps its cleaned ASCCONV part.
    PROTOCOL = "protocol"
    #: A GE protocol block is unpacked, cleaned and packed again.
    GE_PROTOCOL = "ge_protocol"
    #: Spectra stay if they are complex numbers and no text.
    SPECTRUM = "spectrum"
    #: Dates and words in a binary block are overwritten, at the same length.
    BLANK_TEXT = "blank_text"


class Option(StrEnum):
    """The options of PS3.15 section E.3 that a site can choose; the value is the column of the table."""

    MODIFIED_DATES = "modified_dates"
    SAFE_PRIVATE = "safe_private"
    CLEAN_DESCRIPTORS = "clean_descriptors"
    CLEAN_STRUCTURED = "clean_structured"
    PATIENT_CHARACTERISTICS = "patient_characteristics"
    DEVICE_IDENTITY = "device_identity"
    INSTITUTION_IDENTITY = "institution_identity"


#: The options that keep who owns the scanner or which one it is: what they keep is no identifier any more.
IDENTITIES = frozenset({Option.DEVICE_IDENTITY, Option.INSTITUTION_IDENTITY})

#: Codes of the options in context group CID 7050 (PS3.16), coding scheme DCM.
CODES: dict[Option | None, tuple[str, str]] = {
    None: ("113100", "Basic Application Confidentiality Profile"),
    Option.CLEAN_STRUCTURED: ("113104", "Clean Structured Content Option"),
    Option.CLEAN_DESCRIPTORS: ("113105", "Clean Descriptors Option"),
    Option.MODIFIED_DATES: ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    Option.PATIENT_CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
    Option.DEVICE_IDENTITY: ("113109", "Retain Device Identity Option"),
    Option.SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
    Option.INSTITUTION_IDENTITY: ("113112", "Retain Institution Identity Option"),
}

_TEXT = frozenset({"AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})


@dataclass(frozen=True)
class Row:
    """One attribute of the table."""

    #: (group << 16) | element; for a repeating group its first.
    tag: int
    #: Bits of the tag that count; a repeating group leaves some out.
    mask: int
    #: Empty where the standard's dictionary has none.
    keyword: str
    vr: str
    #: The basic profile: one of or several of X, Z, D, U, "*" for a sequence whose UIDs change.
    basic: str
    #: What an option says instead: K keeps, C cleans.
    options: dict[str, str]

    @property
    def name(self) -> str:
        """Its keyword, or its tag where it has none."""
        return self.keyword or f"({self.tag >> 16:04X},{self.tag & 0xFFFF:04X})"


@cache
def rows() -> tuple[Row, ...]:
    """Give the rows of the standard's table, in its order."""
    text = files(__package__).joinpath(_TABLE).read_text(encoding="utf-8")
    columns = [option.value for option in Option if option is not Option.SAFE_PRIVATE]
    found = []
    for line in csv.DictReader(text.splitlines(), delimiter="\t"):
        pattern = line["tag"].replace(",", "")
        tag = int(pattern.replace("X", "0"), 16)
        mask = int("".join("0" if digit == "X" else "F" for digit in pattern), 16)
        options = {column: line[column] for column in columns if line[column]}
        vr = line["vr"] or known_vr(tag)
        found.append(Row(tag, mask, line["keyword"], vr, line["basic"], options))
    return tuple(found)


def content() -> bytes:
    """Give the bytes of the table, for the rules' digest."""
    return files(__package__).joinpath(_TABLE).read_bytes()


def decide(row: Row, options: frozenset[Option], types: dict[str, int]) -> tuple[Action, str]:
    """Choose the action for one row.

    What an option says goes before the basic profile; keeping goes before cleaning. Where the profile leaves a choice
    (X/Z, X/Z/D ...), the attribute goes, unless the MR image objects require it: type 1 gets a dummy, type 2 is empty.

    Returns
    -------
    action, reason
        The reason names the option and its letter, or the basic profile's letter.
    """
    letters = {option: row.options[option] for option in Option if option in options and option in row.options}
    for letter in "KC":
        for option, said in letters.items():
            if said == letter:
                chosen = _retain(row, option) if letter == "K" else _clean(row, option)
                if chosen is not None:
                    return chosen, f"PS3.15 {option.value}: {letter}"
    return _basic(row, types), f"PS3.15 basic profile: {row.basic}"


def _retain(row: Row, option: Option) -> Action:
    if option in IDENTITIES and row.vr not in {"DA", "DT", "SQ"}:
        return Action.KEEP
    if row.vr == "AS":
        return Action.AGE
    if row.vr in {"DA", "DT"}:
        return Action.SHIFT
    if row.vr == "UI":
        return Action.REMAP
    if row.vr == "SQ":
        return Action.CONTENTS
    return Action.CLEAN if row.vr in _TEXT - {"CS"} else Action.KEEP


def _clean(row: Row, option: Option) -> Action | None:
    if option is Option.MODIFIED_DATES:
        return {"DA": Action.SHIFT, "DT": Action.SHIFT, "TM": Action.KEEP, "SQ": Action.CONTENTS}.get(row.vr)
    if row.vr == "SQ":
        return Action.CONTENTS
    return Action.CLEAN if row.vr in _TEXT else None


def _basic(row: Row, types: dict[str, int]) -> Action:
    letters = row.basic.replace("*", "").split("/")
    if "U" in letters:
        return Action.REMAP if row.vr == "UI" else Action.CONTENTS
    required = types.get(row.keyword)
    if len(letters) > 1:
        if required == 1 and "D" in letters:
            return Action.DUMMY
        if required in {1, 2} and "Z" in letters:
            return Action.EMPTY
        letters = letters[:1]
    return {"X": Action.REMOVE, "Z": Action.EMPTY, "D": Action.DUMMY}[letters[0]]
