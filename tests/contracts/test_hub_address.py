"""A hub's address is read once; what passes is what the client dials."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wayside.contracts.hub_address import HubAddress, hub_address, rules_broken
from wayside.contracts.wire import ContractError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://hub", HubAddress("http", "hub", 80)),
        ("https://Hub.Example:8443/city/", HubAddress("https", "hub.example", 8443, "/city")),
        ("http://[::1]:18415", HubAddress("http", "::1", 18415)),
        ("http://my_hub:8000", HubAddress("http", "my_hub", 8000)),
        ("https://10.0.0.7:443", HubAddress("https", "10.0.0.7", 443)),
    ],
)
def test_an_address_is_scheme_host_port_and_path(text: str, address: HubAddress) -> None:
    assert hub_address(text) == address
    assert hub_address(address.url) == address


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "begins with https:// or http://"),
        ("hub.example:8000", "begins with https:// or http://"),
        ("http:/hub", "begins with https:// or http://"),
        ("ftp://hub", "not with ftp://"),
        ("HTTP://hub", "in small letters"),
        ("http://", "nothing is no name"),
        ("http://:8000", "nothing is no name"),
        ("http://h ub", "without spaces"),
        ("http://h\tub", "without spaces"),
        ("http://127.0.0.1:80000", "from 1 to 65535, not 80000"),
        ("http://h:0", "from 1 to 65535, not 0"),
        ("http://h:", "not nothing"),
        ("http://h:port", "not port"),
        ("http://h:-1", "not -1"),
        ("http://h:٣", r"has '\u0663', and only printable ASCII"),
        ("http://h\x1b[1m", r"has '\x1b'"),
        ("http://hub.example.", "has a dot at its end"),
        ("http://fe80::1%eth0", "fe80::1%eth0 does not"),
        ("http://::1:18415", "in brackets, such as http://[::1]"),
        ("http://[::1", "in brackets"),
        ("http://[fe80::1%eth0]", "in brackets stands an IPv6"),
        ("http://1.2.3", "four numbers"),
        ("http://300.1.1.1", "four numbers"),
        ("http://0.0.0.0:8000", "where a hub listens"),
        ("http://[::]:8000", "where a hub listens"),
        ("http://a..b", "no name or address"),
        ("http://-a.b", "no name or address"),
        (f"http://{'a' * 64}.b", "no name or address"),
        ("http://me:secret@h", "user's name"),
        ("http://h/x?y=1", "no ? and no #"),
        ("http://h#x", "no ? and no #"),
        ("http://h/%zz", "writes as %"),
        ("http://h/../x", "no . and no .."),
        ("http://zürich.example", "as DNS has it, xn--zrich-kva.example"),
        ("http://xn--a.example", "no name or address"),
        ("http://h\\x", "no name or address"),
        ("http://" + "a" * 2000, "longer than"),
    ],
)
def test_what_cannot_be_dialled_is_named_by_its_rule(text: str, rule: str) -> None:
    with pytest.raises(ContractError) as refused:
        hub_address(text)
    assert rule in rules_broken(refused.value)


def test_all_rules_are_named_at_once() -> None:
    with pytest.raises(ContractError) as refused:
        hub_address("http://me@a..b:99999/..?x")
    assert len(refused.value.mistakes) == 5


PIECES = st.sampled_from(
    ["http://", "https://", "a", "hub", ".", ":", "80", "99999", "[", "]", "::1", "1.2.3.4", "@", "/", "%", "%20", "?",
     "#", "xn--", "xn--zrich-kva", "-", "_", "é", " ", "\0", "..", "0x7f", "\\", "&", "+", "~", "[::1]", "localhost"]
)  # fmt: skip


@given(st.one_of(st.lists(PIECES, max_size=9).map("".join), st.text(max_size=20).map("http://".__add__), st.text()))
@example("http://[::1]:80/x")
@example("http://a:080")
def test_whatever_passes_is_the_same_to_the_client(text: str) -> None:
    try:
        address = hub_address(text)
    except ContractError:
        return
    url = httpx.URL(address.url)
    assert (url.scheme, url.raw_host.decode(), url.port or address.port) == (
        address.scheme,
        address.host,
        address.port,
    )
    if "xn--" not in text.lower():  # what a label of other letters spells is IDNA's to say: `node check` asks it, too
        assert url.host
    assert hub_address(address.url) == address
