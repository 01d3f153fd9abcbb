"""What is flashed is looked at first: labels, names, damage, chips, ESP32 images; and records outlive what is cut."""

from __future__ import annotations

import os
import pty
import tty
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from intelhex import IntelHex

from tests.firmware_bridge.test_flash import device
from tests.simulators.avr import needs_simavr, newer, program
from wayside.firmware_bridge.errors import BridgeError, BuildError, FlashError, WrongPart
from wayside.firmware_bridge.flash import esp as flash_esp
from wayside.firmware_bridge.flash import record as flash_record
from wayside.firmware_bridge.flash.firmware_file import MAGIC, Image, load_image
from wayside.firmware_bridge.flash.flash import Order, flash
from wayside.firmware_bridge.flash.record import Record, save, unfinished
from wayside.firmware_bridge.line.messages import PROTOCOL, SCHEMA


def order(port: str | Path, file: Path, folder: Path, **more: object) -> None:
    flash(Order(str(port), file, records=folder / "records", **more), lambda plan: True, lambda stage, part: None)  # type: ignore[arg-type]


def label(chip: bytes = b"atmega328p", board: bytes = b"wayside") -> bytes:
    head = MAGIC + bytes([PROTOCOL]) + SCHEMA.to_bytes(4, "little") + bytes([3, 4, 5])
    return head + chip.ljust(12, b"\0") + board.ljust(8, b"\0")


def intel_hex(path: Path, data: bytes, base: int = 0) -> Path:
    program = IntelHex()
    program.frombytes(data, base)
    program.write_hex_file(str(path))
    return path


# --- labels and names ---------------------------------------------------------------------------------


@needs_simavr
@pytest.mark.parametrize("mcu", ["atmega328p", "atmega2560"])
def test_the_firmware_says_what_it_is(mcu: str) -> None:
    old, new = load_image(program(mcu).hex), load_image(newer(mcu).hex)
    assert old.label is not None
    assert old.label == (PROTOCOL, SCHEMA, "2.1.0", mcu, "wayside")
    assert new.label is not None
    assert new.label.firmware == "3.0.1"
    assert old.base == 0


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8), st.binary(max_size=200))
def test_a_name_changes_eight_bytes_and_nothing_else(name: str, around: bytes) -> None:
    data = around.replace(MAGIC, b"") + label() + b"after"
    image = Image("f", "0", "avr", 0, data, None)
    from wayside.firmware_bridge.flash.firmware_file import _labelled

    image = _labelled(image)
    named = image.named(name)
    assert named.label is not None
    assert (named.label.board, named.label.firmware) == (name, "3.4.5")
    assert _labelled(named._replace(label=None)).label == named.label
    at = image.label_at + 28
    assert named.data[:at] + named.data[at + 8 :] == data[:at] + data[at + 8 :]
    back = IntelHex()
    import io

    back.loadhex(io.StringIO(named.hex().decode()))
    assert bytes(back.tobinstr()) == named.data


@pytest.mark.parametrize("name", ["", "ninechars", "Straße", "two words", "tab\t"])
def test_a_name_that_no_board_can_say_is_refused_before_the_port_is_touched(tmp_path: Path, name: str) -> None:
    file = intel_hex(tmp_path / "f.hex", label())
    with pytest.raises(FlashError, match="1 to 8 ASCII"):
        order("/dev/nothing", file, tmp_path, board=name)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (b"\x7fELF....", "flash the .hex beside it"),
        (b"hello", "neither Intel HEX"),
        (b"", "neither Intel HEX"),
        (b":10000000zz", "is damaged"),
        (b":00000001FF\n", "holds no program"),
        (b":0100000041BF\n:00000001FF\n", "is damaged"),  # a wrong checksum
        (b":0100000041BE\n", "its end is missing"),  # a copy that was cut between two lines
        (b":02000004FFFFFC\n:0100000041BE\n:00000001FF\n", "beyond any board's flash"),
    ],
)
def test_a_file_that_is_no_firmware_is_told(tmp_path: Path, what: bytes, said: str) -> None:
    (tmp_path / "f").write_bytes(what)
    with pytest.raises(FlashError, match=said):
        load_image(tmp_path / "f")


@given(st.binary(max_size=400).map(lambda b: b":" + b))
def test_no_file_however_damaged_gets_through_as_anything_but_an_image_or_a_flash_error(raw: bytes) -> None:
    from wayside.firmware_bridge.flash.firmware_file import _intel_hex

    try:
        base, data = _intel_hex(Path("f"), raw)
    except FlashError:
        return
    assert base >= 0
    assert data


