"""Moving a whole LinkAhead elsewhere, through the official client alone; either end may be a real server.

An export is a folder: `entities.xml` with every entity as the client writes and reads it, and, if they were asked for,
the bytes of the files below `files/`. An import writes `ids.tsv` into the same folder, old id and new id of each entity
that arrived, so that an interrupted one goes on where it stopped.

Access control lists come along, after everything else, as the client's `update_acl` sends them. Accounts stay behind,
because nobody can read passwords; so do earlier versions, because no client can insert any.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from . import transfer_acl
from .errors import EmbeddedError
from .files import checked_path
from .model import FIRST_USER_ID, ROLE_BY_TAG, fold
from .transfer_order import batches, is_reference, is_type
from .values import split_reference
from .xml_codec import parse_document

ENTITIES, FILES, IDS = "entities.xml", "files", "ids.tsv"
PAGE = 500
_ACL_PAGE = 100
_DROPPED = ("Version", "Permissions", "State", "Error", "Warning", "Info")
_BLOCK = 1 << 20


class TransferError(EmbeddedError):
    """The export or import could not go on; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote: entities, and files with their bytes."""

    entities: int
    files: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes
    ----------
    inserted
        Entities that are new.
    matched
        Types of the same name and files of the same path that were there before; such files were updated.
    skipped
        Entities that an earlier, interrupted import had brought.
    """

    inserted: int
    matched: int
    skipped: int


