"""Asks LinkAhead for pages: never for all that a question finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from linkahead.common.models import Container
from linkahead.connection.connection import get_connection
from lxml import etree

from heartbrain_ingest.answers import QuestionError
from heartbrain_ingest.crawl.client import database_errors

#: Ids in one address.
_MOST_IDS = 100
_LONGEST_MESSAGE = 1_000


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of what a question finds."""

    #: How many records the question finds.
    total: int
    entities: tuple[Any, ...]
    #: Names and units that LinkAhead does not know.
    hints: tuple[str, ...] = ()


def retrieve(question: str, start: int, length: int) -> Part:
    """Ask for a part of what a question finds, in LinkAhead's order, which is that of the ids.

    Raises
    ------
    QuestionError
        When LinkAhead does not understand the question; the message is LinkAhead's.
    DatabaseError
        When it does not answer.
    """
    with database_errors("asking"):
        answer = _parsed(_get(question, start, length))
        errors = [one.description for one in answer.messages if one.type == "Error"]
        if errors:
            raise QuestionError((errors[0] or "")[:_LONGEST_MESSAGE])
        entities = tuple(one for one in answer if not one.has_errors())
        hints = tuple(str(one.description) for one in answer.messages if one.type == "Warning" and one.description)
        return Part(total=answer.query.results, entities=entities, hints=hints)


def retrieve_xml(question: str, start: int, length: int) -> tuple[int, Any]:
    """Ask as `retrieve` does, for the answer's XML: the client's records of 10^4 ids take seconds.

    Returns
    -------
    The number of records that the question finds, and the root element.
    """
    with database_errors("asking"):
        root = etree.fromstring(_get(question, start, length).read())
        problem = next((one.get("description", "") for one in root if one.tag == "Error"), None)
        if problem is not None:
            raise QuestionError(problem[:_LONGEST_MESSAGE])
        head = root.find("Query")
        return (0 if head is None else int(head.get("results", "0"))), root


def retrieve_entities(ids: Iterable[int]) -> dict[int, Any]:
    """Give those of some entities that exist and that the visitor may see."""
    wanted = sorted(set(ids))
    found: dict[int, Any] = {}
    with database_errors("asking"):
        for start in range(0, len(wanted), _MOST_IDS):
            names = "&".join(map(str, wanted[start : start + _MOST_IDS]))
            answer = _parsed(_connection().retrieve(entity_uri_segments=["Entity", names]))
            found.update((int(one.id), one) for one in answer if not one.has_errors())
    return found


def _get(question: str, start: int, length: int) -> Any:
    flags = {"query": question, "P": f"{start}L{length}"}
    return _connection().retrieve(entity_uri_segments=["Entity"], query_dict=flags)


def _connection() -> Any:
    return get_connection()  # type: ignore[no-untyped-call]  # the client is half typed


def _parsed(response: Any) -> Any:
    return Container._response_to_entities(response)


def ids_in(root: Any) -> Sequence[tuple[int, tuple[str, ...]]]:
    """Give id and RecordTypes of the entities of an answer."""
    return [
        (int(one.get("id")), tuple(parent.get("name", "") for parent in one.iterfind("Parent")))
        for one in root
        if one.get("id") is not None and one.find("Error") is None
    ]
