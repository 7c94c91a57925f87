"""Words that are nobody's name: those of the standards, and those that a site lists for free texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Final

from heartbrain_ingest.deidentify.identifiers import SHORTEST_TO_CLEAN

#: Words by which makers, models and software of scanners are known; another word in those attributes may be a name.
EQUIPMENT: Final = frozenset(
    (
        "achieva", "aera", "allegra", "altea", "amira", "ambition", "ascent", "aurora", "avanto", "bay", "biograph",
        "brainlab", "bruker", "canon", "centricity", "cima", "connectom", "corporation", "discovery", "eclipse",
        "elan", "elition", "enhanced", "espree", "evolution", "excite", "explorer", "fit", "flow", "free", "fx",
        "galan", "gmbh", "healthcare", "healthineers", "hitachi", "hdx", "hdxt", "highspeed", "imaging", "ingenia",
        "insight", "intera", "korea", "lumina", "magnetom", "mec", "medical", "mediso", "mhz", "mr", "mri",
        "neusoft", "nova", "numaris", "optima", "orian", "panorama", "paravision", "pet", "pharmascan", "philips",
        "pioneer", "premier", "prisma", "release", "se", "sempra", "sensation", "siemens", "signa", "skyra", "sola",
        "spectra", "sv", "syngo", "symphony", "systems", "tesla", "tim", "titan", "toshiba", "trillium", "triton",
        "trio", "uih", "umr", "united", "vantage", "verio", "version", "vida", "viva", "xa", "xgv", "xr",
    )
)  # fmt: skip
#: What stands between blanks and separators.
_PIECE: Final = re.compile(r"[^\s^,;:|/\\_]+")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_CAPITALS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
#: Digits in a piece of text; more of them are a date or a registration number.
_MOST_DIGITS: Final = 4


class Vocabulary:
    """What may stay of a text in which anybody can write anything: listed words, short numbers, listed patterns.

    A word is nobody's name because somebody who knows the protocols listed it, not because no header names it.
    """

    def __init__(self, words: Iterable[str], patterns: Iterable[str]) -> None:
        self._words = frozenset(word.lower() for word in words)
        self._patterns = tuple(re.compile(pattern) for pattern in patterns)

    def clean(self, text: str) -> str:
        """Give the pieces of a text that may stay, each behind the first separator before it."""
        if self._fits(text.strip()):
            return text
        kept: list[str] = []
        last = 0
        for piece in _PIECE.finditer(text):
            if self._fits(piece.group()) or self._is_known(piece.group()):
                gap = text[last : piece.start()] if kept else ""
                kept.append((gap[:1] or " " if kept else "") + piece.group())
            last = piece.end()
        return "".join(kept)

    def _fits(self, text: str) -> bool:
        return any(pattern.fullmatch(text) for pattern in self._patterns)

    def _is_known(self, piece: str) -> bool:
        if sum(map(str.isdigit, piece)) > _MOST_DIGITS:
            return False
        words = (part for run in _LETTERS.findall(piece) for part in self._parts(run))
        return all(word.lower() in self._words or len(word) == 1 for word in words)

    def _parts(self, run: str) -> Iterable[str]:
        """Give a word, or the words of one such as `HeartBrain`."""
        return (run,) if run.lower() in self._words else _CAPITALS.split(run)


@cache
def dicom_keywords() -> frozenset[str]:
    """Give the keywords of the DICOM dictionary (PS3.6) in lower case, such as `repetitiontime`."""
    from pydicom._dicom_dict import DicomDictionary  # noqa: PLC0415 - a third of a second

    return frozenset(entry[4].lower() for entry in DicomDictionary.values() if entry[4])


@cache
def bids_terms() -> frozenset[str]:
    """Give the terms of the BIDS schema in lower case: metadata fields, entities, suffixes, coded values."""
    schema = json.loads(files("bidsschematools").joinpath("data/schema.json").read_text(encoding="utf-8"))
    found: set[str] = set()
    for group in ("metadata", "entities", "suffixes", "datatypes", "modalities", "columns", "enums", "extensions"):
        for key, entry in schema["objects"][group].items():
            found.update((key, *_values(entry)))
    return frozenset(word.lower().strip("_") for word in found if len(word) >= SHORTEST_TO_CLEAN)


def _values(entry: Any) -> list[str]:
    if not isinstance(entry, dict):
        return []
    found = [str(entry[key]) for key in ("value", "name") if isinstance(entry.get(key), str)]
    found += [str(value) for value in entry.get("enum", ()) if isinstance(value, str)]
    for inner in entry.get("anyOf", ()):
        found += _values(inner)
    return found
