"""A real browser and a portal that really listens."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.portal.site import PASSWORD, PROGRAM, SampleSite
from tests.services.daemon import need

_ARGUMENTS = [
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # No graphics card here: WebGL is computed.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium without a screen."""
    need("chromium", package="chromium")
    arguments = [*_ARGUMENTS, "--no-sandbox"] if os.geteuid() == 0 else _ARGUMENTS
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        yield browser
        browser.close()


@contextmanager
def listening(site: SampleSite, *options: str) -> Iterator[str]:
    """Let `heartbrain serve` run on a free port; give its address without the last slash."""
    command = [PROGRAM, "serve", "--settings", site.file, "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path("/")) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"https?://\S+(?=/\.)", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()
            process.wait(timeout=20)


def log_in(page: Page, address: str, name: str) -> None:
    """Log in as somebody does."""
    page.goto(address)
    page.get_by_label(re.compile("^Name$")).fill(name)
    page.get_by_label(re.compile("Password|Passwort")).fill(PASSWORD)
    page.locator("main button").click()
    page.wait_for_selector("header nav")


def violations(page: Page) -> list[str]:
    """Give what axe-core finds wrong on a page, a line each."""
    report = Axe().run(page).response
    return [
        f"{one['id']}: {node['html'][:200]} | {node.get('failureSummary', '')[:300]}"
        for one in report["violations"]
        for node in one["nodes"]
    ]
