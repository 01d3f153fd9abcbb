"""Good files of every kind that a verb reads: a folder a room, made once, copied for each run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.server import ROOT

MB = 1 << 20


def node(folder: Path) -> None:
    """A node that has run: decisions, events, a signed record, status."""
    from tests.edge.tasks.test_tasks import BASE
    from tests.edge.test_why import a_day, tables
    from tests.edge.test_wiring_terminal import TRAFFIC, csv_of
    from tests.simulators.agent import node_toml
    from tests.simulators.authority import Authority
    from tests.simulators.base_image import ROOT_JSON
    from tests.simulators.signal_day import day
    from wayside.contracts.commissioning import CommissioningRecord
    from wayside.contracts.wire import decode
    from wayside.edge.commission.record import write_record
    from wayside.edge.event_log import EventLog
    from wayside.edge.identity import load_or_create
    from wayside.edge.outbox import Outbox

    a_day(folder)
    golden = ROOT / "tests" / "golden" / "v1"
    state = folder / "state"
    hub = '[hub]\nurl = "https://hub.example.city"  # the city\ntoken = "' + "t" * 43 + '"\nca = "ca.pem"\n'
    task, fan = tables()
    (folder / "node.toml").write_text("# Main street, corner of 5th\n" + BASE + hub + task + fan)
    (folder / "oidc.toml").write_text(
        'issuer = "https://id.example.city"\nclient_id = "hub"\n[roles]\nops = "operator"\n'
    )
    authority = Authority(folder / "authority")
    shutil.copy(authority.ca, folder / "ca.pem")
    shutil.rmtree(folder / "authority")
    (folder / "root.json").write_bytes(ROOT_JSON)
    (folder / "passport.json").write_bytes((golden / "Passport.json").read_bytes())
    old = ROOT / "tests" / "golden" / "old_node_form" / "every_key.toml"
    (folder / "old.toml").write_bytes(old.read_bytes())
    identity = load_or_create(state)
    record = decode((golden / "CommissioningRecord.json").read_bytes(), CommissioningRecord)
    (state / "commissioning").mkdir(exist_ok=True)
    write_record(state, record, identity)
    first = next((state / "commissioning").glob("*.json"))
    first.rename(first.with_name("record.json"))
    log = EventLog(state / "events", 1 << 20)
    log.append(day(1, 0, 0.5), 1_700_000_000_000)
    log.flush()
    box = Outbox(state / "node.sqlite3", 10_000_000)
    from wayside.contracts.summary import Summary

    box.commit([decode((golden / "Summary.json").read_bytes(), Summary)])
    box.close()
    # events of a street for the wiring check, with its own node
    from tests.edge.test_wiring_terminal import TABLES

    (folder / "wired.toml").write_text(node_toml("/dev/null", anchor_s=0, clock="system", detectors=(4,), extra=TABLES))
    csv_of(TRAFFIC, folder / "events.csv")
    _status(folder)
    _recording(folder)


def _status(folder: Path) -> None:
    """What an agent of now writes: it runs for a moment."""
    from tests.simulators.agent import AgentProcess

    work = folder / "once"
    work.mkdir()
    with AgentProcess(work, 'node = "n"\nstate_dir = "state"\n[gpio]\nfactory = "mock"\n[[gpio.contacts]]\npin = 17\n'
                            'datastream = "ped/1"\nrole = "ped_button"\n') as agent:  # fmt: skip
        agent.wait(lambda a: "pid" in a.status)
        agent.stop()
    shutil.copy(work / "state" / "status.json", folder / "state" / "status.json")
    shutil.rmtree(work)


def bridge(folder: Path) -> None:
    from tests.firmware_bridge.test_provision import TEMPLATE
    from tests.firmware_bridge.test_signal_plan import PLAN
    from tests.simulators.authority import Authority
    from tests.simulators.base_image import ROOT_JSON, make_base, make_wheels
    from wayside.firmware_bridge import avr_build, native

    make_base(folder / "base.img")
    subprocess.run(["xz", "-k", "-0", folder / "base.img"], check=True)
    make_wheels(folder / "wheels")
    (folder / "root.json").write_bytes(ROOT_JSON)
    (folder / "node.toml").write_text(
        "# the corner of Main and 5th\n"
        + TEMPLATE.replace("$node", "n").replace("$port", "/dev/x").replace("$board", "b")
    )
    (folder / "template.toml").write_text("# of all corners\n" + TEMPLATE)
    (folder / "sites.csv").write_text(
        "node,site,port,board,token\n"
        + f"main-5th,Main street,/dev/x,b,{'t' * 43}\nelm-2nd,Elm street,/dev/x,c,{'u' * 43}\n"
    )
    (folder / "plan.toml").write_text("# all day\n" + PLAN)
    (folder / "token").write_text("t" * 43 + "\n")
    key = b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))).decode()
    (folder / "key.pub").write_text(f"ssh-ed25519 {key} technician\n")
    (folder / "network.yaml").write_text(
        "# the street's own\nversion: 2\nethernets:\n  eth0:\n    dhcp4: true\n    optional: true\n"
    )
    (folder / "oidc.toml").write_text(
        'issuer = "https://id.example.city"\nclient_id = "hub"\n[roles]\nops = "operator"\n'
    )
    authority = Authority(folder / "authority")
    shutil.copy(authority.ca, folder / "ca.pem")
    shutil.rmtree(folder / "authority")
    native.build(folder / "board")
    (folder / "feed.csv").write_text(
        "ms,kind,channel,value\n" + "".join(f"{i * 500},1,1,{i % 2}\n" for i in range(1, 40))
    )
    (folder / "limits.csv").write_text(
        "phase,ring,min_green,max_green,clearance,green\n2,1,80,450,40,260\n4,1,80,450,40,260\n"
    )
    if shutil.which("avr-gcc"):
        program = avr_build.build_avr("atmega328p", folder / "avr")
        shutil.copy(program.hex, folder / "board.hex")
    _typed(folder, "image", "build", "base.img", "--config", "node.toml", "--root", "root.json", "--wheels", "wheels",
           "--token-file", "token", "-o", "made.img")  # fmt: skip
    (folder / "store.bin").write_bytes(b"")
    _recording(folder)


def _recording(folder: Path) -> None:
    """A few seconds of a board's line."""
    from tests.simulators.board import BoardProcess

    edges = [(i * 500, 1, 1, i % 2) for i in range(1, 200)]
    work = folder / "boardwork"
    work.mkdir()
    with BoardProcess(work, edges, speed=20) as board:
        _typed(
            folder, "board", "watch", str(board.port), "--baud", "921600", "--seconds", "2", "--record", "line.jsonl"
        )
    shutil.rmtree(work)


