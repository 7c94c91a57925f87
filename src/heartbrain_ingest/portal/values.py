# ruff: noqa: S608 - LinkAhead's language, not SQL; what is put into it is quoted
"""Values that records have: what a word can be completed to."""

from __future__ import annotations

from typing import Any

from heartbrain_ingest.portal.asking import retrieve_xml
from heartbrain_ingest.portal.datamodel import Property
from heartbrain_ingest.portal.questions import quote
from heartbrain_ingest.portal.visitors import Visitor

#: LinkAhead has no DISTINCT: records looked at in one go, and how often those with values already seen are left out.
_LOOKED_AT = 100
_TURNS = 4
_ENOUGH = 12
_FRESH = 60.0


def known_values(visitor: Visitor, kind: str, prop: Property, begun: str) -> list[str]:
    """Give some values of a property, or names of what it can refer to, that begin so.

    LinkAhead is asked for 100 records at a time, at most four times: of a property with many values, not all may be
    found that a longer beginning would find.

    Raises
    ------
    QuestionError
        When LinkAhead does not know the property.
    DatabaseError
        When it does not answer.
    """
    key = ("values", kind, prop.name, prop.refers_to, begun)
    if prop.refers_to:
        return visitor.cache.get(key, lambda: _names(prop.refers_to, begun), seconds=_FRESH)
    if not prop.is_text:
        return []
    return visitor.cache.get(key, lambda: _values(kind, prop.name, begun), seconds=_FRESH)


def _names(kind: str, begun: str) -> list[str]:
    question = f"SELECT name FROM RECORD {quote(kind)} WITH name LIKE {_beginning(begun)}"
    root = retrieve_xml(question, 0, _LOOKED_AT)[1]
    return sorted({str(one.get("name")) for one in root if one.get("id") is not None and one.get("name")})


def _values(kind: str, name: str, begun: str) -> list[str]:
    found: set[str] = set()
    for _ in range(_TURNS):
        unseen = "".join(f" AND {quote(name)} != {quote(one)}" for one in sorted(found))
        target = quote(kind) if kind else "RECORD"
        question = f"SELECT {quote(name)} FROM {target} WITH {quote(name)} LIKE {_beginning(begun)}{unseen}"
        total, root = retrieve_xml(question, 0, _LOOKED_AT)
        before = len(found)
        found.update(text for one in root for text in _texts(one, name) if text.casefold().startswith(begun.casefold()))
        if len(found) == before or len(found) >= _ENOUGH or total <= _LOOKED_AT:
            break
    return sorted(found, key=str.casefold)


def _texts(entity: Any, name: str) -> list[str]:
    texts: list[str] = []
    for prop in entity.iterfind("Property"):
        if prop.get("name", "").casefold() == name.casefold():
            holders = list(prop.iterfind("Value")) or [prop]
            texts += [text for holder in holders if (text := (holder.text or "").strip())]
    return texts


def _beginning(text: str) -> str:
    return f"{quote(text)[:-1]}*'"
