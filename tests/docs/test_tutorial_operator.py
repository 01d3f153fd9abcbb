"""The operator's page is walked as it is written: hub, nodes, releases, trouble, new hardware, backup."""

from __future__ import annotations

import os
from pathlib import Path

from tests.docs.pictures import CHROMIUM, Camera
from tests.docs.tutorial import PAGES, Shell, walk
from tests.simulators.agent import free_port
from tests.simulators.live_models import made

PORTS = ("8000", "8041", "8042", "8043")


def test_the_operators_week(tmp_path: Path) -> None:
    ports = {port: str(free_port()) for port in PORTS}
    shell = Shell(tmp_path / "reader")
    for version, shift in (("1.0.0", 0.0), ("1.1.0", 5.0), ("1.2.0", 0.0)):
        bundle = made("traffic-flow", version, golden_shift=shift)
        (shell.folder / f"traffic-flow-{version}.bundle").write_bytes(bundle)

    def picture(name: str) -> None:
        if not CHROMIUM.exists():
            return
        with Camera(width=1360, height=620) as camera:
            camera.show(shell.folder / "hub" / "operator.token")
            camera.opened.goto(f"http://127.0.0.1:{ports['8000']}/")
            camera.opened.wait_for_selector("#nodes tr[data-node='kiosk']")
            camera.take(name)

    try:
        walk(PAGES / "operator.md", shell, replaced=ports, on_picture=picture)
    finally:
        shell.stop()
    assert not os.path.lexists(tmp_path / "reader" / "hub.sqlite")
