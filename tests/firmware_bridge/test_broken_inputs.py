"""Whatever file, folder or port a technician names: no traceback, status 1, and a sentence that names it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.firmware_bridge.test_provision import TEMPLATE
from tests.firmware_bridge.test_signal_plan import PLAN
from tests.simulators.base_image import ROOT_JSON, make_base, make_wheels, needs_tools
from wayside.firmware_bridge import native
from wayside.firmware_bridge.cli import board
from wayside.firmware_bridge.flash.cli import flash
from wayside.firmware_bridge.image.cli import image
from wayside.firmware_bridge.line import borrow
from wayside.firmware_bridge.provision.cli import provision

ROOT = Path(__file__).parents[2]


def missing(path: Path) -> None:
    """Nothing is there."""


def folder(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.touch()


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(7).randbytes(5000))


def zeros(path: Path) -> None:
    path.write_bytes(bytes(5000))


def utf16(path: Path) -> None:
    path.write_bytes("node,site\nmain-5th,Élm\n[board]\nport = 'x'\n".encode("utf-16"))


def other_json(path: Path) -> None:
    path.write_text('{"a": [1, {"b": null}]}')


def deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def endless(path: Path) -> None:
    path.symlink_to(path)


def too_long(path: Path) -> None:
    """Its name is; see :func:`name`."""


BROKEN: tuple[Callable[[Path], None], ...] = (
    missing, folder, empty, garbage, zeros, utf16, other_json, deep, endless, too_long
)  # fmt: skip


def name(how: Callable[[Path], None], suffix: str) -> str:
    return ("x" * 300 if how is too_long else "broken") + suffix


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each file that is right."""
    place = tmp_path_factory.mktemp("things")
    make_base(place / "base.img")
    make_wheels(place / "wheels")
    (place / "root.json").write_bytes(ROOT_JSON)
    (place / "node.toml").write_text(TEMPLATE.replace("$node", "n").replace("$port", "/dev/x").replace("$board", "b"))
    (place / "template.toml").write_text(TEMPLATE)
    (place / "sites.csv").write_text("node,port,board,token\nmain-5th,/dev/x,b," + "t" * 43 + "\n")
    (place / "plan.toml").write_text(PLAN)
    (place / "token").write_text("t" * 43)
    (place / "card").touch()
    return place


# {} is where the broken thing stands, the rest stands in the folder of right things. "0": may be taken as it is.
VERBS: dict[str, tuple[typer.Typer, list[str], str]] = {
    "board build": (board, ["build", "--out", "{}"], ""),
    "board watch": (board, ["watch", "{}", "--seconds", "0.3"], ""),
    "board watch --record": (board, ["watch", "loop://", "--seconds", "0.1", "--record", "{}"], ".jsonl"),
    "board watch replay": (board, ["watch", "replay://{}", "--seconds", "0.3"], ".jsonl"),
    "board plan FILE": (board, ["plan", "{}", "nowhere"], ".toml"),
    "board plan PORT": (board, ["plan", "plan.toml", "{}"], ""),
    "flash PORT": (flash, ["{}", "--mcu", "atmega328p", "--yes"], ""),
    "flash --hex": (flash, ["/dev/null", "--hex", "{}", "--yes"], ".hex"),
    "flash --hex bin": (flash, ["/dev/null", "--hex", "{}", "--yes"], ".bin"),
    "image wheels": (image, ["wheels", "{}", "--python", "3.11", "--wayside", "nowhere.whl"], ""),
    "image wheels --wayside": (image, ["wheels", "new", "--python", "3.11", "--wayside", "{}"], ".whl"),
    "image build BASE": (image, ["build", "{}", "--config", "node.toml", "--token-file", "token", "--root", "root.json",
                                 "--wheels", "wheels", "-o", "o.img"], ".img"),
    "image build xz": (image, ["build", "{}", "--config", "node.toml", "--token-file", "token", "--root", "root.json",
                               "--wheels", "wheels", "-o", "o.img"], ".img.xz"),
    "image build --wheels": (image, ["build", "base.img", "--config", "node.toml", "--token-file", "token", "--root",
                                     "root.json", "--wheels", "{}", "-o", "o.img"], ""),
    "image build -o": (image, ["build", "base.img", "--config", "node.toml", "--token-file", "token", "--root",
                               "root.json", "--wheels", "wheels", "-o", "{}/o.img"], ""),
    "image write IMAGE": (image, ["write", "{}", "card", "--yes"], ".img"),
    "image write DEVICE": (image, ["write", "base.img", "{}", "--yes"], ""),
    "image write --manifest": (image, ["write", "base.img", "card", "--yes", "--manifest", "{}"], ".json"),
    "image verify": (image, ["verify", "{}"], ".img"),
    "image verify --manifest": (image, ["verify", "base.img", "--manifest", "{}"], ".json"),
    "provision SITES": (provision, ["{}", "--base", "base.img", "--root", "root.json", "--wheels", "wheels", "--out",
                                    "out", "--template", "template.toml"], ".csv"),
    "provision -o": (provision, ["sites.csv", "--base", "base.img", "--root", "root.json", "--wheels", "wheels",
                                 "--out", "{}/out", "--template", "template.toml"], ""),
}  # fmt: skip
for _option in ("config", "root", "token-file", "hub-ca", "ssh-key", "network-config"):
    _args = {"config": "node.toml", "root": "root.json", "token-file": "token"} | {_option: "{}"}
    _words = [word for option, value in _args.items() for word in (f"--{option}", value)]
    VERBS[f"image build --{_option}"] = (
        image,
        ["build", "base.img", *_words, "--wheels", "nowhere", "-o", "o.img"],
        "",
    )
