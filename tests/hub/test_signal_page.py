"""The split monitor and the coordination diagram of a node's signal, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.edge.measures.test_measures import rows_of
from tests.hub.conftest import AUTH, ROOT, HubProcess
from tests.hub.test_page import CHROMIUM, FLAGS
from tests.simulators import signal_day
from wayside.edge.measures.layout import Layout
from wayside.edge.measures.summary import summaries

QUARTER_MS = 900_000


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here: apt-get install chromium")
def test_the_page_shows_how_greens_ended_and_when_vehicles_arrive(hub_process: Callable[[], HubProcess]) -> None:
    from playwright.sync_api import sync_playwright

    hub = hub_process()
    node = hub.node("node-1")
    begin_ms = node.wall_ms - 86_400_000
    day = summaries(rows_of(signal_day.day(4, begin_ms, 23.5), Layout.of(signal_day.loops())))
    rows = []
    for each in day:
        node.wall_ms = each.start_ms + QUARTER_MS
        greens = float(each.numbers.get("greens") or 0)
        name = f"phase/{each.phase}/measures"
        rows.append(node.summary(greens, datastream=name, unit="{green}", duration_s=900.0, detail=each.numbers))
    for at in range(0, len(rows), 100):
        node.sync(rows[at : at + 100])
    shots = ROOT / "var" / "screenshots"
    shots.mkdir(parents=True, exist_ok=True)
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1360, "height": 900}, extra_http_headers=AUTH)
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(hub.url)
        page.wait_for_selector("#split-monitor tr[data-phase='4']")
        told = page.inner_text("#split-monitor tr[data-phase='2']")
        ours = [each.numbers for each in day if each.phase == 2]
        assert f"{sum(int(n['split_failures'] or 0) for n in ours if 'split_failures' in n)}" in told
        assert f"of {sum(int(n['judged'] or 0) for n in ours if 'judged' in n)} cycles" in told
        assert page.locator("#coordination rect.arrivals").count() > 500
        assert [page.locator(f"#coordination path.{kind}").count() for kind in ("green", "yellow", "red")] == [1, 1, 1]
        page.locator("#signal").screenshot(path=shots / "hub-signal.png")
        before = page.inner_html("#coordination")
        page.select_option("#choose-phase", "3")
        page.wait_for_function("before => document.querySelector('#coordination').innerHTML !== before", arg=before)
        page.emulate_media(color_scheme="dark")
        page.locator("#signal").screenshot(path=shots / "hub-signal-dark.png")
        page.set_viewport_size({"width": 390, "height": 844})
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator("#signal").screenshot(path=shots / "hub-signal-phone.png")
        browser.close()
    assert complaints == []
