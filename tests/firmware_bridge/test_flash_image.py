"""What is flashed is looked at first: labels, names, damage, chips, ESP32 images; and records outlive what is cut."""

from __future__ import annotations

import contextlib
import os
import pty
import tty
from collections.abc import Callable
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
from wayside.firmware_bridge.flash.firmware_file import MAGIC, Image, load_image, seal_hex
from wayside.firmware_bridge.flash.flash import Order, flash
from wayside.firmware_bridge.flash.record import Record, save, unfinished
from wayside.firmware_bridge.line.messages import PROTOCOL, SCHEMA


def order(port: str | Path, file: Path, folder: Path, **more: object) -> None:
    flash(Order(str(port), file, records=folder / "records", **more), lambda plan: True, lambda stage, part: None)  # type: ignore[arg-type]


def label(chip: bytes = b"atmega328p", board: bytes = b"wayside") -> bytes:
    head = MAGIC + bytes([PROTOCOL]) + SCHEMA.to_bytes(4, "little") + bytes([3, 4, 5])
    return head + chip.ljust(12, b"\0") + board.ljust(8, b"\0")


UNSEALED = b"SEAL" + bytes(8)


def intel_hex(path: Path, data: bytes, base: int = 0, *, sealed: bool = True) -> Path:
    """A file of ``data``; sealed where its first label has room for that."""
    if sealed and MAGIC in data:
        end = data.index(MAGIC) + 36
        data = data[:end] + UNSEALED + data[end:]
    program = IntelHex()
    program.frombytes(data, base)
    program.write_hex_file(str(path))
    with contextlib.suppress(FlashError):
        seal_hex(path)
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
        base, data, holes = _intel_hex(Path("f"), raw)
    except FlashError:
        return
    assert base >= 0
    assert data
    assert all(base < first <= last < base + len(data) for first, last in holes)


def test_what_does_not_fit_is_refused_before_the_port_is_touched(tmp_path: Path) -> None:
    for file, said, mcu in (
        (intel_hex(tmp_path / "long.hex", label() + bytes(33_000)), "does not fit an atmega328p", None),
        (intel_hex(tmp_path / "high.hex", label(), 0x7E00), "does not fit an atmega328p", None),
        (intel_hex(tmp_path / "mega.hex", label(b"atmega2560")), "for atmega2560, not for atmega328p", "atmega328p"),
        (intel_hex(tmp_path / "z80.hex", label(b"z80")), "firmware for z80", None),
        (intel_hex(tmp_path / "bare.hex", b"program"), "has no label: it is another maker's", "atmega328p"),
        (intel_hex(tmp_path / "odd.hex", label(b"\x1b[2J")), "is damaged", None),
        (intel_hex(tmp_path / "two.hex", label() + label()), "two labels", None),
    ):
        with pytest.raises(FlashError, match=said):
            order("/dev/nothing", file, tmp_path, mcu=mcu)
    assert not (tmp_path / "records").exists()


# --- parts taken for the whole ------------------------------------------------------------------------


def records(path: Path) -> list[str]:
    return path.read_text().split()


def without(lines: list[str], first: int, count: int) -> list[str]:
    return lines[:first] + lines[first + count :]


WHOLE = b"\x0c\x94" + bytes(range(256)) * 3 + label() + bytes(range(255, -1, -1)) * 3


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda r: without(r, 10, 3), "bytes 0xa0 to 0xcf are missing"),
        (lambda r: without(without(r, 60, 1), 10, 1), "and 1 more pieces are missing"),
        (lambda r: without(r, 0, 1), "damaged: it has"),  # the beginning
        (lambda r: without(r, len(r) - 2, 1), "damaged: it has"),  # the last bytes
        (lambda r: without(r, 48, 4), "has no label, and bytes 0x300 to 0x33f are empty"),  # with the label itself
        (lambda r: r + r, "more follows"),
        (lambda r: [*r, ":0100000041BE"], "more follows"),
        (lambda r: [*r[:5], r[4], *r[5:]], "damaged"),  # a record twice
        (lambda r: [":0400000500010000F6", *r], "it starts at 0x10000, where it has no program"),
        (lambda r: r[:-1], "its end is missing"),
    ],
)
def test_a_part_of_our_own_firmware_is_not_taken_for_the_whole(
    tmp_path: Path, harm: Callable[[list[str]], list[str]], said: str
) -> None:
    file = intel_hex(tmp_path / "f.hex", WHOLE)
    assert load_image(file).sealed
    file.write_text("\n".join(harm(records(file))) + "\n")
    with pytest.raises(FlashError, match=said):
        order("/dev/nothing", file, tmp_path, mcu="atmega328p")
    assert not (tmp_path / "records").exists()


