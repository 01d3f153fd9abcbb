"""Provisioning: a list of sites becomes tokens, images and labels, once each, whatever interrupts it."""

from __future__ import annotations

import errno
import fcntl
import json
import lzma
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.conftest import OPERATOR, HubProcess, initialise
from tests.simulators.base_image import ROOT_JSON, make_base, make_wheels, needs_tools
from tests.simulators.interrupted import few_or_many, killed_then_run_again
from wayside.contracts.node_config import load_node_config
from wayside.firmware_bridge.errors import ImageError, ProvisionError
from wayside.firmware_bridge.image import build as images
from wayside.firmware_bridge.image.card_files import CardFiles, read_card_files
from wayside.firmware_bridge.image.disk import read_disk
from wayside.firmware_bridge.image.files import personality
from wayside.firmware_bridge.provision import sites as work
from wayside.firmware_bridge.provision.given import Common, Hub
from wayside.firmware_bridge.provision.site_list import Site, read_sites

ROOT = Path(__file__).parents[2]
TEMPLATE = """\
node = "$node"
state_dir = "/var/lib/wayside"

[hub]
url = "https://hub.example.city"

[board]
port = "$port"
identity = "$board"
"""
SITES = "node,site,port,board\nmain-5th,Main & 5th,/dev/ttyUSB0,WS-1\nelm-2nd,Élm; 2nd,/dev/ttyUSB0,WS-2\n"


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("provision")
    make_base(folder / "base.img")
    make_wheels(folder / "wheels")
    (folder / "root.json").write_bytes(ROOT_JSON)
    (folder / "node.toml").write_text(TEMPLATE)
    (folder / "sites.csv").write_text(SITES)
    return folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    process = HubProcess(initialise(tmp_path_factory.mktemp("hub") / "data"))
    process.start()
    try:
        yield process
    finally:
        process.kill()


def tokens_of(hub: HubProcess) -> list[str]:
    """The node of every token that the hub ever made."""
    with sqlite3.connect(f"file:{hub.data / 'hub.sqlite'}?mode=ro", uri=True) as db:
        return [node for (node,) in db.execute("SELECT node FROM tokens ORDER BY node")]


def run(things: Path, out: Path, hub_url: str | None, *, sites: str | None = None, **options: object) -> work.Outcome:
    path = things / "sites.csv"
    if sites is not None:
        path = out.with_name("sites.csv")
        path.write_text(sites)
    return work.provision(
        path,
        things / "node.toml",
        things / "base.img",
        out,
        common=Common(CardFiles(ROOT_JSON), things / "wheels"),
        hub=Hub(hub_url, OPERATOR),
        progress=lambda _what, _done, _all: None,
        say=lambda _: None,
        **options,  # type: ignore[arg-type]
    )


def token_on(image: Path) -> str:
    config = load_node_config((read_disk(image).ext4.read("/etc/wayside/node.toml") or b"").decode())
    assert config.hub is not None
    assert config.hub.token is not None
    return config.hub.token


# --- the list -------------------------------------------------------------------------------------------------------


def refused(tmp_path: Path, sites: str | bytes, template: str = TEMPLATE) -> str:
    path, shape = tmp_path / "sites.csv", tmp_path / "node.toml"
    path.write_bytes(sites if isinstance(sites, bytes) else sites.encode())
    shape.write_text(template)
    with pytest.raises(ProvisionError) as caught:
        read_sites(
            path, shape, lambda row, text: personality(text, ROOT_JSON, token=row.token or "x" * 43, site=row.site)
        )
    return str(caught.value)