for _option in ("base", "root", "wheels", "hub-ca", "ssh-key", "network-config", "template"):
    _args = {"base": "base.img", "root": "root.json", "wheels": "wheels", "template": "template.toml"} | {_option: "{}"}
    _args["wheels"] = "nowhere" if _option == "network-config" else _args["wheels"]
    _words = [word for option, value in _args.items() for word in (f"--{option}", value)]
    VERBS[f"provision --{_option}"] = (provision, ["sites.csv", *_words, "--out", "out"], "")

# What is no mistake: an empty folder to build into, a name that no file has yet, a folder of records.
TAKEN = {
    ("board build", "missing"), ("board build", "folder"), ("board watch --record", "missing"),
    ("image build -o", "missing"), ("image build -o", "folder"), ("provision -o", "missing"),
    ("provision -o", "folder"),
}  # fmt: skip


def last_message(result: Result) -> str:
    """What is said at the end; lines before it tell how far it came."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return "wayside " + result.stderr.partition("wayside ")[2]


@needs_tools
@pytest.mark.parametrize(
    ("verb", "how"),
    [
        pytest.param(verb, how, id=f"{verb}, {how.__name__}")
        for verb in VERBS
        for how in BROKEN
        if (verb, how.__name__) not in TAKEN
    ],
)
def test_a_broken_input_is_one_sentence(
    things: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, how: Callable[[Path], None]
) -> None:
    app, words, suffix = VERBS[verb]
    path = tmp_path / name(how, suffix)
    how(path)
    monkeypatch.chdir(things)
    result = CliRunner().invoke(app, [word.replace("{}", str(path)) for word in words])
    message = last_message(result)
    assert result.exit_code == 1, (result.stdout, message)
    assert message.startswith(f"wayside {verb.partition(' ')[0]}"), message
    assert "[Errno" not in message, message
    assert "Traceback" not in message
    assert len(message) < 1200, message


@pytest.mark.parametrize("words", [["watch"], ["plan", "plan.toml"]])
@pytest.mark.parametrize(
    "port", ["socket://127.0.0.1:1", "rfc2217://127.0.0.1:1", "nonsense://x", "/dev/null", "socket://"]
)
def test_a_port_that_is_closed_or_none_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], port: str
) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(borrow, "NOTICE_S", 0.0)
    result = CliRunner().invoke(board, [*words, port])
    message = last_message(result)
    assert result.exit_code == 1
    assert message.startswith(f"wayside board {words[0]}: cannot open {port}: ")
    assert message.count("\n") == 1
    assert "[Errno" not in message


@pytest.mark.parametrize(
    ("option", "how"),
    [
        *(("--feed", how) for how in (missing, folder, garbage, endless, too_long)),
        *(("--plan", how) for how in (missing, folder, garbage, endless, too_long)),
        *(("--store", how) for how in (folder, endless, too_long)),
        *(("--stats", how) for how in (folder, too_long)),
        *(("--pty-link", how) for how in (folder, too_long)),
    ],
)
def test_a_board_that_is_run_with_a_broken_file_says_so(
    tmp_path: Path, option: str, how: Callable[[Path], None]
) -> None:
    path = tmp_path / name(how, ".txt")
    how(path)
    command = [sys.executable, ROOT / "wayside.py", "board", "run", "--out", native.BUILD, option, path]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=20, check=False)
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1, done.stderr
    assert path.name[:8] in done.stderr
