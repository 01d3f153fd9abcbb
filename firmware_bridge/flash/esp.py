"""ESP32 boards, through esptool's Python API. No emulator of them exists here: what is tested is everything up to the
line (the image, its chip, what would be written where, a port without an ESP32), not the writing.

This release has no firmware for an ESP32: the image is a third party's, which speaks this protocol (docs/wire.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from wayside.firmware_bridge.errors import FlashError, WrongPart
from wayside.firmware_bridge.flash.avr import Progress
from wayside.firmware_bridge.flash.firmware_file import Image

if TYPE_CHECKING:
    from esptool.loader import ESPLoader

APP_AT = 0x10000  # where the common partition table has the application
FAST_BAUD = 460_800
_DIGEST_BYTES = 32
ATTEMPTS = 3  # to enter the chip's loader, about 4 s each


def tool() -> str:
    import esptool

    return f"esptool {esptool.__version__}"


def chip_of(image: Image) -> str:
    """The chip that the image's header names: "esp32", "esp32s3" …

    Raises:
        FlashError: the header is damaged, or names no chip that esptool knows.
    """
    from esptool.targets import ROM_LIST

    number = int.from_bytes(image.data[12:14], "little") if len(image.data) >= 24 else None
    for rom in ROM_LIST:
        if number is not None and number == getattr(rom, "IMAGE_CHIP_ID", None) and rom.CHIP_NAME != "ESP8266":
            return _word(rom.CHIP_NAME)
    raise FlashError(f"{image.file} is an image for no ESP32 that esptool knows")


def check(image: Image, mcu: str | None, *, foreign: bool = False) -> str:
    """Whether the image is whole and for ``mcu``; returns its chip.

    Args:
        foreign: an image without a SHA-256 of its own, or with something behind its end, is taken.

    Raises:
        WrongPart: it is for another chip.
        FlashError: it is damaged.
    """
    from esptool.bin_image import LoadFirmwareImage

    chip = chip_of(image)
    if mcu is not None and mcu != chip:
        raise WrongPart(f"{image.file} is firmware for {chip}, not for {mcu}: nothing was written")
    _quiet(lambda stage, part: None)
    try:
        program: Any = LoadFirmwareImage(chip, image.data)
    except Exception as exc:  # its parser fails in many ways on what is damaged
        raise FlashError(f"{image.file} is damaged: {exc}; copy it again") from exc
    whole = program.checksum == program.calculate_checksum()
    if program.append_digest:
        whole = whole and program.stored_digest == program.calc_digest
    if not whole:
        raise FlashError(f"{image.file} is damaged: its checksum is wrong; copy it again")
    if not foreign:
        if not program.append_digest:
            raise FlashError(
                f"{image.file} carries no SHA-256, so nothing shows that it is whole: build it with one (esptool's "
                "default), or --foreign flashes it as it is; nothing was written"
            )
        if (more := len(image.data) - program.data_length - _DIGEST_BYTES) > 0:
            raise FlashError(
                f"{image.file} has {more} bytes behind its end: it is damaged, or two files in one, or signed; "
                "--foreign flashes it as it is; nothing was written"
            )
    return chip


def detect(port: str, image: Image) -> str:
    """The chip at ``port``, which must be the image's. Writes nothing.

    Raises: as ``write``.
    """
    with _connected(port, image, lambda stage, part: None):
        return chip_of(image)


def write(port: str, image: Image, address: int, progress: Progress) -> None:
    """Write the application at ``address`` of the flash and verify it.

    Raises:
        WrongPart: another chip; nothing was written.
        FlashError: no ESP32 answers, or esptool failed.
    """
    from esptool import cmds

    began = False
    try:
        with _connected(port, image, progress) as rom:
            esp = cmds.run_stub(rom)
            esp.change_baud(FAST_BAUD)
            cmds.attach_flash(esp)
            began = True
            cmds.write_flash(esp, [(address, image.data)])
            progress("verify", 0)
            cmds.verify_flash(esp, [(address, image.data)])
            progress("verify", 1)
            cmds.reset_chip(esp, "hard-reset")
    except FlashError:
        raise
    except Exception as exc:
        half = "the board may have half a firmware; run the same command again" if began else "nothing was written"
        raise FlashError(f"esptool failed at {port}: {exc}; {half}") from exc


@contextlib.contextmanager
def _connected(port: str, image: Image, progress: Progress) -> Iterator[ESPLoader]:
    from esptool import cmds

    _quiet(progress)
    try:
        esp = cmds.detect_chip(port, connect_attempts=ATTEMPTS)
    except Exception as exc:  # esptool's own, pyserial's, and the system's: ioctl on what is no modem line
        first = str(exc).split("\n", maxsplit=1)[0]
        raise FlashError(
            f"no ESP32 answers at {port}: {first} Hold BOOT while you press RESET and try again; nothing was written"
        ) from exc
    with esp:
        there, chip = _word(esp.CHIP_NAME), chip_of(image)
        if there != chip:
            raise WrongPart(f"the board at {port} is an {there}, the firmware is for {chip}: nothing was written")
        yield esp


def _quiet(progress: Progress) -> None:
    """Send esptool's progress to ``progress`` instead of printing it; its errors are exceptions."""
    _logger().progress = progress


@cache  # esptool accepts a logger only once
def _logger() -> Any:
    from esptool.logger import TemplateLogger, log

    class ProgressLogger(TemplateLogger):  # type: ignore[misc]
        progress: Progress

        def print(self, *args: Any, **kwargs: Any) -> None: ...
        def note(self, message: str) -> None: ...
        def warning(self, message: str) -> None: ...
        def error(self, message: str) -> None: ...
        def stage(self, finish: bool = False) -> None: ...
        def set_verbosity(self, verbosity: str) -> None: ...

        def progress_bar(
            self, cur_iter: int, total_iters: int, prefix: str = "", suffix: str = "", bar_length: int = 30
        ) -> None:
            self.progress("write", cur_iter / max(1, total_iters))

    logger = ProgressLogger()
    log.set_logger(logger)
    return logger


def _word(name: str) -> str:
    return name.replace("-", "").lower()
