"""What the tests of running and following share."""

from __future__ import annotations

from typing import Any

import yaml
from linkahead.queries import query

from heartbrain_ingest.portal.visitors import Visitor, acting_as
from linkahead_embedded.bootstrap import close_application
from tests.portal.site import PASSWORD, SampleSite, Visit


def set_interval(site: SampleSite, *, seconds: float) -> None:
    """Let the exchange of a site look so often."""
    content = yaml.safe_load(site.file.read_text(encoding="utf-8")) or {}
    content.setdefault("bridge", {})["interval_seconds"] = seconds
    site.file.write_text(yaml.safe_dump(content), encoding="utf-8")


def one_image(site: SampleSite, kind: str, number: int = 0) -> int:
    """Give the number of an image."""
    visit = Visit(site.settings)
    try:
        return int(find(visit, "clara", f"FIND RECORD {kind}")[number].id)
    finally:
        close_application(site.settings.database)


def visitor(visit: Visit, name: str) -> Visitor:
    """Give a log-in of its own."""
    found = visit.client.app.state.gate.log_in(name, PASSWORD)  # type: ignore[attr-defined]
    assert found is not None
    return found


def find(visit: Visit, name: str, question: str) -> list[Any]:
    """Ask LinkAhead as somebody."""
    with acting_as(visitor(visit, name)):
        return list(query(question))
