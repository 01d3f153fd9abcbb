"""The whole line, as a newcomer runs it: real processes, five nodes, one hub restart, one SIGKILL, and the page."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import pytest

from wayside.hub_http.client import bearer

ROOT = Path(__file__).parents[2]
EDGE = ROOT / ".venv-edge" / "bin" / "python"
SECONDS = 150
NODES = ("intersection", "kiosk", "mast", "corner", "forecourt")
CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.timeout(900)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Demo(NamedTuple):
    process: subprocess.Popen[bytes]
    hub: str
    home: Path

    def link(self) -> str:
        """As the person at the terminal reads it."""
        (found,) = re.findall(r"http://\S+/login/link/\S+", (self.home.parent / "demo.log").read_text())
        return str(found)

    def credentials(self) -> dict[str, str]:
        return bearer((self.home / "hub" / "operator.token").read_text())


def start(home: Path, port: int, seconds: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "wayside",
        "demo",
        "--seconds",
        str(seconds),
        "--port",
        str(port),
        "--home",
        str(home),
    ]
    if EDGE.exists():
        command += ["--edge-python", str(EDGE)]
    with (home.parent / "demo.log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"COLUMNS": "200"},
            # Whoever started these tests in the background made them ignore Ctrl-C, and what they start, too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home = tmp_path_factory.mktemp("demo") / "home"
    port = free_port()
    process = start(home, port, SECONDS)
    yield Demo(process, f"http://127.0.0.1:{port}", home)
    process.send_signal(signal.SIGINT)
    process.wait(60)


def ready(demo: Demo) -> list[dict[str, Any]]:
    """Wait until all nodes run their released models and have said something."""
    deadline = time.monotonic() + 420
    while time.monotonic() < deadline:
        assert demo.process.poll() is None, (demo.home.parent / "demo.log").read_text()[-3000:]
        try:
            nodes = httpx.get(f"{demo.hub}/api/v1/nodes", headers=demo.credentials(), timeout=5).json()["nodes"]
        except (httpx.TransportError, OSError, ValueError, KeyError):  # the hub is not made yet, or away
            nodes = []
        active = [n for n in nodes if n["heartbeat"] and n["heartbeat"]["reported"].get("version") == "1.0.0"]
        if len(active) == len(NODES) and all(n["stored"] > 40 for n in active):
            return active
        time.sleep(0.5)
    raise AssertionError(
        "the nodes never ran the released model\n" + (demo.home.parent / "demo.log").read_text()[-3000:]
    )


def through_the_restart(act: Callable[[], Any], refused: type[Exception]) -> Any:
    """What ``act`` gives; the demo restarts its hub in the middle, and for some seconds nobody answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return act()
        except refused:
            assert time.monotonic() < deadline, "the hub did not come back"
            time.sleep(0.5)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")
def test_the_page_shows_five_nodes_their_models_and_a_chart_with_data(demo: Demo) -> None:
    from playwright.sync_api import Error as PlaywrightError
    from playwright.sync_api import sync_playwright

    ready(demo)
    shots = ROOT / "var" / "screenshots"
    shots.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        outside: list[str] = []
        page.on("request", lambda r: None if r.url.startswith(demo.hub) else outside.append(r.url))
        link = demo.link()
        through_the_restart(lambda: page.goto(link), PlaywrightError)
        assert page.url == f"{demo.hub}/", "it needs no password"
        assert page.locator("#who").inner_text() == "visitor, viewer"
        for name in NODES:
            page.get_by_text(name, exact=True).first.wait_for(timeout=15_000)
        page.get_by_text("1.0.0").first.wait_for(timeout=15_000)
        page.locator("canvas").first.wait_for(timeout=15_000)
        page.locator("#choose-node").select_option("kiosk")
        # Not wait_for_function: the page's security policy forbids eval, and rightly.
        deadline = time.monotonic() + 60
        while int(page.locator("#chart").get_attribute("data-points") or 0) <= 5:
            assert time.monotonic() < deadline, "the chart is empty"
            page.wait_for_timeout(500)
        url = f"{demo.hub}/api/v1/series?node=kiosk&datastream=kiosk/load"
        series = through_the_restart(
            lambda: httpx.get(url, headers=demo.credentials(), timeout=5), httpx.TransportError
        ).json()
        page.screenshot(path=str(shots / "demo.png"), full_page=True)
        browser.close()
    assert any(v is not None for v in series["forecast"]), "the chart has no forecast"
    assert not outside, "the page asked somebody else"


@pytest.fixture(scope="module")
def report(demo: Demo) -> dict[str, Any]:
    status = demo.process.wait(SECONDS + 400)
    said = (demo.home.parent / "demo.log").read_text()
    assert status == 0, said[-4000:]
    loaded: dict[str, Any] = json.loads((demo.home / "report.json").read_text())
    return loaded


