"""Records in a real browser: voxels, maps, curves, values, results."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from linkahead_embedded.bootstrap import close_application
from tests.portal.browser import log_in, violations
from tests.portal.looking import only
from tests.portal.site import SampleSite, Visit

Open = Callable[[str], Page]


@pytest.fixture(scope="module")
def numbers(sample_site: SampleSite) -> dict[str, int]:
    """Give a record of each kind that is looked at."""
    visit = Visit(sample_site.settings)
    questions = {
        "image": "FIND RECORD DiffusionWeightedImage",
        "recording": "FIND RECORD ECGRecording WITH NumberOfPeaks > 50",
        "value": "FIND RECORD LaboratoryMeasurement WITH Analyte=creatinine",
        "result": "FIND RECORD IVIMAnalysis",
        "session": "FIND RECORD Session",
        "subject": "FIND RECORD Subject",
    }
    found = {name: int(only(visit, question).id) for name, question in questions.items()}
    close_application(sample_site.settings.database)
    return found


@pytest.fixture(scope="module")
def ticket(browser: Browser, address: str) -> list[Any]:
    """Give the cookies of a clinician who is logged in."""
    context = browser.new_context(locale="en-GB")
    log_in(context.new_page(), f"{address}/login", "clara")
    cookies = context.cookies()
    context.close()
    return cookies


@pytest.fixture
def open_record(page: Page, numbers: dict[str, int], address: str, ticket: list[Any]) -> Open:
    """Give a function that opens the page of a record."""
    page.context.add_cookies(ticket)

    def show(name: str) -> Page:
        page.goto(f"{address}/record/{numbers[name]}")
        if page.locator("[data-viewer]").count():
            page.wait_for_selector("[data-viewer][data-state=ready]", timeout=60_000)
        return page

    return show


def pixels(page: Page) -> NDArray[np.int16]:
    """Give what the canvas shows: shape (height, width, 3)."""
    page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(page.locator("[data-canvas]").screenshot())).convert("RGB")
    return np.asarray(picture, dtype=np.int16)


def is_grey(shown: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Tell of each pixel whether it is a grey that is not black."""
    return (np.ptp(shown, axis=2) < 12) & (shown.max(axis=2) > 40)


def test_an_image_shows_its_voxels_and_each_volume_its_own(open_record: Open) -> None:
    page = open_record("image")
    first = pixels(page)
    assert is_grey(first).mean() > 0.05
    slider = page.get_by_label("Volume")
    expect(page.locator("[data-volume-text]")).to_have_text("1 of 46: b = 0 s/mm²")
    slider.focus()
    page.keyboard.press("End")
    expect(page.locator("[data-volume-text]")).to_have_text("46 of 46: b = 1000 s/mm²")
    last = pixels(page)
    # The signal falls with the b-value.
    assert last[is_grey(first)].mean() < 0.8 * first[is_grey(first)].mean()
    page.get_by_label("White from").focus()
    for _turn in range(3):
        page.keyboard.press("PageDown")
    assert pixels(page)[is_grey(first)].mean() > last[is_grey(first)].mean() + 5
    place = page.locator("[data-location]").inner_text()
    page.locator("[data-canvas]").focus()
    page.keyboard.press("PageUp")
    expect(page.locator("[data-location]")).not_to_have_text(place)
    page.get_by_label("View").select_option("Axial")
    assert np.abs(pixels(page) - last).mean() > 1


def test_a_map_lies_over_the_image_with_its_colours_explained(open_record: Open) -> None:
    page = open_record("image")
    bare = pixels(page)
    assert page.locator("[data-bar]").is_hidden()
    choice = page.get_by_label("Map", exact=True)
    label = next(one for one in choice.locator("option").all_inner_texts() if one.startswith("f of "))
    choice.select_option(label)
    page.wait_for_selector("[data-viewer][data-map^='/file/']")
    covered = pixels(page)
    coloured = np.ptp(covered, axis=2) > 40
    assert coloured.mean() > np.mean(np.ptp(bare, axis=2) > 40) + 0.05
    low, high = (float(page.locator(f"[data-bar-{end}]").inner_text()) for end in ("low", "high"))
    assert 0 <= low < high <= 1
    assert violations(page) == []
    page.get_by_label("Opacity").fill("0")
    # Without opacity the image is as it was, but for the cross.
    assert np.abs(pixels(page) - bare).mean() < 1
    choice.select_option("none")
    assert page.locator("[data-bar]").is_hidden()


@pytest.mark.parametrize("name", ["image", "recording", "value", "result", "session", "subject"])
def test_every_page_can_be_used_by_everybody(open_record: Open, name: str) -> None:
    page = open_record(name)
    for summary in page.locator("summary").all():
        summary.click()
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 820, "height": 1100})
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 820


def test_the_curve_of_a_recording_is_walked_through_without_a_new_page(open_record: Open) -> None:
    page = open_record("recording")
    page.evaluate("window.stays = true")
    before = page.locator("svg.trace").nth(1).get_attribute("aria-label")
    page.get_by_role("link", name="Later").click()
    expect(page.locator("svg.trace").nth(1)).not_to_have_attribute("aria-label", before or "")
    assert page.evaluate("window.stays")
    assert re.search(r"with 1\d beats", page.locator("svg.trace").nth(1).get_attribute("aria-label") or "")


def test_a_result_shows_its_picture_its_numbers_and_its_first_map(open_record: Open) -> None:
    page = open_record("result")
    picture = page.locator(".outcome img")
    assert picture.evaluate("one => one.complete && one.naturalWidth") > 100
    assert page.locator(".comparison").count() == 3
    assert page.locator("[data-bar]").is_visible()
    assert (np.ptp(pixels(page), axis=2) > 40).mean() > 0.05


def test_a_browser_that_can_not_draw_says_so_and_shows_a_picture(
    page: Page, address: str, numbers: dict[str, int], ticket: list[Any]
) -> None:
    page.context.add_cookies(ticket)
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(f"{address}/record/{numbers['image']}")
    expect(page.locator("[data-message]")).to_contain_text("can not draw images")
    assert page.locator("[data-fallback]").is_visible()
    assert page.locator("[data-stage]").is_hidden()
