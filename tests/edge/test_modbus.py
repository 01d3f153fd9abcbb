"""Modbus RTU: pymodbus's own server on a line that is silent, babbles, echoes, is late or torn off."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulators.agent import AgentProcess
from tests.simulators.modbus import Cable, Meters
from wayside.contracts import registers as numbers
from wayside.contracts.modbus_config import ModbusConfig, RegisterConfig, of_manual
from wayside.contracts.node_config import ClockConfig, NodeConfig, load_node_config
from wayside.contracts.reading import Quality
from wayside.contracts.registers import encode
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.wire import ContractError
from wayside.edge.clock import ScaledClock
from wayside.edge.doctor.examine import examine
from wayside.edge.doctor.finding import Finding
from wayside.edge.doctor.meters import judged
from wayside.edge.ledger import Ledger
from wayside.edge.node import Node
from wayside.edge.sensors import modbus
from wayside.edge.sensors.modbus import ModbusLine
from wayside.edge.sensors.modbus_port import ModbusError, open_port
from wayside.edge.sources.step import Closed, Grid, Loss, Step
from wayside.edge.sources.values import ValueSource

PATIENCE_S = 60.0


def register(device: int = 1, address: int = 0, **more: object) -> RegisterConfig:
    named = {"datastream": f"meter/{device}/{more.get('table', 'holding')}/{address}", "poll_s": 0.1, **more}
    return RegisterConfig(device=device, address=address, **named)  # type: ignore[arg-type]


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that failed is tried again soon."""
    monkeypatch.setattr(modbus, "RETRY_CAP_S", 0.3)
    monkeypatch.setattr(modbus, "SILENT_CAP_S", 0.3)


impatient = pytest.mark.usefixtures("_impatient")


class Heard:
    """What a line told of each register: values as numbers, failures as sentences."""

    def __init__(self, cable: Cable, *registers: RegisterConfig, **more: object) -> None:
        config = ModbusConfig(port=str(cable.node), registers=registers, **{"timeout_s": 1.0, **more})  # type: ignore[arg-type]
        self.all: list[tuple[int, float | str | None]] = []
        self.line = ModbusLine(config, lambda i, v, _: self.all.append((i, v)), lambda i, w: self.all.append((i, w)))

    def of(self, which: int) -> list[float | str]:
        return [said for i, said in self.all if i == which]

    def values_of(self, which: int) -> list[float]:
        return [said for said in self.of(which) if isinstance(said, int | float)]

    @property
    def values(self) -> list[float]:
        return [said for _, said in self.all if isinstance(said, int | float)]

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@asynccontextmanager
async def polling(cable: Cable, *registers: RegisterConfig, **more: object) -> AsyncIterator[Heard]:
    heard = Heard(cable, *registers, **more)
    task = asyncio.create_task(heard.line.run())
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_every_table_and_every_type_is_read(tmp_path: Path) -> None:
    words = [5, 0xFFFE, 0x0001, 0x0002, 0x4148, 0x0000, 0x0000, 0x4148]
    wanted = [
        (register(address=0), 5.0),
        (register(address=1, type="int16"), -2.0),
        (register(address=2, type="uint32"), 65538.0),
        (register(address=2, type="uint32", word_order="little", table="input"), 131073.0),
        (register(address=1, type="int32"), float(0xFFFE0001 - 2**32)),
        (register(address=4, type="float32"), 12.5),
        (register(address=6, type="float32", word_order="little"), 12.5),
        (register(address=0, table="coil"), 1.0),
        (register(address=1, table="discrete"), 0.0),
    ]
    with Cable(tmp_path) as cable, Meters(cable.device, {1: words}):
        async with polling(cable, *(r for r, _ in wanted)) as heard:
            await heard.until(lambda: all(heard.values_of(i) for i in range(len(wanted))))
    assert [heard.values_of(i)[0] for i in range(len(wanted))] == [value for _, value in wanted]


async def test_a_changed_value_is_seen(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [5]}) as meters:
        async with polling(cable, register()) as heard:
            await heard.until(lambda: bool(heard.values))
            meters.set(1, 0, 77)
            await heard.until(lambda: 77.0 in heard.values)


