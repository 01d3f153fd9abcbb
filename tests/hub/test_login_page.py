"""The login in a real browser, and the page as each kind of reader has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.hub.conftest import HubProcess
from tests.hub.test_page import CHROMIUM, FLAGS

if TYPE_CHECKING:
    from playwright.sync_api import Page

PASSWORD = "seven herons over the weir"


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here: apt-get install chromium")
def test_people_log_in_without_javascript_and_each_reader_has_a_page_that_lives(
    hub_process: Callable[..., HubProcess],
) -> None:
    from playwright.sync_api import sync_playwright

    hub = hub_process(options=["--public-read"])
    for name in ("ours", "theirs"):
        node = hub.node(name)
        node.sync([node.summary(7.0)])
    for name, role in (("ines", {"role": "operator"}), ("otto", {"role": "department", "department": "roads"})):
        assert hub.client.post("/api/v1/users", json={"name": name, "password": PASSWORD} | role).status_code == 201
    sees = [{"node": "ours"}, {"node": "theirs", "datastream": "intersection/volume"}]
    assert hub.client.put("/api/v1/departments/roads", json={"sees": sees}).status_code == 200
    released = {"node": "ours", "datastream": "intersection/volume"}
    assert hub.client.post("/api/v1/open", json=released).status_code == 200
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)

        def log_in(name: str, **options: bool) -> Page:
            page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
            page.on("console", lambda said: complaints.append(f"{name}: {said.text}"))
            page.on("pageerror", lambda error: complaints.append(f"{name}: {error}"))
            page.goto(f"{hub.url}/login")
            page.fill("input[name=name]", name)
            page.fill("input[name=password]", PASSWORD)
            page.click("button")
            assert page.url == f"{hub.url}/"
            return page

        plain = log_in("ines", java_script_enabled=False)
        assert plain.inner_text("#who") == "ines, operator"
        plain.click("text=Log out")
        assert plain.url == f"{hub.url}/login"

        page = log_in("otto")
        page.wait_for_selector("#connection.live")
        assert page.inner_text("#who") == "otto, roads"
        assert page.locator("#nodes tbody tr").count() == 2
        page.click("#nodes tr[data-node='theirs']")
        page.wait_for_selector("#chart[data-points='1']")

        nobody = browser.new_page()
        nobody.on("console", lambda said: complaints.append(f"nobody: {said.text}"))
        nobody.goto(hub.url)
        nobody.wait_for_selector("#connection.live")
        assert nobody.inner_text("#who") == "open data"
        assert nobody.locator("#nodes tbody tr").all_inner_texts()[0].startswith("ours")
        assert nobody.locator("#nodes tbody tr").count() == 1
        browser.close()
    assert complaints == []
