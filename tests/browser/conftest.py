"""A real browser: headless Chromium, one for all tests of a process; a fresh profile for each.

It reaches this machine alone: other names are not resolved. Tests that ask for it are skipped
where Playwright or Chromium is not installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from browser_watch import Watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1",
)
DESKTOP: Any = {"width": 1280, "height": 800}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip(f"no Chromium on PATH ({', '.join(_NAMES)})")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield found
        found.close()


@pytest.fixture
def seen() -> Watch:
    """What `page` did: errors, dialogs, requests, windows."""
    return Watch()


@pytest.fixture
def page(browser: Browser, seen: Watch) -> Iterator[Page]:
    """An empty page of 1280 x 800 with a profile of its own, watched by `seen`."""
    context = browser.new_context(viewport=DESKTOP, service_workers="block")
    context.set_default_timeout(20_000)
    opened = context.new_page()
    seen.follow(opened)
    yield opened
    context.close()