@given(st.data())
def test_no_record_can_go_or_change_unseen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("seal")
    whole = load_image(intel_hex(folder / "f.hex", WHOLE))
    name = range(whole.label_at + 28, whole.label_at + 36)
    at = data.draw(st.integers(0, len(whole.data) - 1).filter(lambda i: i not in name))
    changed = bytearray(whole.data)
    changed[at] ^= data.draw(st.integers(1, 255))
    program = IntelHex()
    program.frombytes(bytes(changed))
    program.write_hex_file(str(folder / "g.hex"))
    try:
        image = load_image(folder / "g.hex")
    except FlashError:
        return
    assert not image.sealed  # its label or its seal is no more one: that needs --foreign


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_hex_file_that_an_editor_saved_is_the_same_program(tmp_path: Path, encoding: str) -> None:
    plain = load_image(intel_hex(tmp_path / "f.hex", WHOLE))
    text = (tmp_path / "f.hex").read_text().replace("\n", "\r\n")
    (tmp_path / "f.hex").write_bytes(text.encode(encoding))
    if encoding == "utf-16-le":  # without its mark nothing says so
        with pytest.raises(FlashError, match=r"is damaged|neither"):
            load_image(tmp_path / "f.hex")
    else:
        assert load_image(tmp_path / "f.hex").data == plain.data


def test_letters_that_no_record_has_are_told_by_their_line(tmp_path: Path) -> None:
    file = intel_hex(tmp_path / "f.hex", WHOLE)
    file.write_text(file.read_text().replace("\n", "\n;größer\n", 1))
    with pytest.raises(FlashError, match="line 2 has what is no text"):
        load_image(file)


def test_a_named_firmware_is_as_whole_as_before(tmp_path: Path) -> None:
    image = load_image(intel_hex(tmp_path / "f.hex", WHOLE)).named("WS-7")
    (tmp_path / "g.hex").write_bytes(image.hex())
    assert load_image(tmp_path / "g.hex").sealed


@needs_simavr
@pytest.mark.parametrize("mcu", ["atmega328p", "atmega2560"])
def test_what_is_built_here_is_sealed(mcu: str) -> None:
    image = load_image(program(mcu).hex)
    assert image.sealed
    assert not image.holes


def test_another_makers_firmware_needs_to_be_called_so(tmp_path: Path) -> None:
    bare = intel_hex(tmp_path / "bare.hex", b"program")
    older = intel_hex(tmp_path / "older.hex", label() + bytes(64), sealed=False)
    for file, said in ((bare, "no label"), (older, "a label without length and CRC-32")):
        with pytest.raises(FlashError, match=f"{said}.*--foreign.*nothing was written"):
            order("/dev/nothing", file, tmp_path, mcu="atmega328p")
        with pytest.raises(BridgeError, match="is not there"):  # so far, and the port comes next
            order("/dev/nothing", file, tmp_path, mcu="atmega328p", foreign=True)
    with pytest.raises(FlashError, match="name the chip with --mcu"):
        order("/dev/nothing", bare, tmp_path, foreign=True)


def test_without_avrdude_the_port_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FlashError, match="apt install avrdude"):
        order(tmp_path / "no-such-port", intel_hex(tmp_path / "f.hex", label()), tmp_path)


def test_without_a_compiler_the_way_to_a_firmware_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wayside.firmware_bridge import avr_build

    def no_compiler(*args: object) -> None:
        raise BuildError("there is no C compiler 'avr-gcc' here")

    monkeypatch.setattr(avr_build, "build_avr", no_compiler)
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


def test_an_esp_image_shows_that_it_is_whole_and_alone(tmp_path: Path) -> None:
    file = esp_image(tmp_path / "app.bin")
    twice = load_image(file)._replace(data=file.read_bytes() * 2)
    with pytest.raises(FlashError, match="behind its end"):
        flash_esp.check(twice, None)
    assert flash_esp.check(twice, None, foreign=True) == "esp32"
    bare = bytearray(file.read_bytes()[:-32])
    bare[23] = 0  # no SHA-256 is appended
    with pytest.raises(FlashError, match="no SHA-256"):
        flash_esp.check(load_image(file)._replace(data=bytes(bare)), None)


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