def train(folder: Path) -> None:
    from tests.evaluate.conftest import TASK, write

    (folder / "data").mkdir()
    write(folder / "data" / "small_may.csv", "2024-05-06", 21, 0)
    shutil.copy(folder / "data" / "small_may.csv", folder / "small.csv")
    (folder / "small.toml").write_text("# a small task of two streets\n" + TASK.replace("epochs = 6", "epochs = 1"))
    (folder / "later").mkdir()
    write(folder / "later" / "small_june.csv", "2024-05-27", 7, 1)
    (folder / "sweep.toml").write_text('tasks = ["small.toml"]  # one alone\nseeds = [0]\n[fit]\nrate = [0.01]\n')


def trained(folder: Path) -> None:
    train(folder)
    _typed(folder, "train", "--task", "small.toml", "--data", "data", "--out", "run", "--epochs", "1", "--no-refit")


def export(folder: Path) -> None:
    """Slow: a model is exported, and judged."""
    trained(folder)
    _typed(folder, "export", "run", "--out", "made", "--format", "onnx")
    bundle = next((folder / "made").glob("*.bundle"))
    shutil.copy(bundle, folder / "small.bundle")
    shutil.rmtree(folder / "made")
    # the same, judged
    done = _typed(folder, "evaluate", "--data", "data", "--task", "small.toml", "--runs", "runs", "--json",
                  "--epochs", "1", "--no-refit", "--jobs", "1")  # fmt: skip
    (folder / "results.json").write_text(done)


