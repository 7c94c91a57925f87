"""The first lines of a text that a function made, for the page of a result that has no numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from heartbrain_ingest.portal.entity import Entity
from heartbrain_ingest.portal.files import ending, find_published
from heartbrain_ingest.portal.record_parts import GivenFile

#: What people read comes before what programs read; a name without an ending (SHA256SUMS, LOG) is a text too.
_ORDER: Final = (".md", ".txt", "", ".tsv", ".csv", ".log", ".json")
_MOST_BYTES: Final = 8_000
_MOST_LINES: Final = 40


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The beginning of a file."""

    file: GivenFile
    text: str
    #: Whether that is all of it.
    is_whole: bool


def preview(files: Iterable[GivenFile], known: Mapping[int, Entity], archive: Path) -> Preview | None:
    """Give the beginning of the text that says most of a result; None where no output is a text."""
    outputs = [one for one in files if one.what == "OutputFiles" and _kind(one.name) in _ORDER and one.size]
    for file in sorted(outputs, key=lambda one: _ORDER.index(_kind(one.name))):
        found = _read(archive, known[file.id].path) if file.id in known else None
        if found is not None:
            return Preview(file=file, text=found[0], is_whole=found[1])
    return None


def _kind(name: str) -> str:
    return ending(name) or ("" if "." not in name else "unknown")


def _read(archive: Path, place: str) -> tuple[str, bool] | None:
    published = find_published(archive, place)
    if published is None:
        return None
    try:
        with published.path.open("rb") as stream:
            body = stream.read(_MOST_BYTES)
    except OSError:
        return None
    is_whole = published.status.st_size <= len(body)
    # The last character may be cut in two.
    text = body.decode(errors="ignore" if not is_whole else "replace")
    if "\0" in text or "\N{REPLACEMENT CHARACTER}" in text:
        return None
    lines = text.splitlines()
    shown = lines[:_MOST_LINES]
    clean = ("".join(one for one in line if one.isprintable() or one == "\t") for line in shown)
    return "\n".join(clean), is_whole and len(lines) <= _MOST_LINES
