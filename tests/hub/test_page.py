"""The page in a real browser: four nodes, what runs and what is wrong, nothing from elsewhere, no errors."""

from __future__ import annotations

import hashlib
import re
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub.conftest import AUTH, ROOT, Hub, HubProcess
from tests.hub.scene import play
from wayside.cloud.hub.engine import DATABASE
from wayside.contracts.commissioning import DoctorFinding, WiredChannel, WiringCheck
from wayside.contracts.summary import Kind
from wayside.contracts.sync import Board

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]
STATIC = ROOT / "cloud" / "hub" / "static"


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here: apt-get install chromium")
def test_the_page_shows_the_fleet_and_asks_nobody_else(hub_process: Callable[[], HubProcess]) -> None:
    from playwright.sync_api import sync_playwright

    hub = hub_process()
    nodes = play(hub)
    shots = ROOT / "var" / "screenshots"
    shots.mkdir(parents=True, exist_ok=True)
    asked: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1360, "height": 900}, extra_http_headers=AUTH)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(hub.url)
        page.wait_for_selector("#connection.live")  # the first round is shown to its end
        assert page.locator("#nodes tbody tr").count() == 4
        row = lambda name: page.inner_text(f"#nodes tr[data-node='{name}']")  # noqa: E731
        assert "traffic-flow 1.0.0" in row("node-3")
        assert page.locator("#nodes .fresh").count() == 1, "node-3 says that nothing is wrong"
        assert "it answers what is not a number" in row("park-mast")
        # two models of one node, and a task that runs none
        assert "traffic-flow 1.0.0 runs in flow" in row("node-1")
        assert "air-pm25: none" in row("node-1")
        assert "task air runs no model: refused 2.0.0: golden window 1" in row("node-1")
        assert "air-pm25 2.0.0" in row("park-mast")
        # a tripped conflict monitor is red, and the first thing that is wrong
        fault = page.locator("#nodes tr[data-node='node-2'] .fault")
        assert fault.inner_text() == "signal fault"
        assert fault.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(180, 35, 24)"
        assert "unhealthy" in row("node-2")
        first = page.locator("#conditions li").first.inner_text()
        assert "open, severe" in first
        assert "conflict monitor has tripped" in first
        # a condition that is over is one span, what only happened is one row
        (span,) = page.locator("#spans li").all_inner_texts()
        assert "node-3 · cabinet/door" in span
        assert "lasted 16 min; began 7 times" in span
        assert "the agent was restarted" in page.inner_text("#alerts")
        assert "door" not in page.inner_text("#alerts")
        # rollouts: what was completed and by whom not, and who cannot take it
        air = page.locator("#rollouts .rollout:has-text('air-pm25 2.0.0')")
        assert "completed, 1 excused: node-1 (golden: golden window 1: 9.4 ug/m3" in air.inner_text()
        assert "completed with exceptions, of no use" in air.inner_text()
        nan = "park-mast (model_nan in air: the model: it answers what is not a number)"
        assert f"of no use at 1 of the 1 nodes that run it now: {nan}" in air.inner_text()
        assert air.locator(".phases .useless").inner_text() == "park-mast active, of no use now"
        assert air.locator("h3 .completed").count() == 0, "it is not shown as what it is not"
        assert "2 of 4 nodes are not part of it" in air.inner_text()
        air.locator("summary").click()
        assert "2: no task for air-pm25 node-2, node-3" in air.inner_text()
        assert "wayside rollout back" in air.inner_text()
        assert int(page.get_attribute("#chart", "data-points") or 0) == 92  # 96 less 4 missing: breaks, not zeros
        assert "4 missing" in page.inner_text("#chart-note")
        assert "golden window 3" in page.inner_text("#rollouts")
        decisions = page.locator("#decisions li").all_inner_texts()
        assert any(
            "It was proposed to give signal/plan the green times phase 2 75.0 s, phase 4 15.0 s; the guard refused: "
            "phase 2: green 75.0 s is over the maximum 60.0 s (model traffic-flow 1.0.0)." in text
            for text in map(" ".join, map(str.split, decisions))
        ), decisions
        assert "swapped" in page.inner_text("#identity")
        assert "water in the cabinet" in page.inner_text("#identity")
        assert page.locator("#identity .failed").count() == 2, "the record and one of its sensors"
        page.click("#nodes tr[data-node='node-2']")
        page.wait_for_selector("#identity .warning")
        assert "wayside replace node-2 --accept-hardware c0ffee" in page.inner_text("#identity")
        assert "two computers use its key" in page.inner_text("#nodes")
        page.screenshot(path=shots / "hub-clone.png", full_page=True)
        markup = "<img src=/x onerror=\"document.title='run'\">"
        silent = DoctorFinding(check="disk", state="warn")
        wire = WiredChannel(channel=7, phase=2, function="stop_line", verdict="suspect", said=markup)
        wiring = WiringCheck(seconds=1800, channels=(wire,))
        record = nodes[2].walked(by=markup, note=markup, doctor=(silent,), wiring=wiring)
        assert nodes[2].hand_in(record).status_code == 200
        page.click("#nodes tr[data-node='node-3']")
        page.wait_for_selector("#identity:has-text('Doctor said')")
        assert page.inner_text("#identity").count(markup) == 3, "shown as it was typed"
        assert "Wiring, 30 min of events: channel 7 is suspect" in page.inner_text("#identity")
        assert "undefined" not in page.inner_text("#identity")
        page.screenshot(path=shots / "hub-markup.png", full_page=True)
        page.click("#nodes tr[data-node='node-1']")
        page.wait_for_selector("#identity .failed")
        assert page.title() == "wayside hub"
        page.select_option("#choose-datastream", "detector/6/volume")
        page.wait_for_selector("#chart[aria-label*='detector/6']")
        page.screenshot(path=shots / "hub.png", full_page=True)
        nodes[2].beat |= {"healthy": False, "board": Board(connected=False, lent=True)}
        nodes[2].sync()
        page.wait_for_selector("#nodes tr[data-node='node-3'] .lent")
        assert row("node-3").count("lent to a technician") == 2, "its health, and its board"
        assert page.locator("#nodes tr[data-node='node-3'] .refusal").count() == 0, "nothing is wrong"
        assert page.inner_text("#total-nodes") == "4 of 4"
        assert page.inner_text("#note-nodes") == "3 unhealthy, 1 lent"
        page.screenshot(path=shots / "hub-lent.png", full_page=False)
        page.emulate_media(color_scheme="dark")
        page.reload()
        page.wait_for_selector("#chart[data-points]")
        page.screenshot(path=shots / "hub-dark.png", full_page=True)
        page.set_viewport_size({"width": 390, "height": 844})
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(path=shots / "hub-phone.png", full_page=True)
        browser.close()
    assert complaints == []
    assert {url for url in asked if not url.startswith(hub.url)} == set()


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here: apt-get install chromium")
def test_a_hub_that_hangs_is_not_called_live_and_a_row_without_a_date_breaks_nothing(
    hub_process: Callable[[], HubProcess],
) -> None:
    from playwright.sync_api import expect, sync_playwright

    hub = hub_process()
    node = hub.node("node-1")
    node.sync([node.summary(40.0), node.summary(None, kind=Kind.ALERT, detail={"what": "the door"})])
    with sqlite3.connect(hub.data / DATABASE) as database:  # as an earlier release took them
        database.execute("UPDATE summaries SET time_ms = 9007199254740992 WHERE kind = 'alert'")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(extra_http_headers=AUTH)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(hub.url)
        page.wait_for_selector("#connection.live")
        assert "a time that no calendar has" in page.inner_text("#alerts")
        assert hub.process is not None
        hub.process.send_signal(signal.SIGSTOP)
        try:
            expect(page.locator("#connection.lost")).to_have_text(
                re.compile("does not answer; .* s ago"), timeout=20_000
            )
        finally:
            hub.process.send_signal(signal.SIGCONT)
        page.wait_for_selector("#connection.live", timeout=20_000)
        browser.close()
    assert complaints == []


def test_the_vendored_chart_library_is_the_released_one() -> None:
    found = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in (STATIC / "vendor").glob("uPlot.*min*")}
    assert found == {
        "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    }
    assert "MIT" in (STATIC / "vendor" / "uPlot.LICENSE.txt").read_text()


def test_the_page_names_only_its_own_assets_and_says_so_in_its_policy(hub: Hub) -> None:
    answer = hub.client.get("/")
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    for asset in ("vendor/uPlot.iife.min.js", "vendor/uPlot.min.css", "hub.js", "hub.css", "icon.svg"):
        assert hub.client.get(f"/static/{asset}").status_code == 200