def simulate(folder: Path) -> None:
    scenarios = ROOT / "cloud" / "sim" / "scenarios"
    tariffs = ROOT / "cloud" / "sim" / "tariffs"
    shutil.copy(scenarios / "energy.toml", folder)
    shutil.copy(scenarios / "air.toml", folder)
    shutil.copy(tariffs / "time_of_use.toml", folder / "tariff.toml")
    from tests.sim.test_simulate import SMALL
    from wayside.cloud.train import generated

    (folder / "small.toml").write_text("# the load of a small town\n" + SMALL)
    generated.write(folder / "data", 0, load_days=110)


def sim(folder: Path) -> None:
    from wayside.cloud.sim.traffic import generated

    made = generated.generate("crossing", 1, folder / "cache")
    shutil.copy(made.net, folder / "town.net.xml")
    shutil.copy(made.routes, folder / "town.rou.xml")
    shutil.rmtree(folder / "cache")
    _typed(folder, "sim", "run", "town.net.xml", "--seconds", "120", "--events", "events.csv")


def release(folder: Path) -> None:
    """Keys; the hub is at port 1, where nobody is: what is wrong with a file is said before it is asked."""
    _typed(folder, "release", "keys", "keys")
    from tests.simulators.base_image import ROOT_JSON

    (folder / "root.json").write_bytes(ROOT_JSON)


def hub(folder: Path) -> None:
    from tests.simulators.authority import Authority

    _typed(folder, "hub", "init", "--data", "data")
    (folder / "data" / "retention.toml").write_text("[interval]\nhot_days = 20\ncold_days = 400\n")
    provider = 'issuer = "https://id.example.city"\nclient_id = "hub"\n[roles]\nops = "operator"\n'
    (folder / "oidc.toml").write_text(provider)
    (folder / "password.txt").write_text("seven herons over the weir\n")
    (folder / "oidc.toml").write_text(
        'issuer = "https://id.example.city"\nclient_id = "hub"\n[roles]\nops = "operator"\n'
    )
    _typed(folder, "hub", "backup", "hub.backup", "--data", "data")
    authority = Authority(folder / "authority")
    certificate, key = authority.issue("127.0.0.1")
    shutil.copy(certificate, folder / "cert.pem")
    shutil.copy(key, folder / "key.pem")
    shutil.rmtree(folder / "authority")


ROOMS: dict[str, Callable[[Path], None]] = {
    each.__name__: each for each in (node, bridge, train, trained, export, simulate, sim, release, hub)
}


def _typed(folder: Path, *words: str) -> str:
    """Run a verb in ``folder``, in a process of its own."""
    import os

    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "wayside", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"wayside {' '.join(words)}: {done.stderr[-3000:]}")
    return done.stdout


def make(place: Path, room: str) -> Path:
    """The folder of ``room`` below ``place``, made if it is not there."""
    folder = place / room
    if not (place / f"{room}.done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        ROOMS[room](folder)
        (place / f"{room}.done").write_text(json.dumps(room))
    return folder


def copy(source: Path, target: Path, damaged: str) -> None:
    """A run's own folder: what is small is copied, what is large is linked to; not the damaged thing."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        name = path.relative_to(source).as_posix()
        if name == damaged:
            continue
        to = target / name
        if path.is_dir() and not path.is_symlink():
            _copy_folder(source, path, target, damaged)
        elif path.stat().st_size > MB:
            to.symlink_to(path)
        else:
            shutil.copy2(path, to)


def _copy_folder(source: Path, folder: Path, target: Path, damaged: str) -> None:
    (target / folder.relative_to(source)).mkdir()
    for path in folder.iterdir():
        name = path.relative_to(source).as_posix()
        if name == damaged:
            continue
        if path.is_dir():
            _copy_folder(source, path, target, damaged)
        elif path.stat().st_size > MB:
            (target / name).symlink_to(path)
        else:
            shutil.copy2(path, target / name)
