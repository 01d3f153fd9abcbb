"""The ML engineer's page is walked as it is written: a CSV, a task, a model, a release, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pictures import CHROMIUM, Camera
from tests.docs.tutorial import PAGES, Shell, walk
from tests.simulators.agent import free_port

PORTS = ("8000", "8041")


@pytest.mark.timeout(600)
def test_a_csv_becomes_a_model_that_is_rolled_out_and_taken_back(tmp_path: Path) -> None:
    ports = {port: str(free_port()) for port in PORTS}
    shell = Shell(tmp_path / "reader")

    def picture(name: str) -> None:
        if not CHROMIUM.exists():
            return
        with Camera(width=1100, height=420) as camera:
            if name == "ml-engineer-forecast.png":
                camera.opened.goto((shell.folder / "runs/mlp/forecast.png").as_uri())
                camera.take(name, "img")
            else:
                camera.show(shell.folder / "hub" / "operator.token")
                camera.opened.goto(f"http://127.0.0.1:{ports['8000']}/")
                camera.opened.wait_for_selector("#nodes tr[data-node='garage-1']")
                camera.take(name)

    try:
        walk(PAGES / "ml-engineer.md", shell, replaced=ports, on_picture=picture)
    finally:
        shell.stop()
