"""What every kind of source keeps to, whatever it hears: its steps follow each other, a restart loses and repeats
nothing of them, and what was not heard has no value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.edge.test_ledger import Hand
from wayside.contracts.camera_config import CameraConfig
from wayside.contracts.manual_config import ManualConfig, ManualValueConfig
from wayside.contracts.modbus_config import RegisterConfig
from wayside.contracts.reading import NO_VALUE
from wayside.contracts.sensor_config import ContactConfig, DetectorConfig
from wayside.contracts.uart_config import UartValueConfig
from wayside.edge.ledger import Ledger
from wayside.edge.node import Node
from wayside.edge.sources.board import BoardSource
from wayside.edge.sources.contacts import ContactSource
from wayside.edge.sources.entry import Entry
from wayside.edge.sources.frames import FrameSource
from wayside.edge.sources.manual import ManualSource
from wayside.edge.sources.step import Grid, Source, Step
from wayside.edge.sources.values import ValueSource
from wayside.edge.sources.view import Seen
from wayside.firmware_bridge.line.messages import Event, EventKind, Flag, Identity, Status

STEP_S = 900
START_MS = 1_699_999_200_000  # a multiple of the step
WELL = int(Flag.HOST_ALIVE | Flag.LINKED)
BUTTON = ContactConfig(pin=17, datastream="ped/1", role="ped_button")


class Kind(NamedTuple):
    made: Callable[[Hand, Grid, Ledger], Any]
    hear: Callable[[Any, Hand, int], None]  # the n-th reading
    pass_time: Callable[[Any, Hand, int], None]  # as its owner does; n readings were heard
    counts: bool = False  # silence of a sensor that is there is 0


def _board_hears(source: BoardSource, clock: Hand, n: int) -> None:
    source.receive([Event(n + 1, clock.now_ns // 1_000_000, int(EventKind.DETECTOR), 1, (n + 1) % 2)])


def _board_passes(source: BoardSource, clock: Hand, n: int) -> None:
    if source.identity is None:
        source.receive([Identity(2, 0, 0, 1, 0, "board-1", 7, 1, 8192)])
    source.receive([Status(clock.now_ns // 1_000_000, n + 1, 1, n, 0, 0, 0, WELL)])


def _ticks(source: Any, clock: Hand, n: int) -> None:
    source.pass_time()


def _presses(source: ContactSource, clock: Hand, n: int) -> None:
    source.change(BUTTON, True)
    source.change(BUTTON, False)


KINDS = {
    "board": Kind(
        lambda *ground: BoardSource((DetectorConfig(channel=1, datastream="det/1"),), *ground, signal=None),
        _board_hears,
        _board_passes,
        counts=True,
    ),
    "contacts": Kind(lambda *ground: ContactSource((BUTTON,), *ground), _presses, _ticks, counts=True),
    "registers": Kind(
        lambda *ground: ValueSource(
            "registers", (RegisterConfig(device=1, address=0, datastream="rain", unit="mm/h"),), *ground
        ),
        lambda source, clock, n: source.read(0, float(n % 7)),
        _ticks,
    ),
    "uart": Kind(
        lambda *ground: ValueSource("uart", (UartValueConfig(measure="pm2_5", datastream="pm"),), *ground),
        lambda source, clock, n: source.read(0, float(n % 7)),
        _ticks,
    ),
    "manual": Kind(
        lambda *ground: ManualSource(
            ManualConfig(
                port=8040, values=(ManualValueConfig(datastream="ed/arrivals", unit="{pat}", kind="events"),), wait_s=0
            ),
            *ground,
        ),
        lambda source, clock, n: source.take([Entry("ed/arrivals", 1.0, id=str(n))]) and None,
        _ticks,
    ),
    "frames": Kind(
        lambda *ground: FrameSource((CameraConfig(name="corner", folder="pictures", after="delete"),), *ground),
        lambda source, clock, n: source.see(0, Seen({}, True, 120.0, 0.2, None), (640, 480)),
        _ticks,
    ),
}


class Run:
    """A source from its first word on; every 60 s it hears something, or not."""

    def __init__(self, kind: Kind) -> None:
        self.kind, self.clock, self.steps, self.heard = kind, Hand(), list[Step](), 0
        self.clock._start_ms = START_MS
        self.source: Source = self._made()

    def _made(self) -> Any:
        self.grid = Grid(self.clock, STEP_S)
        return self.kind.made(self.clock, self.grid, Ledger("n", "0" * 32, self.clock))

    def minutes(self, minutes: int, *, silent: bool = False) -> None:
        for _ in range(minutes):
            self.kind.pass_time(self.source, self.clock, self.heard)
            self.steps += [c for c in self.source.closed() if isinstance(c, Step)]
            if not silent:
                self.kind.hear(self.source, self.clock, self.heard)
                self.heard += 1
            self.clock.now_ns += 60 * 10**9

    def restart(self) -> None:
        """As an agent does: through JSON, with the grid's numbers and the last step of the history."""
        state, grid = (msgspec.json.decode(msgspec.json.encode(s.state())) for s in (self.source, self.grid))
        self.source = self._made()
        self.grid.restore(grid, 0)
        self.source.restore(state)
        if self.steps:
            self.source.next_number(self.steps[-1].grid + 1)


each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def test_every_source_of_a_node_is_in_this_suite() -> None:
    import ast
    import inspect

    made = {n.func.id for n in ast.walk(ast.parse(inspect.getsource(Node.__init__).lstrip()))
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id.endswith("Source")}  # fmt: skip
    assert made == {"BoardSource", "ContactSource", "ValueSource", "ManualSource", "FrameSource"}


@each_kind
def test_steps_follow_each_other_and_have_an_entry_for_each_datastream(kind: Kind) -> None:
    run = Run(kind)
    run.minutes(100)
    assert len(run.steps) >= 5
    for before, step in zip(run.steps, run.steps[1:], strict=False):
        assert step.grid == before.grid + 1
        assert step.start_ns == before.end_ns
    for step in run.steps:
        assert len(step.values) == len(step.qualities) == len(step.n) == len(run.source.datastreams) == 1


@each_kind
def test_a_restart_in_a_step_changes_no_step(kind: Kind) -> None:
    whole, restarted = Run(kind), Run(kind)
    for run in (whole, restarted):
        run.minutes(37)
        if run is restarted:
            run.restart()
        run.minutes(50)
    assert restarted.steps == whole.steps
    assert any(step.values[0] for step in whole.steps)


@each_kind
def test_what_was_not_heard_has_no_value_and_is_never_a_good_0(kind: Kind) -> None:
    run = Run(kind)
    run.minutes(40)
    run.minutes(40, silent=True)
    value, quality = run.steps[-1].values[0], run.steps[-1].qualities[0]
    if kind.counts:  # the board's clock went on, the pin is read: nobody came
        assert value == 0.0
    else:
        assert value is None
        assert quality in NO_VALUE
