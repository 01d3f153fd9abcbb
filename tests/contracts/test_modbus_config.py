"""Modbus lines in a node's file: one table or several, serial and TCP, every mistake at once."""

from __future__ import annotations

import pytest

from wayside.contracts.modbus_config import TcpServer
from wayside.contracts.node_check import checked_node_config, obstacles
from wayside.contracts.node_config import load_node_config
from wayside.contracts.wire import ContractError

HEAD = 'node = "n"\nstate_dir = "s"\n'
READ = "[[modbus.registers]]\ndevice = {}\naddress = {}\ndatastream = '{}'\n"


def line(port: str, name: str = "", more: str = "", *, device: int = 1, stream: str = "a") -> str:
    named = f"name = '{name}'\n" if name else ""
    return f"[[modbus]]\nport = '{port}'\n{named}{more}" + READ.format(device, 0, stream)


def mistakes(text: str) -> dict[str, str]:
    with pytest.raises(ContractError) as caught:
        checked_node_config(HEAD + text)
    return dict(caught.value.mistakes)


def test_one_line_as_a_table_is_the_same_as_one_in_a_list() -> None:
    table = load_node_config(HEAD + line("/dev/a").replace("[[modbus]]", "[modbus]"))
    assert table == load_node_config(HEAD + line("/dev/a"))
    assert table.modbus[0].serial == (9600, "none", 1)


def test_a_mistake_is_named_where_the_person_wrote_it() -> None:
    assert "$.modbus.registers[0].device" in mistakes(line("/dev/a", device=300).replace("[[modbus]]", "[modbus]"))
    assert "$.modbus[0].registers[0].device" in mistakes(line("/dev/a", device=300))


@pytest.mark.parametrize(
    ("port", "server"),
    [
        ("tcp://10.0.0.7", TcpServer("10.0.0.7", 502)),
        ("tcp://meter.local:1502", TcpServer("meter.local", 1502)),
        ("tcp://[fe80::1]:502", TcpServer("fe80::1", 502)),
        ("tcp://[::1]", TcpServer("::1", 502)),
        ("tcp://meter/", TcpServer("meter", 502)),
    ],
)
def test_an_address_of_a_server_is_understood(port: str, server: TcpServer) -> None:
    assert load_node_config(HEAD + line(port)).modbus[0].server == server


@pytest.mark.parametrize(
    "port",
    ["tcp://", "tcp://:502", "tcp://h:0", "tcp://h:99999", "tcp://::1", "tcp://[::g]:1", "tcp://a b", "tcp://h/x"],
)
def test_an_address_that_is_none_is_refused_with_how_to_write_one(port: str) -> None:
    assert "write tcp://HOST" in mistakes(line(port))["$.modbus[0].port"]


def test_a_tcp_line_has_nothing_of_a_serial_one_and_all_of_it_is_said() -> None:
    said = mistakes(line("tcp://h", more="baud = 9600\nparity = 'none'\nstop_bits = 1\necho = true\n"))
    assert set(said) == {f"$.modbus[0].{name}" for name in ("baud", "parity", "stop_bits", "echo")}


def test_units_0_and_255_are_a_tcp_servers_alone() -> None:
    for device in (0, 255):
        load_node_config(HEAD + line("tcp://h", device=device))
        assert "1 to 247" in mistakes(line("/dev/a", device=device))["$.modbus[0].registers[0].device"]


RELAY = "[[actuators]]\nkind = 'setpoint'\nname = '{}'\nlow = 0\nhigh = 1\nsafe = 0\nregister = {{ {} }}\n"


def test_several_lines_have_names_and_a_set_point_names_its_own() -> None:
    two = line("/dev/a", "bus") + line("tcp://h", "net", stream="b")
    config = load_node_config(HEAD + two + RELAY.format("x", "line = 'net', device = 0, address = 1"))
    assert list(obstacles(config)) == []
    said = mistakes(
        two
        + RELAY.format("x", "device = 1, address = 1")
        + RELAY.format("y", "line = 'bux', device = 1, address = 1")
        + RELAY.format("z", "line = 'bus', device = 0, address = 1")
    )
    assert said["$.actuators[0].register"] == "misses line: there are bus, net"
    assert "there is no line bux" in said["$.actuators[1].register.line"]
    assert "1 to 247" in said["$.actuators[2].register.device"]
    assert "misses name" in mistakes(line("/dev/a", "bus") + line("/dev/b", stream="b"))["$.modbus[1]"]
    assert "given twice" in mistakes(line("/dev/a", "bus") + line("/dev/b", "bus", stream="b"))["$.modbus[1].name"]
    assert (
        "that of [modbus], too"
        in mistakes(line("/dev/a", "bus") + line("/dev/a", "net", stream="b"))["$.modbus[1].port"]
    )


def test_two_set_points_may_not_share_a_register_of_one_line() -> None:
    two = line("/dev/a", "bus") + line("tcp://h", "net", stream="b")
    wide = "table = 'holding', type = 'float32', device = 1"
    said = mistakes(
        two
        + RELAY.format("x", f"line = 'bus', address = 0, {wide}")
        + RELAY.format("y", f"line = 'bus', address = 1, {wide}")
        + RELAY.format("z", f"line = 'net', address = 1, {wide}")
    )
    assert said == {"$.actuators[1].register": "is that of x, too: two would fight over it"}


def test_a_line_only_for_set_points_is_a_line_and_an_idle_one_is_not() -> None:
    idle = "[modbus]\nport = 'tcp://relays'\n"
    load_node_config(HEAD + idle + RELAY.format("x", "device = 1, address = 1"))
    assert "has nothing to do" in mistakes(idle)["$.modbus"]


def test_a_counter_of_any_unsigned_type_or_float_may_count() -> None:
    for kind in ("uint16", "uint32", "uint64", "float32", "float64"):
        load_node_config(HEAD + line("/dev/a") + f"kind = 'counter'\nmax_per_s = 1\ntype = '{kind}'\n")
    for kind in ("int16", "int32", "int64"):
        said = mistakes(line("/dev/a") + f"kind = 'counter'\nmax_per_s = 1\ntype = '{kind}'\n")
        assert "uint64, float32" in said["$.modbus[0].registers[0].kind"]
