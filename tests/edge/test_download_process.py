"""The process that downloads: it says what a download in this process says, and never outlives the agent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.simulators import manners
from tests.simulators.agent import ROOT
from tests.simulators.signed_hub import SignedHub, bundle, offer_of, signed_hub
from wayside.contracts.node_config import ModelConfig
from wayside.contracts.rollout import Refusal, UpdateState
from wayside.contracts.sync import Desired, Reported
from wayside.contracts.wire import encode
from wayside.edge.update.download import PROGRAM, Request
from wayside.edge.update.updater import Updater

WANTED = Desired(bundle="traffic-flow", version="1.0.0", target="models/traffic-flow-1.0.0.bundle")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedHub]:
    with signed_hub(tmp_path_factory.mktemp("hub")) as one:
        one.publish(bundle())
        one.publish(bundle("1.1.0", golden_shift=50.0), "1.1.0")
        yield one


@pytest.fixture(autouse=True)
def honest(hub: SignedHub) -> Iterator[None]:
    yield
    hub.repository.manners.clear()
    hub.repository.tampered.clear()
    hub.repository.down = False


def updater(hub: SignedHub, folder: Path, *, apart: bool) -> Updater:
    (folder / "root.json").write_bytes(hub.root)
    offer = offer_of("traffic-flow")
    return Updater(folder / "state", ModelConfig(), offer, folder / "root.json", hub.repository.url, apart=apart)


def tamper(hub: SignedHub) -> None:
    for path, content in hub.repository.served.items():
        if "/targets/" in path:
            hub.repository.tampered[path] = content[:-1] + bytes([content[-1] ^ 1])


def forge(hub: SignedHub) -> None:
    path = "/tuf/metadata/timestamp.json"
    hub.repository.tampered[path] = hub.repository.served[path].replace(b'"version"', b'"Version"')


TROUBLES: dict[str, tuple[Callable[[SignedHub], object], Refusal]] = {
    "flipped": (tamper, Refusal.HASH),
    "forged": (forge, Refusal.METADATA),
    "down": (lambda hub: setattr(hub.repository, "down", True), Refusal.DOWNLOAD),
    "portal": (lambda hub: hub.repository.manners.update({"/tuf/": manners.portal_page}), Refusal.METADATA),
}


def told(report: Reported) -> tuple[object, ...]:
    return report.state, report.version, report.attempted, report.refusal, report.reason


@pytest.mark.parametrize("trouble", [None, *TROUBLES])
def test_both_ways_say_the_same_word_for_word(tmp_path: Path, hub: SignedHub, trouble: str | None) -> None:
    if trouble is not None:
        TROUBLES[trouble][0](hub)
    reports = []
    for name in ("here", "apart"):
        (tmp_path / name).mkdir()
        one = updater(hub, tmp_path / name, apart=name == "apart")
        reports.append(told(one.install(WANTED).reported))
        assert not list((tmp_path / name).rglob("incoming*"))
    assert reports[0] == reports[1]
    assert reports[0][3] is (None if trouble is None else TROUBLES[trouble][1])


def test_what_was_refused_for_good_is_not_downloaded_again(tmp_path: Path, hub: SignedHub) -> None:
    one = updater(hub, tmp_path, apart=True)
    wrong = Desired(bundle="traffic-flow", version="1.1.0", target="models/traffic-flow-1.1.0.bundle")
    first = one.install(wrong)
    assert (first.reported.refusal, first.known) == (Refusal.GOLDEN, False)
    hub.repository.requests.clear()
    second = one.install(wrong)
    assert (second.reported.refusal, second.known) == (Refusal.GOLDEN, True)
    assert not [path for path in hub.repository.requests if "/targets/" in path]


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if PROGRAM in " ".join(p.cmdline())]


def installing(hub: SignedHub, folder: Path, cancel: threading.Event) -> tuple[threading.Thread, list[object]]:
    """A download of a bundle that drips, under way."""
    hub.repository.manners["/targets/"] = manners.drip
    one = updater(hub, folder, apart=True)
    outcomes: list[object] = []
    thread = threading.Thread(target=lambda: outcomes.append(one.install(WANTED, cancel)))
    hub.repository.requests.clear()
    thread.start()
    while not any("/targets/" in path for path in hub.repository.requests):
        time.sleep(0.02)
    return thread, outcomes


def test_an_install_that_nobody_wants_any_more_leaves_no_process_and_no_file(tmp_path: Path, hub: SignedHub) -> None:
    cancel = threading.Event()
    thread, outcomes = installing(hub, tmp_path, cancel)
    assert children()
    cancel.set()
    thread.join(20)
    assert outcomes[0].cancelled  # type: ignore[attr-defined]
    assert not children()


def test_a_process_that_the_kernel_kills_is_a_download_to_be_tried_again(tmp_path: Path, hub: SignedHub) -> None:
    thread, outcomes = installing(hub, tmp_path, threading.Event())
    children()[0].send_signal(signal.SIGKILL)
    thread.join(20)
    report = outcomes[0].reported  # type: ignore[attr-defined]
    assert report.refusal is Refusal.DOWNLOAD
    assert "status -9" in str(report.reason)
    hub.repository.manners.clear()
    assert updater(hub, tmp_path, apart=True).install(WANTED).reported.state is UpdateState.ACTIVE


def test_it_ends_with_the_agent_however_that_ends(tmp_path: Path, hub: SignedHub) -> None:
    hub.repository.manners["/targets/"] = manners.drip
    (tmp_path / "root.json").write_bytes(hub.root)
    request = Request(
        desired=WANTED,
        hub_url=hub.repository.url,
        root=str(tmp_path / "root.json"),
        state_dir=str(tmp_path),
        folder=str(tmp_path / "in"),
    )
    process = subprocess.Popen(
        [sys.executable, "-m", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None and process.stdout is not None
    hub.repository.requests.clear()
    process.stdin.write(encode(request) + b"\n")
    process.stdin.flush()
    while not any("/targets/" in path for path in hub.repository.requests):
        time.sleep(0.02)
    process.stdin.close()  # as the kernel does for an agent that is killed
    assert process.wait(10) == 1
    process.stdout.close()