@pytest.mark.parametrize(
    ("sites", "said"),
    [
        ("", "no column 'node'"),
        ("site,port\na,b\n", "no column 'node'"),
        ("node,node\na,b\n", "column 'node' stands there twice"),
        ("node,port,board\n", "has no sites"),
        ("node,port,board\nbad name!,p,b\n", "line 2, column node"),
        ("node,port,board,token\nn,p,b,short\n", "line 2, column token"),
        ("node,port,board,Größe\nn,p,b,3\n", "line 2, column"),
        ("node,port,board\nn,p\n", "line 2: 2 cells under 3 columns"),
        ("node,port,board\nn,p,b,more\n", "line 2: 4 cells under 3 columns"),
        ("node,port\nn,p\n", "asks for $board"),
        ("node,port,board\nn,p,b\nn,p,b\n", "line 3, column node: n is the same node as in line 2"),
        ("node,port,board\na/b,p,b\na-b,p,b\n", "line 3, column node: a-b is named a-b like a/b"),
        (f"node,port,board\nn,p,{'x' * 70}\n", "board.identity"),
        ('node,port,board\n"n,p,b\n', "line 2: no CSV: a quotation mark that opens a cell here is never closed"),
        ('node,port,board\nn,p,"a\nb"\n', "line 2, column"),
        (b"node,port,board\nn,p,\xff\n", "is not UTF-8"),
        (b"node,port,board\nn,p,\x81\n", "neither UTF-8 nor Windows-1252"),
        (b"node,port,board\nn,p,a\0b\n", "line 2: a NUL byte"),
        ("node,port,bo\u200bard\nn,p,b\n", "invisible character (U+200B)"),
        ("node,site,port,board\nn,a\u2028b,p,b\n", "line 2: the site's name"),
    ],
)
def test_a_wrong_list_is_refused_by_line_and_column(tmp_path: Path, sites: str | bytes, said: str) -> None:
    assert said in refused(tmp_path, sites)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffnode;port;board\r\nn;p;b\r\n".encode(),
        b"sep=;\nnode;port;board\nn;p;b\n",
        "node\tport\tboard\nn\tp\tb\n".encode("utf-16"),
        b"node,port,board,\nn,p,b,\n",
    ],
)
def test_a_list_is_read_as_spreadsheets_write_it(tmp_path: Path, content: bytes) -> None:
    path, shape = tmp_path / "sites.csv", tmp_path / "node.toml"
    path.write_bytes(content)
    shape.write_text(TEMPLATE)
    made = read_sites(path, shape, lambda _, text: personality(text, ROOT_JSON, token="x" * 43, site=None))
    assert [(s.row.node, s.row.fields) for s in made] == [("n", {"port": "p", "board": "b"})]


def test_every_wrong_row_is_named_at_once_and_nothing_is_made(things: Path, tmp_path: Path) -> None:
    sites = "node,port,board\n,p,b\ngood,p,b\nbad name,p,b\n"
    with pytest.raises(ProvisionError, match=r"nothing was made(.|\n)*line 2(.|\n)*line 4"):
        run(things, tmp_path / "out", None, sites=sites)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", ['"] node = "other', 'a"#', "\\", "$node", "${port}", "[hub] url='x'"])
def test_no_cell_writes_toml_of_its_own(tmp_path: Path, value: str) -> None:
    (tmp_path / "node.toml").write_text(TEMPLATE)
    quoted = value.replace('"', '""')
    (tmp_path / "sites.csv").write_text(f'node,port,board\nn,"{quoted}",b\n')
    sites = read_sites(
        tmp_path / "sites.csv", tmp_path / "node.toml", lambda _, text: personality(text, ROOT_JSON, token="x" * 43)
    )
    config = load_node_config(sites[0].config_text)
    assert config.node == "n"
    assert config.board is not None
    assert config.board.port == value
    assert config.board.identity == "b"


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: f"node,port,board\n{text}".encode()))
def test_no_bytes_of_a_list_do_more_than_be_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, shape = Path(folder) / "sites.csv", Path(folder) / "node.toml"
        path.write_bytes(data)
        shape.write_text(TEMPLATE)
        try:
            sites = read_sites(path, shape, lambda _, text: personality(text, ROOT_JSON, token="x" * 43))
        except ProvisionError:
            return
        assert all(load_node_config(site.config_text).node == site.row.node for site in sites)


