"""The picture of a record, for the table of records."""

from __future__ import annotations

from typing import Any

from linkahead.connection.connection import get_connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heartbrain_ingest.crawl.client import database_errors, db
from heartbrain_ingest.portal.asking import retrieve_entities
from heartbrain_ingest.portal.ids import id_in_path
from heartbrain_ingest.portal.rows import OUTPUT, PICTURES

#: The pictures that the pipeline draws are below 200 kB.
MOST_BYTES = 8 << 20
_MARKS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_ENDINGS = (".png", ".jpg", ".jpeg", ".svg")
#: A drawing is shown as a picture; opened by itself it may do nothing.
_SVG = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


def show_thumbnail(request: Request) -> Response:
    """GET /thumbnail/{id}: of a File that is a picture, or of a record that has one.

    The browser keeps it, and asks each time whether it is still the one and still the visitor's to see.
    """
    picture = _picture(id_in_path(request))
    if picture is None:
        raise HTTPException(404)
    etag = f'"{str(picture.checksum or "")[:40].lower()}-{picture.id}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    content = _download(str(picture.path))
    kind = next((kind for mark, kind in _MARKS.items() if content.startswith(mark)), None)
    if kind is None and picture.path.lower().endswith(".svg"):
        kind = "image/svg+xml"
        headers["Content-Security-Policy"] = _SVG
    if kind is None:
        raise HTTPException(404)
    return Response(content, media_type=kind, headers=headers)


def _picture(identifier: int) -> Any:
    """Give the File entity of an entity's picture; None if it has none that the visitor may see."""
    entity = retrieve_entities([identifier]).get(identifier)
    if entity is None:
        return None
    if getattr(entity, "path", None):
        return entity if _is_picture(entity) else None
    for name in (*PICTURES, OUTPUT):
        prop = entity.get_property(name)
        if prop is None or not prop.value:
            continue
        ids = [
            int(one) for one in (prop.value if isinstance(prop.value, list) else [prop.value]) if str(one).isdecimal()
        ]
        files = retrieve_entities(ids)
        found = next((files[one] for one in ids if one in files and _is_picture(files[one])), None)
        if found is not None:
            return found
    return None


def _is_picture(file: Any) -> bool:
    size = getattr(file, "size", None)
    return str(getattr(file, "path", "")).lower().endswith(_ENDINGS) and int(size or 0) <= MOST_BYTES


def _download(path: str) -> bytes:
    connection: Any = get_connection()  # type: ignore[no-untyped-call]  # the client is half typed
    with database_errors("fetching a picture"):
        try:
            response = connection.download_file(path)
            content: bytes = response.read(MOST_BYTES + 1)
        except (db.HTTPForbiddenError, db.HTTPResourceNotFoundError):
            raise HTTPException(404) from None
    if len(content) > MOST_BYTES:
        raise HTTPException(404)
    return content


ROUTES = [Route("/thumbnail/{id}", show_thumbnail, methods=["GET"])]
