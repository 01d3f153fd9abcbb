"""What a node's trust stands on is read before it stands on a card: the wrong file is named for what it is."""

from __future__ import annotations

import base64
import datetime
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.simulators.base_image import NODE_TOML, ROOT_JSON, TOKEN, signed_root
from wayside.firmware_bridge.errors import ImageError
from wayside.firmware_bridge.image import credentials
from wayside.firmware_bridge.image.card_files import read_card_files
from wayside.firmware_bridge.image.cli import image
from wayside.firmware_bridge.image.files import personality
from wayside.text import TextError

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
AUTHORITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))  # the same in every worker: it names tests


def certificate(
    name: str = "City CA", issuer: str = "City CA", *, ca: bool = True, first: int = -10, last: int = 1000
) -> x509.Certificate:
    """``first`` and ``last``: its days, from today."""

    def who(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    made = x509.CertificateBuilder(who(issuer), who(name), AUTHORITY.public_key(), x509.random_serial_number())
    made = made.not_valid_before(NOW + first * DAY).not_valid_after(NOW + last * DAY)
    return made.add_extension(x509.BasicConstraints(ca, None), critical=True).sign(AUTHORITY, None)


def pem(**options: object) -> bytes:
    return certificate(**options).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


KEY = AUTHORITY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
SSH = AUTHORITY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no PEM certificate"),
        (b"nonsense", "no PEM certificate"),
        (KEY, "a private key"),
        (pem() + KEY, "a private key"),
        (certificate().public_bytes(Encoding.DER), "is DER, not PEM: `openssl x509"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\n", "a request for a certificate"),
        (pem()[:300] + b"\n-----END CERTIFICATE-----\n", "a damaged PEM certificate"),
        (pem(last=-1), "expired on"),
        (pem(first=2), "is valid from"),
        (pem() + pem(last=-1), "expired on"),
        (pem(name="hub.example.city", ca=False), "CN=hub.example.city is a server's certificate"),
    ],
)
def test_an_authority_that_is_none_is_named_for_what_it_is(data: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        credentials.authority_of(data)


def test_an_authority_is_taken_and_its_near_end_is_said() -> None:
    assert credentials.authority_of(pem()).hints == ()
    assert credentials.authority_of(pem(name="hub", issuer="hub", ca=False)).hints == ()  # vouches for itself
    [hint] = credentials.authority_of(pem(last=30)).hints
    assert "expires on" in hint


@pytest.mark.parametrize(
    ("root", "said"),
    [
        (b"", "no TUF root.json"),
        (b"[]", "no TUF root.json"),
        (ROOT_JSON[:-40], "no TUF root.json"),
        (b'{"signed": {"_type": "root", "version": 1}, "signatures": []}', "no TUF root.json"),
        (b'{"signed": {"_type": "root"}}' * 2, "no TUF root.json"),
        (KEY, "private key"),
        (signed_root(signed=False), "not signed by its own keys"),
        (signed_root(threshold=1).replace(b'"version":1', b'"version":2'), "not signed by its own keys"),
    ],
)
def test_a_trust_root_is_verified_as_the_node_will(root: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        credentials.root_of(root)


def test_an_expired_trust_root_is_said_and_not_refused() -> None:
    """The node asks the hub for the newer one, and what it pins is the key."""
    [hint] = credentials.root_of(signed_root(expires=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))).hints
    assert "expired on 2020-01-01" in hint


@given(st.binary(max_size=300) | st.integers(0, len(ROOT_JSON) - 1).map(lambda at: ROOT_JSON[:at]))
def test_no_bytes_of_a_trust_root_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises((ImageError, TextError)):
        credentials.root_of(data)


def ssh_blob(*parts: bytes) -> str:
    return base64.b64encode(b"".join(len(part).to_bytes(4) + part for part in parts)).decode()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "not one public key"),
        (f"{SSH}\n{SSH}", "not one public key"),
        (f'from="10.0.0.1" {SSH}', "not one public key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n-----END OPENSSH PRIVATE KEY-----", "a private key"),
        (SSH[:-4], "damaged"),
        (SSH.replace("ssh-ed25519 ", "ssh-rsa "), "another kind or cut"),
        ("ssh-ed25519 " + ssh_blob(b"ssh-ed25519", bytes(31)), "32 bytes"),
        ("ssh-ed25519 " + ssh_blob(b"ssh-ed25519", bytes(32), b"more"), "another kind or cut"),
        ("ssh-rsa " + ssh_blob(b"ssh-rsa", b"\1\0\1", b"\x7f" * 128), "less than 2048 bits"),
        ("ssh-dss " + ssh_blob(b"ssh-dss", bytes(64)), "not one public key"),
        ("ssh-ed25519-cert-v01@openssh.com " + "A" * 60, "not one public key"),
    ],
)
def test_an_ssh_key_that_lets_nobody_in_is_refused(key: str, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        credentials.ssh_key_of(key.encode())


def test_keys_that_ssh_keygen_makes_are_taken() -> None:
    rsa = generate_private_key(65537, 2048).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    for key in (SSH, f"{SSH} tech@city\n", rsa):
        assert credentials.ssh_key_of(key.encode()) == key.strip()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"token: " + TOKEN.encode(), "holds 2 words"),
        (b'{"token": "x"}', "holds 2 words"),
        (b"short", "16 to 128"),
        (b"a" * 64, "operator's token"),
        (b"\x89PNG\r\n\x1a\n\0\0", "NUL"),
    ],
)
def test_a_token_file_holds_a_nodes_token_and_no_more(data: bytes, said: str) -> None:
    with pytest.raises((ImageError, TextError), match=said):
        credentials.token_of(data)