async def test_what_is_no_number_is_no_value_and_no_failure(tmp_path: Path) -> None:
    wanted = [register(address=at, type="float32") for at in (0, 2, 4)]
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [0x7FC0, 0, 0x7F80, 0, 0x3F80, 0]}):  # NaN, infinity, 1.0
        async with polling(cable, *wanted) as heard:
            await heard.until(lambda: all(len(heard.of(which)) >= 2 for which in range(3)))
    assert set(heard.of(2)) == {1.0}
    assert set(heard.of(0)) == set(heard.of(1)) == {None}


async def test_a_refusal_names_device_and_register_and_holds_up_nobody(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [5]}):
        async with polling(cable, register(), register(address=9)) as heard:
            said = "device 1 on {} has no register at this address (holding register 9)".format
            await heard.until(lambda: len(heard.values_of(0)) >= 5 and len(heard.of(1)) >= 5)
            await heard.until(lambda: any(str(one).startswith(said(cable.node)) for one in heard.of(1)))
    assert set(heard.values) == {5.0}


async def test_a_device_that_is_not_there_holds_up_no_other(tmp_path: Path) -> None:
    with Cable(tmp_path, silent=(9,)) as cable, Meters(cable.device, {1: [5]}):
        async with polling(cable, register(), register(9), register(9, 1), timeout_s=0.2) as heard:
            await heard.until(lambda: len(heard.values_of(0)) >= 40)
    assert set(heard.values) == {5.0}
    assert all("device 9" in str(said) and "does not answer" in str(said) for said in heard.of(1) + heard.of(2))
    assert len(heard.of(1)) > 5  # every poll that was due is told of
    asked = sum(said[0] == 9 for said in cable.heard)
    assert asked < len(heard.of(1))  # and not every one was tried


SPOILS: dict[str, Callable[[bytes], bytes]] = {
    "silence": lambda _: b"",
    "half an answer": lambda data: data[: len(data) // 2],
    "a flipped bit": lambda data: bytes([*data[:3], data[3] ^ 1, *data[4:]]),
    "another device's answer": lambda data: bytes([7, *data[1:]]),
    "ASCII": lambda _: b"login: root\r\nPassword: \r\n",
    "all ones": lambda data: b"\xff" * len(data),
    "zeros": lambda data: b"\0" * len(data),
    "noise": lambda data: random.Random(len(data)).randbytes(400),
}


@impatient
async def test_what_is_no_answer_is_a_failure_and_never_a_value_and_the_line_recovers(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [5]}):
        for name, spoil in SPOILS.items():
            cable.to_node = spoil
            async with polling(cable, register(), timeout_s=0.1) as heard:
                await heard.until(lambda h=heard: len(h.all) >= 5 and h.line.errors >= 3)  # type: ignore[misc]
                assert not heard.values, name
                assert "device 1" in str(heard.of(0)[0]), name
                cable.to_node = lambda data: data
                await heard.until(lambda h=heard: len(h.values) >= 3)  # type: ignore[misc]
            assert set(heard.values) == {5.0}, name


@impatient
async def test_half_an_answer_does_not_spoil_the_next_question(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [5, 6]}):
        turns = iter(range(10**6))
        cable.to_node = lambda data: data if next(turns) % 3 else data[:3]
        async with polling(cable, register(), register(address=1), timeout_s=0.5) as heard:
            await heard.until(lambda: len(heard.values_of(0)) >= 4 and len(heard.values_of(1)) >= 4)
    assert set(heard.values_of(0)) == {5.0}
    assert set(heard.values_of(1)) == {6.0}


@impatient
async def test_a_late_answer_is_never_taken_for_that_of_the_next_question(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [111, 222]}):
        cable.late_s = 1.2  # of 1.0, and the line rests for another 1.0
        async with polling(cable, register(), register(address=1)) as heard:
            await heard.until(lambda: heard.line.errors >= 3)
            assert not heard.values
            cable.late_s = 0.0
            await heard.until(lambda: bool(heard.values_of(0) and heard.values_of(1)))
    assert set(heard.values_of(0)) == {111.0}
    assert set(heard.values_of(1)) == {222.0}


@impatient
async def test_an_echo_is_not_taken_for_an_answer_and_can_be_discarded(tmp_path: Path) -> None:
    # At address 0x03xx the request is, by its length and checksum, its own valid answer.
    asked = [register(), register(address=0x0301), register(address=0x0300, type="uint32")]
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [0, 7] + [7] * 0x400}):
        cable.echo = True
        for one in (*asked, register(address=0x0301, table="coil")):
            cable.to_device = lambda _: b""
            async with polling(cable, one, timeout_s=0.1) as heard:
                await heard.until(lambda h=heard: h.line.errors >= 2)  # type: ignore[misc]
            assert not heard.values
            assert "set modbus.echo" in str(heard.of(0)[0])
            cable.to_device = lambda data: data
            async with polling(cable, one, echo=True, timeout_s=0.3) as heard:
                await heard.until(lambda h=heard: len(h.values) >= 2)  # type: ignore[misc]


