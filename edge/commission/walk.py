"""A technician's walk through the sensors of a node, at a terminal: ask, show, take keys, keep each outcome at once."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from wayside import terminal
from wayside.contracts.actuator_config import SetpointConfig
from wayside.contracts.commissioning import CommissioningRecord, DoctorFinding, SensorCheck, WiringCheck
from wayside.contracts.node_config import NodeConfig
from wayside.contracts.reading import Stamp
from wayside.contracts.sync import Board
from wayside.contracts.version import VERSION
from wayside.edge.commission.live import Live
from wayside.edge.commission.record import (
    FOLDER,
    CommissionError,
    Progress,
    WalkFile,
    key_of,
    may_write,
    now,
    write_record,
)
from wayside.edge.commission.sensor_walk import SensorWalk, Target, outcome, targets
from wayside.edge.commission.setpoint_walk import SetpointWalk, name_of, target_of
from wayside.edge.commission.terminal import END, Keys, Screen
from wayside.edge.commission.wiring.step import signal_with_loops, wiring_of_board
from wayside.edge.doctor.examine import examine
from wayside.edge.doctor.running import agent_runs, running_agent
from wayside.edge.errors import EdgeError
from wayside.edge.hand_in import hand_in
from wayside.edge.hub_client import HubClient
from wayside.edge.hub_tls import HubTls
from wayside.exits import nobody_answers
from wayside.paths import settled

REDRAW_S = 0.2
HAND_IN_S = 20.0
BACK_S = 20.0  # for a running agent to have its board again


class Options(NamedTuple):
    by: str | None = None
    site: str | None = None
    only: tuple[str, ...] = ()
    again: bool = False
    hint_s: float = 60.0
    wiring_s: float | None = None
    """listen so long for mis-wired detectors"""


class Stopped(CommissionError):  # noqa: N818
    """The technician stopped; what was walked is kept."""


# --- the walk ---------------------------------------------------------------------------------------------------------


class Walk:
    """The sensors that remain, one after the other."""

    def __init__(
        self, config: NodeConfig, wanted: Sequence[Target], progress: Progress, file: WalkFile, hint_s: float
    ) -> None:
        self.progress = progress
        self._node = config.node
        self._setpoints = {name_of(a): a for a in config.actuators if isinstance(a, SetpointConfig)}
        self._all = targets(config)  # also where one alone is walked: another may react in its place
        self._wanted, self._file, self._hint_s = wanted, file, hint_s
        self._sensor_walk: SensorWalk | SetpointWalk | None = None
        self._typed: str | None = None  # the reason for skipping, while it is typed

    @property
    def done(self) -> dict[str, SensorCheck]:
        return {check.datastream: check for check in self.progress.sensors}

    @property
    def remaining(self) -> list[Target]:
        done = self.done
        return [t for t in self._wanted if t.datastream not in done]

    def on_move(self, datastream: str, level: bool) -> None:
        if self._sensor_walk is not None:
            self._sensor_walk.moved(datastream, level, time.monotonic())

    async def run(self, live: Live, screen: Screen, keys: asyncio.Queue[str]) -> None:
        """Raises: Stopped, CommissionError."""
        others = {t.datastream: t for t in self._all}
        for target in self.remaining:
            self._sensor_walk = sensor_walk = self._walk_of(target, live, others)
            while True:
                if isinstance(sensor_walk, SetpointWalk):
                    await live.switch(self._setpoints[target.datastream], sensor_walk.wants)
                sensor_walk.tick(time.monotonic())
                self._show(sensor_walk, live, screen)
                if sensor_walk.check is not None:
                    break
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REDRAW_S):
                        self._key(sensor_walk, await keys.get())
            if isinstance(sensor_walk, SetpointWalk):
                await live.switch(self._setpoints[target.datastream], None)
            self._keep(sensor_walk.check, live.board)
        self._sensor_walk = None

    def _walk_of(self, target: Target, live: Live, others: dict[str, Target]) -> SensorWalk | SetpointWalk:
        setpoint = self._setpoints.get(target.datastream) if target.kind == "setpoint" else None
        if setpoint is not None:
            return SetpointWalk(setpoint, live.states, time.monotonic())
        return SensorWalk(target, live.states, others, time.monotonic())

    def _key(self, sensor_walk: SensorWalk | SetpointWalk, key: str) -> None:
        if key == END:
            raise Stopped("there is no more input")
        if self._typed is not None:
            self._type(sensor_walk, key)
        elif key in ("\n", "\r", " "):
            pass
        elif key == "q":
            raise Stopped("stopped")
        elif key == "s":
            self._typed = ""
        else:
            sensor_walk.key(key.lower(), time.monotonic())

    def _type(self, sensor_walk: SensorWalk | SetpointWalk, key: str) -> None:
        typed = self._typed or ""
        if key in ("\n", "\r"):
            self._typed = None
            if typed.strip():
                sensor_walk.skip(typed.strip()[:200])
            else:
                sensor_walk.remark = "not skipped: that needs a reason"
        elif key == "\x1b":
            self._typed = None
        elif key in ("\x7f", "\b"):
            self._typed = typed[:-1]
        elif key.isprintable():
            self._typed = (typed + key)[:200]

    def keep_wiring(self, check: WiringCheck) -> None:
        self.progress = msgspec.structs.replace(self.progress, wiring=check)
        self._file.save(self.progress)

    def _keep(self, check: SensorCheck, board: Board | None) -> None:
        self.progress = msgspec.structs.replace(
            self.progress, sensors=(*self.progress.sensors, check), board=board or self.progress.board
        )
        self._file.save(self.progress)

    def _show(self, sensor_walk: SensorWalk | SetpointWalk, live: Live, screen: Screen) -> None:
        done = self.done
        if sensor_walk.check is not None:
            done[sensor_walk.check.datastream] = sensor_walk.check
        board = f", board {live.board.identity}" if live.board else ""
        number = len(self.progress.sensors) + 1
        target = sensor_walk.target
        body = [f"{number} of {len(self._wanted)}: {target.ask}", f"{target.where}: {sensor_walk.shows()}"]
        body += sensor_walk.says(self._hint_s)
        keys = sensor_walk.keys()
        if sensor_walk.check is not None:
            body, keys = [f"{sensor_walk.target.datastream}: {outcome(sensor_walk.check)}"], ""
        elif self._typed is not None:
            body.append(f"Why is it skipped? {self._typed}_")
            keys = "Enter: skip it   Esc: go back"
        rows = [(t.datastream, outcome(done[t.datastream]) if t.datastream in done else "") for t in self._wanted]
        at = [t.datastream for t in self._wanted].index(sensor_walk.target.datastream)
        screen.show(f"Commissioning {self._node}, by {self.progress.by}{board}", body, keys, rows, at)


# --- the whole procedure ----------------------------------------------------------------------------------------------


def commission(
    config: NodeConfig, config_sha256: str, folder: Path, options: Options, console: terminal.Screen
) -> tuple[CommissioningRecord, Path]:
    """Walk what remains, ask the doctor, write the signed record.

    Raises:
        Stopped: what was walked is kept. CommissionError, EdgeError: what is in the way.
    """
    state_dir = settled(folder, config.state_dir)
    identity = key_of(state_dir)
    may_write(state_dir)
    wanted = _wanted(config, options.only)
    if options.wiring_s is not None:
        signal_with_loops(config)  # better now than after the walk
    with _alone(state_dir):
        file = WalkFile(state_dir, config_sha256, tuple(t.datastream for t in wanted))
        begun = _begun(file, config_sha256, now(config, state_dir), options, console)
        walk = Walk(config, wanted, begun, file, options.hint_s)
        if walk.remaining:
            _walk_what_remains(walk, config, folder, state_dir, console)
        if options.wiring_s is not None and walk.progress.wiring is None:
            walk.keep_wiring(wiring_of_board(config, state_dir, options.wiring_s, console))
        findings = tuple(_examined(config, folder, state_dir, console))
        progress = walk.progress
        order = [t.datastream for t in wanted]
        record = CommissioningRecord(
            id=progress.id,
            node=config.node,
            site=progress.site,
            by=progress.by,
            started=progress.started,
            finished=now(config, state_dir),
            agent=VERSION,
            config_sha256=config_sha256,
            board=progress.board,
            sensors=tuple(sorted(progress.sensors, key=lambda c: order.index(c.datastream))),
            doctor=findings,
            wiring=progress.wiring,
        )
        path = write_record(state_dir, record, identity)
        file.remove()
    if config.hub is not None and not agent_runs(state_dir):
        _hand_in(HubClient(config.hub, config.node, identity, HubTls(config.hub, folder)), state_dir, console)
    return record, path if path.exists() else path.with_suffix(".sent")


def _hand_in(client: HubClient, state_dir: Path, console: terminal.Screen) -> None:
    """Hand the record in, as no agent runs; if the hub does not answer, the next agent will."""

    async def send() -> None:
        try:
            async with asyncio.timeout(HAND_IN_S):
                await hand_in(client, state_dir)
        finally:
            await client.close()

    try:
        asyncio.run(send())
    except (EdgeError, OSError, TimeoutError, KeyboardInterrupt) as exc:
        late = f"the hub does not answer in {HAND_IN_S:g} s"
        why = "interrupted" if isinstance(exc, KeyboardInterrupt) else str(exc) or late
        console.print(f"The record waits for the agent to hand it in: {why}", markup=False, soft_wrap=True)


def _targets(config: NodeConfig) -> tuple[Target, ...]:
    """Sensors first: what a technician has seen working may be watched while a set-point is switched."""
    return (*targets(config), *(target_of(a) for a in config.actuators if isinstance(a, SetpointConfig)))


def _wanted(config: NodeConfig, only: tuple[str, ...]) -> tuple[Target, ...]:
    all_targets = _targets(config)
    if not all_targets:
        raise CommissionError(
            "this node has no sensors: list them as [[detectors]], [[cameras]], [[gpio.contacts]] or [modbus]"
        )
    unknown = set(only) - {t.datastream for t in all_targets}
    if unknown:
        names = ", ".join(t.datastream for t in all_targets)
        raise CommissionError(f"no sensor is called {', '.join(sorted(unknown))}; there are {names}")
    return tuple(t for t in all_targets if not only or t.datastream in only)


@contextlib.contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """Hold the node's lock: two walks at once would each keep half of the outcomes."""
    folder = os.open(state_dir / FOLDER, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise CommissionError("this node is being commissioned in another terminal") from exc
    finally:
        os.close(folder)


def _begun(file: WalkFile, digest: str, started: Stamp, options: Options, console: terminal.Screen) -> Progress:
    if options.again:
        file.remove()
    progress = file.load()
    if progress is None:
        by = options.by or _name(console)
        return Progress(id=secrets.token_hex(16), by=by, site=options.site, started=started, config_sha256=digest)
    names = ", ".join(f"{c.datastream} {c.outcome}" for c in progress.sensors) or "nothing yet"
    console.print(f"Going on with the walk of {progress.by}; done: {names}", markup=False, soft_wrap=True)
    return msgspec.structs.replace(
        progress, by=options.by or progress.by, site=options.site if options.site is not None else progress.site
    )


def is_label(text: str) -> bool:
    """Whether a record can hold it as a name."""
    return len(text.strip()) > 0 and len(text) <= 64 and text.isprintable()


def _name(console: terminal.Screen) -> str:
    if sys.stdin.isatty():
        with contextlib.suppress(EOFError):
            typed = console.input("Who walks? Your name: ").strip()
            if is_label(typed):
                return typed
    raise CommissionError("the record says who walked: give --by NAME, 1 to 64 characters")


def _walk_what_remains(walk: Walk, config: NodeConfig, folder: Path, state_dir: Path, console: terminal.Screen) -> None:
    agent = agent_runs(state_dir)
    names = {t.datastream for t in walk.remaining}
    live = Live(config, state_dir, agent=agent, names=names, on_move=walk.on_move, folder=folder)
    if agent:
        console.print("An agent runs: it lends its board meanwhile, and gets every event afterwards.")
    try:
        live.borrow()
        asyncio.run(_at_terminal(walk, live, console))
    except asyncio.CancelledError as exc:
        raise Stopped("ended by a signal") from exc
    finally:
        live.give_back()


async def _at_terminal(walk: Walk, live: Live, console: terminal.Screen) -> None:
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    assert task is not None  # noqa: S101
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        await live.start()
        if nobody_answers():
            raise CommissionError("there is no input: a person answers here, run it at a terminal")
        with Keys(sys.stdin.fileno())() as keys, Screen(console) as screen:
            await walk.run(live, screen, keys)
    finally:
        await live.stop()


def _examined(config: NodeConfig, folder: Path, state_dir: Path, console: terminal.Screen) -> Iterator[DoctorFinding]:
    """The doctor's checks. An agent gets its board back first."""
    if agent_runs(state_dir) and config.board is not None:
        console.print("Waiting for the agent to take its board back")
        deadline = time.monotonic() + BACK_S
        while time.monotonic() < deadline and not ((running_agent(state_dir) or {}).get("board") or {}).get(
            "connected"
        ):
            time.sleep(0.2)
    for finding in examine(config, folder):
        if finding.state in ("fail", "warn"):
            console.print(f"{finding.state}: {finding.check}: {finding.said}", markup=False, soft_wrap=True)
            if finding.fix:
                console.print(f"      → {finding.fix}", markup=False, soft_wrap=True)
        yield DoctorFinding(check=finding.check[:64], state=finding.state, said=finding.said[:300])
