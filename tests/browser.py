"""A real browser without a window, for tests of pages that people open."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Route

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
PHONE_WIDTH = 390  # CSS pixels

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="needs chromium on the PATH and the Python package playwright",
)


@contextmanager
def page(*, width: int = 1280, height: int = 900, ignore: Sequence[str] = ()) -> Iterator[Page]:
    """A fresh page of a headless Chromium that reaches files and this machine alone.

    After the block it asserts that nothing went wrong in it: no error in the console, no exception
    in a script, no failed request, no request to another machine.

    Args:
        width: of the window, in CSS pixels; `PHONE_WIDTH` is that of a phone.
        height: of the window, in CSS pixels.
        ignore: regular expressions of complaints that are not the page's own fault.
    """
    from playwright.sync_api import sync_playwright

    heard: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": width, "height": height})
        try:
            stay_on_this_machine(context, heard)
            fresh = context.new_page()
            listen(fresh, heard)
            yield fresh
            complaints = list(heard)  # what closing the window cuts off is no fault of the page
        finally:
            context.close()
            browser.close()
    own = [words for words in complaints if not any(re.search(known, words) for known in ignore)]
    assert own == []


def stay_on_this_machine(context: BrowserContext, complaints: list[str]) -> None:
    def decide(route: Route) -> None:
        address = urlsplit(route.request.url)
        if address.scheme in ("http", "https") and address.hostname not in LOOPBACK:
            complaints.append(f"asks another machine: {route.request.url}")
            route.abort()
        else:
            route.continue_()

    context.route("**/*", decide)


def listen(fresh: Page, complaints: list[str]) -> None:
    def console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(f"console: {message.text} ({message.location.get('url', '')[:200]})")

    def failed(request: Request) -> None:
        complaints.append(f"failed request: {request.url[:200]} ({request.failure})")

    fresh.on("console", console)
    fresh.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    fresh.on("requestfailed", failed)


def assert_fits(fresh: Page) -> None:
    """The page does not scroll sideways."""
    widths = fresh.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1], f"{widths[0]} pixels wide in a window of {widths[1]}"
