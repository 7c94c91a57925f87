"""The words of the standards: nobody's name, even where a header uses one as a name."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from heartbrain_ingest.deidentify.identifiers import SHORTEST_TO_CLEAN


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
