"""One run: a reader, a damage, a seed."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import tempfile
import threading
import zlib
from pathlib import Path

from tests.fuzz import material
from tests.fuzz.damage import TABLES, UNSEEN, Damage
from tests.fuzz.oracle import Complaint, complaints
from tests.fuzz.readers import Reader
from tests.fuzz.server import Order, Ran, Server

SEEDED = UNSEEN | {
    "nuls", "ansi", "umlaut", "shuffled", "line lost", "line twice", "line torn", "huge number", "columns swapped",
    "column renamed", "column twice", "column nameless", "ragged row", "open quote",
}  # fmt: skip
_LIGHT = (
    "wayside.edge.cli", "wayside.edge.commission.cli", "wayside.firmware_bridge.cli",
    "wayside.firmware_bridge.flash.cli",
    "wayside.firmware_bridge.image.cli", "wayside.firmware_bridge.provision.cli", "wayside.cloud.sim.traffic.cli",
    "wayside.cloud.hub.cli", "wayside.cloud.hub.app", "wayside.export.cli", "wayside.export.release",
    "wayside.edge.doctor.examine", "wayside.edge.commission.walk", "wayside.edge.commission.wiring.step",
    "wayside.edge.configuration.check", "wayside.cloud.sim.traffic.measures", "wayside.cloud.demo.cli",
    "wayside.edge.start",
    "rich.console", "rich.progress", "rich.table", "esptool", "intelhex", "fpdf", "segno", "numpy", "httpx",
)  # fmt: skip
_HEAVY = (
    "wayside.cloud.train.cli", "wayside.cloud.train.run", "wayside.cloud.train.datasets", "wayside.cloud.train.sweep",
    "wayside.cloud.evaluate.cli", "wayside.cloud.evaluate.job", "wayside.cloud.evaluate.table", "wayside.cloud.sim.cli",
    "wayside.cloud.sim.model", "wayside.cloud.sim.report", "wayside.cloud.sim.controls", "wayside.export.cli",
    "wayside.export.checkpoint", "pandas", "torch", "matplotlib.pyplot",
)  # fmt: skip
HEAVY_ROOMS = ("train", "trained", "export", "simulate")
PIPE_S = 4.0  # who waits for a pipe's other end waits for ever
_CHANGING = re.compile(
    r"/dev/pts/\d+|\b\d+ (?=MB\b|seconds ago)|(?<=\"(?:age_s)\": )[\d.]+|\b\d{4}-\d\d-\d\d[T ][\d:]+\S*"
    r"|(?<=127\.0\.0\.1:)\d+|(?<=process \[)\d+"
)
_making = threading.Lock()


class Stage:
    """Warm processes and good files, and what came of the good files."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._servers: dict[str, Server] = {}
        self._good: dict[tuple[Reader, bytes], tuple[Ran, str]] = {}
        self._scratch = Path(tempfile.mkdtemp(prefix="fuzz-runs-"))

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def suits(self, reader: Reader, damage: Damage, seed: int) -> bool:
        """Whether there is such a run."""
        if seed and damage.name not in SEEDED:
            return False
        if reader.kind == "folder":
            return damage.name in ("missing", "folder", "symlink loop", "pipe", "null device", "empty", "kind zip")
        if damage in TABLES:
            return reader.kind == "table"
        return not (damage.texts and reader.kind == "data")

    def play(self, reader: Reader, damage: Damage, seed: int) -> list[Complaint]:
        good = self._good_bytes(reader)
        chance = zlib.crc32(f"{reader.name} {damage.name} {seed}".encode())
        unseen = damage.name in UNSEEN and not reader.checked
        ran, result = self._run(reader, damage, good, chance)
        whole = damage.twin(good, random.Random(chance)) if damage.twin is not None else good
        of_good, expected = self._of(reader, whole)
        name = Path(reader.file).name
        return complaints(
            damage,
            ran,
            of_good,
            (name, *reader.named),
            unseen=unseen,
            taken=damage.name in reader.taken,
            ours=reader.ours,
            result=result,
            of_good=expected,
        )

    def _good_bytes(self, reader: Reader) -> bytes:
        path = self._room(reader.room) / reader.file
        return path.read_bytes() if path.is_file() else b""

    def _room(self, room: str) -> Path:
        with _making:
            return material.make(self._place, room)

    def _of(self, reader: Reader, content: bytes) -> tuple[Ran, str]:
        """The run with the good file."""
        key = (reader, hashlib.sha256(content).digest())
        if key not in self._good:
            self._good[key] = self._run(reader, None, content, 0)
            ran = self._good[key][0]
            own = content == self._good_bytes(reader)
            if own and reader.good is not None and ran.status != reader.good:
                raise AssertionError(f"{reader.words}: the good file ends with {ran.status}: {ran.err[-2000:]}")
        return self._good[key]

    def _run(self, reader: Reader, damage: Damage | None, content: bytes, chance: int) -> tuple[Ran, str]:
        folder = self._scratch / f"{random.randrange(1 << 60):x}"
        for room in ("node", "release", "export"):
            if f"../{room}/" in reader.words:
                (self._scratch / room).exists() or (self._scratch / room).symlink_to(self._room(room))
        source = self._room(reader.room)
        path = folder / reader.file
        as_it_is = reader.kind == "folder" and damage is None
        material.copy(source, folder, "" if as_it_is else reader.file)
        if not as_it_is:
            path.parent.mkdir(parents=True, exist_ok=True)
        if damage is None:
            if not as_it_is and (source / reader.file).is_file():
                if content == self._good_bytes(reader) and len(content) > material.MB:
                    path.symlink_to(source / reader.file)
                else:
                    path.write_bytes(content)
        else:
            made = damage.make(content or b"good\n", path, random.Random(chance))
            if made is not None:
                path.write_bytes(made)
        words = reader.words.replace("{}", reader.file).split()
        environment = {name: value.replace("{}", reader.file) for name, value in reader.environment}
        limit_s = PIPE_S + reader.seconds * 2 if damage is not None and damage.name == "pipe" else reader.limit_s
        try:
            ran = self._server(reader).run(
                Order(words, str(folder), str(folder / ".said"), limit_s, environment, reader.until)
            )
            ran = ran._replace(out=_steady(ran.out, folder), err=_steady(ran.err, folder))
            return ran, reader.result(folder, ran)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _server(self, reader: Reader) -> Server:
        which = "heavy" if reader.room in HEAVY_ROOMS else "light"
        if which not in self._servers:
            self._servers[which] = Server(_HEAVY if which == "heavy" else _LIGHT)
        return self._servers[which]


def _steady(text: str, folder: Path) -> str:
    """Without what differs from run to run."""
    return _CHANGING.sub("~", text.replace(str(folder), "HERE"))
