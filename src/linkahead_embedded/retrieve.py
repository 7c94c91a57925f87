"""Answers to reading requests: entities by id, name or version, and queries."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import nullcontext

from .dates import iso
from .errors import Code, QueryError
from .lql.ast import Query
from .lql.parser import parse
from .lql.planner import Planner
from .lql.select import Hidden, selection
from .lql.versions import Version, all_versions, versions
from .model import Message
from .render import documents
from .storage import generation
from .transactions import find, missing_xml
from .xml_codec import attribute, message_xml

DEFAULT_PAGE = 100
_PAGE = re.compile(r"(\d{0,18})(?:L(\d{1,18})?)?", re.ASCII)
_MAX_ID_LENGTH = 18


def entities(
    connection: sqlite3.Connection,
    segments: Sequence[str],
    *,
    with_history: bool = False,
    hidden: Hidden | None = None,
) -> list[str]:
    """Give the XML of entities by id, name or `id@version`; what does not exist is an element with an error."""
    found: list[tuple[str, list[int]]] = []
    elements: list[str | tuple[int, ...]] = []
    for segment in segments:
        if "@" in segment and (archived := _version(connection, segment)) is not None:
            entity = int(segment.partition("@")[0])
            denied = hidden(connection, [entity]) if hidden is not None else {}
            elements.append(_denied_xml(entity, denied[entity]) if denied else archived)
            continue
        ids = find(connection, segment)
        found.append((segment, ids))
        elements.append(tuple(ids) if ids else missing_xml(segment))
    all_ids = list(dict.fromkeys(one for _, ids in found for one in ids))
    xml = documents(connection, all_ids)
    for one, reason in (hidden(connection, all_ids) if hidden is not None else {}).items():
        xml[one] = _denied_xml(one, reason)
    if with_history:
        xml = {one: _with_history(connection, one, text) for one, text in xml.items()}
    answer: list[str] = []
    shown: set[int] = set()
    for element in elements:
        if isinstance(element, str):
            answer.append(element)
        else:
            answer += [xml[one] for one in element if one not in shown]
            shown.update(element)
    return answer


def _denied_xml(entity: int, reason: str) -> str:
    return f"<Entity{attribute('id', entity)}>{message_xml(Message('Error', Code.NOT_PERMITTED, reason))}</Entity>"


def _version(connection: sqlite3.Connection, segment: str) -> str | None:
    """Find `id@version`, `id@HEAD` or `id@HEAD~n`; None if the segment is rather a name."""
    identifier, _, version = segment.partition("@")
    if not identifier.isascii() or not identifier.isdigit() or len(identifier) > _MAX_ID_LENGTH:
        return None
    entity = int(identifier)
    head = connection.execute("SELECT version, number FROM entity WHERE id = ?", (entity,)).fetchone()
    if head is None:
        return None
    steps = re.fullmatch(r"HEAD(?:~(\d{1,9}))?", version)
    if version == head[0] or (steps is not None and not int(steps[1] or 0)):
        return documents(connection, [entity])[entity]
    if steps is not None:
        row = connection.execute(
            "SELECT xml FROM history WHERE entity = ? AND number = ?", (entity, head[1] - int(steps[1]))
        ).fetchone()
    else:
        row = connection.execute(
            "SELECT xml FROM history WHERE entity = ? AND version = ?", (entity, version)
        ).fetchone()
    if row is None:
        message = Message("Error", Code.ENTITY_DOES_NOT_EXIST, f"Entity {entity} has no version '{version[:80]}'.")
        return f"<Entity{attribute('id', entity)}>{message_xml(message)}</Entity>"
    return str(row[0]).replace(' head="true"/>', "/>", 1)


def _with_history(connection: sqlite3.Connection, entity: int, xml: str) -> str:
    """Nest the predecessors into the version element."""
    rows = connection.execute(
        "SELECT version, changed_at, changed_by FROM history WHERE entity = ? ORDER BY number", (entity,)
    ).fetchall()
    nested = ""
    for version, at, by in rows:
        shown = f"{attribute('id', version)}{attribute('date', iso(at))}{attribute('username', by)}"
        nested = f'<Predecessor{shown} realm="PAM">{nested}</Predecessor>'
    start = xml.index("<Version ")
    end = xml.index("/>", start)
    return f'{xml[:end]} completeHistory="true">{nested}</Version>{xml[end + 2 :]}'


def query(
    connection: sqlite3.Connection, text: str, user: str, page: str | None, hidden: Hidden | None = None
) -> list[str]:
    """Answer a query: the `<Query>` element first, then the entities of the page.

    Errors of the query travel in the answer, as the client expects.
    """
    try:
        parsed = parse(text)
        with all_versions(connection) if parsed.is_any_version else nullcontext():
            planner = Planner(connection, user)
            plan = planner.plan(parsed)
            ids = [row[0] for row in connection.execute(plan.text, plan.parameters)]
            if parsed.is_any_version:
                found = versions(connection, ids)
                return _versions_found(connection, text, parsed, found, page, hidden, planner.warnings())
    except QueryError as problem:
        return [_query_xml(text, 0, None), message_xml(Message("Error", problem.code, problem.description))]
    except (sqlite3.OperationalError, sqlite3.DataError, RecursionError, OverflowError) as problem:
        message = Message("Error", Code.QUERY_LIMIT, f"The query is too complex for the embedded LinkAhead: {problem}")
        return [_query_xml(text, 0, None), message_xml(message)]
    if hidden is not None:
        denied = hidden(connection, ids)
        ids = [one for one in ids if one not in denied]
    head = _query_xml(text, len(ids), generation(connection), planner.warnings())
    if parsed.kind == "COUNT":
        return [head]
    if page is not None:
        ids = ids[_page(page)]
    if parsed.kind == "SELECT":
        return [head, *selection(connection, ids, parsed.selectors, hidden)]
    xml = documents(connection, ids)
    return [head, *(xml[one] for one in ids)]


def _versions_found(
    connection: sqlite3.Connection,
    text: str,
    parsed: Query,
    found: list[Version],
    page: str | None,
    hidden: Hidden | None,
    warnings: Sequence[Message],
) -> list[str]:
    """Answer with versions; the same entity may be there several times."""
    if hidden is not None:
        denied = hidden(connection, sorted({one.entity for one in found}))
        found = [one for one in found if one.entity not in denied]
    head = _query_xml(text, len(found), generation(connection), warnings)
    if parsed.kind == "COUNT":
        return [head]
    if page is not None:
        found = found[_page(page)]
    keys = [one.key for one in found]
    if parsed.kind == "SELECT":
        xml = dict(zip(sorted(keys), selection(connection, keys, parsed.selectors, hidden), strict=True))
        return [head, *(xml[one.key] if one.key > 0 else _past(xml[one.key], one) for one in found)]
    xml = documents(connection, [one for one in keys if one > 0])
    return [head, *(xml[one.key] if one.key > 0 else _archived(connection, one) for one in found)]


def _archived(connection: sqlite3.Connection, version: Version) -> str:
    """Give the XML of a version of the past as it was then."""
    row = connection.execute(
        "SELECT xml FROM history WHERE entity = ? AND number = ?", (version.entity, version.number)
    ).fetchone()
    return str(row[0]).replace(' head="true"/>', "/>", 1)


def _past(xml: str, version: Version) -> str:
    """Give an archived version the id of its entity, and take the mark of the present one off."""
    return xml.replace(f' id="{version.key}"', f' id="{version.entity}"', 1).replace(' head="true"/>', "/>", 1)


def _page(text: str) -> slice:
    match = _PAGE.fullmatch(text)
    if match is None:
        return slice(0, DEFAULT_PAGE)
    start = int(match[1] or 0)
    return slice(start, start + int(match[2] or DEFAULT_PAGE))


def _query_xml(text: str, results: int, etag: str | None, messages: Sequence[Message] = ()) -> str:
    keys = f'{attribute("string", text)} results="{results}" cached="false"{attribute("etag", etag)}'
    return f"<Query{keys}>{''.join(map(message_xml, messages))}</Query>" if messages else f"<Query{keys}/>"
