"""Build the firmware with avr-gcc for a real board, and seal it: the label says its length and CRC-32."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from wayside.firmware_bridge import native
from wayside.firmware_bridge.errors import BuildError, FlashError
from wayside.firmware_bridge.flash.firmware_file import seal_hex

# What fits into 2 KB and 8 KB of memory: events kept, frames waiting, inputs.
AVR = {
    "atmega328p": {"RING_MAX": 20, "TX_BYTES": 96, "READ_BYTES": 32, "DETECTORS": 6, "PLAN_PHASES": 8},
    "atmega2560": {"RING_MAX": 400, "TX_BYTES": 512, "READ_BYTES": 64, "DETECTORS": 24},
}
AVR_FLAGS = ("-Os", "-fno-inline", "-DF_CPU=16000000UL", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")


class AvrProgram(NamedTuple):
    elf: Path
    hex: Path
    flash: int  # bytes
    ram: int  # bytes, without the stack


def build_avr(mcu: str, out: Path = native.BUILD, defines: tuple[str, ...] = ()) -> AvrProgram:
    """Build the firmware for ``mcu``, one of ``AVR``. ``defines`` are more ``-D`` options.

    Raises:
        BuildError: another chip, no avr-gcc, or it refused.
    """
    if mcu not in AVR:
        raise BuildError(f"there is no firmware for {mcu!r}; boards have {' or '.join(AVR)}")
    sizes = tuple(f"-D{name}={value}u" for name, value in AVR[mcu].items())
    elf = native.compile_program(
        out / f"{mcu}.elf",
        (native.SOURCE / "hal_avr.c",),
        (f"-mmcu={mcu}", *AVR_FLAGS, *sizes, *defines),
        compiler="avr-gcc",
    )
    image = elf.with_suffix(".hex")
    with native.replaced(image) as fresh:
        native.run_tool("avr-objcopy", "-O", "ihex", "-R", ".eeprom", str(elf), str(fresh))
        try:
            seal_hex(fresh)
        except FlashError as exc:
            raise BuildError(str(exc)) from exc
    sizes_table = native.run_tool("avr-size", str(elf))
    text, data, bss = (int(word) for word in sizes_table.splitlines()[1].split()[:3])
    return AvrProgram(elf, image, text + data, data + bss)