def test_what_does_not_fit_is_refused_before_the_port_is_touched(tmp_path: Path) -> None:
    for file, said, mcu in (
        (intel_hex(tmp_path / "long.hex", label() + bytes(33_000)), "does not fit an atmega328p", None),
        (intel_hex(tmp_path / "high.hex", label(), 0x7E00), "does not fit an atmega328p", None),
        (intel_hex(tmp_path / "mega.hex", label(b"atmega2560")), "for atmega2560, not for atmega328p", "atmega328p"),
        (intel_hex(tmp_path / "z80.hex", label(b"z80")), "firmware for z80", None),
        (intel_hex(tmp_path / "bare.hex", b"program"), "name the chip with --mcu", None),
        (intel_hex(tmp_path / "odd.hex", label(b"\x1b[2J")), "is damaged", None),
        (intel_hex(tmp_path / "two.hex", label() + label()), "two labels", None),
    ):
        with pytest.raises(FlashError, match=said):
            order("/dev/nothing", file, tmp_path, mcu=mcu)
    assert not (tmp_path / "records").exists()


def test_without_avrdude_the_port_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FlashError, match="apt install avrdude"):
        order(tmp_path / "no-such-port", intel_hex(tmp_path / "f.hex", label()), tmp_path)


def test_without_a_compiler_the_way_to_a_firmware_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wayside.firmware_bridge import native

    def no_compiler(*args: object) -> None:
        raise BuildError("there is no C compiler 'avr-gcc' here")

    monkeypatch.setattr(native, "build_avr", no_compiler)
    with pytest.raises(FlashError, match=r"wayside board build --mcu atmega328p --out DIR.*--hex"):
        flash(Order("/dev/nothing", mcu="atmega328p"), lambda plan: True, lambda stage, part: None)
    with pytest.raises(FlashError, match="no firmware for esp32"):
        flash(Order("/dev/nothing", mcu="esp32"), lambda plan: True, lambda stage, part: None)


# --- ESP32: everything up to the line -----------------------------------------------------------------


def esp_image(path: Path, chip: str = "esp32", program: bytes = b"") -> Path:
    """A real image, by esptool's own writer: one segment in RAM, one in mapped flash, checksum, digest."""
    from esptool import bin_image

    image = {"esp32": bin_image.ESP32FirmwareImage, "esp32s3": bin_image.ESP32S3FirmwareImage}[chip]()
    rodata = {"esp32": 0x3F400020, "esp32s3": 0x3C000020}[chip]
    ram = {"esp32": 0x3FFB0000, "esp32s3": 0x3FC90000}[chip]
    data = (program + label(chip.encode(), b"esp")).ljust(256, b"\0")
    image.segments = [
        bin_image.ELFSection(b".flash.rodata", rodata, data, 0),
        bin_image.ELFSection(b".dram0.data", ram, bytes(range(64)), 0),
    ]
    image.entrypoint = 0x40080000
    image.save(str(path))
    return path


@pytest.mark.parametrize("chip", ["esp32", "esp32s3"])
def test_an_esp_image_is_read_as_esptool_wrote_it(tmp_path: Path, chip: str) -> None:
    image = load_image(esp_image(tmp_path / "app.bin", chip))
    assert image.kind == "esp"
    assert flash_esp.check(image, None) == flash_esp.check(image, chip) == chip
    assert image.label is not None
    assert (image.label.chip, image.label.board) == (chip, "esp")


def test_an_esp_image_for_another_chip_is_refused_by_name(tmp_path: Path) -> None:
    file = esp_image(tmp_path / "app.bin", "esp32s3")
    with pytest.raises(WrongPart, match="for esp32s3, not for esp32: nothing was written"):
        order("/dev/nothing", file, tmp_path, mcu="esp32")


@given(at=st.integers(24, 440), bit=st.integers(0, 7))
def test_a_damaged_esp_image_is_refused(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    folder = tmp_path_factory.mktemp("esp")
    whole = load_image(esp_image(folder / "app.bin"))
    assert flash_esp.check(whole, None) == "esp32"
    at %= len(whole.data)
    data = bytearray(whole.data)
    data[max(24, at)] ^= 1 << bit
    with pytest.raises(FlashError, match="damaged"):
        flash_esp.check(whole._replace(data=bytes(data)), None)
    with pytest.raises(FlashError, match="damaged"):
        flash_esp.check(whole._replace(data=whole.data[: max(24, at)]), None)


def test_a_port_without_an_esp_is_told_and_nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash_esp, "ATTEMPTS", 1)
    file = esp_image(tmp_path / "app.bin")
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        with pytest.raises(BridgeError, match=r"no ESP32 answers at .* nothing was written"):
            order(os.ttyname(slave), file, tmp_path)
    finally:
        os.close(master)
        os.close(slave)
    [path] = (tmp_path / "records").glob("*.json")
    assert '"outcome": "failed"' in path.read_text()


