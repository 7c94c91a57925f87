"""The search page in a real browser: by form, by question, by keyboard, in both colour schemes, on a tablet."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.portal.browser import log_in, violations


@pytest.fixture
def tablet(browser: Browser) -> Iterator[Page]:
    """Give a tablet that is held upright, at night."""
    context = browser.new_context(
        viewport={"width": 820, "height": 1180}, color_scheme="dark", has_touch=True, locale="en-GB"
    )
    yield context.new_page()
    context.close()


def test_somebody_asks_with_the_form_and_sees_the_question_while_filling_it_in(page: Page, address: str) -> None:
    log_in(page, address, "clara")
    assert violations(page) == []
    page.get_by_label("What").select_option("DiffusionWeightedImage")
    # Its own numbers are offered now.
    expect(page.locator("#property-1 option[value=MaximumBValue]")).to_have_count(1)
    page.locator("#property-1").select_option("MaximumBValue")
    page.get_by_label("from", exact=True).fill("100")
    page.get_by_role("button", name="Another number").click()
    expect(page.locator("#property-2")).to_be_visible()
    expect(page.locator("#made code")).to_have_text(
        "FIND 'DiffusionWeightedImage' WITH 'MaximumBValue' >= '100 s/mm^2'"
    )
    page.locator("#form").get_by_role("button", name="Find").click()
    expect(page.locator("#found-status")).to_have_text("2 records")
    expect(page.locator("#query")).to_have_value("FIND 'DiffusionWeightedImage' WITH 'MaximumBValue' >= '100 s/mm^2'")
    picture = page.locator("td.picture img").first
    picture.scroll_into_view_if_needed()
    page.wait_for_function("image => image.complete && image.naturalWidth > 50", arg=picture.element_handle())
    assert violations(page) == []
    page.go_back()
    expect(page.get_by_role("heading", name="Ask with a form")).to_be_visible()


def test_a_question_is_typed_with_completion_by_keyboard_alone(page: Page, address: str) -> None:
    log_in(page, address, "clara")
    box = page.get_by_role("combobox", name="Ask in LinkAhead's query language")
    box.focus()
    page.keyboard.type("FIND T1W")
    option = page.get_by_role("option", name="T1WeightedImage")
    expect(option).to_be_visible()
    expect(box).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(option).to_have_attribute("aria-selected", "true")
    assert box.get_attribute("aria-activedescendant") == option.get_attribute("id")
    assert violations(page) == []
    page.keyboard.press("Enter")
    expect(box).to_have_value("FIND T1WeightedImage ")
    page.keyboard.type("WITH ce = ")
    value = page.get_by_role("option", name="'gadovist'")
    expect(value).to_be_visible()
    page.keyboard.press("Escape")
    expect(value).to_be_hidden()
    page.keyboard.press("ArrowDown")
    expect(value).to_be_visible()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(box).to_have_value("FIND T1WeightedImage WITH ce = 'gadovist' ")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.locator("#found-status")).to_have_text("1 record")


def test_rows_are_sorted_and_paged_in_place_and_saved_as_a_group(page: Page, address: str) -> None:
    log_in(page, address, "clara")
    page.goto(f"{address}/?query=FIND+MRImage&size=25")
    total = re.match(r"\d+", page.locator("#found-status").inner_text())
    assert total is not None
    page.evaluate("window.isStill = true")
    page.get_by_role("link", name="EchoTime (s)").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("EchoTime")
    page.get_by_role("link", name="EchoTime (s)").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("EchoTime")
    assert page.evaluate("document.activeElement.id") == "sort-EchoTime"
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#found-status")).to_have_text(f"{total[0]} records, 26 to {total[0]} are shown")
    assert "sort=-EchoTime" in page.url
    assert "page=2" in page.url
    # The page itself was not loaded again.
    assert page.evaluate("window.isStill") is True
    page.reload()
    expect(page.locator("#found-status")).to_have_text(f"{total[0]} records, 26 to {total[0]} are shown")
    page.get_by_label("Tick all rows of this page").check()
    ticked = page.locator("input[name=ids]:checked").count()
    assert ticked == int(total[0]) - 25
    page.get_by_label("Save as group").fill("seen in the browser")
    page.get_by_role("button", name="Save the ticked ones").click()
    expect(page.locator(".notice.good")).to_contain_text("The group “seen in the browser” is saved.")
    expect(page.locator("#found-status")).to_have_text(f"{ticked} records" if ticked > 1 else "1 record")
    assert violations(page) == []


def test_columns_are_chosen_and_an_error_is_shown_beside_the_box(page: Page, address: str) -> None:
    log_in(page, address, "clara")
    page.goto(f"{address}/?query=FIND+LaboratoryMeasurement")
    page.locator("summary").get_by_text("Columns").click()
    page.locator(".choices").get_by_label(re.compile("LOINC")).check()
    assert violations(page) == []
    page.get_by_role("button", name="Show these columns").click()
    expect(page.get_by_role("columnheader", name="LOINC")).to_be_visible()
    box = page.locator("#query")
    box.fill("FIND LaboratoryMeasurement WITH (")
    box.press("Escape")
    box.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("LinkAhead does not understand this question.")
    expect(box).to_have_attribute("aria-invalid", "true")
    assert violations(page) == []


def test_the_pages_fit_a_tablet_in_the_dark(tablet: Page, address: str) -> None:
    log_in(tablet, address, "clara")
    for path in ("/", "/?query=FIND+MRImage&size=25", "/?query=FIND+AnalysisResult", "/?query=FIND+MRImage+WITH"):
        tablet.goto(f"{address}{path}")
        assert violations(tablet) == []
        assert tablet.evaluate("document.documentElement.scrollWidth") == 820


def test_the_form_works_without_a_script(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 800}, locale="en-GB")
    page = context.new_page()
    log_in(page, address, "clara")
    page.get_by_label("What").select_option("LaboratoryMeasurement")
    page.get_by_role("button", name="Another word").click()
    page.locator("summary").filter(has_text="Ask with a form").click()
    page.locator("#word-1").select_option("Analyte")
    page.locator("#text-1").fill("creatinine")
    page.locator("#form").get_by_role("button", name="Find").click()
    assert re.match(r"\d+ records?", page.locator("#found-status").inner_text())
    page.get_by_role("link", name="MeasuredValue").click()
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("MeasuredValue")
    page.goto(f"{address}/?query=FIND+T1WeightedImage")
    page.locator("input[name=ids]").first.check()
    page.get_by_role("button", name="Run a function on the ticked ones").click()
    assert "/run?ids=" in page.url
    context.close()
