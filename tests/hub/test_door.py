"""By which names a hub is asked, whom it believes about addresses, and a certificate that is renewed while it runs."""

from __future__ import annotations

import logging
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from tests.hub.conftest import AUTH, OPERATOR, Hub, HubProcess, initialise
from tests.simulators.authority import Authority
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.door.certificate import Certificate
from wayside.cloud.hub.door.connections import BoundedProtocol
from wayside.cloud.hub.door.hosts import HostNames, own_names, proxies
from wayside.cloud.hub.errors import ConfigurationError


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Hub]:
    data = initialise(tmp_path / "hub")
    app = create_app(data, OPERATOR, names=HostNames(["hub.city.example", "*.nodes.example"]))
    with TestClient(app, "http://hub.city.example", headers=AUTH) as client:
        yield Hub(data, client)


@pytest.mark.parametrize(
    ("host", "let_in"),
    [
        ("hub.city.example", True),
        ("HUB.city.example.:8000", True),
        ("a.nodes.example", True),
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("192.0.2.7:8000", True),
        ("[2001:db8::7]:8000", True),
        ("rebound.example", False),
        ("hub.city.example.rebound.example", False),
        ("b.a.nodes.example", False),
        ("hub.city.example@rebound.example", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_people_ask_a_hub_by_its_own_names_or_by_an_address(guarded: Hub, host: str, let_in: bool) -> None:
    answer = guarded.client.get("/api/v1/nodes", headers={"Host": host})
    assert answer.status_code == (200 if let_in else 421)
    if not let_in:
        assert "--host-name" in answer.json()["message"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_nodes_that_call_a_hub_by_a_name_that_it_does_not_know_go_on_and_it_is_told_once(
    guarded: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    node = guarded.node()
    guarded.client.headers["Host"] = "old-name.example"
    with caplog.at_level(logging.WARNING, "wayside.hub.door"):
        assert node.sync([node.summary(1.0)]).stored == 1
        assert node.sync([node.summary(2.0)]).stored == 1
        assert guarded.client.get("/").status_code == 421
    told = [r.getMessage() for r in caplog.records if r.name == "wayside.hub.door"]
    assert len(told) == 1
    assert "old-name.example" in told[0]
    assert "nodes are served by it" in told[0]


def test_https_is_to_stay_and_http_does_not_say_so(guarded: Hub) -> None:
    assert "strict-transport-security" not in guarded.client.get("/healthz").headers
    guarded.client.base_url = "https://hub.city.example"
    assert guarded.client.get("/healthz").headers["strict-transport-security"] == "max-age=31536000"


def test_names_and_proxies_that_are_none_are_said(tmp_path: Path) -> None:
    for wrong in ("hub city", "http://hub", "a..b", ""):
        with pytest.raises(ConfigurationError, match="is no host's name"):
            HostNames([wrong])
    with pytest.raises(ConfigurationError, match="no address or network"):
        proxies(["proxy.city.example"])
    assert proxies(["192.0.2.1", "10.0.0.0/8", "2001:db8::1"]) == [
        "192.0.2.1",
        "::ffff:192.0.2.1",
        "10.0.0.0/8",
        "::ffff:10.0.0.0/104",
        "2001:db8::1",
    ]
    assert own_names("0.0.0.0") >= {socket.gethostname().lower()}


def test_a_new_pair_counts_at_the_next_handshake_and_a_bad_one_leaves_the_old(tmp_path: Path) -> None:
    now, authority = [0.0], Authority(tmp_path)
    chain, key = authority.issue("first.example")
    certificate = Certificate(chain, key, lambda: now[0])
    assert certificate.names == {"first.example"}
    assert met(certificate) == "first.example"
    key.write_bytes(b"half of a renewal")
    now[0] += 2
    assert met(certificate) == "first.example"
    authority.issue("second.example")
    assert met(certificate) == "first.example", "files are looked at once a second"
    now[0] += 2
    assert met(certificate) == "second.example"
    assert certificate.names == {"second.example"}
    chain.unlink()
    now[0] += 2
    assert met(certificate) == "second.example"


def met(certificate: Certificate) -> str:
    """The name in the certificate that a client without a server's name is shown."""
    client, server = ssl.create_default_context(), ssl.MemoryBIO()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_client = ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, server), certificate.context.wrap_bio(server, to_client, server_side=True)]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    from cryptography import x509

    shown = ends[0].getpeercert(binary_form=True)
    assert shown is not None
    names = x509.load_der_x509_certificate(shown).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return str(names.value.get_values_for_type(x509.DNSName)[0])


def test_a_running_hub_takes_a_renewed_certificate_and_connections_go_on(
    hub_process: Callable[..., HubProcess], tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ca")
    hub = hub_process(authority)
    node = hub.node("node-1")
    first = peer(hub)
    authority.issue("127.0.0.1", "hub.renewed.example")
    assert hub.process is not None
    os.kill(hub.process.pid, signal.SIGHUP)
    deadline = time.monotonic() + 10
    while peer(hub) == first and time.monotonic() < deadline:
        time.sleep(0.05)
    assert peer(hub) != first
    assert node.sync([node.summary(1.0)]).stored == 1, "by the connection that was there"
    renewed = {"Host": "hub.renewed.example"}
    assert hub.client.get("/api/v1/nodes", headers={**AUTH, **renewed}).status_code == 200
    (authority.folder / "hub.key").write_text("no key")
    os.kill(hub.process.pid, signal.SIGHUP)
    assert hub.client.get("/healthz").headers["strict-transport-security"]
    assert peer(hub) != first
    assert hub.process.poll() is None


def peer(hub: HubProcess) -> bytes:
    host, port = hub.url.removeprefix("https://").split(":")
    assert hub.authority is not None
    context = ssl.create_default_context(cafile=hub.authority.ca)
    with (
        socket.create_connection((host, int(port)), 5) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        shown = tls.getpeercert(binary_form=True)
    assert shown is not None
    return shown


def test_a_forwarded_address_is_believed_of_stated_proxies_alone(hub_process: Callable[..., HubProcess]) -> None:
    hub = hub_process(options=["--behind-proxy", "127.0.0.2"])
    said = {**AUTH, "X-Forwarded-For": "203.0.113.1, 198.51.100.9", "X-Forwarded-Proto": "https"}
    for peer_address, address in (("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "198.51.100.9")):
        with httpx.Client(transport=httpx.HTTPTransport(local_address=peer_address)) as client:
            answer = client.post(f"{hub.url}/api/v1/tokens", json={}, headers=said)
        assert answer.status_code == 201
        assert ("strict-transport-security" in answer.headers) == (address != peer_address)
        (entry,) = hub.client.get("/api/v1/audit?limit=1", headers=AUTH).json()["entries"]
        assert entry["address"] == address, "the last one, which the proxy itself has seen"


def test_a_proxy_holds_as_many_connections_as_it_needs() -> None:
    class Peer(BoundedProtocol):
        def __init__(self, address: str) -> None:
            self.client = (address, 1)

    try:
        BoundedProtocol.trust(proxies(["10.0.0.0/8"]))
        assert Peer("10.1.2.3")._is_proxy()
        assert Peer("::ffff:10.1.2.3")._is_proxy()
        assert not Peer("192.0.2.1")._is_proxy()
    finally:
        BoundedProtocol.trust([])