@impatient
async def test_a_flood_costs_neither_memory_nor_the_processor(tmp_path: Path) -> None:
    me = psutil.Process()
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [5]}):
        async with polling(cable, register(), timeout_s=0.1) as heard:
            await heard.until(lambda: bool(heard.values))
            before = me.memory_info().rss
            cable.flood = b"\xff" * 4096
            cable.to_node = lambda _: b""
            await heard.until(lambda: heard.line.opened >= 4)
            assert me.memory_info().rss - before < 20_000_000
            cable.flood, cable.to_node = b"", lambda data: data
            values = len(heard.values)
            await heard.until(lambda: len(heard.values) > values)
    assert set(heard.values) == {5.0}
    # A port that only babbles is opened ever more rarely, and a closed one costs nothing.


@impatient
async def test_an_adapter_that_is_pulled_comes_back_by_itself(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [5]}):
        async with polling(cable, register(), timeout_s=0.1) as heard:
            await heard.until(lambda: bool(heard.values))
            cable.pull()
            await heard.until(lambda: len([s for s in heard.all if isinstance(s[1], str)]) >= 5)
            assert not heard.line.connected
            cable.plug()
            values = len(heard.values)
            await heard.until(lambda: len(heard.values) >= values + 3)
            assert heard.line.connected
    assert any("plug the adapter in" in str(said) for said in heard.of(0))


async def test_a_pattern_must_name_one_port(tmp_path: Path) -> None:
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [5]}):
        config = ModbusConfig(port=f"{tmp_path}/modb*", registers=(register(),), timeout_s=1)
        port = await open_port(config)
        port.close()
        (tmp_path / "modbus.other").touch()
        with pytest.raises(ModbusError, match="all match"):
            await open_port(config)
    with pytest.raises(ModbusError, match="nothing matches"):
        await open_port(ModbusConfig(port=f"{tmp_path}/x*", registers=(register(),)))
    with pytest.raises(ModbusError, match="cannot open modbus"):
        await open_port(ModbusConfig(port="hwgrep://no[", registers=(register(),)))


# --- steps ------------------------------------------------------------------------------------------------------------

STEP_MS = 60_000


class Hand(ScaledClock):
    """A clock that a test moves; it begins in 1970."""

    now_ns = 0

    def mono_ns(self) -> int:
        return self.now_ns


