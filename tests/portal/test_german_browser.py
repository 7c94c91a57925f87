"""The whole way of a clinician in German: log in, ask, look, click, follow, cancel, try again, result."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.portal.browser import log_in, violations
from tests.portal.following import one_image
from tests.portal.site import SampleSite

_MOMENT = 60_000


@pytest.fixture
def german(browser: Browser) -> Iterator[Page]:
    """Give a browser whose user reads German."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="de-DE")
    yield context.new_page()
    context.close()


def test_a_clinician_goes_the_whole_way_in_german(german: Page, working: str, sample_site: SampleSite) -> None:
    page = german
    log_in(page, working, "clara")
    assert page.locator("html").get_attribute("lang") == "de"
    page.get_by_label("Was", exact=True).select_option("DiffusionWeightedImage")
    page.locator("#form").get_by_role("button", name="Finden").click()
    expect(page.locator("#query")).to_have_value("FIND 'DiffusionWeightedImage'")
    page.goto(f"{working}/?query=COUNT+T1WeightedImage")
    expect(page.get_by_role("main")).to_contain_text("2")

    image = one_image(sample_site, "DiffusionWeightedImage")
    page.goto(f"{working}/record/{image}")
    page.wait_for_selector("[data-viewer][data-state=ready]", timeout=_MOMENT)
    assert violations(page) == []
    page.get_by_role("link", name="Etwas damit berechnen").click()
    page.goto(f"{working}/run?ids={image}&function=ivim")
    page.locator("summary", has_text="Einstellungen").click()
    page.get_by_label(re.compile("b-Wert, ab dem")).fill("260")
    expect(page.get_by_text(re.compile("10 min"))).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Für 1 Bild rechnen").click()
    page.wait_for_url("**/requests/R-*")
    page.evaluate("window.isTheSamePage = true")
    state = page.locator(".state")
    expect(state.get_by_text("fertig")).to_be_visible(timeout=_MOMENT)
    assert page.evaluate("window.isTheSamePage") is True
    state.get_by_role("link", name="Ergebnis ansehen").click()
    expect(page.get_by_role("heading", name="Was herauskam")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^0,0\d+$")).first).to_be_visible()
    assert violations(page) == []

    page.goto(f"{working}/run?ids={one_image(sample_site, 'T1WeightedImage')}&function=checksum-report")
    page.get_by_label("Wartezeit").fill("120")
    page.get_by_role("button", name="Für 1 Bild rechnen").click()
    page.wait_for_url("**/requests/R-*")
    expect(state.get_by_text(re.compile("läuft"))).to_be_visible(timeout=_MOMENT)
    page.get_by_role("button", name="Abbrechen").click()
    expect(state.get_by_text("abgebrochen", exact=True)).to_be_visible(timeout=_MOMENT)
    page.get_by_role("button", name="Erneut versuchen").click()
    expect(state.get_by_text(re.compile("läuft"))).to_be_visible(timeout=_MOMENT)
    page.get_by_role("button", name="Abbrechen").click()
    expect(state.get_by_text("abgebrochen", exact=True)).to_be_visible(timeout=_MOMENT)