def of(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(node for node in report["nodes"] if node["id"] == name)


def test_five_nodes_are_one_of_each_domain(report: dict[str, Any]) -> None:
    assert [n["id"] for n in report["nodes"]] == list(NODES)
    assert [n["domain"] for n in report["nodes"]] == ["traffic", "energy", "air", "safety", "health"]


def test_every_node_runs_the_released_int8_models(report: dict[str, Any]) -> None:
    models = [m for n in report["nodes"] for m in n["models"]]
    assert {m["version"] for m in models} == {"1.0.0"}
    assert {m["variant"] for m in models} == {"onnx-int8", "tflite-int8"}
    assert len(models) == len(report["rollouts"]) == 6
    assert set(report["rollouts"].values()) == {"completed"}
    for variants in report["variants"].values():
        assert {v["name"] for v in variants} == {"onnx-fp32", "onnx-int8", "tflite-fp32", "tflite-int8"}


def test_the_hub_holds_what_each_untouched_node_was_fed_with(report: dict[str, Any]) -> None:
    assert of(report, "forecourt")["stored"] == of(report, "forecourt")["fed"] > 400
    for name in ("kiosk", "mast"):
        assert of(report, name)["stored"] == pytest.approx(of(report, name)["fed"], rel=0.02)
    assert of(report, "corner")["stored"] == pytest.approx(of(report, "corner")["fed"], rel=0.15)


def test_the_killed_nodes_gap_is_what_its_board_could_not_buffer(report: dict[str, Any]) -> None:
    node = of(report, "intersection")
    lost = node["readings_sent"] - node["readings_received"]
    assert lost == node["readings_lost"] == node["board_could_not_buffer"] == node["gap_recorded"] > 0


def test_every_summary_is_at_the_hub_once(report: dict[str, Any]) -> None:
    assert report["summaries_produced"] == report["summaries_stored"] == report["summaries_acknowledged"]
    assert report["duplicates"] == report["lost"] == 0


def test_the_intersection_runs_two_models_side_by_side(report: dict[str, Any]) -> None:
    both = of(report, "intersection")
    assert [m["bundle"] for m in both["models"]] == ["traffic-flow", "traffic-score"]
    assert both["forecasts"] > 50
    assert both["scores"] > 100


def test_every_forecaster_beats_the_newest_value_on_the_days_that_were_held_out(report: dict[str, Any]) -> None:
    models = [m for n in report["nodes"] for m in n["models"] if m["held_out_mae"] is not None]
    assert {m["bundle"] for m in models} == {"traffic-flow", "kiosk-load", "mast-pm25", "forecourt-arrivals"}
    assert all(m["held_out_mae"] < m["held_out_naive"] for m in models)


@pytest.mark.parametrize("name", ["kiosk", "forecourt"])
def test_so_do_its_forecasts_on_the_node(report: dict[str, Any], name: str) -> None:
    node = of(report, name)
    assert node["forecasts"] > 50
    assert node["forecast_mae"] < node["naive_mae"]


def test_the_intersections_board_drives_the_signal_and_the_beat_moves_its_maximum_greens(
    report: dict[str, Any],
) -> None:
    node = of(report, "intersection")
    assert node["readings_sent"] > node["edges"], "its board told of its own phases, too"
    assert node["beat"]["asked"] > 10
    assert node["beat"]["board_refused"] == 0
    assert node["beat"]["in_force_s"] > 0.7 * node["beat"]["seconds"] > 3600
    assert node["why"]["beat"].startswith("At intersection/signal the policy actuated_plus was in force for")


@pytest.mark.parametrize("name", NODES[1:])
def test_the_guard_allowed_something_and_refused_something(report: dict[str, Any], name: str) -> None:
    node = of(report, name)
    assert node["allowed"] > 0
    assert node["refused"] + node["softened"] > 0
    assert node["why"]["allowed"].endswith(".")


def test_no_picture_is_left(report: dict[str, Any], demo: Demo) -> None:
    assert not list((demo.home / "run" / "corner" / "state").rglob("*.png"))
    left = len(list((demo.home / "run" / "corner" / "pictures").iterdir()))
    assert left < 100, "only those that came after its agent had stopped"


def test_nothing_is_left_running(report: dict[str, Any], demo: Demo) -> None:
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(demo.home) in " ".join(p.info["cmdline"] or [])]
    with pytest.raises(httpx.ConnectError):
        httpx.get(demo.hub)
    assert not list((demo.home / "run").rglob("*.tty"))


def test_ctrl_c_stops_every_process_and_leaves_no_port_or_pty(tmp_path: Path) -> None:
    port = free_port()
    home = tmp_path / "home"
    process = start(home, port, 120)
    deadline = time.monotonic() + 400
    while not (home / "logs" / "agent-forecourt.log").exists():
        assert process.poll() is None, (tmp_path / "demo.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(90) == 130  # 15 s are every process's own, before it is killed
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(home) in " ".join(p.info["cmdline"] or [])]
    assert not list((home / "run").rglob("*.tty"))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}")