class Told:
    """Registers with steps of a minute, and what they said."""

    def __init__(self, *configs: RegisterConfig, state: dict[str, Any] | None = None, now_ms: int = 0) -> None:
        self.clock = Hand(ClockConfig(kind="scaled"))
        self.clock.now_ns = now_ms * 1_000_000
        grid = Grid(self.clock, STEP_MS // 1000)
        self.ledger = Ledger("node", "0" * 32, self.clock)
        self.registers = ValueSource("registers", configs, self.clock, grid, self.ledger)
        if state is not None:
            self.registers.restore(state)
        else:
            self.registers.pass_time()
        self.out: Closed = []

    def read(self, ms: int, raw: float | None, wraps_at: float | None = None) -> None:
        self.clock.now_ns = ms * 1_000_000
        self.registers.read(0, raw, wraps_at=wraps_at)

    def until(self, ms: int) -> list[tuple[float | None, Quality]]:
        self.clock.now_ns = ms * 1_000_000
        self.registers.pass_time()
        self.out += self.registers.closed()
        return [(c.values[0], c.qualities[0]) for c in self.out if isinstance(c, Step)]


def gauge(**more: object) -> RegisterConfig:
    return register(poll_s=5, **more)


def counter(**more: object) -> RegisterConfig:
    return register(**{"poll_s": 5, "kind": "counter", "max_per_s": 100.0, **more})  # type: ignore[arg-type]


def test_a_gauge_is_averaged_over_the_step_in_its_unit() -> None:
    told = Told(gauge(scale=0.1, offset=-40))
    for i, raw in enumerate((600, 610, 620)):
        told.read(i * 5000, raw)
    assert told.until(STEP_MS) == [(pytest.approx(21.0), Quality.GOOD)]
    assert isinstance(told.out[0], Step)
    assert told.out[0].n == [3]


def test_nothing_read_is_missing_then_stale_and_never_zero() -> None:
    told = Told(gauge())
    told.until(STEP_MS)
    told.read(STEP_MS + 1000, 7)
    assert told.until(4 * STEP_MS) == [
        (None, Quality.MISSING),
        (7, Quality.GOOD),
        (None, Quality.STALE),
        (None, Quality.STALE),
    ]
    told.registers.fail(0, "gone")
    assert told.registers.each[0].live == (None, Quality.STALE)


def test_what_is_out_of_range_is_not_averaged_in() -> None:
    told = Told(gauge(low=-40, high=60))
    told.read(0, 20)
    told.read(5000, 6553.5)
    told.until(STEP_MS)
    told.read(STEP_MS + 5000, 6553.5)
    assert told.until(2 * STEP_MS) == [(20, Quality.SUSPECT), (6553.5, Quality.OUT_OF_RANGE)]


def test_a_gauge_that_never_moves_is_stuck() -> None:
    told = Told(gauge(stuck_s=90))
    for ms in range(0, 3 * STEP_MS, 5000):
        told.read(ms, 20)
    told.read(3 * STEP_MS, 21)
    assert [q for _, q in told.until(4 * STEP_MS)] == [
        Quality.GOOD,
        Quality.STUCK_ON,
        Quality.STUCK_ON,
        Quality.GOOD,
    ]


def test_a_device_that_says_it_has_no_value_is_missing_and_one_that_had_one_is_no_condition() -> None:
    told = Told(gauge())
    for ms in range(0, STEP_MS, 5000):
        told.read(ms, None)
    assert told.registers.each[0].live == (None, Quality.MISSING)
    (condition,) = told.ledger.conditions()  # once, however often it is polled
    assert len(told.ledger.rows) == 1
    assert "has never had a value: is it there, and are its type and byte order right?" in condition.message
    told.read(STEP_MS + 1000, 7)
    assert told.ledger.conditions() == ()
    for ms in range(2 * STEP_MS, 3 * STEP_MS, 5000):
        told.read(ms, None)
    assert told.until(3 * STEP_MS) == [(None, Quality.MISSING), (7, Quality.GOOD), (None, Quality.MISSING)]
    assert told.ledger.conditions() == ()
    told.registers.fail(0, "gone")
    assert told.registers.each[0].live == (None, Quality.STALE)


@pytest.mark.parametrize("raw", [5.77e22, -6.4e-30, 2.1e-37, 2e6])
def test_bytes_in_another_order_are_out_of_range_also_without_bounds(raw: float) -> None:
    told = Told(gauge(unit="V", type="float32"))
    told.read(0, raw)
    assert told.until(STEP_MS) == [(raw, Quality.OUT_OF_RANGE)]
    told = Told(gauge(unit="V", type="float32"))
    told.read(0, 0.0)
    told.read(1000, 229.01)
    assert told.until(STEP_MS)[0][1] is Quality.GOOD


def counted(*readings: tuple[int, float], until: int = 2 * STEP_MS, **more: object) -> Told:
    told = Told(counter(**more))
    told.read(0, readings[0][1])
    for ms, raw in readings:
        told.read(ms, raw)
    told.until(until)
    return told


@pytest.mark.parametrize(("kind", "top"), [("uint16", 65535), ("uint32", 2**32 - 1), ("uint64", 2**64 - 1)])
def test_a_counter_counts_through_its_wrap_around(kind: str, top: int) -> None:
    told = counted((0, top - 10), (50_000, top), (62_000, 5), (118_000, 25), type=kind, scale=0.5)
    assert told.until(2 * STEP_MS)[1] == (13.0, Quality.GOOD)


def test_a_counter_that_only_its_device_knows_the_end_of_counts_through_it() -> None:
    told = Told(counter(type="float32"))
    told.read(0, 4.2e10, 2**32 * 10)
    told.read(58_000, 2**32 * 10 - 100, 2**32 * 10)
    told.until(STEP_MS)
    told.read(62_000, 200, 2**32 * 10)
    told.read(118_000, 200, 2**32 * 10)
    assert told.until(2 * STEP_MS)[1] == (300.0, Quality.GOOD)


def test_a_reset_or_another_meter_is_no_traffic() -> None:
    told = counted((0, 5000), (59_000, 5010), (65_000, 3), (118_000, 10), until=3 * STEP_MS)
    assert told.until(3 * STEP_MS)[1] == (7.0, Quality.GAP)
    told = counted((0, 5000), (59_000, 5010), (65_000, 60_000), (118_000, 60_001), until=3 * STEP_MS)
    assert told.until(3 * STEP_MS)[1] == (1.0, Quality.GAP)


def test_what_was_counted_while_the_line_was_down_is_told_apart() -> None:
    told = counted((0, 100), (58_000, 110), (5 * STEP_MS + 1000, 400), until=6 * STEP_MS)
    steps = told.until(6 * STEP_MS)
    assert [value for value, _ in steps[1:5]] == [None] * 4
    (late,) = (one for one in told.out if isinstance(one, Loss))
    assert (late.start_ns, late.end_ns, late.value) == (58_000_000_000, 301_000_000_000, 290.0)
    assert steps[5] == (None, Quality.MISSING)  # what it counted before the line came back belongs to nobody's step


def test_a_counter_whose_line_went_down_says_that_it_is_a_lower_bound() -> None:
    told = counted((0, 100), (58_000, 110), (61_000, 110), (70_000, 115))
    assert told.until(2 * STEP_MS)[1] == (5.0, Quality.GAP)


@given(
    st.lists(st.tuples(st.integers(100, 100_000), st.integers(0, 100), st.booleans()), min_size=1, max_size=60),
    st.integers(0, 65535),
)
def test_nothing_that_a_meter_counted_is_lost_or_told_twice(polls: list[tuple[int, int, bool]], begin: int) -> None:
    """Each poll: milliseconds since the one before, vehicles per second in them, and whether the line is down."""
    told = Told(counter())
    told.read(0, begin)
    ms = total = read = 0
    for after_ms, rate, down in polls:
        ms += after_ms
        total += rate * after_ms // 1000
        if total - read > 30_000:  # more than half of the counter's range: a wrap-around cannot be told any more
            total = read + 30_000
        if not down:
            told.read(ms, (begin + total) % 65536)
            read = total
    told.until(ms + 2 * STEP_MS)
    assert sum((c.value if isinstance(c, Loss) else c.values[0]) or 0 for c in told.out) == read


def test_a_restart_of_the_agent_goes_on_where_it_was() -> None:
    first = counted((0, 100), (58_000, 110), (70_000, 120), until=70_000)
    again = Told(counter(), state=first.registers.state(), now_ms=75_000)
    again.read(75_000, 125)
    again.read(118_000, 130)
    assert again.until(2 * STEP_MS) == [(20.0, Quality.GOOD)]


def test_after_a_restart_of_the_machine_the_counter_begins_anew() -> None:
    first = counted((0, 100), (58_000, 110), (70_000, 120), until=70_000)
    state = first.registers.state() | {"machine": "another"}
    again = Told(counter(), state=state)
    again.registers.pass_time()
    again.read(10_000, 5000)
    again.read(15_000, 5003)
    assert again.until(STEP_MS) == [(3.0, Quality.GAP)]


# --- configuration ----------------------------------------------------------------------------------------------------

MODBUS = '\n[modbus]\nport = "/dev/rs485"\n[[modbus.registers]]\ndevice = 1\naddress = 0\ndatastream = "m"\n'


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ('kind = "counter"', "max_per_s"),
        ('kind = "counter"\ntype = "int16"\nmax_per_s = 1', "uint16, uint32, uint64"),
        ('kind = "counter"\nmax_per_s = 1\nlow = 0', "a gauge's"),
        ("max_per_s = 1", "a counter's"),
        ("low = 5\nhigh = 5", "low < high"),
        ("scale = nan", "scale"),
        ('unit = ""', "unit"),
        ("\n[[modbus.registers]]\ndevice = 1\naddress = 65535\ntype = 'float32'\ndatastream = 'n'", "65535"),
        ("\n[[modbus.registers]]\ndevice = 1\naddress = 1\ndatastream = 'm'", "datastream m is given twice"),
        ("\n[board]\nport = '/dev/rs485'", "each needs its own"),
    ],
)
def test_a_mistake_in_the_table_of_registers_is_named(change: str, rule: str) -> None:
    with pytest.raises(ContractError, match=rule):
        load_node_config('node = "n"\nstate_dir = "s"\n' + MODBUS + change + "\n")


