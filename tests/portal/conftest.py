"""What the tests of the portal stand on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from linkahead_embedded.bootstrap import close_application
from tests.portal.browser import chromium, listening
from tests.portal.following import set_interval
from tests.portal.site import SampleSite, Visit, shared_site


@pytest.fixture(scope="module")
def sample_site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> SampleSite:
    """Give a site with the small sample study and its results, a copy for each module of tests."""
    base = tmp_path_factory.getbasetemp()
    shared = shared_site(base if worker_id == "master" else base.parent)
    return shared.copy(tmp_path_factory.mktemp("portal"))


@pytest.fixture(scope="module")
def clara(sample_site: SampleSite) -> Iterator[Visit]:
    """Give the browser of a clinician, who may ask and run."""
    yield Visit(sample_site.settings).log_in("clara")
    close_application(sample_site.settings.database)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give the system's Chromium."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address(sample_site: SampleSite) -> Iterator[str]:
    """Give the address of a portal of the sample site that listens."""
    with listening(sample_site) as url:
        yield url


@pytest.fixture(scope="module")
def working(sample_site: SampleSite) -> Iterator[str]:
    """Give the address of a portal that exchanges by itself, with a computing centre that works."""
    set_interval(sample_site, seconds=0.5)
    is_over = threading.Event()

    def work() -> None:
        while not is_over.wait(0.3):
            sample_site.centre.tick()

    worker = threading.Thread(target=work)
    with listening(sample_site, "--exchange") as address:
        worker.start()
        yield address
        is_over.set()
        worker.join()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Give an empty page of a browser that nobody used before; errors of its scripts fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    page.on("console", lambda said: problems.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    context.close()
    assert problems == []
