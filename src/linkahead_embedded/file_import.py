"""`InsertFilesInDir`: make File entities of a folder below the file root, linked where they lie."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .errors import RequestError
from .files import LINKED, FileStore, measure
from .model import EntityDraft, Role, StoredFile
from .regexp import Pattern

MAX_FILES = 200_000


@dataclass(frozen=True, slots=True)
class Order:
    """What the flag asks for: `[-p prefix] [-e exclude] [-i include] [--force-allow-symlinks] path`."""

    path: str
    prefix: str = ""
    exclude: Pattern | None = None
    include: Pattern | None = None
    follows_links: bool = False


def parse_order(text: str) -> Order:
    """Read the value of the flag.

    Raises
    ------
    RequestError
        If it is malformed.
    """
    options: dict[str, str] = {}
    follows_links = False
    rest = text.strip()
    while match := re.match(r"-(p|e|i)\s+(\"[^\"]*\"|'[^']*'|\S+)\s+|--force-allow-symlinks\s+", rest):
        if match[1]:
            options[match[1]] = "".join(shlex.split(match[2])) if match[2][0] in "\"'" else match[2]
        else:
            follows_links = True
        rest = rest[match.end() :]
    if not rest or not rest.isprintable():
        raise RequestError(400, "InsertFilesInDir needs a path without control characters.")
    patterns = {key: _anywhere(options[key]) for key in ("e", "i") if key in options}
    return Order(rest, options.get("p", ""), patterns.get("e"), patterns.get("i"), follows_links)


def _anywhere(pattern: str) -> Pattern:
    """Let a pattern match anywhere in the text, unless it is anchored."""
    before = "" if pattern.startswith("^") else ".*"
    after = "" if pattern.endswith("$") and not pattern.endswith("\\$") else ".*"
    bare = pattern[1 if not before else 0 : len(pattern) - (not after)]
    return Pattern(f"{before}(?:{bare}){after}")


def drafts(order: Order, files: FileStore) -> Iterator[EntityDraft]:
    """Give a File draft, with size and checksum, for each file that the order names.

    Raises
    ------
    RequestError
        If the folder is not below the file root.
    """
    if files.root is None:
        raise RequestError(400, "This server has no file root to take files from.")
    given = Path(order.path)
    folder = (
        given
        if given.is_absolute() and given.resolve().is_relative_to(files.root)
        else files.root / order.path.lstrip("/")
    ).resolve()
    if not folder.is_relative_to(files.root) or not os.path.isdir(folder):  # noqa: PTH112 - it never raises
        raise RequestError(400, "InsertFilesInDir: there is no such folder below the file root.")
    base = PurePosixPath("/", order.prefix.strip("/"), folder.name)
    for count, path in enumerate(_walk(folder, order, files.root)):
        if count >= MAX_FILES:
            raise RequestError(400, f"InsertFilesInDir: more than {MAX_FILES} files.")
        size, checksum = measure(path)
        location = str(path.relative_to(files.root))
        target = str(base / path.relative_to(folder))
        stored = StoredFile(LINKED, location, size, checksum)
        yield EntityDraft(Role.FILE, name=None, path=target, file=stored)


def _walk(folder: Path, order: Order, root: Path) -> Iterator[Path]:
    for directory, names, entries in os.walk(folder, followlinks=False):
        names[:] = sorted(name for name in names if _is_wanted(Path(directory, name), order))
        for name in sorted(entries):
            path = Path(directory, name)
            if path.is_symlink() and not (order.follows_links and path.resolve().is_relative_to(root)):
                continue
            if path.is_file() and _is_wanted(path, order) and name.isprintable():
                yield path


def _is_wanted(path: Path, order: Order) -> bool:
    text = str(path)
    if order.exclude is not None and order.exclude.covers(text):
        return False
    return order.include is None or order.include.covers(text)
