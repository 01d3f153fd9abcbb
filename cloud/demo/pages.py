"""Pictures of the hub's page, one for each node."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from wayside.cloud.demo.processes import StageError

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WIDTH, HEIGHT = 1000, 900
DRAWN_MS = 4000  # the page asks every two seconds
WHOLE = "page.png"
SPANS_H = {"traffic": "6", "safety": "24"}  # the log lasts two hours; else three days


def take(hub: str, nodes: Sequence[tuple[str, str, str]], folder: Path) -> None:
    """Write ``DOMAIN.png`` for each node, its chart, and ``page.png``, all of the page.

    Args:
        nodes: name, domain, and the datastream that the chart shows.

    Raises:
        StageError: there is no browser.
    """
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        raise StageError(
            "--screenshots needs playwright (pip install playwright) and chromium (apt-get install chromium)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(hub)
        page.wait_for_timeout(DRAWN_MS)
        page.screenshot(path=str(folder / WHOLE), full_page=True)
        for name, domain, datastream in nodes:
            page.locator("#choose-node").select_option(name)
            page.wait_for_timeout(DRAWN_MS)
            page.locator("#choose-datastream").select_option(datastream)
            page.locator("#choose-hours").select_option(SPANS_H.get(domain, "72"))
            page.wait_for_timeout(DRAWN_MS)
            page.locator("section:has(#chart)").screenshot(path=str(folder / f"{domain}.png"))
        browser.close()
