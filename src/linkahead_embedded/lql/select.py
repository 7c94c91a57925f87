"""SELECT: the same entities, reduced to the chosen columns; chosen columns of referenced entities are nested."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from linkahead_embedded.model import PropertySpec, Typed, fold
from linkahead_embedded.render import Entity, load, opening_tag, statement_xml, version_xml
from linkahead_embedded.xml_codec import attribute, value_xml

Selectors = Sequence[tuple[str, ...]]
Hidden = Callable[[sqlite3.Connection, Sequence[int]], dict[int, str]]
"""Gives the entities that the user may not read, and why."""
_ATTRIBUTES = frozenset(
    {
        "id",
        "name",
        "description",
        "unit",
        "value",
        "datatype",
        "importance",
        "path",
        "checksum",
        "size",
        "version",
        "parent",
    }
)
_MAX_HOPS = 8


def selection(
    connection: sqlite3.Connection, ids: Sequence[int], selectors: Selectors, hidden: Hidden | None = None
) -> list[str]:
    """Give the XML of entities with no more than the selected properties; id, name and parents are always there.

    Of a referenced entity that is hidden from the user, the id is all that is given.
    """
    return _reduced(connection, ids, selectors, _MAX_HOPS, hidden)


def _reduced(
    connection: sqlite3.Connection, ids: Sequence[int], selectors: Selectors, hops: int, hidden: Hidden | None
) -> list[str]:
    tree: dict[str, list[tuple[str, ...]]] = {}
    for first, *rest in selectors:
        tree.setdefault(fold(first), []).append(tuple(rest))
    loaded = load(connection, ids, tree.keys())
    wanted = {
        value.target
        for entity in loaded
        for spec, values in entity.statements
        if _goes_deeper(tree.get(fold(spec.name), ())) and hops
        for value in values
        if value.target is not None
    }
    nested = _nested(connection, loaded, tree, hops, hidden) if wanted else {}
    return [_entity(entity, tree, nested) for entity in loaded]


def _goes_deeper(rests: Sequence[tuple[str, ...]]) -> bool:
    return any(
        rest and (len(rest) > 1 or fold(rest[0]) not in _ATTRIBUTES - {"name", "description", "parent", "path"})
        for rest in rests
    )


def _nested(
    connection: sqlite3.Connection,
    loaded: Sequence[Entity],
    tree: dict[str, list[tuple[str, ...]]],
    hops: int,
    hidden: Hidden | None,
) -> dict[tuple[str, int], str]:
    """Reduce the referenced entities of each column, all of a column at once."""
    found: dict[tuple[str, int], str] = {}
    for column, rests in tree.items():
        deeper = [rest for rest in rests if rest]
        if not _goes_deeper(rests):
            continue
        targets = sorted(
            {
                value.target
                for entity in loaded
                for spec, values in entity.statements
                if fold(spec.name) == column
                for value in values
                if value.target is not None
            }
        )
        if hidden is not None:
            denied = hidden(connection, targets)
            targets = [target for target in targets if target not in denied]
        reduced = _reduced(connection, targets, deeper, hops - 1, hidden)
        found.update(zip(((column, target) for target in targets), reduced, strict=True))
    return found


def _entity(entity: Entity, tree: dict[str, list[tuple[str, ...]]], nested: dict[tuple[str, int], str]) -> str:
    role = entity.info.role
    parents = "".join(f'<Parent id="{parent}"{attribute("name", name)}/>' for parent, name in entity.parents)
    content = value_xml(entity.content) if entity.content is not None and "value" in tree else ""
    statements = "".join(
        _statement(spec, values, nested) for spec, values in entity.statements if fold(spec.name) in tree
    )
    return f"{opening_tag(entity)}>{content}{version_xml(entity.version)}{parents}{statements}</{role}>"


def _statement(spec: PropertySpec, values: Sequence[Typed], nested: dict[tuple[str, int], str]) -> str:
    column = fold(spec.name)
    inner = [nested.get((column, value.target)) if value.target is not None else None for value in values]
    if not any(inner):
        return statement_xml(spec, values)
    if spec.datatype.is_list:
        return f"{spec.opening}>{''.join(f'<Value>{one}</Value>' if one else '<Value/>' for one in inner)}</Property>"
    return f"{spec.opening}>{inner[0]}</Property>"