def export_entities(folder: Path, *, with_files: bool = False) -> Exported:
    """Write all entities of the LinkAhead that the client is connected to.

    Parameters
    ----------
    folder
        Where to; made if it is absent. A finished export in it is refused.
    with_files
        Whether the bytes of the files come along. Without them the import expects the files in place, at their paths
        below the file root of the new server.

    Raises
    ------
    TransferError
        If there is an export in the folder, something was changed meanwhile, or a file arrived damaged.
    """
    target = folder / ENTITIES
    if target.exists():
        raise TransferError(f"There is an export in {folder} already; name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(ENTITIES + ".part")
    common = transfer_acl.rules(_checked(_connection().retrieve(["EntityPermissions"]).read()).find(".//EntityACL"))
    count = files = 0
    with partial.open("wb") as stream:
        stream.write(b"<Entities>\n")
        for element in _all_entities():
            for child in [one for one in element if one.tag in _DROPPED]:
                element.remove(child)
            transfer_acl.keep_own(element, common)
            element.tail = None
            stream.write(etree.tostring(element, encoding="UTF-8", xml_declaration=False) + b"\n")
            count += 1
            if with_files and element.tag == "File":
                _fetch(element, folder / FILES)
                files += 1
        stream.write(b"</Entities>\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(target)
    return Exported(count, files)


def import_entities(folder: Path) -> Imported:
    """Insert what an export wrote into the LinkAhead that the client is connected to.

    Types that the server has under the same name are used as they are, files that it has at the same path are updated;
    all else is inserted. References follow the new ids; those to a certain version of an entity then mean its head.

    Raises
    ------
    TransferError
        If the folder holds no export, a type contradicts that of the server, or the server refuses something.
    """
    source = folder / ENTITIES
    if not source.is_file():
        raise TransferError(f"There is no export in {folder}: {ENTITIES} is missing.")
    elements = {int(one.get("id", "0")): one for one in parse_document(source.read_bytes())}
    log = _IdLog(folder / IDS)
    unknown = log.ids.keys() - elements.keys()
    if unknown:
        raise TransferError(f"{IDS} belongs to another export: it names the id {min(unknown)}.")
    skipped = len(log.ids)
    matched = _matches(elements, log.ids)
    ids = {**log.ids, **matched}
    inserted = 0
    for batch in batches({old: element for old, element in elements.items() if old not in ids}):
        root = etree.Element("Insert")
        for element in batch:
            root.append(_translated(element, ids, {int(one.get("id", "0")) for one in batch}))
        transfer_acl.without(root)
        answered = _send("POST", root, _uploads(root, folder / FILES))
        fresh = {int(cuid[1:]): int(one.get("id", "0")) for one in answered if (cuid := one.get("cuid"))}
        if len(fresh) != len(batch):
            raise TransferError(f"{len(batch)} entities were sent and {len(fresh)} came back.")
        ids |= fresh
        log.add(fresh)
        inserted += len(fresh)
    known_files = [old for old in matched if elements[old].tag == "File"]
    for start in range(0, len(known_files), PAGE):
        root = etree.Element("Update")
        for old in known_files[start : start + PAGE]:
            element = _translated(elements[old], ids, set())
            element.set("id", str(ids[old]))
            root.append(element)
        transfer_acl.without(root)
        _send("PUT", root, {})
    ours = (old for old in ids if old not in matched or elements[old].tag == "File")
    _send_lists({ids[old]: acl for old in ours if (acl := elements[old].find(transfer_acl.ACL)) is not None})
    return Imported(inserted, len(matched), skipped)


def _send_lists(acls: Mapping[int, etree._Element]) -> None:
    """Give entities, by their new ids, access control lists, and leave all else of them as it is."""
    ids = list(acls)
    for start in range(0, len(ids), _ACL_PAGE):
        segment = "&".join(map(str, ids[start : start + _ACL_PAGE]))
        root = _checked(_connection().retrieve(entity_uri_segments=["Entity", segment]).read())
        update = etree.Element("Update")
        for element in [one for one in root if int(one.get("id") or "0") in acls]:
            for child in [one for one in element if one.tag in ("Permissions", transfer_acl.ACL)]:
                element.remove(child)
            for key in {"size", "checksum"} & {str(name) for name in element.attrib}:
                del element.attrib[key]
            element.append(acls[int(element.get("id", "0"))])
            update.append(element)
        _send("PUT", update, {}, {"ACL": ""})


class _IdLog:
    """Old id and new id of what has arrived, one line each, on disk before the next request is sent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
        self.ids = {int(old): int(new) for old, _, new in (line.partition("\t") for line in lines)}

    def add(self, fresh: Mapping[int, int]) -> None:
        with self._path.open("a", encoding="ascii") as stream:
            stream.writelines(f"{old}\t{new}\n" for old, new in sorted(fresh.items()))
            stream.flush()
            os.fsync(stream.fileno())


def _connection() -> Any:
    from linkahead.connection.connection import get_connection  # noqa: PLC0415 - a second of start-up

    return get_connection()  # type: ignore[no-untyped-call]  # the client is half typed


def _all_entities() -> Iterator[etree._Element]:
    """Give every entity that is not internal, page by page."""
    start, total, etag = 0, 1, None
    while start < total:
        flags = {"query": "FIND ENTITY", "P": f"{start}L{PAGE}", "ACL": ""}
        root = _checked(_connection().retrieve(entity_uri_segments=["Entity"], query_dict=flags).read())
        query = root.find("Query")
        if query is None:
            raise TransferError("The server gave no answer to a query.")
        if start and query.get("etag") != etag:
            raise TransferError("The database was changed during the export. Try again while nobody writes.")
        total, etag = int(query.get("results", "0")), query.get("etag")
        for element in root:
            is_entity = isinstance(element.tag, str) and element.tag.casefold() in ROLE_BY_TAG
            if is_entity and int(element.get("id", "0")) >= FIRST_USER_ID:
                yield element
        start += PAGE


def _checked(body: bytes) -> etree._Element:
    """Read an answer; the first errors in it become the message of an exception."""
    root = parse_document(body)
    errors = [" ".join(filter(None, (_label(one.getparent()), one.get("description")))) for one in root.iter("Error")]
    if errors:
        raise TransferError("The server refused: " + " ".join(dict.fromkeys(errors[:5])))
    return root


def _label(element: etree._Element | None) -> str:
    if element is None or element.tag in ("Response", "Query"):
        return ""
    return f"{element.tag} {element.get('name') or element.get('path') or (element.get('cuid') or '')[1:]}:"


def _fetch(element: etree._Element, folder: Path) -> None:
    """Download the bytes of a File and check them."""
    path = checked_path(element.get("path"))
    if path is None:
        raise TransferError(f"The path of File {element.get('id')} can't be written here.")
    target = folder / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha512()
    from linkahead.exceptions import LinkAheadException  # noqa: PLC0415 - with the client

    try:
        response = _connection().download_file(path)
    except LinkAheadException as problem:
        raise TransferError(f"The file {path} can't be downloaded (is it a folder?): {problem}") from problem
    with target.open("wb") as stream:
        while block := response.read(_BLOCK):
            digest.update(block)
            stream.write(block)
    checksum = element.get("checksum")
    if checksum and checksum.lower() != digest.hexdigest():
        raise TransferError(f"The file {path} is not the one that its checksum says.")


def _matches(elements: Mapping[int, etree._Element], done: Mapping[int, int]) -> dict[int, int]:
    """Find types by name and files by path that the server has already."""
    types: dict[tuple[str, str], etree._Element] = {}
    files: dict[str, etree._Element] = {}
    for query in ("FIND RECORDTYPE", "FIND PROPERTY", "FIND FILE"):
        for one in _existing(query):
            if one.tag == "File":
                files[one.get("path") or ""] = one
            else:
                types[one.tag, fold(one.get("name") or "")] = one
    arrived = set(done.values())
    found: dict[int, int] = {}
    for old, element in elements.items():
        there = (
            files.get(element.get("path") or "")
            if element.tag == "File"
            else types.get((element.tag, fold(element.get("name") or "")))
        )
        if old in done or there is None or int(there.get("id", "0")) in arrived:
            continue
        if is_type(element) and (element.get("datatype"), element.get("unit")) != (
            there.get("datatype"),
            there.get("unit"),
        ):
            raise TransferError(
                f"{element.tag} '{element.get('name')}' is {_kind(element)} here and {_kind(there)} on the server."
            )
        found[old] = int(there.get("id", "0"))
    return found


def _existing(query: str) -> Sequence[etree._Element]:
    root = _checked(_connection().retrieve(entity_uri_segments=["Entity"], query_dict={"query": query}).read())
    return [one for one in root if isinstance(one.tag, str) and one.tag.casefold() in ROLE_BY_TAG]


def _kind(element: etree._Element) -> str:
    return " ".join(filter(None, (element.get("datatype") or "untyped", element.get("unit"))))


def _translated(element: etree._Element, ids: Mapping[int, int], batch: set[int]) -> etree._Element:
    """Copy an entity with the ids that everything has on the new server, temporary ones inside a batch."""

    def new_id(old: int) -> int | None:
        if old in ids:
            return ids[old]
        return -old if old in batch else None

    copied = etree.fromstring(etree.tostring(element))
    old = int(element.get("id", "0"))
    copied.set("id", str(-old))
    copied.set("cuid", f"t{old}")
    for part in copied.iterchildren("Parent", "Property"):
        place = new_id(int(part.get("id", "0")))
        if place is None:
            del part.attrib["id"]
        else:
            part.set("id", str(place))
    for holder in (copied, *copied.iterchildren("Property")):
        if not is_reference(holder.get("datatype")):
            continue
        for one in (holder, *holder.iterchildren("Value")):
            split = split_reference(one.text or "")
            if split is None:
                continue
            place = new_id(split[0])
            if place is None and split[0] >= FIRST_USER_ID:
                raise TransferError(f"Entity {old} references {split[0]}, which is not part of the export.")
            one.text = str(place if place is not None else split[0])
    return copied


def _uploads(root: etree._Element, folder: Path) -> dict[str, Path]:
    """Find the bytes of the files of a request, and name them in it."""
    found: dict[str, Path] = {}
    for element in root.iterchildren("File"):
        path = checked_path(element.get("path"))
        local = None if path is None else folder / path.lstrip("/")
        if local is not None and local.is_file():
            upload = f"0x{secrets.token_hex(8)}"
            element.set("upload", upload)
            found[upload] = local
        if "size" in element.attrib:
            del element.attrib["size"]
    return found


def _send(
    method: str, root: etree._Element, uploads: Mapping[str, Path], flags: Mapping[str, str] | None = None
) -> Iterable[etree._Element]:
    """Send a request, as multipart if files come along; give the entities of the answer."""
    body: Any = etree.tostring(root, encoding="UTF-8", xml_declaration=False)
    headers: dict[str, str] = {}
    call = _connection().insert if method == "POST" else _connection().update
    with ExitStack() as opened:
        if uploads:
            from linkahead.connection.encode import MultipartParam, multipart_encode  # noqa: PLC0415 - with the client

            parts = [MultipartParam("FileRepresentation", body.decode())]
            for name, path in uploads.items():
                stream = opened.enter_context(path.open("rb"))
                size = path.stat().st_size
                parts.append(MultipartParam(secrets.token_hex(8), filename=name, filesize=size, fileobj=stream))
            body, headers = multipart_encode(parts)  # type: ignore[no-untyped-call]
        all_flags = {"force-missing-obligatory": "ignore", **(flags or {})}
        answer = call(entity_uri_segment=["Entity"], query_dict=all_flags, body=body, headers=headers).read()
    return [one for one in _checked(answer) if isinstance(one.tag, str) and one.tag.casefold() in ROLE_BY_TAG]
