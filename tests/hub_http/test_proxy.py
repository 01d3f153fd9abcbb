"""One rule for proxies: which variables count, who is never asked for through one, and how a bad one is named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.contracts.hub_address import hub_address
from wayside.hub_http.client import client
from wayside.hub_http.proxy import ProxyError, Route, mistakes, route

ROOT = Path(__file__).parents[2]
P, Q = "http://p:3128", "http://q:1"


def way(url: str, configured: str | None = None, **environment: str) -> Route:
    return route(hub_address(url), configured, environment)


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("http://hub", {}, None),
        ("http://hub", {"HTTP_PROXY": P}, P),
        ("https://hub", {"HTTP_PROXY": P}, None),
        ("https://hub", {"HTTPS_PROXY": P}, P),
        ("https://hub", {"ALL_PROXY": P}, P),
        ("https://hub", {"ALL_PROXY": P, "HTTPS_PROXY": Q}, Q),
        ("http://hub", {"http_proxy": Q, "HTTP_PROXY": P}, Q),
        ("http://hub", {"http_proxy": "", "HTTP_PROXY": P}, None),
        ("http://hub", {"HTTP_PROXY": "p:3128"}, P),
        ("http://hub", {"HTTP_PROXY": "http://me:secret@p:3128/"}, "http://me:secret@p:3128"),
        ("http://127.0.0.1:8000", {"ALL_PROXY": P}, None),
        ("http://localhost:8000", {"ALL_PROXY": "socks5://nowhere"}, None),
        ("http://[::1]:8000", {"ALL_PROXY": P}, None),
    ],
)
def test_the_variables_count_as_documented(url: str, environment: dict[str, str], proxy: str | None) -> None:
    assert way(url, **environment).proxy == proxy


@pytest.mark.parametrize(
    ("url", "exempt", "direct"),
    [
        ("http://hub.city.example", "*", True),
        ("http://hub.city.example", "city.example", True),
        ("http://hub.city.example", ".city.example", True),
        ("http://hub.city.example", "*.city.example", True),
        ("http://hub.city.example", "ity.example", False),
        ("http://city.example", "city.example", True),
        ("http://hub.city.example:8443", "city.example:8443", True),
        ("http://hub.city.example", "city.example:8443", False),
        ("http://HUB.example", "a, hub.EXAMPLE b", True),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://10.1.2.3", "10.1.2.3", True),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://hub.example", "10.0.0.0/8,192.168.0.0/16", False),
        ("http://[fd00::5]", "fd00::/8", True),
        ("http://[fd00::5]:8000", "[fd00::5]:8000", True),
        ("http://hub.example", "10.0.0.0/99,://,hub.example", True),
    ],
)
def test_no_proxy_names_hosts_networks_and_ports(url: str, exempt: str, direct: bool) -> None:
    assert (way(url, HTTP_PROXY=P, NO_PROXY=exempt).proxy is None) is direct


def test_the_nodes_own_file_decides_alone() -> None:
    assert way("http://hub", "none", HTTP_PROXY=P) == Route(source="hub.proxy")
    assert way("http://hub", Q, HTTP_PROXY="nonsense://", NO_PROXY="*").proxy == Q
    with pytest.raises(ProxyError, match=r"hub\.proxy=ftp://p"):
        way("http://hub", "ftp://p")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("socks5://me:secret@p:1080", "needs the package socksio.*pip install"),
        ("ftp://p", "none of ftp"),
        ("http://p:99999", "no address of a proxy"),
        ("http://", "no address of a proxy"),
        ("http://a b", "no address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable_and_never_gone_around(
    value: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ProxyError, match=r"^ALL_PROXY=") as bad:
        way("https://hub.example", ALL_PROXY=value)
    assert re.search(why, str(bad.value))
    assert "secret" not in str(bad.value)
    assert list(mistakes({"ALL_PROXY": value})) == [str(bad.value)]
    assert way("https://hub.example", ALL_PROXY=value, NO_PROXY="hub.example").proxy is None


def test_a_bad_entry_of_no_proxy_is_named_and_the_others_count() -> None:
    told = list(mistakes({"no_proxy": "10.0.0.0/99,hub.example, http://x, ::1, [::1]:80, *"}))
    assert [t.split(": ")[0] for t in told] == ["no_proxy", "no_proxy"]
    assert "'10.0.0.0/99'" in told[0]
    assert "'http://x'" in told[1]


@given(st.dictionaries(st.sampled_from(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy"]), st.text()))
def test_whatever_the_variables_say_there_is_a_route_or_a_sentence(environment: dict[str, str]) -> None:
    list(mistakes(environment))
    try:
        told = route(hub_address("http://hub.example"), None, environment)
    except ProxyError:
        return
    assert told.proxy is None or told.proxy.partition("://")[0] in ("http", "https", "socks5", "socks5h")


def test_a_client_takes_its_way_from_the_rule_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx by itself would stop at each of these."""
    for name, value in {"ALL_PROXY": "socks5://p:1", "NO_PROXY": "10.0.0.0/8,::1,[::1", "SSL_CERT_FILE": "/no"}.items():
        monkeypatch.setenv(name, value)
    with client(hub_address("http://127.0.0.1:9"), timeout_s=1) as http:
        assert str(http.base_url) == "http://127.0.0.1:9"


def test_there_is_one_maker_of_http_clients() -> None:
    """Whatever else opened a connection would have an idea of its own of proxies, redirects and trust."""
    rooms = ("cloud", "contracts", "edge", "export", "firmware_bridge", "models", "wayside/hub_http")
    sources = [p for room in rooms for p in sorted((ROOT / room).rglob("*.py"))]
    makers = [f"{p.relative_to(ROOT)}: {name}" for p in sources for name in _makers(ast.parse(p.read_text()))]
    assert makers == ["wayside/hub_http/client.py: Client", "wayside/hub_http/client.py: AsyncClient"]


def _makers(tree: ast.AST) -> list[str]:
    names = {"Client", "AsyncClient", "get", "post", "put", "delete", "head", "request", "stream"}
    others = ("urllib3", "requests", "aiohttp", "urllib.request", "http.client")
    made: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
            made += [node.func.attr] if ast.unparse(node.func.value) == "httpx" else []
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            made += [m for m in modules if m.split(".")[0] in others or m in others]
    return made
