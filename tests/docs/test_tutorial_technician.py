"""The technician's tutorial, typed as it stands; a file is the card, an emulated Arduino the board."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs import tutorial
from tests.docs.pictures import CHROMIUM, Camera
from tests.docs.tutorial import PAGES, Shell
from tests.simulators.agent import free_port
from tests.simulators.avr import AvrBoard, needs_avrdude
from tests.simulators.base_image import make_base, make_wheels, needs_tools
from tests.simulators.person import Person

pytestmark = [
    pytest.mark.timeout(300),
    needs_tools,
    needs_avrdude,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="apt-get install chromium: the pictures need it"),
]
PAGE = PAGES / "technician.md"

HUB = """\
wayside hub init --data hub
wayside hub run --data hub --port PORT > hub.log 2>&1 &
until curl -sf http://127.0.0.1:PORT/healthz; do sleep 0.1; done
cp hub/operator.token .
export WAYSIDE_OPERATOR_TOKEN=$(cat operator.token)
wayside release keys keys
wayside release init --keys keys --hub http://127.0.0.1:PORT
cp keys/root.json .
"""
"""What whoever runs the hub does first."""

BOOT = """\
mkdir -p node
for file in node.toml root.json; do
  PATH=$PATH:/usr/sbin debugfs -R "cat /etc/wayside/$file" "card?offset=9437184" > node/$file 2> /dev/null
done
sed -i 's#/var/lib/wayside#state#' node/node.toml
wayside agent run node/node.toml > agent.log 2>&1 &
"""
"""What a computer does with the card before somebody can log in; the first boot's own tests are test_first_boot.py."""


def test_the_technicians_tutorial_ends_with_a_signed_record_at_the_hub(tmp_path: Path) -> None:
    shell, port = Shell(tmp_path / "desk"), free_port()
    # What a technician brings: a base image, and wheels from the package index (docs/images.md).
    make_base(shell.folder / "raspios-lite-arm64.img", "raspberry")
    make_wheels(shell.folder / "wheels")
    try:
        with AvrBoard(tmp_path, "atmega328p", bootloader=True) as board, Camera(width=1360, height=620) as camera:
            hub = f"http://127.0.0.1:{port}"

            def look(name: str) -> None:
                camera.show(shell.folder / "hub" / "operator.token")
                camera.opened.goto(hub)
                if name == "technician-lent.png":
                    walk_the_sensors(shell.folder, board, lambda: picture(camera, name, "lent to a technician"))
                else:
                    picture(camera, name, "2 of 2 sensors passed")

            status, said = shell.type(HUB.replace("PORT", str(port)))
            assert status == 0, said
            replaced = {
                "https://hub.example.city": hub,
                "/dev/serial/by-id/usb-board-0": board.port,
                "--id WS-00001": "--id WS-00001 --yes",
                'sudo "$(command -v wayside)" image write cards/main-5th.img': (
                    "truncate -s 128M card && wayside image write --yes cards/main-5th.img"
                ),
                "/dev/sdX": "card",
                "sudo wayside": "wayside",
                "/etc/wayside/": "node/",
                "sync_s = 60 ": "sync_s = 1 ",
                "ssh -i technician technician@main-5th\n": BOOT,
            }
            tutorial.walk(PAGE, shell, replaced=replaced, on_picture=look)
    finally:
        shell.stop()


def picture(camera: Camera, name: str, text: str) -> None:
    """Of the hub's page, once it says ``text`` of the node."""
    camera.opened.get_by_text(text).first.wait_for()
    camera.take(name)


def walk_the_sensors(folder: Path, board: AvrBoard, once_lent: Callable[[], None]) -> None:
    """What the page has typed at the cabinet, and a vehicle over each loop in turn."""
    (line,) = (line for line in PAGE.read_text().splitlines() if line.startswith("$ sudo wayside commission"))
    _, _, _, verb, _, *options = shlex.split(line)
    with Person(verb, folder / "node" / "node.toml", *options) as person:
        person.sees("1 of 2: Drive over main/left now")
        once_lent()
        for number, pin in ((1, 2), (2, 3)):
            person.sees(f"{number} of 2")
            drive_over(board, pin)
            person.sees("Was that your vehicle?")
            person.types("y")
        status, said = person.ends()
    assert status == 0, said
    assert "everything passed" in said


def drive_over(board: AvrBoard, pin: int) -> None:
    """A second in the loop; the contact closes to ground."""
    board.tell(f"pin D {pin} 0")
    time.sleep(1)
    board.tell(f"pin D {pin} 1")
