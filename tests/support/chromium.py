"""A real browser, driven by Playwright: `$SELVAGE_CHROMIUM`, or `chromium` on the path.

Playwright's own download is never used.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

MISSING = (
    "No Chromium: the pages were not tested in a browser. Install it (Debian: apt-get install "
    "chromium) or name it: SELVAGE_CHROMIUM=/path/to/chromium"
)
# Root, as which containers run, has no sandbox; only our own pages are opened.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]
# Of a click and of what is expected of a page: a busy machine takes its time.
PATIENCE_MS = 20_000


def find_chromium() -> str | None:
    named = os.environ.get("SELVAGE_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """Start the browser; the test is skipped without one, or fails where one is demanded."""
    path = find_chromium()
    if path is None:
        if os.environ.get("SELVAGE_REQUIRE_CHROMIUM"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page of the browser, with all that it complained of."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        answer = self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == 200, (path, answer.status)

    def note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")


@contextmanager
def open_tab(browser: Browser, url: str, **options: Any) -> Iterator[Tab]:
    """Open a tab; at its end nothing may have gone wrong in it."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(PATIENCE_MS)
    tab = Tab(context.new_page(), url)
    tab.page.on("console", tab.note)
    tab.page.on("pageerror", lambda error: tab.complaints.append(f"error: {error}"))
    yield tab
    context.close()
    assert tab.complaints == []
