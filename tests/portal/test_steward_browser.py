"""The steward's page, seen in a real browser."""

from __future__ import annotations

import subprocess

import pytest
from playwright.sync_api import Page

from heartbrain_ingest.quarantine import listed
from tests.portal.browser import log_in, violations
from tests.portal.site import PROGRAM, SampleSite


@pytest.fixture(scope="module")
def address(sample_site: SampleSite, address: str) -> str:
    """Give the portal of a site where a picture of a screen came with the night's images, and was kept back."""
    inbox = sample_site.settings.folders.inbox
    whole = next(iter(sorted((sample_site.root / "study" / "inbox").rglob("*.dcm"))))
    (inbox / "cut.dcm").write_bytes(whole.read_bytes()[:400])
    (inbox / ".complete").touch()
    subprocess.run([PROGRAM, "ingest", "--settings", sample_site.file], check=False, capture_output=True)
    assert len(listed(sample_site.settings)) == 1
    return address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_can_be_read_by_everybody(page: Page, address: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    log_in(page, address, "stefan")
    page.get_by_role("link", name="Steward").click()
    assert page.locator("h1").inner_text() == "How the site stands"
    assert violations(page) == []
    page.set_viewport_size({"width": 820, "height": 1180})
    assert page.evaluate("document.documentElement.scrollWidth <= 820")
    assert violations(page) == []


def test_a_steward_releases_what_was_kept_back_and_the_next_run_takes_it_up(
    page: Page, address: str, sample_site: SampleSite
) -> None:
    log_in(page, address, "stefan")
    page.get_by_role("button", name="Deutsch").click()
    page.get_by_role("link", name="Datenpflege").click()
    (group,) = listed(sample_site.settings)
    article = page.locator("article.quarantined")
    assert group.code in article.inner_text()
    article.get_by_role("textbox").fill("die Datei kam abgeschnitten an")
    article.get_by_role("button", name="Freigeben").click()
    page.get_by_role("status").get_by_text("Freigegebene Dateien: 1.").wait_for()
    assert page.get_by_text("Nichts ist in Quarantäne.").is_visible()
    assert listed(sample_site.settings) == []
