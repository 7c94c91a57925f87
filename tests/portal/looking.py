"""What the tests of looking at records share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from linkahead.queries import query

from heartbrain_ingest.crawl.client import db
from heartbrain_ingest.portal.visitors import acting_as
from tests.portal.following import visitor
from tests.portal.site import Visit


@contextmanager
def as_steward(visit: Visit) -> Iterator[None]:
    """Speak to LinkAhead as somebody who may change it."""
    with acting_as(visitor(visit, "stefan")):
        yield


def only(visit: Visit, question: str) -> Any:
    """Give the first of what a question finds."""
    with as_steward(visit):
        return query(question)[0]


def output_of(visit: Visit, result: Any, end: str) -> Any:
    """Give the output file of a result whose path ends so."""
    with as_steward(visit):
        files = [db.File(id=one).retrieve() for one in result.get_property("OutputFiles").value]
    return next(file for file in files if file.path.endswith(end))


def hide(visit: Visit, identifier: int, *, role: str) -> None:
    """Let nobody of a role see an entity."""
    with as_steward(visit):
        entity = db.Entity(id=identifier)
        entity.retrieve_acl()
        entity.deny(role=role, permission="RETRIEVE:ENTITY", priority=True)
        entity.update_acl()
