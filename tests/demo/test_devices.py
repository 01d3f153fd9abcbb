"""What stands in for sensors in the demo: a meter, a camera, a hospital's system, under a scaled clock."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from wayside.cloud.demo import camera, front_desk, meter
from wayside.cloud.demo.line import free_ports
from wayside.cloud.demo.scaled import Playback


def playback(folder: Path, header: str, *rows: str) -> Playback:
    """Everything is over."""
    path = folder / "rows.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return Playback(path, speed=1000.0, anchor=time.time() - 60, start=0.0)


def test_a_series_has_to_be_in_order(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="oldest first"):
        playback(tmp_path, "unix_s", "2", "1")


def test_time_runs_as_much_faster_as_the_nodes_does(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("unix_s\n0\n3600\n7200\n")
    ahead = Playback(tmp_path / "rows.csv", speed=1.0, anchor=time.time() - 4000, start=0.0)
    assert ahead.passed() == 2
    assert Playback(tmp_path / "rows.csv", speed=1.0, anchor=time.time() + 9, start=0.0).passed() == 0


def test_a_meter_has_a_float_in_two_registers_and_no_number_where_nothing_was_measured() -> None:
    words = meter.words({"unix_s": "0", "load": "231.5", "wind": ""}, ["load", "wind"])
    load, wind = struct.unpack(">2f", struct.pack(">4H", *words))
    assert load == 231.5
    assert np.isnan(wind)


async def test_a_node_reads_the_meter_and_switches_its_relay(tmp_path: Path) -> None:
    from pymodbus.client import AsyncModbusTcpClient

    (port,) = free_ports(1)
    serving = asyncio.create_task(meter.serve(port, playback(tmp_path, "unix_s,load", "0,231.5")))
    try:
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        for _ in range(100):
            if await client.connect():
                break
            await asyncio.sleep(0.05)
        answer = await client.read_input_registers(0, count=2, device_id=meter.DEVICE)
        assert struct.unpack(">f", struct.pack(">2H", *answer.registers)) == (231.5,)
        await client.write_coil(0, True, device_id=meter.DEVICE)
        assert (await client.read_coils(0, count=1, device_id=meter.DEVICE)).bits[0]
        client.close()
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def test_a_camera_shows_the_scheduled_pictures_whole(tmp_path: Path) -> None:
    from PIL import Image

    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "windows.npz", holdout_x=pictures.astype(np.float32))
    folder = tmp_path / "pictures"
    folder.mkdir()
    camera.play(folder, tmp_path / "windows.npz", playback(tmp_path, "unix_s,picture", "0,2", "1,0"))
    shown = sorted(folder.iterdir())
    assert [f.suffix for f in shown] == [".png", ".png"]
    assert (np.asarray(Image.open(shown[0])) == pictures[2]).all()
    assert (np.asarray(Image.open(shown[1])) == pictures[0]).all()


class _Node(BaseHTTPRequestHandler):
    bodies: list[list[dict[str, object]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies.append(body)
        self.send_response(503 if len(self.bodies) == 1 else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def node() -> Iterator[HTTPServer]:
    _Node.bodies = []
    server = HTTPServer(("127.0.0.1", 0), _Node)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_front_desk_says_again_what_the_node_did_not_take(node: HTTPServer, tmp_path: Path) -> None:
    rows = playback(tmp_path, "unix_s,from,arrivals", "1800,0,3", "3600,1800,0")
    url = f"http://127.0.0.1:{node.server_port}/v1/values"
    threading.Thread(target=front_desk.play, args=(url, "ed/arrivals", rows), daemon=True).start()
    deadline = time.monotonic() + 20
    while len(_Node.bodies) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first, again = _Node.bodies[:2]
    assert first == again
    assert [entry["value"] for entry in again] == [3, 0]
    assert again[0]["from"] == "1970-01-01T00:00:00+00:00"
    assert again[1]["to"] == "1970-01-01T01:00:00+00:00"


def test_ports_of_devices_differ() -> None:
    assert len(set(free_ports(20))) == 20
