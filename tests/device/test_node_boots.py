"""From a stock image to a working node: one card, one aarch64 machine, one hub; power cut and unplugged board included.

Everything is what a city has: the project's own image builder and card writer, Debian's kernel and systemd, the unit
of the agent, the board's firmware behind a USB serial adapter, contacts on a GPIO chip, a hub that speaks HTTPS. Only
the machine is emulated. ``build/device/report.json`` tells the run; docs/device-test.md how to read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.device.base_image import MACHINE, BaseImage, missing
from tests.device.report import Report
from tests.device.site import (
    BOARD,
    BUTTON,
    DOOR,
    INTERVAL_S,
    NODE,
    PORT,
    SPEED,
    START_UNIX_S,
    HubAtOffice,
    doctor,
    node_toml,
    traffic,
    vehicles,
)
from tests.simulators.board import BoardProcess
from tests.simulators.guest import BOOT_OFFSET, Guest
from tests.simulators.signed_hub import bundle

pytestmark = [pytest.mark.device, pytest.mark.timeout(5400)]
ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "device"
PATIENCE_S = 900.0  # for what takes seconds on a Pi and minutes in an emulator on a busy machine
PRESS_S = 0.3
CARD_BYTES = 4 << 30

KEY = """/opt/wayside/bin/python - <<'E'
from pathlib import Path
from wayside.edge.identity import load_or_create
print(load_or_create(Path("/var/lib/wayside")).public_hex)
E"""
# The installed bundle on both runtimes that a Pi has: golden test, and one window's time.
GOLDEN = """/opt/wayside/bin/python - <<'E'
import json, statistics, time
from pathlib import Path
from wayside.contracts.node_config import ModelConfig
from wayside.contracts.version import VERSION
from wayside.edge.update.slots import Slots
from wayside.edge.trusted_bundle import open_bundle
from wayside.edge.update.trial import choose, try_out
(record,) = Path("/var/lib/wayside/model").glob("*/?.json")
slot = next(iter(Slots(record.parent).sound()))
bundle = open_bundle(slot.content, agent_version=VERSION)
said = {}
for name in ("onnxruntime", "tflite-runtime"):
    config = ModelConfig(runtime=name)
    variant = choose(config, bundle.passport)
    runtime, result = try_out(config, bundle, variant)
    took = []
    for window in bundle.golden_inputs:
        began = time.perf_counter()
        runtime.run(window[None])
        took.append(time.perf_counter() - began)
    said[name] = {"variant": variant.name, "max_abs_diff": round(result.max_abs_diff, 4),
                  "tolerance": round(variant.tolerance, 4), "median_ms": round(statistics.median(took) * 1000, 3)}
