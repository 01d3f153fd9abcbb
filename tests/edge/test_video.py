"""Video through PyAV: a file as fast as it was recorded, the newest frame of it; what breaks off; what is not there."""

from __future__ import annotations

import builtins
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.simulators.pictures import UInt8, scene
from wayside.contracts.node_config import load_node_config
from wayside.edge.configuration.check import check_file
from wayside.edge.doctor.cameras import check_cameras
from wayside.edge.sensors.folder import CameraError, CameraMissing
from wayside.edge.sensors.video import Video

av = pytest.importorskip("av")
RATE = 20
TOML = 'node = "n"\nstate_dir = "state"\n[[cameras]]\nname = "road"\nurl = "%s"\n'


def film(path: Path, seconds: float = 1.0, codec: str = "mpeg4") -> list[UInt8]:
    """Frames of a road that is lit more and more, each with its number in its brightness."""
    road = scene(2, 120, 160)
    frames = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.bit_rate = 2_000_000
        for number in range(int(seconds * RATE)):
            picture = (road // 2 + number * 5).clip(0, 255).astype(np.uint8)
            frames.append(picture)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return frames


def test_a_file_is_shown_at_its_own_pace_and_between_looks_nothing_is_kept(tmp_path: Path) -> None:
    frames = film(tmp_path / "road.mp4", 1.0)
    video = Video("road.mp4", tmp_path, every_s=0.3)
    began, seen = time.monotonic(), []
    with pytest.raises(CameraError, match=r"road\.mp4 has ended"):
        while (taken := video.read()) is not None:
            seen.append(taken.picture)
    assert time.monotonic() - began >= 0.9
    assert len(seen) == 4  # at 0, 0.3, 0.6, 0.9 s
    video.close()
    for number, picture in zip((0, 6, 12, 18), seen, strict=True):
        assert picture.shape == (120, 160, 3)
        assert picture.dtype == np.uint8
        assert abs(picture.mean() - frames[number].mean()) < 4, "another frame, or another order of colours"


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "red.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        red = np.zeros((64, 64, 3), np.uint8)
        red[:, :, 0] = 220
        for packet in (*stream.encode(av.VideoFrame.from_ndarray(red, format="rgb24")), *stream.encode()):
            container.mux(packet)
    taken = Video("red.mp4", tmp_path, every_s=0.1).read()
    assert taken is not None
    means = taken.picture.mean(axis=(0, 1))
    assert means[0] > 180
    assert means[1:].max() < 40


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_bytes(b"not a film" * 100)
    with pytest.raises(CameraError, match=r"text\.mp4 cannot be opened"):
        Video("text.mp4", tmp_path, every_s=1)
    with pytest.raises(CameraMissing, match="plug the camera in"):
        Video("/dev/video-none", tmp_path, every_s=1)


def test_a_camera_that_nobody_answers_for_is_an_error_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(CameraError) as refused:
        Video("rtsp://user:secret@127.0.0.1:9/stream", tmp_path, every_s=1)
    assert "127.0.0.1:9/stream" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_film_that_is_cut_off_is_no_end_of_the_agent(tmp_path: Path) -> None:
    film(tmp_path / "whole.avi", 0.5)
    content = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    video = Video("cut.avi", tmp_path, every_s=0.05)
    with pytest.raises(CameraError):
        for _ in range(100):
            video.read()


def test_without_the_extra_check_and_doctor_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_av(name: str, *rest: Any, **more: Any) -> Any:
        if name == "av" or name.startswith("av."):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *rest, **more)

    path = tmp_path / "node.toml"
    path.write_text(TOML % "/dev/video0")
    assert check_file(path).ok
    monkeypatch.setattr(builtins, "__import__", without_av)
    checked = check_file(path)
    assert [field for field, _ in checked.mistakes] == ["$.cameras[0].url"]
    assert 'pip install "wayside[camera]"' in checked.mistakes[0][1]
    config = load_node_config(path.read_text())
    (finding,) = check_cameras(config.cameras, tmp_path, None, 0.1)
    assert finding.state == "fail"
    assert 'pip install "wayside[camera]"' in finding.said


def test_doctor_looks_once_and_says_numbers(tmp_path: Path) -> None:
    film(tmp_path / "road.mp4", 0.5)
    config = load_node_config(TOML % "road.mp4")
    (finding,) = check_cameras(config.cameras, tmp_path, None, 1.0)
    assert finding.state == "ok"
    assert "160 x 120 pixels" in finding.said
