"""The order in which exported entities can be inserted, so that whatever one needs is there or in the same request."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping

from lxml import etree

from .model import BASE_BY_NAME, fold
from .values import split_reference

BATCH = 1000
_LIST = re.compile(r"LIST\s*[<(](.*)[>)]", re.IGNORECASE | re.DOTALL)
_VALUES = frozenset({"TEXT", "INTEGER", "DOUBLE", "BOOLEAN", "DATETIME"})
_TYPES = frozenset({"RecordType", "Property", "QueryTemplate"})


def is_type(element: etree._Element) -> bool:
    """Tell whether an entity is part of the data model."""
    return element.tag in _TYPES


def is_reference(datatype: str | None) -> bool:
    """Tell whether values of a datatype are ids."""
    return datatype is not None and _inner(datatype).upper() not in _VALUES


def _inner(datatype: str) -> str:
    match = _LIST.fullmatch(datatype.strip())
    return (match[1] if match else datatype).strip()


def batches(elements: Mapping[int, etree._Element], size: int = BATCH) -> Iterator[list[etree._Element]]:
    """Split entities, by id, into requests.

    Types need each other in circles, so all of them come first and at once, with what they need. Then whatever needs
    nothing that is still missing, so many at a time. What needs each other in circles comes last, in one request.
    """
    names = {fold(one.get("name") or ""): id_ for id_, one in elements.items() if one.tag == "RecordType"}
    needs = {id_: _needs(one, names) & elements.keys() - {id_} for id_, one in elements.items()}
    first: set[int] = set()
    pending = [id_ for id_, one in elements.items() if is_type(one)]
    while pending:
        one = pending.pop()
        if one not in first:
            first.add(one)
            pending.extend(needs[one])
    if first:
        yield [elements[one] for one in sorted(first)]
    missing = {id_: needed - first for id_, needed in needs.items() if id_ not in first}
    users: dict[int, list[int]] = {}
    for id_, needed in missing.items():
        for one in needed:
            users.setdefault(one, []).append(id_)
    ready = deque(sorted(id_ for id_, needed in missing.items() if not needed))
    batch: list[int] = []
    while ready:
        one = ready.popleft()
        batch.append(one)
        del missing[one]
        for user in users.get(one, ()):
            missing[user].discard(one)
            if not missing[user]:
                ready.append(user)
        if len(batch) == size:
            yield [elements[id_] for id_ in batch]
            batch = []
    if batch:
        yield [elements[id_] for id_ in batch]
    if missing:
        yield [elements[id_] for id_ in sorted(missing)]


def _needs(element: etree._Element, record_types: Mapping[str, int]) -> set[int]:
    found = {int(part.get("id", "0")) for part in element.iterchildren("Parent", "Property")}
    for holder in (element, *element.iterchildren("Property")):
        datatype = holder.get("datatype")
        if datatype is None or not is_reference(datatype):
            continue
        inner = _inner(datatype)
        if inner.upper() not in BASE_BY_NAME:
            found.add(record_types.get(fold(inner), 0))
        for one in (holder, *holder.iterchildren("Value")):
            split = split_reference(one.text or "")
            if split is not None:
                found.add(split[0])
    return found
