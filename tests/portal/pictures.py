"""The pictures of the portal in docs/: `python -m tests.portal.pictures` makes them anew from the sample study."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from tests.portal.browser import chromium, listening, log_in
from tests.portal.site import SampleSite

DOCS = Path(__file__).resolve().parents[2] / "docs" / "portal"


def take(page: Page, address: str, folder: Path) -> None:
    """Go the way of a clinician: find, look, click, follow, result."""

    def picture(name: str, *, height: int = 800) -> None:
        page.set_viewport_size({"width": 1280, "height": height})
        page.wait_for_timeout(1000)
        page.screenshot(path=folder / f"{name}.png", animations="disabled")

    page.goto(f"{address}/?query=FIND+T1WeightedImage")
    picture("find", height=720)
    page.goto(f"{address}/?query=FIND+DiffusionWeightedImage")
    page.locator('main a[href^="/record/"]').first.click()
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(4000)
    page.get_by_label("Map", exact=True).select_option(index=1)
    page.wait_for_timeout(2000)
    picture("look", height=900)
    page.goto(f"{address}/run?query=FIND+T1WeightedImage&function=checksum-report")
    picture("run", height=720)
    page.goto(f"{address}/requests")
    page.locator("summary").first.click()
    picture("follow", height=560)
    page.goto(f"{address}/?query=FIND+IVIMAnalysis")
    page.locator('main a[href^="/record/"]').first.click()
    page.wait_for_timeout(4000)
    picture("result", height=900)


def main() -> None:
    """Make all pictures, and those of the steward's page."""
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        site = SampleSite.build(Path(work), small=False)
        with chromium() as browser, listening(site) as address:
            page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-GB")
            log_in(page, address, "clara")
            take(page, address, DOCS)
            page.get_by_role("button", name=re.compile("Log out")).click()
            log_in(page, address, "stefan")
            page.goto(f"{address}/steward")
            page.screenshot(path=DOCS / "steward.png")


if __name__ == "__main__":
    main()
