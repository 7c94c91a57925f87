"""The door, seen in a real browser."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.portal.browser import log_in, violations


def test_somebody_logs_in_and_chooses_german(page: Page, address: str) -> None:
    page.goto(address)
    assert violations(page) == []
    log_in(page, address, "clara")
    page.get_by_role("button", name="Deutsch").click()
    page.get_by_role("button", name="Abmelden").click()
    page.wait_for_url("**/login")
    assert page.locator("h1").inner_text() == "Anmelden"
    assert page.locator("html").get_attribute("lang") == "de"
