"""An hour of pictures in a real agent: not one byte of one of them is in what it writes, logs or sends."""

from __future__ import annotations

import base64
import gzip
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.simulators.agent import AgentProcess
from tests.simulators.pictures import UInt8, bundle, encoded, jpeg, scene, taken
from tests.simulators.plain_hub import PlainHub
from tests.simulators.signed_hub import signed_hub
from wayside.contracts.camera_config import Region
from wayside.contracts.picture import decoded, prepared
from wayside.contracts.summary import Kind
from wayside.contracts.task import PictureSpec

SPEED = 300.0  # an hour in twelve seconds
FRAMES = 120
RUN = 12  # bytes: of so many in a row none is there by chance
TOML = """
node = "node-1"
state_dir = "state"
[clock]
kind = "scaled"
speed = {speed}
start_unix_s = 1704067200
anchor_unix_s = {anchor}
[hub]
url = "{hub}"
token = "0123456789abcdef"
sync_s = 0.5
backoff_max_s = 0.5
[storage]
checkpoint_s = 0.2
[[cameras]]
name = "corner"
folder = "pictures"
after = "delete"
every_s = 0.05
region = {{ left = 0.25, right = 0.75 }}
[[tasks]]
name = "light"
bundle = "light"
kind = "classify"
interval_s = 300
deadline_s = 10
sites = [{{ output = "corner" }}]
"""


class RecordingHub(PlainHub):
    """Keeps every request as it came."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        self.bodies.append(path.encode() + b"\n" + body)
        return super().post(path, body)

    def get(self, path: str) -> tuple[int, bytes]:
        self.bodies.append(path.encode())
        return super().get(path)


def needles(picture: UInt8, content: bytes) -> Iterator[bytes]:
    """Runs of a picture's file and of its pixels, whole, cropped and as the model got it, some everywhere in them."""
    model = prepared(decoded(content), Region(left=0.25, right=0.75), PictureSpec(), (32, 32, 3))
    forms = [content[20:], picture.tobytes(), model.astype(np.uint8).tobytes(), model.tobytes()]
    forms += [model.astype(np.float64).tobytes(), picture[:, :, 1].tobytes()]
    for form in forms:
        for at in range(0, len(form) - 3 * RUN, max(1, len(form) // 40)):
            run = form[at : at + RUN]
            if len(set(run)) > RUN // 2:  # a grey wall is in every file
                yield run


def spelled(run: bytes) -> Iterator[bytes]:
    yield run
    yield run.hex().encode()
    for shift in range(3):  # base64 depends on where it begins
        yield base64.b64encode(run[shift:])[: (RUN - shift) // 3 * 4]
    yield ", ".join(str(b) for b in run[:6]).encode()  # a list of numbers
    yield ",".join(str(b) for b in run[:6]).encode()


def everything(agent: AgentProcess, hub: RecordingHub) -> bytes:
    """All that the agent left: state directory, log, and requests, as sent and unpacked."""
    parts = [p.read_bytes() for p in sorted((agent.folder / "state").rglob("*")) if p.is_file()]
    parts.append((agent.folder / "agent.log").read_bytes())
    for body in hub.bodies:
        parts.append(body)
        path, _, packed = body.partition(b"\n")
        if path == b"/api/v1/sync":
            parts.append(gzip.decompress(packed))
    return b"\0".join(parts)


def found(haystack: bytes, runs: list[bytes]) -> set[bytes]:
    """Which runs are in it, in any spelling. Their first eight bytes are sought at every place at once."""
    wanted = {s[:8]: s for run in runs for s in spelled(run)}
    heads = np.frombuffer(b"".join(wanted), "<u8")
    bytes_ = np.frombuffer(haystack, np.uint8)
    windows = np.zeros(len(bytes_) - 7, "<u8")
    for place in range(8):
        windows |= bytes_[place : len(bytes_) - 7 + place].astype("<u8") << np.uint64(8 * place)
    hits = {haystack[at : at + 8] for at in np.flatnonzero(np.isin(windows, heads)).tolist()}
    return {wanted[head] for head in hits if wanted[head] in haystack}


@pytest.mark.timeout(240)
def test_after_an_hour_of_frames_no_byte_of_a_picture_is_anywhere_but_their_counts_are(tmp_path: Path) -> None:
    hub = RecordingHub()
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    dice = np.random.default_rng(1)
    street = scene(1, 240, 320)
    mean = float(street.mean())  # real pictures are darker than made ones
    sent: list[bytes] = []
    runs: list[bytes] = []
    with signed_hub(tmp_path / "office", hub) as signed:
        hub.wanted = (signed.publish(bundle()),)
        shutil.copy(signed.root_file, tmp_path / "root.json")
        toml = TOML.format(speed=SPEED, anchor=time.time(), hub=hub.url)
        with AgentProcess(tmp_path, toml) as agent:
            agent.wait(lambda a: any(t.get("model") for t in a.status.get("tasks", [])), 60)
            for number in range(FRAMES):
                picture = taken(street, dice, light=(150 if number % 4 else 75) / mean)
                content = jpeg(picture) if number % 2 else encoded(picture)
                part = pictures / f"{number:04d}.part"
                part.write_bytes(content)
                part.rename(pictures / f"{number:04d}.jpg")
                sent.append(content)
                if number % 10 == 0:
                    runs += needles(decoded(content), content)
                time.sleep(0.1)
            agent.wait(lambda _: not list(pictures.iterdir()), 60)
            assert agent.process is not None
            limits = Path(f"/proc/{agent.process.pid}/limits").read_text()
            agent.stop()
            haystack = everything(agent, hub)
            rows = [row for sync in hub.syncs for row in sync.summaries] + agent.rows()
    assert re.search(r"Max core file size +0 +0", limits)
    counted = [r for r in rows if r.kind is Kind.INTERVAL and r.datastream.startswith("corner/")]
    assert {r.datastream for r in counted if r.value} >= {"corner/dim", "corner/bright"}
    frames = sum(r.n for r in rows if r.kind is Kind.INTERVAL and r.datastream == "corner")
    assert frames >= FRAMES // 2, "the pictures were not looked at"
    hour_s = max(r.at.mono_ns for r in rows) / 1e9 - min(r.at.mono_ns for r in rows) / 1e9
    assert hour_s >= 3600
    assert len(runs) > 300
    assert found(haystack, runs) == set()
    assert not re.search(rb"\xff\xd8\xff[\xe0\xe1\xdb]|\x89PNG\r\n|/9j/4|iVBORw0K|ffd8ffe|89504e47", haystack)
    # The search itself finds what it should.
    for way in (sent[0], base64.b64encode(sent[0]), sent[0].hex().encode()):
        assert found(way, runs), "the test is blind"