def test_a_spreadsheets_semicolons_and_byte_order_mark_are_taken(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(TEMPLATE)
    (tmp_path / "sites.csv").write_bytes("\ufeffnode;site;port;board\r\nn;Üm, x;p;b\r\n\r\n".encode())
    sites = read_sites(
        tmp_path / "sites.csv", tmp_path / "node.toml", lambda _, text: personality(text, ROOT_JSON, token="x" * 43)
    )
    assert [(site.row.node, site.row.site) for site in sites] == [("n", "Üm, x")]


TWO = "node,port,board,token\n"


@needs_tools
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,p,WS-1,\nb,p,WS-1,\n", "the board WS-1 is that of a, too, and one board is in one cabinet"),
        (f"a,p,WS-1,{'t' * 43}\nb,p,WS-2,{'t' * 43}\n", "line 3, column token: it is that of a in line 2"),
        ("a b,p,WS-1,\nb,p,WS-2,short\n", "line 2, column node"),
    ],
)
def test_no_two_nodes_share_what_is_one_nodes(things: Path, tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(ProvisionError) as caught:
        run(things, tmp_path / "out", "http://127.0.0.1:9", sites=TWO + rows)
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


def refused_run(things: Path, tmp_path: Path, *, sites: str, **given: object) -> str:
    """What one run says of everything that is wrong with it; nothing is made."""
    words: dict[str, object] = {"root": things / "root.json", "wheels": things / "wheels", "base": things / "base.img"}
    words |= given
    path = tmp_path / "sites.csv"
    path.write_text(sites)
    template = tmp_path / "node.toml"
    template.write_text(str(words.get("template", TEMPLATE)))
    names = ("root", "hub_ca", "ssh_key", "network")
    common = Common(
        read_card_files(*(words.get(name) for name in names)),  # type: ignore[arg-type]
        words["wheels"],  # type: ignore[arg-type]
    )
    with pytest.raises(ProvisionError) as caught:
        work.provision(
            path,
            template,
            words["base"],  # type: ignore[arg-type]
            tmp_path / "out",
            common=common,
            hub=Hub(words.get("hub"), words.get("operator")),  # type: ignore[arg-type]
            progress=lambda _what, _done, _all: None,
            say=lambda _: None,
        )
    assert list(tmp_path.glob("out/[!.]*.img")) == []
    return str(caught.value)


@needs_tools
def test_every_mistake_of_rows_files_base_and_wheels_is_said_at_once(things: Path, tmp_path: Path) -> None:
    (tmp_path / "net").write_text("wlan0: [")
    (tmp_path / "key").write_text("no key")
    (tmp_path / "ca").write_text("no certificate")
    said = refused_run(
        things,
        tmp_path,
        sites="node,port,board\nbad name,p,b\nok,p,WS-1\nalso,p,WS-1\nlong,p,toolongname\n",
        root=tmp_path / "nowhere.json",
        wheels=tmp_path / "no-wheels",
        network=tmp_path / "net",
        ssh_key=tmp_path / "key",
        hub_ca=tmp_path / "ca",
        hub="http://127.0.0.1:80000",
    )
    for part in (
        "--root: cannot read", "--network-config /", "the hub's CA is no PEM", "the SSH key is not",
        "no-wheels has no wheels for Python 3.11", "--hub names another", "line 2, column node", "ok has no token",
        "line 4: also has no token", "the board WS-1 is that of ok, too", "line 5: ", "board.identity",
    ):  # fmt: skip
        assert part in said, (part, said)
    assert not (tmp_path / "out").exists()


@needs_tools
def test_a_base_for_another_python_is_refused_before_a_token_is_asked_for(things: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "trixie.img", python="3.13")
    said = refused_run(things, tmp_path, sites=SITES, base=base, hub="http://127.0.0.1:9", operator="o" * 43)
    assert "has no wheels for Python 3.13, only for 3.11: run `wayside image wheels" in said
    make_wheels(tmp_path / "wheels", "3.13")
    template = TEMPLATE + '[model]\nruntime = "tflite-runtime"\n'
    said = refused_run(
        things, tmp_path, sites=SITES, base=base, wheels=tmp_path / "wheels", template=template, operator="o" * 43
    )
    assert "model.runtime is tflite-runtime, and the wheels for Python 3.13 have none of it" in said


@needs_tools
def test_a_packed_base_is_looked_into_first_and_kept_for_the_next_run(things: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path / "old.img", python="3.9")
    packed = base.with_name("old.img.xz")
    packed.write_bytes(lzma.compress(base.read_bytes(), preset=0))
    said = refused_run(things, tmp_path, sites="node,port,board\nbad name,p,b\n", base=packed)
    assert "has Python 3.9" in said
    assert "line 2, column node" in said
    assert [p.name for p in (tmp_path / "out").glob(".base.img*")] == [".base.img"]


@needs_tools
def test_a_fixed_address_is_for_one_card(things: Path, tmp_path: Path) -> None:
    (tmp_path / "net").write_text("version: 2\nethernets: {eth0: {addresses: [192.0.2.7/24]}}\n")
    said = refused_run(things, tmp_path, sites=SITES, network=tmp_path / "net", operator="o" * 43)
    assert "line 3: --network-config gives it the address 192.0.2.7/24, which the node before has, too" in said


@needs_tools
def test_what_an_earlier_run_left_damaged_is_said_before_the_first_card(things: Path, tmp_path: Path) -> None:
    (tmp_path / "out/journal").mkdir(parents=True)
    (tmp_path / "out/journal/elm-2nd.json").write_text("{")
    assert "elm-2nd.json is damaged" in refused_run(things, tmp_path, sites=SITES, operator="o" * 43)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_spreadsheets_unicode_is_read_and_its_ansi_is_not_guessed_onto_a_card(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "node.toml").write_text(TEMPLATE)
    text = "node\tsite\tport\tboard\r\nn\tStraße\tp\tb\r\n"

    def sites(content: bytes) -> list[Site]:
        (tmp_path / "sites.csv").write_bytes(content)
        return read_sites(
            tmp_path / "sites.csv",
            tmp_path / "node.toml",
            lambda _, text: personality(text, ROOT_JSON, token="x" * 43),
        )

    assert [site.row.site for site in sites(text.encode(encoding))] == ["Straße"]
    with pytest.raises(ProvisionError, match='save it again as "CSV UTF-8"'):
        sites(text.encode("cp1252"))


# --- a whole run ----------------------------------------------------------------------------------------------------


@needs_tools
def test_every_site_gets_a_token_of_its_own_an_image_and_a_label(things: Path, tmp_path: Path, hub: HubProcess) -> None:
    before = len(tokens_of(hub))
    done = run(things, tmp_path / "out", hub.url)
    assert done.made == ["main-5th", "elm-2nd"]
    out = tmp_path / "out"
    tokens = {slug: token_on(out / f"{slug}.img") for slug in ("main-5th", "elm-2nd")}
    assert len(set(tokens.values())) == 2
    assert len(tokens_of(hub)) == before + 2
    for slug, token in tokens.items():
        manifest, bmap = images.load_built(out / f"{slug}.img")
        images.verify(out / f"{slug}.img", manifest, bmap)
        assert (out / f"{slug}.png").read_bytes().startswith(b"\x89PNG")
        seen = [p for p in out.glob("*") if p.is_file() and p.suffix != ".img" and token.encode() in p.read_bytes()]
        assert seen == []
    assert (out / "labels.pdf").read_bytes().startswith(b"%PDF")
    assert (out / "journal/main-5th.json").stat().st_mode & 0o077 == 0
    assert not (out / ".base.img").exists()

    again = run(things, out, hub.url)
    assert (again.made, again.kept) == ([], ["main-5th", "elm-2nd"])
    assert len(tokens_of(hub)) == before + 2


@needs_tools
def test_a_changed_row_is_made_again_with_the_token_that_it_has(things: Path, tmp_path: Path, hub: HubProcess) -> None:
    out = tmp_path / "out"
    run(things, out, hub.url, sites=SITES)
    token, made = token_on(out / "elm-2nd.img"), len(tokens_of(hub))
    done = run(things, out, hub.url, sites=SITES.replace("WS-2", "WS-9"))
    assert (done.made, done.kept) == (["elm-2nd"], ["main-5th"])
    assert token_on(out / "elm-2nd.img") == token
    assert len(tokens_of(hub)) == made


@needs_tools
def test_a_site_whose_journal_is_taken_away_gets_a_new_token(things: Path, tmp_path: Path, hub: HubProcess) -> None:
    out = tmp_path / "out"
    run(things, out, hub.url)
    old = {slug: token_on(out / f"{slug}.img") for slug in ("main-5th", "elm-2nd")}
    (out / "journal/elm-2nd.json").unlink()
    assert run(things, out, hub.url).made == ["elm-2nd"]
    assert token_on(out / "main-5th.img") == old["main-5th"]
    assert token_on(out / "elm-2nd.img") != old["elm-2nd"]


@needs_tools
def test_an_image_that_was_taken_away_is_made_again(things: Path, tmp_path: Path, hub: HubProcess) -> None:
    out = tmp_path / "out"
    run(things, out, hub.url)
    (out / "elm-2nd.img").unlink()
    (out / "main-5th.json").unlink()
    assert sorted(run(things, out, hub.url).made) == ["elm-2nd", "main-5th"]
    assert (out / "elm-2nd.img").exists()


@needs_tools
def test_a_site_keeps_its_token_when_its_image_fails(
    things: Path, tmp_path: Path, hub: HubProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, out = len(tokens_of(hub)), tmp_path / "out"
    sites = "node,port,board\nn,p,b\n"
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out))
    monkeypatch.setattr(images, "make_bmap", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(ImageError, match="No space left"):
        run(things, out, hub.url, sites=sites)
    assert [p.name for p in out.glob("*.img*")] == []
    monkeypatch.undo()
    assert run(things, out, hub.url, sites=sites).made == ["n"]
    assert len(tokens_of(hub)) == before + 1


@needs_tools
def test_a_token_that_expired_before_its_image_was_made_is_replaced(
    things: Path, tmp_path: Path, hub: HubProcess
) -> None:
    out = tmp_path / "out"
    (out / "journal").mkdir(parents=True)
    stale = {"wire": 1, "node": "elm-2nd", "state": "token", "token": "z" * 43, "expires_ms": 1000}
    (out / "journal/elm-2nd.json").write_text(json.dumps(stale))
    run(things, out, hub.url)
    assert token_on(out / "elm-2nd.img") != "z" * 43


@needs_tools
def test_a_token_in_the_list_needs_no_hub(things: Path, tmp_path: Path) -> None:
    sites = "node,port,board,token\nn,p,b,given-by-hand-0123456789\n"
    assert run(things, tmp_path / "out", "http://127.0.0.1:9", sites=sites).made == ["n"]
    assert token_on(tmp_path / "out/n.img") == "given-by-hand-0123456789"


@needs_tools
def test_a_hub_that_is_away_or_refuses_is_named(things: Path, tmp_path: Path, hub: HubProcess) -> None:
    with pytest.raises(ProvisionError, match=r"127\.0\.0\.1:9 does not answer.*goes on from here"):
        run(things, tmp_path / "out", "http://127.0.0.1:9")
    for token, said in (("wrong", "WAYSIDE_OPERATOR_TOKEN"), (None, "WAYSIDE_OPERATOR_TOKEN")):
        with pytest.raises(ProvisionError, match=said):
            work.provision(
                things / "sites.csv",
                things / "node.toml",
                things / "base.img",
                tmp_path / "out",
                common=Common(CardFiles(ROOT_JSON), things / "wheels"),
                hub=Hub(hub.url, token),
                progress=lambda _what, _done, _all: None,
                say=lambda _: None,
            )


@needs_tools
def test_two_runs_do_not_share_a_folder_and_a_dead_ones_lock_does_not_stay(things: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").write_text("999999\n")  # of a run that died
    sites = "node,port,board,token\nn,p,b,given-by-hand-0123456789\n"
    assert run(things, out, None, sites=sites).made == ["n"]
    with (out / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ProvisionError, match=f"already in progress: process {os.getpid()} "):
            run(things, out, None, sites=sites)
    assert run(things, out, None, sites=sites).kept == ["n"]


def command(things: Path, out: Path, hub_url: str) -> list[str | Path]:
    words: list[str | Path] = [sys.executable, ROOT / "wayside.py", "provision", things / "sites.csv"]
    words += ["--template", things / "node.toml", "--base", things / "base.img", "--root", things / "root.json"]
    return [*words, "--wheels", things / "wheels", "--hub", hub_url, "--out", out]


@needs_tools
@few_or_many
def test_a_killed_run_goes_on_where_it_was_and_no_site_gets_a_second_token(
    things: Path, tmp_path: Path, hub: HubProcess, times: int
) -> None:
    begun, runs = len(tokens_of(hub)), 0

    def fresh() -> None:
        nonlocal runs
        runs += 1
        subprocess.run(["rm", "-rf", str(tmp_path / "out")], check=True)

    def check() -> None:
        out = tmp_path / "out"
        for slug in ("main-5th", "elm-2nd"):
            manifest, bmap = images.load_built(out / f"{slug}.img")
            images.verify(out / f"{slug}.img", manifest, bmap)
            assert token_on(out / f"{slug}.img") == json.loads((out / f"journal/{slug}.json").read_text())["token"]
        names = {p.name for p in out.iterdir()}
        kinds = (".img", ".img.bmap", ".json", ".png")
        expected = {f"{slug}{kind}" for slug in ("main-5th", "elm-2nd") for kind in kinds}
        assert names == expected | {"journal", "labels.pdf", ".lock"}

    killed_then_run_again(
        command(things, tmp_path / "out", hub.url),
        times=times,
        check=check,
        fresh=fresh,
        environment={"PYTHONPATH": str(ROOT), "WAYSIDE_OPERATOR_TOKEN": OPERATOR},
    )
    # Each kill may lose at most the one token that was just on its way from the hub.
    assert len(tokens_of(hub)) - begun <= runs * 2 + times


@needs_tools
def test_the_command_says_what_it_made(things: Path, tmp_path: Path, hub: HubProcess) -> None:
    done = subprocess.run(
        [*map(str, command(things, tmp_path / "out", hub.url)), "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "WAYSIDE_OPERATOR_TOKEN": OPERATOR},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["made"] == ["main-5th", "elm-2nd"]
