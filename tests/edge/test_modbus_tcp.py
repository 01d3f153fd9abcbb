"""Modbus TCP: pymodbus's own server behind a network that is late, cut, unplugged, half-open or full of nonsense."""

from __future__ import annotations

import asyncio
import os
import random
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU

from tests.edge.test_modbus import Heard, register
from tests.simulators.agent import AgentProcess
from tests.simulators.modbus import Cable, Meters
from tests.simulators.modbus_tcp import Network, free_port
from tests.simulators.sunspec import COMMON, block, device
from wayside.contracts.modbus_config import ModbusConfig, RegisterConfig
from wayside.contracts.node_config import NodeConfig
from wayside.edge.doctor.examine import examine
from wayside.edge.sensors import modbus
from wayside.edge.sensors.modbus_lines import ModbusLines
from wayside.edge.sensors.modbus_port import LineSilent, ModbusError, Refused, open_port
from wayside.edge.sensors.modbus_wire import TcpWire


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that failed is tried again soon."""
    monkeypatch.setattr(modbus, "RETRY_CAP_S", 0.3)
    monkeypatch.setattr(modbus, "SILENT_CAP_S", 0.3)


@contextmanager
def network(folder: Path, registers: dict[int, list[int]], silent: tuple[int, ...] = ()) -> Iterator[Network]:
    port = free_port()
    with Meters(folder / "server", registers, tcp_port=port), Network(port, silent) as between:
        yield between


class TcpHeard(Heard):
    def __init__(self, between: Network, *registers: RegisterConfig, **more: object) -> None:
        class Node:
            node = between.url

        super().__init__(Node(), *registers, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def polling(between: Network, *registers: RegisterConfig, **more: object) -> AsyncIterator[TcpHeard]:
    heard = TcpHeard(between, *registers, **more)
    task = asyncio.create_task(heard.line.run())
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_same_table_is_read_over_tcp(tmp_path: Path) -> None:
    wanted = [
        (register(address=0), 5),
        (register(address=1, type="int16"), -2),
        (register(address=2, type="uint32", table="input"), 65538),
        (register(address=4, type="float32"), 12.5),
        (register(address=0, table="coil"), 1.0),
    ]
    with network(tmp_path, {1: [5, 0xFFFE, 1, 2, 0x4148, 0]}) as between:
        async with polling(between, *(r for r, _ in wanted)) as heard:
            await heard.until(lambda: all(heard.values_of(i) for i in range(len(wanted))))
        assert between.opened == 1
    assert [heard.values_of(i)[0] for i in range(len(wanted))] == [value for _, value in wanted]


async def test_a_late_answer_is_thrown_away_by_its_number_and_nobody_rests(tmp_path: Path) -> None:
    with network(tmp_path, {1: [111, 222]}) as between:
        between.late_s = 0.5  # of 0.2
        async with polling(between, register(), register(address=1), timeout_s=0.2) as heard:
            await heard.until(lambda: heard.line.errors >= 4)
            assert not heard.values
            between.late_s = 0.0
            await heard.until(lambda: bool(heard.values_of(0) and heard.values_of(1)))
    assert set(heard.values_of(0)) == {111}
    assert set(heard.values_of(1)) == {222}


async def test_a_silent_unit_behind_a_gateway_costs_the_others_no_connection(tmp_path: Path) -> None:
    with network(tmp_path, {1: [5]}, silent=(9,)) as between:
        async with polling(between, register(), register(9), timeout_s=0.1) as heard:
            await heard.until(lambda: len(heard.values_of(0)) >= 20 and len(heard.of(1)) >= 5)
        assert between.opened == 1
    assert all("device 9" in str(said) and "does not answer" in str(said) for said in heard.of(1))


async def test_half_an_answer_begins_the_connection_anew_and_the_rest_of_it_is_never_a_value(tmp_path: Path) -> None:
    with network(tmp_path, {1: [5, 6]}) as between:
        draw = random.Random(1)
        kept = b""

        def halves(data: bytes) -> bytes:
            nonlocal kept
            if draw.random() < 0.7:
                data, kept = kept + data, b""
                return data
            kept = data[5:]
            return data[:5]

        between.to_node = halves
        async with polling(between, register(), register(address=1), timeout_s=0.2) as heard:
            await heard.until(lambda: len(heard.values_of(0)) >= 4 and len(heard.values_of(1)) >= 4)
        assert between.opened > 1
    assert set(heard.values_of(0)) == {5}
    assert set(heard.values_of(1)) == {6}


@pytest.mark.parametrize("how", ["cut", "refused", "unplugged"])
async def test_a_connection_that_breaks_comes_back_by_itself(tmp_path: Path, how: str) -> None:
    with network(tmp_path, {1: [5]}) as between:
        async with polling(between, register(), timeout_s=0.2) as heard:
            await heard.until(lambda: bool(heard.values))
            if how == "cut":
                between.cut()
            elif how == "refused":
                between.refuse()
            else:
                between.unplugged = True  # half-open: nobody says that it is gone
                await heard.until(lambda: between.opened > 1)
            await heard.until(lambda: len([s for s in heard.all if isinstance(s[1], str)]) >= 3 or how == "cut")
            between.unplugged = False
            if how == "refused":
                assert not heard.line.connected
                between.listen()
            values = len(heard.values)
            await heard.until(lambda: len(heard.values) >= values + 3)
            assert heard.line.connected
            assert between.opened > 1
    assert set(heard.values) == {5}


async def test_another_unit_that_answers_is_named(tmp_path: Path) -> None:
    with network(tmp_path, {1: [5]}) as between:
        between.to_node = lambda data: data[:6] + b"\xff" + data[7:]
        async with polling(between, register(), timeout_s=0.1) as heard:
            await heard.until(lambda: len(heard.of(0)) >= 2)
        assert not heard.values
        assert "unit 255 did instead" in str(heard.of(0)[0])


MUTATIONS = int(os.environ.get("WAYSIDE_MUTATIONS", "20000"))
SPOILS: dict[str, Callable[[bytes], bytes]] = {
    "number 0": lambda data: b"\0\0" + data[2:],
    "another number": lambda data: b"\x77\x77" + data[2:],
    "another protocol": lambda data: data[:2] + b"\0\1" + data[4:],
    "too short": lambda data: data[:-1],
    "too long": lambda data: data + b"\0",
    "another length": lambda data: data[:5] + bytes([data[5] + 2]) + data[6:] + b"\0\7",
    "another count": lambda data: data[:8] + b"\4" + data[9:],
    "another function": lambda data: data[:7] + b"\4" + data[8:],
    "HTTP": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "RTU": lambda _: b"\1\3\2\0\5\x78\x47",
    "noise": lambda data: random.Random(len(data)).randbytes(400),
}


async def test_what_is_no_answer_is_never_a_value_and_the_line_recovers(tmp_path: Path) -> None:
    with network(tmp_path, {1: [5]}) as between:
        for name, spoil in SPOILS.items():
            between.to_node = spoil
            async with polling(between, register(), timeout_s=0.1) as heard:
                await heard.until(lambda h=heard: len(h.all) >= 3 and h.line.errors >= 2)  # type: ignore[misc]
                assert not heard.values, name
                between.to_node = lambda data: data
                await heard.until(lambda h=heard: len(h.values) >= 2)  # type: ignore[misc]
            assert set(heard.values) == {5}, name


async def test_mutated_answers_raise_and_never_give_a_value_that_was_not_in_their_data() -> None:
    """Answers with any byte outside of the data changed, cut off or repeated."""
    draw = random.Random(7)
    answered: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(12):
            answer = bytearray(request[:4] + b"\0\x05" + request[6:8] + b"\x02\x12\x34")
            at = draw.randrange(len(answer) - 2)
            spoilt = draw.choice([
                bytes(answer[:at]),
                bytes(answer) + bytes(answer[: at + 1]),
                bytes([*answer[:at], answer[at] ^ (1 << draw.randrange(8)), *answer[at + 1 :]]),
                draw.randbytes(draw.randrange(300)),
            ])  # fmt: skip
            answered.append(spoilt)
            writer.write(spoilt)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = ModbusConfig(port=f"tcp://127.0.0.1:{port}", registers=(register(),), timeout_s=0.02)
    line = await open_port(config)
    for _ in range(300):
        with pytest.raises((LineSilent, Refused)):
            await line.read(register())
        if line.lost:
            line.close()
            line = await open_port(config)
    line.close()
    server.close()
    assert len(answered) > 250


@given(st.binary(max_size=600))
@settings(max_examples=300, deadline=None)
def test_the_wire_shows_pymodbus_nothing_but_whole_answers(data: bytes) -> None:
    wire = TcpWire()
    wire(True, struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, 1))
    shown = wire(False, data)
    assert data.startswith(shown)
    at = 0
    while at < len(shown):
        transaction, protocol, length, unit = struct.unpack(">HHHB", shown[at : at + 7])
        assert protocol == 0
        pdu = shown[at + 7 : at + 6 + length]
        assert len(pdu) == length - 1
        if (transaction, unit) == (1, 1):
            assert pdu[0] == 0x83 or (pdu[0] == 3 and len(pdu) == 2 + pdu[1])
        at += 6 + length


def exchanged(wire: TcpWire, framer: FramerSocket, data: bytes) -> list[int] | None:
    """What pymodbus makes of ``data`` behind the wire, for a question of number 7, unit 1, two registers."""
    wire(True, struct.pack(">HHHBBHH", 7, 0, 6, 1, 3, 0, 2))
    _, pdu = framer.handleFrame(wire(False, data), 1, 7)
    if pdu is None or pdu.isError() or wire.doubt(pdu.transaction_id, pdu.dev_id) is not None:
        return None
    return list(pdu.registers) if len(pdu.registers) == 2 else None


def test_of_many_mutated_answers_none_gives_a_value_and_the_next_connection_is_right() -> None:
    """Any bits of the header, function or count; bytes lost or added. (The data itself TCP's own sum protects.)"""
    draw = random.Random(3)
    good = struct.pack(">HHHBBBHH", 7, 0, 7, 1, 3, 4, 0x1234, 0x5678)
    framer = FramerSocket(DecodePDU(False))
    for _ in range(MUTATIONS):
        frame = bytearray(good)
        how = draw.randrange(4)
        if how == 0:
            for _ in range(draw.randint(1, 3)):
                frame[draw.randrange(9)] ^= 1 << draw.randrange(8)
        elif how == 1:
            del frame[draw.randrange(len(frame))]
        elif how == 2:
            frame.insert(draw.randrange(9), draw.randrange(256))
        else:
            frame = frame[: draw.randrange(len(frame))]
        if bytes(frame[:9]) == good[:9] and len(frame) >= len(good):
            continue  # it happens to be the same
        assert exchanged(TcpWire(), framer, bytes(frame)) is None, bytes(frame).hex()
    assert exchanged(TcpWire(), framer, good) == [0x1234, 0x5678]


async def test_lines_run_side_by_side_and_count_their_values_on(tmp_path: Path) -> None:
    said: list[tuple[int, float | None]] = []
    with Cable(tmp_path) as cable, Meters(cable.device, {1: [1, 2]}), network(tmp_path, {1: [3]}) as between:
        rtu = ModbusConfig(
            name="bus", port=str(cable.node), registers=(register(datastream="a"), register(address=1, datastream="b"))
        )
        tcp = ModbusConfig(name="net", port=between.url, registers=(register(datastream="c"),), timeout_s=0.2)
        lines = ModbusLines((rtu, tcp), lambda i, v, _: said.append((i, v)), lambda *_: None)
        task = asyncio.create_task(lines.run())
        async with asyncio.timeout(20):
            while {i for i, _ in said} != {0, 1, 2}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            between.refuse()
            count = len(said)
            while len([i for i, _ in said[count:] if i == 1]) < 5:  # noqa: ASYNC110  (the other goes on)
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert set(said) == {(0, 1), (1, 2), (2, 3)}


async def test_nobody_there_is_said_with_what_to_look_at() -> None:
    config = ModbusConfig(port=f"tcp://127.0.0.1:{free_port()}", registers=(register(),), timeout_s=0.2)
    with pytest.raises(ModbusError, match="does it speak Modbus TCP"):
        await open_port(config)


def test_an_agent_reads_tcp_and_sunspec_through_nonsense_and_prints_no_traceback(tmp_path: Path) -> None:
    port = free_port()
    words = device(COMMON, block(103, {"W": 2301, "W_SF": 0}))
    with Meters(tmp_path / "server", {1: words, 2: [215]}, tcp_port=port), Network(port) as between:
        toml = (
            f'node = "n"\nstate_dir = "state"\n[storage]\ncheckpoint_s = 0.1\n[modbus]\nport = "{between.url}"\n'
            'timeout_s = 0.3\n[[modbus.registers]]\ndevice = 2\naddress = 0\ndatastream = "m"\npoll_s = 0.1\n'
            "[[modbus.sunspec]]\ndevice = 1\nmodel = 103\n[[modbus.sunspec.points]]\n"
            'point = "W"\ndatastream = "pv"\nunit = "W"\npoll_s = 0.1\n'
        )
        with AgentProcess(tmp_path, toml) as agent:

            def shown(a: AgentProcess) -> dict[str, tuple[float | None, str]]:
                return {r["datastream"]: (r["value"], r["quality"]) for r in a.status.get("readings", [])}

            agent.wait(lambda a: shown(a) == {"m": (215, "good"), "pv": (2301, "good")})
            draw = random.Random(5)
            between.to_node = lambda data: draw.choice([data[:5], draw.randbytes(60), data + data, data[:7] + b"\x55"])
            agent.wait(lambda a: shown(a) == {"m": (None, "stale"), "pv": (None, "stale")})
            between.to_node = lambda data: data
            agent.wait(lambda a: shown(a) == {"m": (215, "good"), "pv": (2301, "good")})
            assert agent.stop() == 0
    assert "Traceback" not in (tmp_path / "agent.log").read_text()


def test_the_doctor_reads_a_tcp_line_by_its_name(tmp_path: Path) -> None:
    with network(tmp_path, {1: [215]}, silent=(9,)) as between:
        line = ModbusConfig(name="net", port=between.url, registers=(register(scale=0.1, unit="Cel"),), timeout_s=0.2)
        config = NodeConfig(node="n", state_dir="state", modbus=(line,))
        (finding,) = (f for f in examine(config, tmp_path) if f.check.startswith("modbus"))
        assert (finding.check, finding.state, finding.said) == ("modbus net", "ok", "meter/1/holding/0 21.5 Cel")
        between.refuse()
        (finding,) = (f for f in examine(config, tmp_path) if f.check.startswith("modbus"))
        assert finding.state == "fail"
        assert "check the device's power, cable and address" in str(finding.fix)