def modbus_config(cable: Cable, *registers: RegisterConfig) -> NodeConfig:
    modbus = ModbusConfig(port=str(cable.node), registers=registers, timeout_s=0.2)
    return NodeConfig(node="n", state_dir="state", modbus=(modbus,))


@pytest.mark.parametrize("order", ["ABCD", "CDAB", "BADC", "DCBA"])
@pytest.mark.parametrize(("kind", "number"), [("float32", 229.01), ("float64", 229.01), ("uint64", 10**15 + 7)])
def test_the_order_that_a_manual_names_is_read_as_it_is_written(order: str, kind: str, number: float) -> None:
    one = register(type=kind, byte_order=order, unit="V" if kind.startswith("float") else "1")
    words = encode(number, kind, byte_order=order)  # type: ignore[arg-type]
    read = numbers.decode(words, one.type, one.word_order, one.byte_order)
    assert read == pytest.approx(number)


def test_letters_and_the_older_key_do_not_speak_at_once() -> None:
    both = 'type = "float32"\nbyte_order = "BADC"\nword_order = "little"'
    with pytest.raises(ContractError, match="word_order: is told by byte_order = BADC"):
        load_node_config('node = "n"\nstate_dir = "s"\n' + MODBUS + both + "\n")


@pytest.mark.parametrize(
    ("number", "meant"),
    [
        (40001, ("holding", 0)),
        (49999, ("holding", 9998)),
        (400001, ("holding", 0)),
        (30013, ("input", 12)),
        (300001, ("input", 0)),
        (10001, ("discrete", 0)),
        (40000, None),
        (0, None),
        (12, None),
        (500001, None),
    ],
)
def test_a_manuals_number_is_known_for_what_it_is(number: int, meant: tuple[str, int] | None) -> None:
    assert of_manual(number) == meant