class EspLoader:
    """The loader in an ESP32's ROM, as far as a chip is asked what it is: SLIP, SYNC, READ_REG (Espressif, "Serial
    Protocol"). It cannot write.
    """

    def __init__(self) -> None:
        self.asked: list[int] = []
        self._held = b""

    @property
    def wrote(self) -> bool:
        """Whether data came for memory, registers or flash."""
        return bool({0x03, 0x07, 0x09, 0x11} & set(self.asked))

    def __call__(self, fd: int) -> None:
        self._held += os.read(fd, 4096)
        while self._held.count(b"\xc0") >= 2:
            packet, self._held = self._held.lstrip(b"\xc0").split(b"\xc0", 1)
            if len(packet) < 8 or packet[0] != 0:
                continue
            self.asked.append(packet[1])
            value, status = {0x08: (0x55122007, 0), 0x0A: (0x00F01D83, 0)}.get(packet[1], (0, 5))
            body = bytes([1, packet[1], 4, 0]) + value.to_bytes(4, "little") + bytes([status and 1, status, 0, 0])
            body = body.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
            os.write(fd, (b"\xc0" + body + b"\xc0") * (8 if packet[1] == 0x08 else 1))


def test_a_dry_run_asks_an_esp_what_it_is_and_writes_nothing(tmp_path: Path) -> None:
    chip = EspLoader()
    with device(chip) as port:
        done = flash(
            Order(port, esp_image(tmp_path / "app.bin"), records=tmp_path / "records"),
            lambda plan: True,
            lambda stage, part: None,
            dry_run=True,
        )
    assert done.path is None
    assert (done.record.chip, done.record.firmware, done.record.board) == ("esp32", "3.4.5", "esp")
    assert done.record.tool.startswith("esptool 5")
    assert 0x0A in chip.asked
    assert not chip.wrote


def test_an_esp_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    chip = EspLoader()
    with device(chip) as port, pytest.raises(WrongPart, match="is an esp32, the firmware is for esp32s3: nothing was"):
        order(port, esp_image(tmp_path / "app.bin", "esp32s3"), tmp_path)
    assert not chip.wrote


# --- records ------------------------------------------------------------------------------------------


def begun(port: str, at: str, outcome: str = "started") -> Record:
    return Record(
        outcome=outcome,  # type: ignore[arg-type]
        port=port,
        device=port,
        by="me",
        tool="t",
        chip="c",
        file="f",
        sha256="0",
        bytes=1,
        started_at=at,
    )


def test_the_latest_cut_flash_of_a_port_is_found_among_others_and_damage(tmp_path: Path) -> None:
    for port, day, outcome in (
        ("/dev/a", 1, "started"),
        ("/dev/a", 2, "done"),
        ("/dev/a", 3, "failed"),
        ("/dev/a", 4, "refused"),
        ("/dev/b", 5, "done"),
    ):
        record = begun(port, f"2026-01-0{day}T00:00:00.000+00:00", outcome)
        save(flash_record.new_path(tmp_path, record), record)
    (tmp_path / "99.json").write_bytes(b"\xff{")
    (tmp_path / "98.json").write_bytes(b"{}")
    found = unfinished(tmp_path, "/dev/a")
    assert found is not None
    assert found[1].started_at.startswith("2026-01-03")
    assert unfinished(tmp_path, "/dev/b") is None
    assert unfinished(tmp_path / "nowhere", "/dev/a") is None


def test_a_cut_flash_is_found_once_whatever_the_clock_says_after_the_power_cut(tmp_path: Path) -> None:
    """A node without a clock of its own goes on at 1970, or at the time that it saved last."""
    at = "{}-01-01T10:00:00.000+00:00".format
    done, cut = begun("/dev/a", at(2026), "done"), begun("/dev/a", at(1970))
    for record in (done, cut):
        save(flash_record.new_path(tmp_path, record), record)
    found = unfinished(tmp_path, "/dev/a")
    assert found is not None
    assert found[1] == cut
    mend = msgspec.structs.replace(begun("/dev/a", at(1969), "done"), recovers=found[0])
    save(flash_record.new_path(tmp_path, mend), mend)
    assert unfinished(tmp_path, "/dev/a") is None


def test_a_folder_that_cannot_be_written_is_told_before_the_board_is_touched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FlashError, match="--record"):
        save(tmp_path / "file" / "x.json", begun("/dev/a", ""))
