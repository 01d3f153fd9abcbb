"""What the emulated node's test stands on, in every `make test`: so that it does not rot between its long runs."""

from __future__ import annotations

from tests.device import site
from wayside.contracts.node_config import load_node_config


def test_the_configuration_is_valid_and_asks_for_real_pins_and_the_adapter_by_name() -> None:
    config = load_node_config(site.node_toml(1_700_000_000.0))
    assert config.gpio.factory == "lgpio"
    assert config.board is not None
    assert site.BOARD in config.board.port


def test_the_feed_holds_exactly_the_vehicles_that_the_test_expects() -> None:
    rising = [(ms // (site.INTERVAL_S * 1000), channel) for ms, _, channel, value in site.traffic() if value]
    for channel in (1, 2):
        for interval in range(site.HOURS * 3600 // site.INTERVAL_S):
            assert rising.count((interval, channel)) == site.vehicles(channel, interval)
