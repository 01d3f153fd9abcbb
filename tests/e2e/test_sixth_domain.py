"""A stranger adds street lighting by following docs/domains.md: trained, released and run, with no file of the project
changed, and the lamps are full before it is dark, which a lux threshold alone does not manage."""

from __future__ import annotations

import datetime
import json
import math
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.test_readme import PROGRAM, Shell, answer, wait_for
from tests.simulators.agent import ROOT, free_port
from tests.simulators.board import BoardProcess, Edge
from tests.simulators.modbus import Meters
from wayside.firmware_bridge.line.messages import EventKind

PAGE = (ROOT / "docs" / "domains.md").read_text()
SEED = 20240320  # of the clouds
EVENING = datetime.datetime(
    2024, 3, 20, 14, 30, tzinfo=datetime.UTC
)  # where the node's clock begins; data end a day before
HOURS = 5.0
SPEED = 400.0  # ten minutes in 1.5 s
DARK_LX, STEP = 50.0, datetime.timedelta(minutes=10)
LATITUDE, CHANNEL = 52.0, 3
README_HUB = "http://127.0.0.1:8000"

pytestmark = pytest.mark.timeout(400)


def file(name: str) -> str:
    """The block of the page under the file's name."""
    block = re.search(rf"\*\*{re.escape(name)}\*\*\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert block, name
    return block[1]


def commands() -> list[list[str]]:
    """The lines of each block for the shell, in turn."""
    return [block.splitlines() for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)]


def light(at: datetime.datetime, cloud: float = 1.0) -> float:
    """Lux of a twilight sensor: the sun's elevation, through clouds, no more than 1000.

    Ten degrees of elevation are 3.5 decades of light: 400 lx with the sun at the horizon, 3 lx at civil dusk.
    """
    hour = at.hour + at.minute / 60 + at.second / 3600
    day = at.timetuple().tm_yday + hour / 24
    declination = math.radians(23.44) * math.sin(2 * math.pi * (day - 80) / 365.25)
    latitude, angle = math.radians(LATITUDE), math.radians((hour - 12) * 15)
    height = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(angle)
    elevation = min(10.0, max(-9.0, math.degrees(math.asin(height))))
    return float(min(1000.0, cloud * 10 ** (2.6 + 0.35 * elevation)))


def write_light(path: Path) -> None:
    """A year of ten-minute values up to the day before the evening."""
    draw, drift = random.Random(SEED), 0.0
    at, end = datetime.datetime(2023, 3, 20), datetime.datetime(2024, 3, 20)
    lines = ["timestamp,place,lux"]
    while at < end:
        drift = 0.98 * drift + draw.gauss(0, 0.08)
        lines.append(f"{at:%Y-%m-%dT%H:%M},mast,{light(at + STEP / 2, math.exp(-abs(drift))):.1f}")
        at += STEP
    path.write_text("\n".join(lines) + "\n")


def evening() -> Iterator[Edge]:
    """What the board's converter reads, each half minute."""
    for second in range(0, int(HOURS * 3600), 30):
        yield second * 1000, EventKind.ANALOG, CHANNEL, round(light(EVENING + datetime.timedelta(seconds=second)))


def when_dark() -> datetime.datetime:
    at = EVENING
    while light(at) > DARK_LX:
        at += datetime.timedelta(seconds=10)
    return at


def project() -> tuple[str, float]:
    """What git says of the project's files, and when the newest of them was written."""
    state = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    rooms = [ROOT / room for room in ("contracts", "edge", "cloud", "models", "export", "firmware_bridge")]
    return state, max(path.stat().st_mtime for room in rooms for path in room.rglob("*.py"))


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    one = Shell(tmp_path, PROGRAM, PYTHONPATH=str(ROOT))
    one.environment["PYTHONPATH"] += f":{tmp_path / 'site'}"
    yield one
    one.stop()


def configured(shell: Shell, hub: str, token: str, board: str, lamps: int) -> float:
    """The page's file with this place's addresses and a simulated clock. Returns the clock's anchor."""
    toml = file("lamp-7.toml")
    for then, now in {
        README_HUB: hub,
        "TOKEN": token,
        "/dev/serial/by-id/usb-board-0": board,
        "tcp://10.0.0.7:502": f"tcp://127.0.0.1:{lamps}",
    }.items():
        assert then in toml
        toml = toml.replace(then, now)
    anchor = time.time() + 1.0
    clock = f'kind = "scaled"\nspeed = {SPEED}\nstart_unix_s = {EVENING.timestamp()}\nanchor_unix_s = {anchor:.6f}\n'
    toml = toml.replace("[clock]\n", f"[clock]\n{clock}").replace(
        "[hub]\n", "[hub]\nsync_s = 0.5\nbackoff_max_s = 1.0\n"
    )
    (shell.folder / "lamp-7.toml").write_text(toml)
    return anchor


