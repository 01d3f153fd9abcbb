"""The page of a fleet of two thousand nodes in a real browser: a page of them at a time, the worst first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.large_store import Shape, fill
from tests.hub.conftest import AUTH, ROOT, HubProcess, miscounted
from tests.hub.test_page import CHROMIUM, FLAGS

NODES = 2000


def test_a_store_that_was_made_at_once_is_as_if_nodes_had_synced(tmp_path: Path) -> None:
    made = Shape(nodes=25, intervals=40, old_intervals=600)
    told: list[int] = []
    fill(tmp_path / "hub", made, told.append)
    assert miscounted(tmp_path / "hub") == []
    assert told[-1] == made.rows == 15 * 40 * 8 + 10 * 600 * 8 + 25 * 12


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here: apt-get install chromium")
def test_the_page_of_two_thousand_nodes_shows_the_worst_and_finds_the_others(tmp_path: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    fill(tmp_path / "hub", Shape(nodes=NODES, intervals=2, old_intervals=96))
    hub = HubProcess(tmp_path / "hub").start()
    shots = ROOT / "var" / "screenshots"
    shots.mkdir(parents=True, exist_ok=True)
    complaints: list[str] = []
    kilobytes: dict[str, float] = {}
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            page = browser.new_page(viewport={"width": 1360, "height": 900}, extra_http_headers=AUTH)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("response", lambda r: kilobytes.update({r.url: int(r.headers.get("content-length", 0)) / 1000}))
            page.goto(hub.url)
            page.wait_for_selector("#connection.live")
            rows = page.locator("#nodes tbody tr")
            assert rows.count() == 25
            assert page.inner_text("#total-nodes") == "1,960 of 2,000"
            states = [" ".join(text.split()) for text in page.locator("#states button").all_inner_texts()]
            assert states == ["40 unhealthy", "20 silent", "20 late", "1,920 fresh"]
            assert "unhealthy" in rows.first.inner_text(), "the worst first"
            assert page.locator("#conditions li").count() == 40
            assert max(kilobytes.values()) < 500, kilobytes
            page.screenshot(path=shots / "hub-large.png", full_page=True)
            page.click("#after")
            expect(page.locator("#place")).to_have_text("26 to 50")
            page.click("#states button[data-state='silent']")
            expect(page.locator("#place")).to_have_text("1 to 20")
            assert rows.count() == 20
            assert {"silent" in text for text in rows.all_inner_texts()} == {True}
            page.click("#states button[data-state='silent']")
            page.fill("#find", "-01999")
            expect(page.locator("#place")).to_have_text("1 to 1")
            page.click("#nodes tr[data-node='node-01999']")
            expect(page.locator("#identity-title")).to_contain_text("node-01999")
            page.fill("#find", "nobody")
            expect(page.locator("#place")).to_have_text("no node is like that")
            expect(page.locator("#identity-title")).to_contain_text("node-01999")  # though no page shows it
            page.screenshot(path=shots / "hub-large-none.png", full_page=False)
            page.fill("#find", "")
            page.select_option("#order", "name")
            expect(rows.first).to_contain_text("node-00000")
            page.set_viewport_size({"width": 390, "height": 844})
            page.wait_for_timeout(300)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            page.screenshot(path=shots / "hub-large-phone.png", full_page=False)
            browser.close()
    finally:
        hub.kill()
    assert complaints == []
