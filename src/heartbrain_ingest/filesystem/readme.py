"""The README.md of a published folder: a YAML header for programs, a few words for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

README_NAME = "README.md"


class FileEntry(BaseModel):
    """A file or folder that the header names, with a description."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(description="Path relative to the folder of the README.")
    description: str = Field("", description="What it is.")


class ReadmeHeader(BaseModel):
    """Header fields of the Guidelines for a Standardized Filesystem Layout (Spreckelsen et al. 2020, section 3)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    responsible: tuple[str, ...] = Field(min_length=1, description="Who answers for the folder.")
    description: str = Field(min_length=1, description="What the folder holds.")
    sources: tuple[FileEntry, ...] = Field((), description="What the results were made of.")
    scripts: tuple[FileEntry, ...] = Field((), description="What the results were made with.")
    results: tuple[FileEntry, ...] = Field((), description="What was made.")
    tags: tuple[str, ...] = Field((), description="Words to find the folder by.")
    revisionOf: str | None = Field(None, description="The folder that this one replaces.")  # noqa: N815 - the guideline's name


def write_readme(folder: Path, header: ReadmeHeader, body: str) -> None:
    """Write `README.md` into a folder."""
    content = header.model_dump(exclude_none=True, mode="json")
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    (folder / README_NAME).write_text(f"---\n{text}...\n\n{body.strip()}\n", encoding="utf-8")


def read_header(folder: Path) -> dict[str, Any] | None:
    """Read the YAML header of a folder's README.md; None when there is none."""
    try:
        text = (folder / README_NAME).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        return None
    for number, line in enumerate(lines[1:], start=1):
        if line.strip() in {"---", "..."}:
            try:
                content = yaml.safe_load("\n".join(lines[1:number]))
            except yaml.YAMLError:
                return None
            return content if isinstance(content, dict) else None
    return None