def test_a_token_is_taken_as_editors_keep_it() -> None:
    for data in (TOKEN.encode(), f"{TOKEN}\r\n".encode(), b"\xef\xbb\xbf" + TOKEN.encode(), TOKEN.encode("utf-16")):
        assert credentials.token_of(data) == TOKEN


OPTIONS = ("config", "root", "token-file", "hub-ca", "ssh-key", "network-config")
NETWORK = "version: 2\nethernets: {eth0: {dhcp4: true}}\n"


@pytest.fixture
def card(tmp_path: Path) -> dict[str, Path]:
    """A file of each option, all in order."""
    contents = (NODE_TOML.encode(), ROOT_JSON, TOKEN.encode(), pem(), SSH.encode(), NETWORK.encode())
    files = {option: tmp_path / f"{option}.file" for option in OPTIONS}
    for option, content in zip(OPTIONS, contents, strict=True):
        files[option].write_bytes(content)
    return files


def said_of(card: dict[str, Path]) -> str:
    """What ``wayside image build`` says; the base is looked at last, and is none."""
    words = [word for option, path in card.items() for word in (f"--{option}", str(path))]
    where = card["root"].parent
    done = CliRunner().invoke(
        image, ["build", str(where / "base.img"), "--wheels", str(where), "-o", str(where / "o.img"), *words]
    )
    assert done.exit_code == 1
    return done.stderr


@pytest.mark.parametrize("option", OPTIONS)
def test_a_wrong_file_is_named_with_its_option(card: dict[str, Path], option: str) -> None:
    for content in (b"<!doctype html>\n<html><body>Not found</body></html>\n", b"\0" * 500, b"[" * 100_000, b""):
        card[option].write_bytes(content)
        assert f"--{option} {card[option]}: " in said_of(card), content[:20]


def test_everything_that_is_wrong_with_a_card_is_said_at_once(card: dict[str, Path]) -> None:
    for path in card.values():
        path.write_text("nothing of the kind")
    said = said_of(card)
    assert [option for option in OPTIONS if f"--{option} {card[option]}: " not in said] == []


@pytest.mark.parametrize("option", OPTIONS)
def test_a_pipe_and_a_file_without_an_end_are_refused_at_once(card: dict[str, Path], option: str) -> None:
    card[option].unlink()
    os.mkfifo(card[option])
    assert f"--{option}: cannot read {card[option]}: a pipe or a device" in said_of(card)
    card[option].unlink()
    with card[option].open("wb") as file:
        file.truncate(1 << 30)
    assert "is it the right file?" in said_of(card)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_as_editors_save_them_stand_on_the_card_as_the_node_reads_them(
    card: dict[str, Path], encoding: str
) -> None:
    plain = read_card_files(*(card[name] for name in ("root", "hub-ca", "ssh-key", "network-config")))
    for path in card.values():
        path.write_bytes(path.read_text().replace("\n", "\r\n").encode(encoding))
    assert read_card_files(*(card[name] for name in ("root", "hub-ca", "ssh-key", "network-config"))) == plain
    assert said_of(card).splitlines()[-1].startswith("wayside image build: cannot copy the base image")
    assert plain.root == ROOT_JSON


def test_an_authority_that_the_file_names_and_nobody_gives_is_missed() -> None:
    with pytest.raises(ImageError, match="--hub-ca"):
        personality(NODE_TOML + 'ca = "city.pem"\n', ROOT_JSON, token=TOKEN)
