"""Pictures of the hub's pages for the tutorials, taken by Debian's Chromium without a screen.

A test takes each of them anew, so that what a page of the documentation shows can still be reached; it is written to
``docs/tutorials/`` only with ``WAYSIDE_RENEW_PICTURES=1``, since fonts and times differ between machines::

    WAYSIDE_RENEW_PICTURES=1 python -m pytest tests/docs/test_tutorial_ml_engineer.py
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tests.docs.tutorial import PAGES
from wayside.hub_http.client import bearer

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run")
LARGEST = 150_000  # bytes of a picture
RENEW = os.environ.get("WAYSIDE_RENEW_PICTURES") == "1"


class Camera:
    """A browser to look at the hub with; ``opened`` is its page, for clicks before :meth:`take`."""

    def __init__(self, *, width: int = 1100, height: int = 700, folder: Path = PAGES) -> None:
        self._size = {"width": width, "height": height}
        self._folder = folder
        self._playwright: Any = None
        self.opened: Page

    def __enter__(self) -> Camera:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        browser = self._playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        self.opened = browser.new_page(viewport=self._size)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._playwright.stop()

    def show(self, token_file: Path) -> None:
        """Show the hub this token with every request."""
        self.opened.set_extra_http_headers(bearer(token_file.read_text()))

    def take(self, name: str, selector: str | None = None) -> None:
        """A picture ``name`` (``….png``) of what the browser shows: of the first ``selector`` on it, or of the window.

        Raises:
            AssertionError: it is larger than a page should load, or the documentation has no such picture yet.
        """
        what = self.opened.locator(selector).first if selector else self.opened
        picture = what.screenshot()
        assert len(picture) <= LARGEST, f"{name} has {len(picture)} bytes, at most {LARGEST}: show less of the page"
        kept = self._folder / name
        if RENEW:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(picture)
        assert kept.exists(), f"{kept} is missing: WAYSIDE_RENEW_PICTURES=1 makes it"
