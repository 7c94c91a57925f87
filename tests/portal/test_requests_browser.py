"""Click and follow in a real browser: a function runs at a computing centre, and the page tells by itself."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.portal.browser import log_in, violations
from tests.portal.following import one_image
from tests.portal.site import SampleSite

_MOMENT = 60_000


def test_a_function_runs_and_its_page_tells_so_without_being_loaded_again(
    page: Page, working: str, sample_site: SampleSite
) -> None:
    log_in(page, working, "clara")
    image = one_image(sample_site, "DiffusionWeightedImage")
    page.goto(f"{working}/run?ids={image}")
    page.get_by_role("link", name="Intravoxel").click()
    button = page.get_by_role("button", name="Run")
    expect(page.get_by_text("1 is there already")).to_be_visible()
    expect(button).to_be_disabled()

    page.locator("summary", has_text="Settings").click()
    field = page.get_by_label(re.compile("perfusion is taken to be gone"))
    field.fill("49")
    expect(page.get_by_text("must be at least 50 s/mm^2")).to_be_visible()
    expect(field).to_have_attribute("aria-invalid", "true")
    assert violations(page) == []
    field.fill("250")
    expect(page.get_by_text(re.compile("at most about 10 min"))).to_be_visible()
    expect(field).not_to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="Run on 1 image").dblclick()

    page.wait_for_url("**/requests/R-*")
    page.evaluate("window.isTheSamePage = true")
    state = page.locator(".state")
    expect(state.get_by_text(re.compile("at the computing centre|running"))).to_be_visible(timeout=_MOMENT)
    # Another tab comes to the front, and this one again.
    for is_hidden in ("true", "false"):
        page.evaluate(f"Object.defineProperty(document, 'hidden', {{value: {is_hidden}, configurable: true}})")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(state.get_by_text("finished")).to_be_visible(timeout=_MOMENT)
    expect(state.get_by_role("link", name="See the result")).to_be_visible()
    assert page.evaluate("window.isTheSamePage") is True
    state.get_by_role("link", name="Show the log").click()
    expect(page.get_by_text("stdout.txt")).to_be_visible()
    assert violations(page) == []


def test_a_request_is_cancelled_and_tried_again(page: Page, working: str, sample_site: SampleSite) -> None:
    log_in(page, working, "clara")
    page.goto(f"{working}/run?ids={one_image(sample_site, 'T1WeightedImage')}&function=checksum-report")
    page.get_by_label("Waiting time").fill("120")
    page.get_by_role("button", name="Run on 1 image").click()
    page.wait_for_url("**/requests/R-*")
    name = urlsplit(page.url).path.rpartition("/")[2]
    page.goto(f"{working}/requests")
    page.evaluate("window.isTheSamePage = true")
    row = page.locator("li.request", has=page.locator(f"a[href$='{name}']"))
    expect(row.get_by_text("running")).to_be_visible(timeout=_MOMENT)
    assert page.evaluate("window.isTheSamePage") is True
    for attempt in ("first", "second"):
        row.get_by_role("button", name="Cancel").click()
        expect(row.get_by_text("cancelled", exact=True)).to_be_visible(timeout=_MOMENT)
        if attempt == "first":
            row.get_by_role("button", name="Try again").click()
            expect(row.get_by_text("running")).to_be_visible(timeout=_MOMENT)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_can_be_used_by_everybody_in_german_on_a_tablet(
    page: Page, working: str, sample_site: SampleSite, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 820, "height": 1180})
    log_in(page, working, "clara")
    page.get_by_role("button", name="Deutsch").click()
    page.goto(f"{working}/requests")
    expect(page.get_by_role("heading", name="Aufträge")).to_be_visible()
    batch = page.locator("summary", has_text="Perfusion und Diffusion (IVIM)").last
    batch.click()
    expect(page.locator("details[open]").get_by_role("link", name="Ergebnis").first).to_be_visible()
    assert violations(page) == []
    page.locator("details[open]").get_by_role("link", name="Einzelheiten").first.click()
    expect(page.get_by_role("heading", name="Einstellungen")).to_be_visible()
    page.get_by_text("stdout.txt").click()
    assert violations(page) == []
    images = [one_image(sample_site, kind) for kind in ("DiffusionWeightedImage", "T1WeightedImage")]
    page.goto(f"{working}/run?ids={images[0]},{images[1]}&function=ivim")
    expect(page.get_by_text("passt zu 1 von 2").first).to_be_visible()
    expect(page.get_by_text("Nicht dabei")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