def rows(hub: str, kind: str, shell: Shell) -> list[dict[str, Any]]:
    query = {"node": "lamp-7", "kind": kind, "limit": "1000"}
    reply = httpx.get(f"{hub}/api/v1/summaries", params=query, headers=shell.credentials(), timeout=20)
    assert reply.status_code == 200, reply.text
    return sorted(reply.json()["summaries"], key=lambda row: row["at"]["mono_ns"])


def at(row: dict[str, Any]) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(row["at"]["wall_ms"] / 1000, datetime.UTC)


def watch(lamps: Meters, anchor: float) -> Iterator[tuple[datetime.datetime, int]]:
    """Each new level of the lamps with the time that it is on the street, until the evening is over."""
    seen = 0
    while (now := EVENING + datetime.timedelta(seconds=(time.time() - anchor) * SPEED)) < when_dark() + 3 * STEP:
        writes = lamps.writes(0)
        for write in writes[seen:]:
            yield now, write.held
        seen = len(writes)
        time.sleep(0.02)


def test_a_stranger_adds_street_lighting_and_the_lamps_are_full_before_it_is_dark(tmp_path: Path, shell: Shell) -> None:
    before = project()
    for name in ("street_light.toml", "town_lamps/dusk.py", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(file(name))
    (tmp_path / "town_lamps" / "__init__.py").touch()
    write_light(tmp_path / "light.csv")
    hub, lamps_port = f"http://127.0.0.1:{free_port()}", free_port()
    office, node, roll_out, why = commands()

    said = ""
    for line in office:
        line = line.replace(README_HUB, hub)  # noqa: PLW2901
        if "hub run" in line:
            line = line.replace(" &", f" --port {hub.rsplit(':', 1)[1]} &")  # noqa: PLW2901
        said = shell.type(line)
        if "hub run" in line:
            wait_for(lambda: answer(f"{hub}/healthz", shell), shell, "the hub does not answer")
    pip = f"{sys.executable} -m pip install -q --no-deps --no-index --no-build-isolation --target {tmp_path / 'site'} ."
    shell.type(node[0].replace("pip install .", pip))

    with Meters(tmp_path / "lamps", {1: [0]}, tcp_port=lamps_port) as lamps:
        anchor = configured(shell, hub, said.strip(), str(tmp_path / "board.tty"), lamps_port)
        with BoardProcess(tmp_path, evening(), speed=SPEED, anchor_s=anchor):
            assert "dusk" in shell.type(node[1])
            shell.type(node[2])
            wait_for(
                lambda: answer(f"{hub}/api/v1/nodes/lamp-7", shell).get("heartbeat"), shell, "the node does not sync"
            )
            for line in roll_out:
                shell.type(line.replace(README_HUB, hub))
            levels = list(watch(lamps, anchor))
        told = shell.type(why[0])

    dark = when_dark()
    assert levels, shell.logs()
    off = [when for when, level in levels if level == 0]
    assert off and off[0] < dark - 6 * STEP, f"by day the lamps are off, once the model runs: {levels}"
    full = next(when for when, level in levels if when > off[-1] and level == 100)
    measured = [row for row in rows(hub, "interval", shell) if row["datastream"] == "street/light"]
    threshold = next(at(row) for row in measured if at(row) > off[-1] and row["value"] <= DARK_LX)
    print(
        f"\ndark ({DARK_LX:g} lx) {dark:%H:%M}, full by forecast {full:%H:%M}, by a threshold alone {threshold:%H:%M}"
    )
    assert full < dark < threshold
    assert dark - full < datetime.timedelta(hours=1), "nor for hours in the sun"

    decisions = [row for row in rows(hub, "decision", shell) if row["detail"].get("verdict") == "allowed"]
    last = decisions[-1]
    assert last["detail"]["policy"].startswith("dusk") and "town-lamps 1.0.0" in json.dumps(last["detail"])
    assert "the lowest light that the model expects is" in told
    assert project() == before