print(json.dumps(said))
E"""


def until(what: str, found: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """The first true answer of ``found``."""
    deadline = time.monotonic() + timeout_s
    while not (answer := found()):
        assert time.monotonic() < deadline, f"in vain for {timeout_s:.0f} s: {what}"
        time.sleep(1)
    return answer


def wheels(hub: HubAtOffice) -> Path:
    """The node's wheels with this source's own, kept by content."""
    digest = hashlib.sha256()
    for source in sorted(
        [*(ROOT / "pyproject.toml", ROOT / "constraints.txt", ROOT / "wayside.py", ROOT / "wayside" / "__init__.py")]
        + [
            p
            for package in ("contracts", "edge", "firmware_bridge")
            for p in (ROOT / package).rglob("*")
            if p.is_file()
        ]
    ):
        if "__pycache__" not in source.parts:
            digest.update(source.relative_to(ROOT).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    folder = BUILD / f"wheels-{digest.hexdigest()[:12]}"
    if not folder.exists():
        for old in BUILD.glob("wheels-*"):
            shutil.rmtree(old)
    hub.wayside("image", "wheels", folder, "--python", "3.11")
    return folder


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_a_card_becomes_a_node_that_counts_forecasts_and_survives(tmp_path: Path) -> None:
    base = BaseImage(BUILD, print)
    qemu = subprocess.run(["qemu-system-aarch64", "--version"], capture_output=True, text=True, check=True).stdout
    report = Report(BUILD / "report.json", qemu=qemu.split()[3], cores=os.cpu_count(), machine=" ".join(MACHINE))
    edges = traffic()
    hub = HubAtOffice(tmp_path / "office")
    with report.step("Debian arm64 as a stock image: kernel, initrd, cloud-init, no agent") as step:
        cached = base.image.exists()
        base.build()
        size = base.image.stat().st_blocks * 512 // 1_000_000
        step.saw(image=base.image.name, megabytes=size, kernel=base.kernel_version, cached=cached)
    with hub:
        with report.step(
            "the office: wheels for aarch64, a signed int8 bundle on an HTTPS hub, a one-time token"
        ) as step:
            wheelhouse = wheels(hub)
            path = tmp_path / "traffic-flow-1.0.0.bundle"
            path.write_bytes(bundle())
            root = hub.release(path)
            step.saw(wheels=len(list((wheelhouse / "cp311").glob("*.whl"))), bundle_bytes=path.stat().st_size)
        # The street begins when the board does, before the node is even powered: the node has to catch up.
        anchor_s = time.time() + 5
        board = BoardProcess(tmp_path, edges, speed=SPEED, anchor_s=anchor_s, board_id=BOARD)
        with board:
            with report.step("`wayside image build` and `image write`: this node's card, read back") as step:
                config, image, card = tmp_path / "node.toml", tmp_path / "node.img", tmp_path / "card.img"
                config.write_text(node_toml(anchor_s))
                began = time.monotonic()
                hub.wayside(
                    "image", "build", base.image, "--config", config, "--root", root, "--hub-ca", hub.authority.ca,
                    "--token-file", hub.token(), "--site", "Main & 5th", "--wheels", wheelhouse, "--out", image,
                )  # fmt: skip
                built_s = time.monotonic() - began
                with card.open("wb") as file:
                    file.truncate(CARD_BYTES)
                hub.wayside("image", "write", image, card, "--yes")
                facts = json.loads(image.with_suffix(".json").read_text())
                step.saw(instance=facts["instance"], build_s=round(built_s, 1), files=len(facts["files"]))
            with Guest(tmp_path, card, MACHINE, base.dtb, Path(board.port), hub.port) as guest:
                try:
                    live(report, hub, guest)
                finally:
                    shutil.copy(guest.console, BUILD / "console.log")
    report.passed()
    card.unlink()  # of a run that failed they stay, to be looked at
    image.unlink()


def live(report: Report, hub: HubAtOffice, guest: Guest) -> None:
    open_contacts(guest)
    guest.plug(BOARD)
    with report.step("the card boots in an aarch64 machine with the provisioned seed") as step:
        guest.answers(PATIENCE_S)
        guest.wait("systemctl is-active --quiet cloud-config.service", PATIENCE_S, 5)
        said = guest.shell("hostname; uname -m; cat /etc/debian_version; cat /proc/device-tree/model; echo").split("\n")
        assert said[:2] == [NODE, "aarch64"], said
        # Not by the kernel's command line alone: what cloud-init goes by is the file on the card's FAT.
        seed = subprocess.run(
            ["mtype", "-i", f"{guest.card}@@{BOOT_OFFSET}", "::user-data"], check=True, capture_output=True, text=True
        ).stdout
        read = guest.shell("cat /var/lib/cloud/instance/user-data.txt")
        assert read.strip() == seed.strip(), (read, guest.shell("cat /run/cloud-init/cloud-id; cloud-id", check=False))
        schema = guest.shell("cloud-init schema --system", 300)
        people = guest.shell("awk -F: '$3 >= 1000 && $3 < 60000 {print $1}' /etc/passwd")
        assert people == "", f"cloud-init made a user: {people}"
        step.saw(hostname=said[0], machine=said[1], debian=said[2], model=said[3].strip("\0"), schema=schema)
    with report.step("the power is cut in the middle of the installation: it begins again at the next boot") as step:
        guest.wait("ls -d /opt/wayside-venvs/*/lib/python3*/site-packages/numpy", PATIENCE_S, 5)
        cut(guest)
        guest.answers(PATIENCE_S)
        left = guest.shell("ls /opt/wayside-venvs/*/complete 2>/dev/null; test -e /opt/wayside || echo unfinished")
        assert left == "unfinished", left
        step.saw(found_after_the_cut=left)
    with report.step("the agent installs itself from the card, without a network, and runs under systemd") as step:
        guest.wait("systemctl is-active --quiet wayside-first-boot && test -x /opt/wayside/bin/wayside", PATIENCE_S, 5)
        guest.wait("systemctl is-active --quiet wayside-agent", PATIENCE_S, 5)
        took = guest.shell(
            "systemctl show -p ExecMainStartTimestampMonotonic -p ExecMainExitTimestampMonotonic wayside-first-boot"
        )
        begun, ended = sorted(int(line.partition("=")[2]) for line in took.splitlines())
        unit = guest.shell("systemctl show -P FragmentPath wayside-agent; systemctl show -P User wayside-agent")
        version = guest.shell("wayside --version; readlink /opt/wayside")
        result = json.loads(guest.wait("cat /run/cloud-init/result.json", PATIENCE_S, 5))["v1"]
        assert not result["errors"], result
        # This machine answers there, were the guest's network not closed.
        probe = f"import socket; socket.create_connection(('10.0.2.2', {hub.port}), 10)"
        assert "Error" in guest.shell(f'python3 -c "{probe}"', check=False)
        step.saw(install_s=round((ended - begun) / 1e6), unit=unit.replace("\n", " as "), version=version)
    with report.step("it enrols at the hub with the key that it made") as step:
        node = until("a heartbeat of the node at the hub", hub.node)
        key = guest.shell(KEY)
        assert hub.key() == key
        mode = guest.shell("stat -c '%a %U' /var/lib/wayside/node.key")
        assert mode == "600 wayside"
        step.saw(key=key[:16] + "…", mode=mode, hardware=node["hardware"], agent=node["heartbeat"]["agent"])
    with report.step(
        "it reads the board behind the USB adapter by its name, and caught up with what it missed"
    ) as step:
        node = until("the board at the hub", lambda: (n := hub.node()) and n["heartbeat"]["board"]["connected"] and n)
        assert node["heartbeat"]["board"]["identity"] == BOARD
        until("eight intervals of the detectors", lambda: len(counted(hub.rows(), "det/1")) >= 8)
        step.saw(port=PORT, firmware=node["heartbeat"]["board"]["firmware"], intervals=agrees(hub.rows()))
    with report.step("contacts on a real /dev/gpiochip through lgpio: five presses, one open door") as step:
        press(guest, 5)
        guest.drive(DOOR, 0)
        until("five presses at the hub", lambda: pressed(hub.rows()) >= 5)
        until("the alert of the door", lambda: doors(hub.rows()))
        assert pressed(hub.rows()) == 5
        chip = guest.shell(
            "ls -l /dev/gpiochip0; cat /sys/bus/gpio/devices/gpiochip0/of_node/compatible | tr '\\0' ' '"
        )
        step.saw(presses=5, door_alerts=doors(hub.rows()), chip=chip.replace("\n", " "))
        guest.drive(DOOR, 1)
    with report.step("a rollout brings the int8 model; the golden test passes on aarch64, on both runtimes") as step:
        hub.wayside("rollout", "start", "traffic-flow", "1.0.0", "--hub", hub.url, "--phases", "100")
        reported = until(
            "the model at work", lambda: (n := hub.node()) and n["reported"].get("state") == "active" and n
        )["reported"]
        assert (reported["version"], reported["variant"], reported["runtime"]) == ("1.0.0", "onnx-int8", "onnxruntime")
        golden = json.loads(guest.shell(GOLDEN, 300).splitlines()[-1])
        assert all(
            one["variant"].endswith("int8") and one["max_abs_diff"] <= one["tolerance"] for one in golden.values()
        )
        step.saw(reported=" ".join(str(reported[k]) for k in ("version", "variant", "runtime")), **golden)
    with report.step("forecasts arrive at the hub beside the counts") as step:
        rows = until("three forecasts", lambda: len(r := forecasts(hub.rows())) >= 3 and r)
        step.saw(**{row["datastream"]: f"{row['value']:g} forecast {row['forecast']:.1f}" for row in rows[-3:]})
    with report.step("`wayside doctor` on the node finds nothing wrong") as step:
        states = doctor(guest.shell("wayside doctor --json", 300))  # by its name, and the node's own file
        assert "fail" not in states.values(), states
        memory = (hub.node() or {})["heartbeat"]["rss_bytes"]
        step.saw(**states, agent_megabytes=memory // 1_000_000)
    with report.step("`wayside node install-service` makes the unit that runs, and systemd takes it") as step:
        made = guest.shell("wayside node install-service --dry-run 2>/dev/null")
        has = guest.shell("cat /etc/systemd/system/wayside-agent.service")
        differs = {*made.splitlines()} ^ {*has.splitlines()}
        assert not differs, differs
        run = (hub.node() or {})["heartbeat"]["at"]["boot"]
        told = guest.shell("wayside node install-service && systemctl restart wayside-agent && echo restarted", 300)
        assert told.endswith("restarted"), told
        until("the restarted agent", lambda: (n := hub.node()) and n["heartbeat"]["at"]["boot"] != run)
        until("the board again", lambda: (hub.node() or {})["heartbeat"]["board"]["connected"])
        step.saw(told=told.splitlines()[0], command=guest.shell("systemctl show -P ExecStart wayside-agent")[:120])
    before = hub.node() or {}
    with report.step("the power is cut: it comes back by itself, with the same key, and loses no row") as step:
        boot = before["heartbeat"]["at"]["boot"]
        cut(guest)
        node = until("the node after the cut", lambda: (n := hub.node()) and n["heartbeat"]["at"]["boot"] != boot and n)
        guest.answers(PATIENCE_S)
        assert guest.shell(KEY) == hub.key() == key
        until("the board after the cut", lambda: (hub.node() or {})["heartbeat"]["board"]["connected"])
        now = len(counted(hub.rows(), "det/1"))
        until("four more intervals", lambda: len(counted(hub.rows(), "det/1")) >= now + 4)
        assert node["reported"].get("state") == "active"
        step.saw(intervals=agrees(hub.rows()), **exactly_once(hub.rows()), model=node["reported"]["version"])
    with report.step("the board is unplugged and plugged in again: nothing that drove by meanwhile is lost") as step:
        guest.unplug()
        until(
            "the alert of the lost line",
            lambda: any("line lost" in str(r["detail"]) for r in alerts(hub.rows(), "board")),
        )
        assert not (hub.node() or {})["heartbeat"]["board"]["connected"]
        guest.plug(BOARD)
        until("the board again", lambda: (hub.node() or {})["heartbeat"]["board"]["connected"])
        now = len(counted(hub.rows(), "det/1"))
        until("three more intervals", lambda: len(counted(hub.rows(), "det/1")) >= now + 3)
        press(guest, 2)
        until("the presses after cut and unplug", lambda: pressed(hub.rows()) >= 7)
        counters = until("no reading on its way", lambda: settled(hub))
        assert counters["readings_lost"] == 0
        step.saw(
            intervals=agrees(hub.rows()), **exactly_once(hub.rows()), readings=counters["readings_received"], lost=0
        )


def open_contacts(guest: Guest) -> None:
    for pin in (BUTTON, DOOR):  # pulled up
        guest.drive(pin, 1)


def cut(guest: Guest) -> None:
    guest.reset()
    open_contacts(guest)


def press(guest: Guest, times: int) -> None:
    for _ in range(times):
        guest.drive(BUTTON, 0)
        time.sleep(PRESS_S)  # a finger's, much longer than the debounce
        guest.drive(BUTTON, 1)
        time.sleep(PRESS_S)


def counted(rows: list[dict[str, Any]], datastream: str) -> dict[int, float | None]:
    """Interval number to value, each of which came once."""
    found = [r for r in rows if r["kind"] == "interval" and r["datastream"] == datastream]
    ends = [(r["at"]["wall_ms"] // 1000 - START_UNIX_S) // INTERVAL_S - 1 for r in found]
    assert len(set(ends)) == len(ends), f"{datastream}: an interval came twice: {Counter(ends).most_common(3)}"
    return {end: r["value"] for end, r in zip(ends, found, strict=True)}


def agrees(rows: list[dict[str, Any]]) -> int:
    """How many intervals of both detectors have exactly what drove by, from the first on and without a hole."""
    compared = 0
    for channel in (1, 2):
        values = counted(rows, f"det/{channel}")
        assert sorted(values) == list(range(len(values))), sorted(values)
        wrong = {i: (v, vehicles(channel, i)) for i, v in values.items() if v != vehicles(channel, i)}
        assert not wrong, f"det/{channel}, interval: (at the hub, drove by): {wrong}"
        compared += len(values)
    return compared


def exactly_once(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Of each run of the agent every row from the first on, once."""
    runs: dict[str, list[int]] = {}
    for row in rows:
        runs.setdefault(row["boot"], []).append(row["seq"])
    for boot, seqs in runs.items():
        assert sorted(seqs) == list(range(len(seqs))), f"run {boot[:8]}: {sorted(seqs)}"
    return {"runs": len(runs), "rows": len(rows)}


def alerts(rows: list[dict[str, Any]], datastream: str) -> list[dict[str, Any]]:
    return [r for r in rows if r["kind"] == "alert" and r["datastream"] == datastream]


def doors(rows: list[dict[str, Any]]) -> int:
    return len(alerts(rows, "cabinet/door"))


def pressed(rows: list[dict[str, Any]]) -> int:
    return int(sum(r["value"] or 0 for r in rows if r["kind"] == "interval" and r["datastream"] == "ped/1/presses"))


def forecasts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [r for r in rows if r["kind"] == "interval" and r["forecast"] is not None]


def settled(hub: HubAtOffice) -> dict[str, int] | None:
    """The counters, once every reading that the board made is accounted for; a counter of zero is not sent."""
    found = Counter((hub.node() or {})["counters"])
    return found if found["readings_sent"] == found["readings_received"] + found["readings_lost"] else None
