"""A card's network-config is read as the node will read it, before there is a card: no YAML, no netplan, no use."""

from __future__ import annotations

import codecs
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.simulators.base_image import NODE_TOML, ROOT_JSON, TOKEN
from wayside.firmware_bridge.errors import ImageError
from wayside.firmware_bridge.image.base import Base
from wayside.firmware_bridge.image.files import personality
from wayside.firmware_bridge.image.needs import doubts, unfit
from wayside.firmware_bridge.image.network import Network, read_network
from wayside.firmware_bridge.image.wheels import WheelManifest, WheelSet
from wayside.text import TextError

WIFI = """\
version: 2
wifis:
  wlan0:
    dhcp4: true
    access-points:
      "City": {password: "not-a-real-one"}
"""
WIRED = "version: 2\nethernets:\n  eth0:\n    "
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("# nothing\n", "only comments"),
        ("version: 2\nwifis:\n\twlan0:\n\t\tdhcp4: true\n", "line 3: no YAML: a tab"),
        ('network={\n ssid="City"\n psk="x"\n}\n', "a wpa_supplicant.conf"),
        ('country=DE\nctrl_interface=DIR=/run\nnetwork={\n ssid="x"\n}\n', "a wpa_supplicant.conf"),
        ("[connection]\nid=City\ntype=wifi\n", "NetworkManager"),
        ("auto eth0\niface eth0 inet dhcp\n", "interfaces"),
        ("#cloud-config\nhostname: x\n", "user-data"),
        ("- wlan0\n- City\n", "a list"),
        ("just words", "one piece of text"),
        ("ethernets: {eth0: {dhcp4: true}}\n", "misses its version"),
        ("version: 3\nethernets: {eth0: {dhcp4: true}}\n", "has the version 3"),
        ("version: 2\nversion: 2\n", "line 2: 'version' stands in line 1 already"),
        (WIFI.replace('"City": {', '"City": {password: "another-one", '), "'password' stands in line 6 already"),
        (WIFI + "---\n" + WIFI, "no YAML"),
        ("version: 2\nethernets: {eth0: {dhcp4: true}\n", "no YAML"),
        ("version: 2\nethernets: &a {eth0: *a}\n", "an alias that holds itself"),
        (BOMB, "aliases that unfold to more than"),
        ("[" * 5000, "too deep"),
        ("{a: " * 60 + "1" + "}" * 60, "nested deeper than"),
        ("version: 2\nethernets: !!python/object:os.system {}\n", "no YAML"),
        ("version: 2\nx: 2024-13-45\n", "no YAML"),
        ("version: 2\n", "names no interface"),
        ("version: 2\nethernets: {}\n", "names no interface"),
        ("version: 2\nethernets: [eth0]\n", "ethernets: is a list, not interfaces by name"),
        ("version: 2\nethernets:\n  eth0:\n", "ethernets.eth0: is empty"),
        ("version: 2\nethernets: {eth0: {optional: true}}\n", "no interface gets an address"),
        (WIRED + "dhcp4: 'yes'\n", "dhcp4: expected `bool`"),
        (WIRED + "dhcp4: [true]\n", "dhcp4: expected `bool`"),
        (WIRED + "addresses: [192.0.2.10]\n", "192.0.2.10 misses its prefix"),
        (WIRED + "addresses: [192.0.2.300/24]\n", "is no IP address"),
        (WIRED + "addresses: 192.0.2.10/24\n", "addresses"),
        (WIRED + "addresses: [192.0.2.10/24]\n    gateway4: nowhere\n", "gateway4: 'nowhere' is no IP address"),
        (WIRED + "dhcp4: true\n    nameservers: {addresses: [one.one]}\n", "nameservers: 'one.one'"),
        (WIRED + "dhcp4: true\n    routes: [{via: 192.0.2.1}]\n", "misses `to`"),
        (WIRED + "dhcp4: true\n    access-points: {x: {}}\n", "stands under `wifis:`"),
        ("version: 2\nwifis: {wlan0: {dhcp4: true}}\n", "access-points: has none"),
        ("version: 2\nwifis: {wlan0: {dhcp4: true, access-points: [City]}}\n", "access-points: is a list"),
        ("version: 2\nwifis: {wlan0: {dhcp4: true, access-points: {City: secret-one}}}\n", "the text 'secret-one'"),
        (WIFI.replace("not-a-real-one", "short"), "has 5 characters; WPA takes 8 to 63"),
        (WIFI.replace('"not-a-real-one"', "1234567890"), "the number 1234567890: put it in quotes"),
        (WIFI.replace('"not-a-real-one"', "01234567"), "put it in quotes"),  # octal, to YAML
        (WIFI.replace('"City"', "4711"), "put it in quotes"),
        (WIFI.replace("City", "x" * 33), "1 to 32 bytes"),
        ("version: 2\nrenderer: netplan\n" + WIFI[11:], "neither networkd nor NetworkManager"),
        ("version: 1\n", "a list of devices"),
        ("version: 1\nconfig: [{name: eth0}]\n", "misses its type"),
        ("version: 1\nconfig: [{type: physical, name: eth0}]\n", "no interface gets an address"),
    ],
)
def test_what_no_node_could_use_is_refused_by_line_or_key(text: str, said: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_network(text.encode())
    assert said in str(caught.value)


def test_every_mistake_of_it_is_named_at_once() -> None:
    text = WIRED + "addresses: [192.0.2.10]\n    gateway4: x\nwifis: {wlan0: {dhcp4: true}}\n"
    with pytest.raises(ImageError, match=r"misses its prefix.*gateway4.*access-points: has none"):
        read_network(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        WIFI,
        WIRED + "dhcp4: true\n",
        WIRED + "dhcp6: true\n    match: {macaddress: 'b8:27:eb:00:00:01'}\n    set-name: lan0\n",
        WIRED + "addresses: [192.0.2.10/24]\n    routes: [{to: default, via: 192.0.2.1}]\n",
        WIRED + "addresses: [{192.0.2.10/24: {label: x}}]\n",
        "version: 2\nethernets: {eth0: {}}\nbridges: {br0: {interfaces: [eth0], dhcp4: true}}\n",
        "version: 2\nmodems: {wwan0: {apn: internet}}\n",
        'version: 2\nwifis: {wlan0: {dhcp4: true, access-points: {"Open": {}, "Other": }}}\n',
        "version: 1\nconfig:\n- {type: physical, name: eth0, subnets: [{type: dhcp4}]}\n",
        "version: 2\nx-city: &base {dhcp4: true}\nethernets: {eth0: *base}\n",
    ],
)
def test_what_netplan_takes_is_taken_as_it_is(text: str) -> None:
    assert read_network(text.encode()).text == text


