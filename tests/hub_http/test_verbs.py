"""Every verb that talks to a hub goes by one rule for proxies and addresses, and says what is wrong in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.simulators.socks import GRANTED, socks_proxy
from wayside.__main__ import main
from wayside.firmware_bridge.errors import ProvisionError
from wayside.firmware_bridge.provision.given import reachable
from wayside.hub_http.client import bearer

HUB = "http://hub.invalid"
VERBS = {
    "token": ["hub", "token"],
    "list": ["rollout", "list"],
    "start": ["rollout", "start", "flow", "1.0.0"],
    "pause": ["rollout", "pause", "flow"],
    "back": ["rollout", "back", "flow"],
    "replace": ["replace", "node-1"],
    "show": ["release", "show"],
    "init": ["release", "init", "--keys", "KEYS"],
}
UNKNOWN = "there is no computer of the name hub.invalid"
ROUTES = {
    "a kind that there is not": ({"ALL_PROXY": "gopher://p"}, "ALL_PROXY=gopher://p: there are proxies of"),
    "small letters first": (
        {"http_proxy": "a b", "HTTP_PROXY": "http://p"},
        "http_proxy=a b: is no address of a proxy",
    ),
    "a port out of range": ({"HTTP_PROXY": "p:99999"}, "HTTP_PROXY=p:99999: is no address"),
    "of the other scheme": ({"HTTPS_PROXY": "gopher://p"}, UNKNOWN),
    "switched off": ({"http_proxy": "", "HTTP_PROXY": "gopher://p"}, UNKNOWN),
    "exempt": ({"ALL_PROXY": "gopher://p", "NO_PROXY": "10.0.0.0/8,[::1,hub.invalid"}, UNKNOWN),
    "no networks of names": ({"ALL_PROXY": "gopher://p", "no_proxy": "10.0.0.0/8"}, "ALL_PROXY=gopher://p"),
    "nobody there": ({"ALL_PROXY": "127.0.0.1:9"}, "the proxy http://127.0.0.1:9 (ALL_PROXY) is not reached"),
}


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("WAYSIDE_OPERATOR_TOKEN", "0" * 64)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    assert main(["release", "keys", str(folder / "keys")]) == 0
    return folder / "keys"


def told(verb: str, hub: str, keys: Path, capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    words = [str(keys) if word == "KEYS" else word for word in VERBS[verb]]
    assert main([*words, "--hub", hub]) == 1
    said = capfd.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1), said
    return said.err


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_takes_the_variables_as_documented(
    verb: str, keys: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for case, (variables, words) in ROUTES.items():
        with monkeypatch.context() as these:
            for name, value in variables.items():
                these.setenv(name, value)
            assert words in told(verb, HUB, keys, capfd), case


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_names_what_an_address_breaks(verb: str, keys: Path, capfd: pytest.CaptureFixture[str]) -> None:
    addresses = {
        "http://h:0": "from 1 to 65535, not 0",
        "http://h:99999": "from 1 to 65535, not 99999",
        "http://::1:8000": "in brackets",
        "http://me:secret@h": "user's name",
        "http://zürich.example": "xn--zrich-kva.example",
        "http://h/?x": "no ? and no #",
    }
    for address, words in addresses.items():
        assert words in told(verb, address, keys, capfd)


def test_a_token_that_can_be_none_is_named_and_not_shown(
    keys: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for verb in ("pause", "init", "replace", "token"):
        for token in ("sécret", "sec\x7fret", "sec\nret", "sec ret", os.fsdecode(b"sec\xffret")):
            monkeypatch.setenv("WAYSIDE_OPERATOR_TOKEN", token)
            said = told(verb, HUB, keys, capfd)
            assert "the operator's token has " in said
            assert "ret:" not in said
            assert token not in said
    assert bearer(" secret\r\n") == {"Authorization": "Bearer secret"}
    assert bearer(" ") == bearer(None) == {}


def test_provisioning_goes_by_the_same_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://p")
    with pytest.raises(ProvisionError, match="ALL_PROXY=gopher://p"):
        reachable(HUB)
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8 hub.invalid")
    assert reachable(HUB).host == "hub.invalid"


def test_a_socks_proxy_is_gone_through_and_resolves_the_name(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socks_proxy(page=b'{"rollouts": [], "withdrawals": []}') as proxy:
        monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy.port}")
        assert main(["rollout", "list", "--hub", f"{HUB}:8000", "--json"]) == 0
        assert set(proxy.asked) == {("hub.invalid", 8000)}
    assert '"rollouts": []' in capfd.readouterr().out


@pytest.mark.parametrize(
    ("method", "reply", "words"),
    [
        (b"", b"", "answers nonsense"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", "answers nonsense"),
        (b"\x05\xff", b"", "refuses"),
        (b"\x05\x00", b"", "answers nonsense"),
        (b"\x05\x00", b"junkjunkjunk", "answers nonsense"),
        (b"\x05\x00", b"\x05\x05" + GRANTED[2:], "refuses"),
    ],
)
def test_a_socks_proxy_that_fails_is_named(
    method: bytes,
    reply: bytes,
    words: str,
    keys: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with socks_proxy(method, reply) as proxy:
        user = "" if method == b"\x05\x00" else "me:secret@"
        monkeypatch.setenv("all_proxy", f"socks5://{user}127.0.0.1:{proxy.port}")
        for verb in ("list", "show"):
            said = told(verb, HUB, keys, capfd)
            assert f"the proxy socks5://127.0.0.1:{proxy.port} (all_proxy) " in said
            assert words in said
            assert "secret" not in said
