"""Flash, verify and the new firmware's identity, on an emulated ATmega328P in real time, beside avrdude alone."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.simulators.avr import AvrBoard, needs_avrdude, program
from wayside.firmware_bridge.flash.firmware_file import load_image
from wayside.firmware_bridge.flash.flash import Order, flash

pytestmark = needs_avrdude
ROUNDS = 5


def board(folder: Path) -> AvrBoard:
    """One in service, under its own name."""
    powered = AvrBoard(folder, "atmega328p", bootloader=True)
    image = load_image(program("atmega328p").hex).named("WS-1")
    powered.flash.write_bytes(image.data.ljust(32_768, b"\xff"))
    return powered


def test_avrdude_alone(benchmark: Any, tmp_path: Path) -> None:
    file = program("atmega328p").hex
    with board(tmp_path) as there:
        command = ["avrdude", "-p", "m328p", "-c", "arduino", "-P", there.port, "-b", "115200", "-D"]
        command += ["-U", f"flash:w:{file}:i"]

        def bare() -> None:
            subprocess.run(command, capture_output=True, check=True)

        benchmark.pedantic(bare, rounds=ROUNDS)
    print(f"\navrdude, {file.name}, write and verify: {benchmark.stats.stats.median:.1f} s")


def test_flash_verify_and_identity(benchmark: Any, tmp_path: Path) -> None:
    file = program("atmega328p").hex
    with board(tmp_path) as there:
        order = Order(there.port, file, records=tmp_path / "records")
        outcomes = []

        def whole() -> None:
            outcomes.append(flash(order, lambda plan: True, lambda stage, part: None).record.outcome)

        benchmark.pedantic(whole, rounds=ROUNDS)
    assert outcomes == ["done"] * ROUNDS
    size = len(load_image(file).data)
    print(f"\nwayside flash, {size} bytes, who is there, write, verify, identity: {benchmark.stats.stats.median:.1f} s")