def test_an_unknown_key_goes_onto_the_card_and_is_said() -> None:
    network = read_network((WIRED + "dhcp4: true\n    dhcp4-overides: {}\nwifi: {}\n").encode())
    assert [hint.split(":")[0] for hint in network.hints] == ["wifi", "ethernets.eth0.dhcp4-overides"]


def test_the_key_network_around_it_is_taken_off_and_that_is_said() -> None:
    network = read_network(b"# netplan's\nnetwork:\n  version: 2\n  ethernets: {eth0: {dhcp4: true}}\n")
    assert yaml.safe_load(network.text) == {"version": 2, "ethernets": {"eth0": {"dhcp4": True}}}
    assert "`network` around it" in network.hints[0]


@pytest.mark.parametrize(("mark", "name"), [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le")])
def test_it_is_read_as_windows_editors_write_it_and_leaves_as_utf_8(mark: bytes, name: str) -> None:
    text = WIFI.replace("City", "Straße")
    assert read_network(mark + text.encode(name)).text == text
    assert read_network(text.replace("\n", "\r\n").encode()).wifi
    ansi = read_network(text.encode("cp1252"))
    assert (ansi.text, "Windows-1252" in ansi.hints[0]) == (text, True)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    try:
        network = read_network(data)
    except (ImageError, TextError):
        return
    assert yaml.safe_load(network.text)["version"] in (1, 2)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from(
    ["dhcp4", "addresses", "gateway4", "nameservers", "routes", "access-points", "match", "mtu", "interfaces", "link"]
)


@given(
    st.dictionaries(
        st.sampled_from(["ethernets", "wifis", "bridges", "vlans", "renderer", "config"]),
        _VALUES | st.dictionaries(st.sampled_from(["eth0", "wlan0"]), _VALUES | st.dictionaries(_KEYS, _VALUES)),
    ),
    st.sampled_from([1, 2]),
)
def test_no_shape_does_more_than_be_refused(given: dict[str, object], version: int) -> None:
    try:
        read_network(json.dumps({"version": version, **given}).encode())
    except ImageError:
        return


# --- what the base has for it ---------------------------------------------------------------------------

FULL = Base("3.11", True, True, True, True, True, "/usr/lib/systemd/system/ssh.service")


def with_network(network: Network, base: Base) -> tuple[list[str], list[str]]:
    wheels = WheelManifest(
        python="3.11", wayside="0.1.0", files={"onnxruntime-1.0-a.whl": "0" * 64}, installed_kilobytes=1
    )
    who = personality(NODE_TOML, ROOT_JSON, token=TOKEN, network=network)
    from pathlib import Path

    return list(unfit(who, WheelSet(Path("w/cp311"), wheels), base)), list(doubts(network, base))


def test_a_base_without_cloud_init_would_not_read_it() -> None:
    refused, _ = with_network(read_network(WIFI.encode()), FULL._replace(cloud_init=False))
    assert refused == [
        "--network-config: the base has no cloud-init, which would read it: leave it out, or take another base"
    ]
    assert with_network(read_network(WIFI.encode()), FULL) == ([], [])


def test_what_a_base_lacks_for_wifi_is_said() -> None:
    network = read_network(WIFI.encode())
    _, said = with_network(network, FULL._replace(wpa_supplicant=False, netplan=False, network_manager=False))
    assert ["wpa_supplicant" in said[0], "neither netplan" in said[1]] == [True, True]
