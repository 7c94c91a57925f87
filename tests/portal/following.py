"""What the tests of running and following share."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import yaml
from linkahead.queries import query

from heartbrain_ingest.portal.visitors import LinkAheadGate, Visitor, acting_as
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
    gate: LinkAheadGate = visit.client.app.state.gate  # type: ignore[attr-defined]
    found = gate.log_in(name, PASSWORD)
    assert found is not None
    return found


def find(visit: Visit, name: str, question: str) -> list[Any]:
    """Ask LinkAhead as somebody."""
    with acting_as(visitor(visit, name)):
        return list(query(question))


class Form(HTMLParser):
    """The values that a browser would send for the form `form` of a page that nobody touched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._is_inside = False
        self._area = self._choice = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a control's value."""
        facts = dict(attrs)
        name, value = facts.get("name") or "", facts.get("value") or ""
        if tag == "form":
            self._is_inside = facts.get("id") == "form"
        if not self._is_inside:
            return
        if tag == "input" and (facts.get("type") != "checkbox" or "checked" in facts):
            self.values[name] = value
        elif tag == "select":
            self._choice = name
        elif tag == "option" and ("selected" in facts or self._choice not in self.values):
            self.values[self._choice] = value
        elif tag == "textarea":
            self._area = name
            self.values[name] = ""

    def handle_data(self, data: str) -> None:
        """Take the text of a larger control."""
        if self._area:
            self.values[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        """Leave the form, or a control."""
        if tag == "form":
            self._is_inside = False
        if tag == "textarea":
            self._area = ""


def form_of(page: str) -> dict[str, str]:
    """Give what a browser would send, without the token against forgery, which `Visit` sends itself."""
    return {name: value for name, value in Form(page).values.items() if name != "csrf"}
