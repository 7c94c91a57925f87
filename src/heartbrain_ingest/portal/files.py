"""Files of the archive, by their entity in LinkAhead and in no other way."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from heartbrain_ingest.filesystem.layout import CATEGORIES
from heartbrain_ingest.portal.diary import note
from heartbrain_ingest.portal.entity import Entity, read_one
from heartbrain_ingest.portal.ids import id_in_path
from heartbrain_ingest.portal.pages import settings_of, translator

#: By the end of a name. What is not here is only ever downloaded.
_TYPES: Final = {
    ".nii.gz": "application/gzip",
    ".nii": "application/octet-stream",
    ".tsv.gz": "application/gzip",
    ".zip": "application/zip",
    ".json": "application/json",
    ".tsv": "text/tab-separated-values; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".bval": "text/plain; charset=utf-8",
    ".bvec": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
    ".htm": "text/html; charset=utf-8",
    ".pdf": "application/pdf",
}
_UNKNOWN: Final = "application/octet-stream"
#: A browser shows these by itself when asked to.
SHOWN: Final = frozenset({".png", ".jpg", ".jpeg", ".gif", ".svg", ".html", ".htm", ".json", ".txt", ".log", ".md"})
PICTURES: Final = frozenset({".png", ".jpg", ".jpeg", ".gif", ".svg"})
#: Whatever a file holds, it runs no script, sends no form, loads nothing and is no page of this portal.
SANDBOX: Final = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file that may be given away."""

    path: Path
    status: os.stat_result


def ending(name: str) -> str:
    """Give the end of a name that tells what a file is, in lower case; nothing for one that we don't know."""
    lower = name.lower()
    return next((one for one in _TYPES if lower.endswith(one)), "")


def find_published(archive: Path, place: str) -> Published | None:
    """Find a file of the published trees; None for all that is not one.

    Parameters
    ----------
    archive
        Root of the published trees.
    place
        Path of the File entity: from the archive's root.
    """
    if not place.startswith("/") or "\0" in place:
        return None
    try:
        path = (archive / place.lstrip("/")).resolve(strict=True)
        trees = [(archive / name).resolve() for name in CATEGORIES]
        status = path.stat()
    except (OSError, RuntimeError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode) or not any(path.is_relative_to(tree) for tree in trees):
        return None
    return Published(path=path, status=status)


def open_entity(archive: Path, entity: Entity | None) -> Published | None:
    """Give the file of a File entity."""
    return find_published(archive, entity.path) if entity is not None and entity.role == "File" else None


def give_file(request: Request) -> Response:
    """GET /file/{id}: the file, or with `?show` the same for the browser to show, where it can."""
    _ = translator(request)
    entity = read_one(id_in_path(request))
    if entity is None or entity.role != "File":
        raise HTTPException(HTTPStatus.NOT_FOUND)
    found = open_entity(settings_of(request).folders.archive, entity)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, _("LinkAhead knows this file, but it is not in the archive here."))
    end = ending(entity.file_name)
    is_shown = end in SHOWN and "show" in request.query_params
    if request.method == "GET":
        wanted = request.headers.get("range")
        note(request, "look" if is_shown else "download", file=entity.id, path=entity.path, **_range(wanted))
    return FileResponse(
        found.path,
        stat_result=found.status,
        filename=entity.file_name,
        media_type=_TYPES.get(end, _UNKNOWN),
        content_disposition_type="inline" if is_shown else "attachment",
        headers={"Content-Security-Policy": SANDBOX},
    )


def _range(wanted: str | None) -> dict[str, str]:
    return {"range": wanted[:100]} if wanted else {}


ROUTES = [Route("/file/{id}", give_file, methods=["GET"])]