def test_a_number_of_six_digits_is_explained() -> None:
    with pytest.raises(ContractError, match="a manual's 400001 is address 0 of table holding"):
        load_node_config('node = "n"\nstate_dir = "s"\n' + MODBUS.replace("address = 0", "address = 400001") + "\n")


@pytest.mark.parametrize("word", ["big", "little"])
@pytest.mark.parametrize("byte", ["big", "little"])
def test_the_doctor_says_in_which_order_the_bytes_look_right(word: str, byte: str) -> None:
    words = encode(229.01, "float32", word, byte)  # type: ignore[arg-type]
    right = register(type="float32", unit="V", word_order=word, byte_order=byte)
    assert judged(right, words) == (["meter/1/holding/0 229.01 V"], [])
    wrong = register(type="float32", unit="V", byte_order="little" if byte == "big" else "big", word_order=word)
    (said,) = judged(wrong, words)[1]
    assert f'(byte_order = "{numbers.letters(word, byte)}"), which gives 229.01 V' in said


def test_an_unnamed_line_goes_on_with_the_state_of_before(tmp_path: Path) -> None:
    """The keys of a value name neither its line nor whether there are others."""
    with Cable(tmp_path) as cable:
        config = modbus_config(cable, register(kind="counter", max_per_s=5))
        clock = Hand(ClockConfig(kind="scaled"))
        node = Node(config, clock, "0" * 32)
        node.value_read(node.registers, 0, 100)
        state = node.state()
        assert list(state["node"]["sources"]["registers"]["each"]) == ["1/holding/0/uint16/counter/meter/1/holding/0"]
        other = ModbusConfig(name="net", port="tcp://h", registers=(register(2),))
        named = msgspec.structs.replace(config.modbus[0], name="bus")
        node = Node(msgspec.structs.replace(config, modbus=(other, named)), clock, "1" * 32)
        node.restore(state, [])
    assert [each.last for each in node.registers.each] == [None, 100]


def test_the_doctor_reads_each_register_once_and_names_what_fails(tmp_path: Path) -> None:
    def found(*registers: RegisterConfig) -> Finding:
        (finding,) = (f for f in examine(modbus_config(cable, *registers), tmp_path) if f.check == "modbus")
        return finding

    with Cable(tmp_path, silent=(9,)) as cable, Meters(cable.device, {1: [215]}):
        good = found(register(scale=0.1, unit="Cel"))
        assert (good.state, good.said) == ("ok", "meter/1/holding/0 21.5 Cel")
        bad = found(register(), register(address=7), register(9), register(9, 1))
        assert bad.state == "fail"
        assert "meter/1/holding/7: device 1" in bad.said
        assert "meter/9/holding/1: device 9 does not answer" in bad.said
        assert "meter/1/holding/0" not in bad.said
        cable.pull()
        assert found(register()).state == "fail"
        cable.plug()


