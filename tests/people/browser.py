"""A real browser for tests: Debian's Chromium, driven by Playwright. Tests that need it are skipped where it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium without a window, for the tests of a module."""
    if find_spec("playwright") is None:
        pytest.skip("the package playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: install Debian's package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@contextmanager
def page_of(browser: "Browser", size: tuple[int, int] = DESKTOP, *, dark: bool = False) -> "Iterator[Page]":
    """Yield an empty page of `size` (width, height) in px, in a context of its own."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", locale="en-GB"
    )
    page = context.new_page()
    page.set_default_timeout(180_000)
    try:
        yield page
    finally:
        context.close()


def foreign_requests(page: "Page") -> list[str]:
    """Return a list that fills with the addresses which `page` asks for from now on and which are not on this machine."""
    found: list[str] = []
    local = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:", "file:")
    page.on("request", lambda request: None if request.url.startswith(local) else found.append(request.url))
    return found
