"""A configuration names only boards that can exist."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.contracts.node_check import obstacles
from wayside.contracts.node_config import NodeConfig
from wayside.contracts.sensor_config import BOARD_NAME_BYTES, BoardConfig, is_board_name
from wayside.firmware_bridge.errors import FlashError
from wayside.firmware_bridge.flash.firmware_file import board_name
from wayside.firmware_bridge.line import messages
from wayside.firmware_bridge.line.messages import PROTOCOL, SCHEMA, Identity


@pytest.mark.parametrize("identity", ["", "WS-000001", "main 5th", "Ampel-Ü", "a\nb", "x" * 64])
def test_an_identity_that_no_board_can_have_is_refused_with_what_to_write(identity: str) -> None:
    config = NodeConfig(node="n", state_dir="s", board=BoardConfig(port="/dev/ttyUSB0", identity=identity))
    [mistake] = [m for m in obstacles(config) if m.place == ("board", "identity")]
    assert re.search(r"1 to 8 printable ASCII characters.*wayside board watch PORT", mistake.rule)


@given(st.text(max_size=12) | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10))
def test_what_a_configuration_may_name_the_line_can_say_and_a_flash_can_give(name: str) -> None:
    if not is_board_name(name):
        with pytest.raises(FlashError):
            board_name(name)
        return
    assert BoardConfig(port="p", identity=name).identity == name
    assert board_name(name) == name.encode()
    identity = Identity(PROTOCOL, SCHEMA, 1, 0, 0, name, 5, 1, 20)
    assert messages.decode(messages.encode(identity)) == identity


def test_the_length_on_the_line_is_the_contracts() -> None:
    [field] = [f for f in messages.fields(Identity) if f.name == "board"]
    assert field.code == f"{BOARD_NAME_BYTES}s"