# --- the agent --------------------------------------------------------------------------------------------------------


def node_toml(cable: Cable) -> str:
    return f"""
node = "kiosk-1"
state_dir = "state"
[task]
bundle = "none"
interval_s = 1
step_s = 1
[storage]
checkpoint_s = 0.1
[modbus]
port = "{cable.node}"
timeout_s = 0.2
[[modbus.registers]]
device = 1
address = 0
datastream = "kiosk/temperature"
unit = "Cel"
scale = 0.1
poll_s = 0.1
[[modbus.registers]]
device = 1
address = 1
datastream = "lane/1/volume"
unit = "{{veh}}"
kind = "counter"
max_per_s = 1000
poll_s = 0.1
[[modbus.registers]]
device = 9
address = 0
datastream = "elsewhere"
poll_s = 0.1
"""


def rows_of(agent: AgentProcess, name: str, kind: Kind = Kind.INTERVAL) -> list[Summary]:
    return [r for r in agent.rows() if r.datastream == name and r.kind is kind]


def test_an_agent_on_a_modbus_line_sends_values_gaps_and_alerts_and_outlasts_a_pulled_adapter(tmp_path: Path) -> None:
    with (
        Cable(tmp_path, silent=(9,)) as cable,
        Meters(cable.device, {1: [215, 10]}) as meters,
        AgentProcess(tmp_path, node_toml(cable)) as agent,
    ):
        agent.wait(lambda a: len(rows_of(a, "kiosk/temperature")) >= 3, timeout_s=PATIENCE_S)
        meters.set(1, 1, 25)
        agent.wait(lambda a: sum(r.value or 0 for r in rows_of(a, "lane/1/volume")) == 15, timeout_s=PATIENCE_S)
        agent.wait(lambda a: rows_of(a, "elsewhere", Kind.ALERT), timeout_s=PATIENCE_S)
        agent.wait(lambda a: any(r["datastream"] == "lane/1/volume" for r in a.status["readings"]))
        cable.pull()
        stale = lambda a: any(r.quality is Quality.STALE for r in rows_of(a, "kiosk/temperature"))  # noqa: E731
        agent.wait(stale, timeout_s=PATIENCE_S)
        agent.wait(lambda a: rows_of(a, "kiosk/temperature", Kind.ALERT), timeout_s=PATIENCE_S)
        meters.set(1, 1, 40)
        cable.plug()
        grown = lambda a: sum(r.value or 0 for k in (Kind.INTERVAL, Kind.GAP) for r in rows_of(a, "lane/1/volume", k))  # noqa: E731
        agent.wait(lambda a: grown(a) == 30, timeout_s=PATIENCE_S)
        count = len([r for r in rows_of(agent, "kiosk/temperature") if r.quality is Quality.GOOD])
        agent.wait(
            lambda a: len([r for r in rows_of(a, "kiosk/temperature") if r.quality is Quality.GOOD]) > count,
            timeout_s=PATIENCE_S,
        )
        assert agent.stop() == 0
        temperatures = rows_of(agent, "kiosk/temperature")
        assert {r.value and round(r.value, 6) for r in temperatures} == {21.5, None}
        assert all((r.value is None) == (r.quality in (Quality.STALE, Quality.MISSING)) for r in temperatures)
        assert {r.unit for r in temperatures} == {"Cel"}
        assert {r.quality for r in rows_of(agent, "elsewhere")} == {Quality.MISSING}
        (alert,) = rows_of(agent, "elsewhere", Kind.ALERT)
        assert "device 9" in str(alert.detail["what"])
        with AgentProcess(tmp_path, node_toml(cable)) as again:  # the count goes on through a restart
            meters.set(1, 1, 47)
            again.wait(lambda a: grown(a) == 37, timeout_s=PATIENCE_S)
            assert again.stop() == 0
    log = (tmp_path / "agent.log").read_text()
    assert log.count("register fails") <= 8  # one line for each trouble, not one for each poll
    assert "Traceback" not in log
