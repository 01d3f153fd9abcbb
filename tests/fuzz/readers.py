"""Every option and argument of every verb that reads a file or a folder, each with a good example.

``tests/fuzz/test_every_verb.py`` walks the verbs' own signatures: who adds an option that takes a file adds a row here,
or says in :data:`NOT_READ` what it is. No verb reads a document from standard input.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.server import Ran

Result = Callable[[Path, Ran], str]


def printed(_folder: Path, ran: Ran) -> str:
    return f"{ran.status} {ran.ended} {ran.out}"


def files(*names: str) -> Result:
    """The bytes of what was written."""

    def result(folder: Path, ran: Ran) -> str:
        digest = hashlib.sha256()
        for name in names:
            for path in sorted(folder.glob(name)):
                digest.update(path.name.encode() + path.read_bytes())
        return f"{ran.status} {digest.hexdigest()}"

    return result


def data_hash(folder: Path, ran: Ran) -> str:
    """What was trained on, and how."""
    reports = [json.loads(path.read_bytes()) for path in sorted(folder.glob("out/**/report.json"))]
    said = [(r.get("data_sha256"), r.get("task"), r.get("family"), r.get("fit")) for r in reports]
    return f"{ran.status} {json.dumps(said, sort_keys=True)}"


OURS = (
    "status.json", "node.key", "record.json", "line.jsonl", "report.json", "made.json", "wheels.json", "made.img.bmap",
    "online.key", "cert.pem", "key.pem", "audit.head",
)  # fmt: skip


class Reader(NamedTuple):
    covers: str  # verb, command and parameter, as the signature has it
    words: str  # what is typed after `wayside`; {} is the file
    file: str  # the file that is damaged, in the folder of the room
    room: str  # of :mod:`tests.fuzz.material`
    kind: str = "text"  # text, table, data (no text), folder
    checked: bool = False  # it has a checksum or a grammar that leaves nothing unseen
    result: Result = printed
    taken: frozenset[str] = frozenset()  # damage that this reader takes as it is, by right
    named: tuple[str, ...] = ()  # words of which a refusal has at least one, beside the file's name
    until: str = ""  # the verb runs until it is told to end, which is when it has printed this
    limit_s: float = 60.0
    seconds: float = 0.3  # about what a good run takes; slow ones are left to the large run
    environment: tuple[tuple[str, str], ...] = ()  # beside the usual; {} is the file
    good: int | None = 0  # status with the good file; None: whatever it is

    @property
    def name(self) -> str:
        return f"{self.covers} {self.file}" if self.file not in self.words else self.covers

    @property
    def ours(self) -> bool:
        """Written by a program, and by no editor."""
        return Path(self.file).name in OURS or self.file.startswith("keys/")


def _of(*readers: Reader) -> tuple[Reader, ...]:
    return readers


ABSENT = frozenset({"missing"})
NOTHING = ABSENT | {"empty"}
CONFIG = {"kind": "text", "room": "node", "file": "node.toml"}

NODE = _of(
    Reader("node check config", "node check {}", **CONFIG),
    Reader("node check config", "node check {} --json", **CONFIG, named=('"mistakes"',)),
    Reader("node check config", "node check node.toml", "ca.pem", "node", named=("hub.ca",)),
    Reader("node check config", "node check node.toml", "root.json", "node", named=("tuf_root",)),
    Reader("node check passport", "node check node.toml --passport {}", "passport.json", "node", good=None),
    Reader("node migrate config", "node migrate {}", "old.toml", "node"),
    Reader("node install-service config", "node install-service {} --user root --dry-run", **CONFIG,
           good=None),
    Reader("node status config", "node status {}", **CONFIG),
    Reader("node status config", "node status node.toml", "state/status.json", "node", checked=True,
           named=("no agent has run",)),
    Reader("node outbox config", "node outbox {}", **CONFIG),
    Reader("node outbox config", "node outbox node.toml", "state/node.sqlite3", "node", "data"),
    Reader("node outbox config", "node outbox node.toml", "state", "node", "folder", named=("node.sqlite3",)),
    Reader("node why config", "node why {}", **CONFIG),
    Reader("node why config", "node why node.toml", "state/node.sqlite3", "node", "data"),
    Reader("node events config", "node events {} --out made.csv", **CONFIG, result=files("made.csv")),
    Reader("node events config", "node events node.toml --out made.csv", "state/events/00000001.log", "node", "data",
           named=("events",), result=files("made.csv")),
    Reader("doctor config", "doctor {} --listen 0.1 --json", **CONFIG, good=None, named=("findings",)),
    Reader("doctor config", "doctor node.toml --listen 0.1 --json", "state/status.json", "node", good=None,
           taken=NOTHING, named=("findings",)),
    Reader("doctor config", "doctor node.toml --listen 0.1 --json", "state/node.sqlite3", "node", "data",
           good=None, taken=NOTHING, named=("findings",)),
    Reader("doctor config", "doctor node.toml --listen 0.1 --json", "root.json", "node", good=None,
           named=("findings",)),
    Reader("doctor config", "doctor node.toml --listen 0.1 --json", "ca.pem", "node", good=None,
           named=("findings",)),
    Reader("doctor config", "doctor node.toml --listen 0.1 --json", "state/node.key", "node", good=None,
           named=("findings",)),
    Reader("commission show config", "commission show {}", **CONFIG, good=None),
    Reader("commission show config", "commission show node.toml", "state/commissioning/record.json", "node",
           checked=True, good=None, named=("commission",)),
    Reader("commission show config", "commission show node.toml", "state/node.key", "node", good=None, taken=ABSENT,
           named=("no key", "signed by a key")),
    Reader("commission walk config", "commission walk {} --by A", **CONFIG, good=None),
    Reader("commission wiring config", "commission wiring {} --events events.csv --json", "wired.toml", "node",
           good=None),
    Reader("commission wiring events", "commission wiring wired.toml --events {} --json", "events.csv", "node", "table",
           good=None),
    Reader("commission wiring events", "commission wiring wired.toml --events {} --json", "line.jsonl", "node",
           taken=frozenset({"nul block"}), good=None),
    Reader("agent run config", "agent run {}", "node.toml", "node", until="sync failed", seconds=2),
    Reader("agent run config", "agent run node.toml", "state/node.sqlite3", "node", "data", until="sync failed",
           seconds=2,
           taken=NOTHING),
    Reader("agent run config", "agent run node.toml", "state/node.key", "node", until="sync failed", seconds=2,
           taken=ABSENT),
    Reader("agent run config", "agent run node.toml", "ca.pem", "node", until="sync failed", seconds=2),
    Reader("agent run config", "agent run node.toml", "root.json", "node", until="sync failed", seconds=2),
)  # fmt: skip

_BUILD = "image build base.img --config node.toml --root root.json --wheels wheels --token-file token -o out.img"
_PROVISION = "provision sites.csv --base base.img --root root.json --wheels wheels --template template.toml --out out"
_MADE = {"result": files("out.img", "out.json"), "seconds": 1.5}
_CARDS = {"result": files("out/*.img", "out/labels*"), "seconds": 3.0}


def _with(option: str, file: str) -> dict[str, str]:
    return {"words": f"{_BUILD} {option} {{}}", "file": file, "room": "bridge"}


BRIDGE = _of(
    Reader("board plan file", "board plan {} /dev/null", "plan.toml", "bridge", good=None),
    Reader("board run feed", "board run --out board --feed {}", "feed.csv", "bridge", "table", until="READY"),
    Reader("board run plan", "board run --out board --plan {}", "limits.csv", "bridge", "table", until="READY"),
    Reader("board run store", "board run --out board --store {}", "store.bin", "bridge", "data", until="READY",
           taken=NOTHING),
    Reader("board run out", "board run --out {}", "board", "bridge", "folder", until="READY", taken=NOTHING, seconds=2),
    Reader("board build out", "board build --out {}", "board", "bridge", "folder", taken=NOTHING, seconds=2),
    Reader("board watch port", "board watch replay://{} --seconds 2", "line.jsonl", "bridge",
           taken=frozenset({"nul block"})),
    Reader("board watch port", "board watch {} --seconds 0.2", "token", "bridge", good=None),
    Reader("flash file", "flash /dev/ttyNOWHERE --dry-run --hex {}", "board.hex", "bridge", checked=True, good=None),
    Reader("flash record", "flash /dev/ttyNOWHERE --dry-run --hex board.hex --record {}", "wheels", "bridge",
           "folder", taken=ABSENT, good=None),
    Reader("image build base", _BUILD.replace("base.img", "{}"), "base.img", "bridge", "data", **_MADE),
    Reader("image build base", _BUILD.replace("base.img", "{}"), "base.img.xz", "bridge", "data", checked=True,
           **_MADE),
    Reader("image build config", _BUILD.replace("node.toml", "{}"), "node.toml", "bridge", **_MADE),
    Reader("image build root", _BUILD.replace("root.json", "{}"), "root.json", "bridge", **_MADE),
    Reader("image build token_file", _BUILD.replace("--token-file token", "--token-file {}"), "token", "bridge",
           **_MADE),
    Reader("image build wheels", _BUILD.replace("--wheels wheels", "--wheels {}"), "wheels", "bridge", "folder",
           **_MADE),
    Reader("image build wheels", _BUILD, "wheels/cp311/wheels.json", "bridge", named=("wheels",), **_MADE),
    Reader("image build wheels", _BUILD, "wheels/cp311/onnxruntime-1.23.0-py3-none-any.whl", "bridge", "data",
           checked=True, **_MADE),
    Reader("image build hub_ca", **_with("--hub-ca", "ca.pem"), **_MADE),
    Reader("image build ssh_key", **_with("--ssh-key", "key.pub"), **_MADE),
    Reader("image build network_config", **_with("--network-config", "network.yaml"), **_MADE),
    Reader("image verify target", "image verify {}", "made.img", "bridge", "data", checked=True, seconds=1),
    Reader("image verify manifest", "image verify made.img --manifest {}", "made.json", "bridge", checked=True),
    Reader("image verify manifest", "image verify made.img", "made.img.bmap", "bridge", checked=True),
    Reader("image write image_file", "image write {} card --yes", "made.img", "bridge", "data", checked=True,
           seconds=2),
    Reader("image write manifest", "image write made.img card --yes --manifest {}", "made.json", "bridge", checked=True,
           seconds=2),
    Reader("image write device", "image write made.img {} --yes", "token", "bridge", taken=NOTHING, good=None,
           seconds=2),
    Reader("image wheels wayside", "image wheels new --python 3.11 --wayside {}", "token", "bridge", good=None),
    Reader("image wheels folder", "image wheels {} --python 3.11 --wayside nowhere.whl", "wheels", "bridge", "folder",
           good=None, taken=ABSENT),
    Reader("provision sites", _PROVISION.replace("sites.csv", "{}"), "sites.csv", "bridge", "table", **_CARDS),
    Reader("provision template", _PROVISION.replace("template.toml", "{}"), "template.toml", "bridge", **_CARDS),
    Reader("provision base", _PROVISION.replace("base.img", "{}"), "base.img", "bridge", "data", **_CARDS),
    Reader("provision root", _PROVISION.replace("root.json", "{}"), "root.json", "bridge", **_CARDS),
    Reader("provision wheels", _PROVISION.replace("--wheels wheels", "--wheels {}"), "wheels", "bridge", "folder",
           **_CARDS),
    Reader("provision hub_ca", f"{_PROVISION} --hub-ca {{}}", "ca.pem", "bridge", **_CARDS),
    Reader("provision ssh_key", f"{_PROVISION} --ssh-key {{}}", "key.pub", "bridge", **_CARDS),
    Reader("provision network_config", f"{_PROVISION} --network-config {{}}", "network.yaml", "bridge", **_CARDS),
)  # fmt: skip

_TRAIN = "train --task small.toml --data data --out out --epochs 1 --no-refit"
_TRAINED = {"result": data_hash, "seconds": 6.0, "limit_s": 120.0}
TRAIN = _of(
    Reader("train task", _TRAIN.replace("small.toml", "{}"), "small.toml", "train", **_TRAINED),
    Reader("train data", _TRAIN, "data/small_may.csv", "train", "table", **_TRAINED),
    Reader("train data", _TRAIN.replace("--data data", "--data {}"), "data", "train", "folder", **_TRAINED),
    Reader("train data", _TRAIN.replace("--data data ", ""), "data", "train", "folder", named=("WAYSIDE_DATA",),
           environment=(("WAYSIDE_DATA", "{}"),), **_TRAINED),
    Reader("train data", _TRAIN.replace("--data data", "--data {}"), "small.csv", "train", "table", **_TRAINED),
    Reader("train sweep", "train --sweep {} --data data --out out", "sweep.toml", "train", **_TRAINED),
    Reader("export run_dir", "export {} --out out --format onnx --stage train", "run", "trained", "folder"),
    Reader("export run_dir", "export run --out out --format onnx --stage train", "run/checkpoint.pt", "trained",
           "data"),
    Reader("export run_dir", "export run --out out --format onnx --stage train", "run/windows.npz", "trained",
           "data", checked=True),
    Reader("export run_dir", "export run --out out --format onnx --stage train", "run/report.json", "trained",
           taken=ABSENT),
)  # fmt: skip
_JUDGED = "evaluate --data data --task small.toml --runs runs --json --epochs 1 --no-refit --jobs 1"
_EVALUATED = {"seconds": 20.0, "limit_s": 200.0}
EXPORT = _of(
    Reader("node check passport", "node check ../node/node.toml --passport {}", "small.bundle", "export", "data",
           checked=True, good=None),
    Reader("export run_dir", "export {} --out out", "small.bundle", "export", "data", checked=True,
           result=files("out/*")),
    Reader("release publish bundle", "release publish {} --keys ../release/keys --hub http://127.0.0.1:1",
           "small.bundle", "export", "data", checked=True, good=None),
    Reader("evaluate results", "evaluate --from {}", "results.json", "export"),
    Reader("evaluate data", _JUDGED, "data/small_may.csv", "export", "table", **_EVALUATED),
    Reader("evaluate data", _JUDGED.replace("--data data", "--data {}"), "data", "export", "folder", **_EVALUATED),
    Reader("evaluate task", _JUDGED.replace("small.toml", "{}"), "small.toml", "export", **_EVALUATED),
    Reader("evaluate test", f"{_JUDGED} --test {{}}", "later/small_june.csv", "export", "table", **_EVALUATED),
    Reader("evaluate runs", _JUDGED.replace("--runs runs", "--runs {}"), "runs", "export", "folder", taken=ABSENT,
           **_EVALUATED),
    Reader("evaluate runs", _JUDGED, "runs/small/checkpoint.pt", "export", "data", **_EVALUATED),
    Reader("evaluate runs", _JUDGED, "runs/small/report.json", "export", **_EVALUATED),
)  # fmt: skip

_ENERGY = "simulate energy --data data --model small.toml --bundle small.bundle --json"
_AIR = "simulate air --data data --json"
SIMULATE = _of(
    Reader("simulate energy config", f"{_ENERGY} --config {{}}", "energy.toml", "simulate", good=None),
    Reader("simulate energy tariff", f"{_ENERGY} --tariff {{}}", "tariff.toml", "simulate", good=None),
    Reader("simulate energy model", _ENERGY.replace("small.toml", "{}"), "small.toml", "simulate", good=None),
    Reader("simulate energy bundle", _ENERGY.replace("small.bundle", "{}"), "token", "simulate", good=None),
    Reader(
        "simulate energy data",
        _ENERGY.replace("--bundle small.bundle ", "") + " --runs out",
        "data/energy/vic_elec_generated.csv",
        "simulate",
        "table",
        good=None,
        seconds=60,
        limit_s=300,
    ),
    Reader(
        "simulate energy data", _ENERGY.replace("--data data", "--data {}"), "data", "simulate", "folder", good=None
    ),
    Reader("simulate energy runs", _ENERGY + " --runs {}", "runs", "simulate", "folder", good=None, taken=ABSENT),
    Reader("simulate air config", f"{_AIR} --config {{}}", "air.toml", "simulate", good=None),
    Reader("simulate air data", _AIR.replace("--data data", "--data {}"), "data", "simulate", "folder", good=None),
    Reader("simulate air bundle", f"{_AIR} --bundle {{}}", "token", "simulate", good=None),
    Reader("simulate air model", f"{_AIR} --model {{}}", "small.toml", "simulate", good=None),
    Reader("simulate air runs", f"{_AIR} --runs {{}}", "runs", "simulate", "folder", good=None, taken=ABSENT),
)

_RUN = "sim run town.net.xml --seconds 60 --json"
SIM = _of(
    Reader("sim run net", "sim run {} --seconds 60 --json", "town.net.xml", "sim", seconds=1.5),
    Reader("sim run routes", f"{_RUN} --routes {{}}", "town.rou.xml", "sim", seconds=1.5),
    Reader("sim run data", "sim run cologne1 --seconds 60 --data {}", "town.net.xml", "sim", good=None),
    Reader("sim compare net", "sim compare {} --seconds 60 --json --seeds 1 --jobs 1 --policy fixed", "town.net.xml",
           "sim", seconds=1.5),
    Reader("sim compare routes",
           "sim compare town.net.xml --seconds 60 --json --seeds 1 --jobs 1 --policy fixed --routes {}",
           "town.rou.xml", "sim", seconds=1.5),
    Reader("sim compare data", "sim compare cologne1 --seconds 60 --data {}", "town.net.xml", "sim", good=None),
    Reader("sim measures events", "sim measures town.net.xml {} --json", "events.csv", "sim", "table"),
    Reader("sim measures net", "sim measures {} events.csv --json", "town.net.xml", "sim"),
    Reader("sim measures routes", "sim measures town.net.xml events.csv --json --routes {}", "town.rou.xml", "sim"),
    Reader("sim measures data", "sim measures cologne1 events.csv --data {}", "town.net.xml", "sim", good=None),
    Reader("sim configure net", "sim configure {} --out out --json", "town.net.xml", "sim", result=files("out/*")),
    Reader("sim configure data", "sim configure cologne1 --out out --data {}", "town.net.xml", "sim", good=None),
    Reader("sim offsets net", "sim offsets {} --json", "town.net.xml", "sim", good=None),
    Reader("sim offsets data", "sim offsets cologne1 --data {}", "town.net.xml", "sim", good=None),
)  # fmt: skip

_NOBODY = "--hub http://127.0.0.1:1"
RELEASE = _of(
    Reader("release init keys", f"release init --keys {{}} {_NOBODY}", "keys", "release", "folder", good=None),
    Reader("release init keys", f"release init --keys keys {_NOBODY}", "keys/root-1.pem", "release", good=None),
    Reader(
        "release publish keys",
        f"release publish ../export/small.bundle --keys keys {_NOBODY}",
        "keys/models.pem",
        "release",
        good=None,
    ),
    Reader(
        "release renew keys", f"release renew models --keys keys {_NOBODY}", "keys/models.pem", "release", good=None
    ),
    Reader("release renew keys", f"release renew root --keys keys {_NOBODY}", "keys/root-2.pem", "release", good=None),
    Reader("release show root", f"release show {_NOBODY} --root {{}}", "root.json", "release", good=None),
    Reader("release keys folder", "release keys {}", "new", "release", "folder", taken=ABSENT | {"folder"}, good=None),
)

_DATA = "--data data"
HUB = _of(
    Reader("hub init data", "hub init --data {}", "data", "hub", "folder", taken=ABSENT | {"folder"}),
    Reader("hub init data", "hub init --data data", "data/hub.sqlite", "hub", "data", taken=NOTHING),
    Reader("hub init data", "hub init --data data", "data/operator.token", "hub", taken=ABSENT),
    Reader("hub init data", "hub init --data data", "data/tuf/online.key", "hub", taken=ABSENT),
    Reader("hub token data", "hub token --data {}", "data", "hub", "folder", result=lambda _f, r: str(r.status)),
    Reader("hub token data", "hub token --data data", "data/hub.sqlite", "hub", "data",
           result=lambda _f, r: str(r.status)),
    *(
        Reader(f"hub user {verb} data", f"hub user {verb} {words} --data {place}", file, "hub", kind,
               named=("there is no hub in",), result=lambda _f, r: str(r.status))
        for verb, words in (("add", "anna --no-password"), ("link", "admin"),
                            ("password", "admin --password-file password.txt"))
        for place, file, kind in (("{}", "data", "folder"), ("data", "data/hub.sqlite", "data"))
    ),
    *(
        Reader(f"hub user {verb} password_file", f"hub user {verb} {words} --data data --password-file {{}}",
               "password.txt", "hub", result=lambda _f, r: str(r.status))
        for verb, words in (("add", "anna"), ("password", "admin"))
    ),
    Reader("hub retention show data", "hub retention show --data {} --json", "data", "hub", "folder"),
    Reader("hub retention show data", "hub retention show --data data --json", "data/retention.toml", "hub",
           taken=ABSENT),
    Reader("hub retention run data", "hub retention run --data {} --dry-run", "data", "hub", "folder", good=3),
    Reader("hub retention run data", "hub retention run --data data --dry-run", "data/retention.toml", "hub",
           taken=ABSENT, good=3),
    Reader("hub audit list data", "hub audit list --data {}", "data", "hub", "folder"),
    Reader("hub audit list data", "hub audit list --data data", "data/hub.sqlite", "hub", "data",
           named=("no hub in data",)),
    Reader("hub audit verify data", "hub audit verify --data {}", "data", "hub", "folder"),
    Reader("hub audit verify data", "hub audit verify --data data", "data/hub.sqlite", "hub", "data",
           named=("no hub in data",)),
    Reader("hub retention show data", "hub retention show --data {}", "data", "hub", "folder"),
    Reader("hub retention run data", "hub retention run --dry-run --data {}", "data", "hub", "folder",
           good=None),
    Reader("hub audit verify data", "hub audit verify --data data", "data/audit.head", "hub", checked=True,
           named=("audit log", "the log", "entries are gone", "entry")),
    Reader("hub run data", "hub run --data {} --port 0", "data", "hub", "folder", until=" serving ", seconds=3,
           result=lambda _f, r: str(r.ended)),
    Reader("hub run data", "hub run --data data --port 0", "data/hub.sqlite", "hub", "data", until=" serving ",
           seconds=3,
           result=lambda _f, r: str(r.ended)),
    Reader("hub run data", "hub run --data data --port 0", "data/operator.token", "hub", until=" serving ", seconds=3,
           result=lambda _f, r: str(r.ended)),
    Reader("hub run data", "hub run --data data --port 0", "data/tuf/online.key", "hub", until=" serving ", seconds=3,
           result=lambda _f, r: str(r.ended)),
    Reader("hub backup data", "hub backup new.backup --data {}", "data", "hub", "folder",
           result=lambda _f, r: str(r.status)),
    Reader("hub backup data", "hub backup new.backup --data data", "data/hub.sqlite", "hub", "data",
           result=lambda _f, r: str(r.status)),
    # With the good one it is the PostgreSQL that does not answer.
    Reader("hub move data", "hub move --data {} --database postgresql://127.0.0.1:1/none", "data", "hub", "folder",
           result=lambda _f, r: str(r.status), good=1),
    Reader("hub move data", "hub move --data data --database postgresql://127.0.0.1:1/none", "data/hub.sqlite", "hub",
           "data", result=lambda _f, r: str(r.status), good=1),
    Reader("hub backup file", "hub backup {} --check", "hub.backup", "hub", "data", checked=True),
    Reader("hub restore file", "hub restore {} --data new", "hub.backup", "hub", "data", checked=True,
           result=lambda _f, r: str(r.status)),
    Reader("hub restore data", "hub restore hub.backup --data {}", "new", "hub", "folder", taken=ABSENT | {"folder"},
           result=lambda _f, r: str(r.status), good=None),
    Reader("hub run oidc", "hub run --data data --port 0 --oidc {}", "oidc.toml", "hub", until=" serving ", seconds=3,
           result=lambda _f, r: str(r.ended)),
    Reader("hub run tls_cert", "hub run --data data --port 0 --tls-cert {} --tls-key key.pem", "cert.pem", "hub",
           until=" serving ", seconds=3, result=lambda _f, r: str(r.ended)),
    Reader("hub run tls_key", "hub run --data data --port 0 --tls-cert cert.pem --tls-key {}", "key.pem", "hub",
           until=" serving ", seconds=3, result=lambda _f, r: str(r.ended)),
)  # fmt: skip

DEMO = _of(
    Reader("demo edge_python", "demo --edge-python {} --home out --seconds 120", "token", "bridge", good=None,
           limit_s=30, seconds=5),
)  # fmt: skip

READERS: tuple[Reader, ...] = (*NODE, *BRIDGE, *TRAIN, *EXPORT, *SIMULATE, *SIM, *RELEASE, *HUB, *DEMO)
NOT_READ: dict[str, str] = {
    **dict.fromkeys(
        (
            "node events out", "commission show html", "board run pty_link", "board run stats", "board watch record",
            "image build out", "provision out", "train out", "export out", "evaluate page", "simulate energy plot",
            "simulate air plot", "sim run events", "sim run plot", "sim compare plot", "sim measures plot",
            "sim configure out", "replace token_file", "demo home", "demo screenshots", "node install-service folder",
            "hub install-service folder",
            "new task out", "new domain out", "new node out", "man folder",
        ),
        "written",
    ),
    **dict.fromkeys(("new task name", "new domain name", "new node name"), "a name"),
    **dict.fromkeys(
        (
            "hub backup database", "hub restore database", "hub move database", "hub init database", "hub run database",
            "hub token database", "hub audit list database", "hub audit verify database",
            "hub retention show database", "hub retention run database", "hub user add database",
            "hub user password database", "hub user link database",
        ),
        "the address of a PostgreSQL",
    ),
    "hub install-service data": "a folder that a unit names",
    "board plan port": "a serial line",
    "flash port": "a serial line",
    "simulate air site": "a station's name",
    "docs page": "the name of a page that comes along",
}  # fmt: skip
"""Parameters that may look as if they named a file to read, and what they are."""
