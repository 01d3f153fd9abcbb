"""The real firmware on an emulated ATmega, in real time: simavr runs the machine code, its UART is a pty."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from types import TracebackType

import pytest

from wayside.firmware_bridge.avr_build import AvrProgram, build_avr
from wayside.firmware_bridge.flash.firmware_file import Image

BUILD = Path(__file__).parents[2] / "build" / "firmware"
SIMAVR = Path("/usr/include/simavr/sim_avr.h")
BOOTLOADERS = Path("/usr/share/arduino/hardware/arduino/avr/bootloaders")
BOOTLOADER = {
    "atmega328p": "optiboot/optiboot_atmega328.hex",
    "atmega2560": "stk500v2/stk500boot_v2_mega2560.hex",
}
available = shutil.which("avr-gcc") is not None and SIMAVR.exists()
needs_simavr = pytest.mark.skipif(
    not available, reason="no emulated board: apt-get install gcc-avr avr-libc libsimavr-dev libelf-dev"
)
needs_avrdude = pytest.mark.skipif(
    not available or shutil.which("avrdude") is None or not BOOTLOADERS.is_dir(),
    reason="no bootloader to flash: apt-get install avrdude arduino-core-avr gcc-avr avr-libc libsimavr-dev libelf-dev",
)


@cache
def program(mcu: str) -> AvrProgram:
    return build_avr(mcu, BUILD)


@cache
def newer(mcu: str) -> AvrProgram:
    """The same firmware, but it says that it is 3.0.1: zeros are other instructions, so half of each is neither."""
    version = ("-DFIRMWARE_MAJOR=3u", "-DFIRMWARE_MINOR=0u", "-DFIRMWARE_PATCH=1u")
    return build_avr(mcu, BUILD / "newer", version)


@cache
def host() -> Path:
    to = BUILD / "avr_host"
    source = Path(__file__).with_name("avr_host.c")
    fresh = BUILD / f"avr_host.{os.getpid()}"
    command = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(fresh), str(source), "-lsimavr", "-lelf", "-lutil"]
    subprocess.run(command, check=True)
    fresh.replace(to)  # another worker's tests may run it
    return to


@cache
def symbols(mcu: str) -> dict[str, int]:
    """What the firmware is made of: the address of each function in flash, of each variable in memory."""
    rows = subprocess.run(["avr-nm", program(mcu).elf], capture_output=True, text=True, check=True).stdout.splitlines()
    return {row.split()[-1]: int(row.split()[0], 16) & 0x7FFFFF for row in rows}


def end_of_data(mcu: str) -> int:
    """Where the stack must not reach."""
    return symbols(mcu)["_end"]


class AvrBoard:
    """``with AvrBoard(tmp_path, "atmega328p") as board:`` powers one; its EEPROM outlives it in ``tmp_path``.

    With ``bootloader`` it comes from the factory: its flash, which outlives it, too, holds the Arduino's bootloader and
    nothing else, and opening the port resets it.
    """

    def __init__(self, folder: Path, mcu: str, *, bootloader: bool = False) -> None:
        self.port, self.mcu, self.flash = str(folder / "avr.tty"), mcu, folder / "flash"
        self._command = [str(host()), mcu, str(program(mcu).elf), self.port, str(folder / "eeprom")]
        if bootloader:
            self._command += [str(BOOTLOADERS / BOOTLOADER[mcu]), str(self.flash)]

    def holds(self, image: Image) -> bool:
        """Whether the flash is the program of ``image``."""
        self.tell("keep")
        return self.flash.read_bytes()[: len(image.data)] == image.data

    def tell(self, *orders: str) -> list[int]:
        """Do it, and return the numbers of the last answer (``avr_host.c`` lists the orders). No time passes between
        orders that are told together."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n".join(orders) + "\n")
        self._process.stdin.flush()
        answers = (line for line in self._process.stdout if line.rstrip().endswith("ok"))
        last = [next(answers, "") for _ in orders][-1]
        if not last:
            raise RuntimeError(f"the emulated board ended with {self._process.wait()}")
        return [int(word) for word in last.split() if word.isdigit()]

    def __enter__(self) -> AvrBoard:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "READY" in line:
                return self
        raise RuntimeError(f"the emulated board did not start: {self._process.wait()}")

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self.tell("keep")
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
