"""File entities: LinkAhead must know the files of a folder before records can refer to them.

The embedded LinkAhead links a file itself when a `File` with a path below its file root is inserted. A server does not:
it must be asked to link the folder, by the path under which the server sees the archive (`extroot` in its profile).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from caosadvancedtools.loadFiles import loadpath
from linkahead.queries import query
from linkahead.utils.escape import escape_squoted_text

from heartbrain_ingest.errors import DatabaseError


def known_paths(folder: str) -> set[str]:
    """Give the paths of all File entities below a folder of LinkAhead's file system."""
    return {str(file.path) for file in query(f"FIND FILE WHICH IS STORED AT '{escape_squoted_text(folder)}/**'")}


def link_files(folder: Path, *, archive: Path, server_root: str, wanted: Collection[str]) -> int:
    """Have a server link the files of a published folder, if it does not know them all.

    Parameters
    ----------
    folder
        A published folder.
    archive
        Root of the published tree here.
    server_root
        Root of the published tree as the server sees it.
    wanted
        Paths in LinkAhead that must be there afterwards.

    Returns
    -------
    int
        How many of the wanted files are new to the server.

    Raises
    ------
    DatabaseError
        The server does not see the files.
    """
    way = PurePosixPath("/", *folder.resolve().relative_to(archive.resolve()).parts)
    missing = set(wanted) - known_paths(str(way))
    if not missing:
        return 0
    # The server links the folder below `prefix` under its own name.
    loadpath(
        path=str(PurePosixPath(server_root) / way.relative_to("/")),
        include=None,
        exclude=None,
        prefix=str(way.parent),
        dryrun=False,
        forceAllowSymlinks=False,
    )
    still = missing - known_paths(str(way))
    if still:
        raise DatabaseError(
            f"the server does not see {min(still)} ({len(still)} files); is {server_root} the archive there?"
        )
    return len(missing)
