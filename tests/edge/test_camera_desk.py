"""What people at the cabinet are told of a camera: numbers and words, and nothing is deleted by looking."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.edge.tasks.test_picture import Street
from tests.simulators.pictures import LightModel, jpeg, scene
from wayside.contracts.node_config import NodeConfig, load_node_config
from wayside.edge.commission.live import Live
from wayside.edge.commission.sensor_walk import SensorWalk, State, targets
from wayside.edge.doctor.cameras import check_cameras
from wayside.edge.status import STATUS_FILE

TOML = """
node = "node-1"
state_dir = "state"
[[cameras]]
name = "corner"
folder = "pictures"
after = "delete"
every_s = 0.1
"""


def config() -> NodeConfig:
    return load_node_config(TOML)


def told(**changes: Any) -> dict[str, Any]:
    """Of an agent that sees two vehicles."""
    camera = {"camera": "corner", "quality": "good", "frames": 3, "dropped": 0, "size": [640, 480], "age_s": 1.0}
    camera |= {"counts": {"count": {"vehicle": 2.0}}, "trouble": None}
    return {"cameras": [camera | changes]}


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({}, "ok", "640 x 480 pixels, 1 s ago; count: vehicle 2"),
        ({"quality": "dark"}, "warn", "the picture is dark"),
        ({"quality": "moved"}, "warn", "looks elsewhere"),
        ({"dropped": 7}, "ok", "7 frames were not looked at"),
        ({"age_s": None, "counts": {}}, "warn", "has seen no picture yet"),
        ({"trouble": "no picture for 60 s"}, "fail", "no picture for 60 s"),
    ],
)
def test_doctor_says_what_a_running_agent_sees(tmp_path: Path, changes: dict[str, Any], state: str, words: str) -> None:
    (finding,) = check_cameras(config().cameras, tmp_path, told(**changes), 0.1)
    assert finding.state == state
    assert words in finding.said


def test_what_the_node_tells_is_what_doctor_reads(tmp_path: Path) -> None:
    street = Street()
    street.node.set_model("light", LightModel())  # type: ignore[arg-type]
    street.see(200)
    status = json.loads(json.dumps({"cameras": street.node.cameras()}))
    corner, bridge = check_cameras(street.config.cameras, tmp_path, status, 0.1)
    assert (corner.state, bridge.state) == ("ok", "warn")
    assert "light: bright 1" in corner.said


def test_without_an_agent_doctor_looks_once_and_deletes_nothing(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    (finding,) = check_cameras(config().cameras, tmp_path, None, 0.1)
    assert (finding.state, "make the folder" in finding.said) == ("fail", True)
    pictures.mkdir()
    (finding,) = check_cameras(config().cameras, tmp_path, None, 0.1)
    assert (finding.state, finding.said) == ("warn", "no picture came")
    (pictures / "a.jpg").write_bytes(jpeg(scene(1, 240, 320)))
    (finding,) = check_cameras(config().cameras, tmp_path, None, 5.0)
    assert finding.state == "ok"
    assert finding.said.startswith("gives 320 x 240 pixels; brightness")
    assert [p.name for p in pictures.iterdir()] == ["a.jpg"]


async def seen(live: Live) -> str:
    async with asyncio.timeout(20):
        while live.states["corner"].value is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return live.states["corner"].value


async def test_a_walk_without_an_agent_sees_the_camera(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(jpeg(scene(1, 240, 320)))
    live = Live(config(), tmp_path / "state", agent=False, names={"corner"}, on_move=lambda *_: None, folder=tmp_path)
    await live.start()
    try:
        assert (await seen(live)).startswith("320 x 240 pixels, brightness")
    finally:
        await live.stop()


async def test_a_walk_beside_an_agent_shows_its_counts(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    live = Live(config(), tmp_path / "state", agent=True, names={"corner"}, on_move=lambda *_: None)
    await live.start()
    try:
        await asyncio.sleep(0.1)
        (tmp_path / "state" / STATUS_FILE).write_text(json.dumps(told()))
        assert await seen(live) == "quality good, vehicle 2"
    finally:
        await live.stop()


def test_a_technician_says_whether_it_fits() -> None:
    (target,) = targets(config())
    assert target.ask == "Walk through what corner looks at"
    state = State()
    for key, outcome in (("y", "passed"), ("n", None)):
        state.value = "quality good, vehicle 2"
        walk = SensorWalk(target, {"corner": state}, {"corner": target}, 0.0)
        walk.tick(1.0)
        assert "It says quality good, vehicle 2. Does that fit what is there?" in walk.says(60.0)
        walk.key(key, 2.0)
        assert (walk.check.outcome if walk.check else None) == outcome
    walk.key("f", 3.0)
    assert walk.check is not None
    assert walk.check.said == "shows quality good, vehicle 2, and not what is there"
    assert walk.check.kind == "camera"
