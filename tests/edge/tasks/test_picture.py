"""Frames through a node: counts a step, what was driven meanwhile, models that are late or ill, restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.simulators.pictures import LightModel, task
from wayside.contracts.frames import Frame
from wayside.contracts.node_config import load_node_config
from wayside.contracts.reading import ClockState, Quality, Stamp
from wayside.contracts.summary import Kind, Summary
from wayside.edge.clock import Wall
from wayside.edge.node import Node
from wayside.edge.sources.view import Seen
from wayside.edge.tasks.picture import CONSTANT, row_name
from wayside.edge.tasks.runner import Job
from wayside.firmware_bridge.line.messages import Event, EventKind, Flag, Identity, Status

TOML = """
node = "node-1"
state_dir = "state"
[board]
port = "/dev/null"
[[cameras]]
name = "corner"
folder = "pictures"
after = "delete"
phase = 2
[[cameras]]
name = "bridge"
folder = "others"
after = "keep"
[[tasks]]
name = "light"
bundle = "light"
kind = "classify"
interval_s = 60
sites = [{ output = "corner" }, { output = "bridge" }]
[[tasks]]
name = "count"
bundle = "count"
kind = "count"
interval_s = 60
sites = [{ output = "corner" }]
"""
FINE = dict.fromkeys((Quality.DARK, Quality.OVEREXPOSED, Quality.BLURRED, Quality.FROZEN, Quality.MOVED), False)
GREEN, YELLOW, RED = int(EventKind.PHASE_GREEN), int(EventKind.PHASE_YELLOW), int(EventKind.PHASE_RED)


class StandingClock:
    """Moves when it is told to."""

    speed = 1.0
    board_zero_ms = None

    def __init__(self) -> None:
        self.ns = 960 * 10**9  # a step ends here

    def mono_ns(self) -> int:
        return self.ns

    def wall(self, mono_ns: int) -> Wall:
        return Wall(1_704_067_200_000 + mono_ns // 1_000_000, ClockState.SIMULATED, 1)

    def hear_hub(self, hub_unix_ms: int, sent_ns: int, received_ns: int) -> None:
        pass


class HeldRunner:
    """Jobs are done when they are told to be."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.is_late = False

    def submit(self, job: Job) -> None:
        self.jobs.append(job)

    def busy(self, runtime: Any) -> bool:
        return False

    def late(self, job: Job) -> bool:
        return self.is_late

    def forget(self, runtime: Any) -> None:
        pass


class Street:
    def __init__(self, runner: Any = None, text: str = TOML) -> None:
        self.config = load_node_config(text)
        self.clock = StandingClock()
        self.runner = runner
        self.node = self._node()
        self.rows: list[Summary] = []
        self.pass_s(60.0)  # the first step is not a whole one
        self.take()

    def _node(self) -> Node:
        return Node(self.config, self.clock, "0" * 32, self.runner)

    def restart(self) -> None:
        state = {k: msgspec.json.decode(msgspec.json.encode(v)) for k, v in self.node.state().items()}
        history = [body for _, body in self.node.steps]
        self.node = self._node()
        self.node.restore(state, history)

    def pass_s(self, seconds: float) -> None:
        self.clock.ns += int(seconds * 1e9)
        self.node.pass_time()

    def see(self, level: int, camera: int = 0, *, changed: bool = True, **troubles: bool) -> None:
        held = FINE | {Quality(name): holds for name, holds in troubles.items()}
        seen = Seen(held, changed, float(level), 0.2, 0.0)
        at = Stamp(boot="0" * 32, mono_ns=self.clock.ns)
        picture = np.full((32, 32, 3), level, np.float32)
        frames = {look.task: Frame(picture, at) for look in self.node.looks(camera)}
        self.node.see(camera, seen, (640, 480), frames)

    def take(self) -> list[Summary]:
        rows, self.node.ledger.rows = self.node.ledger.rows, []
        self.rows += rows
        return rows

    def values(self) -> dict[str, tuple[float | None, Quality, int]]:
        return {r.datastream: (r.value, r.quality, r.n) for r in self.take() if r.kind is Kind.INTERVAL}

    def step(self) -> dict[str, tuple[float | None, Quality, int]]:
        self.pass_s(60.0)
        return self.values()

    def open(self) -> set[tuple[str, str]]:
        return {(c.code, c.subject) for c in self.node.ledger.conditions()}


@pytest.fixture
def street() -> Street:
    street = Street()
    street.node.set_model("light", LightModel())  # type: ignore[arg-type]
    street.node.set_model("count", LightModel(task("count"), "count"))  # type: ignore[arg-type]
    street.take()
    return street


GOOD = Quality.GOOD


def test_a_step_says_the_share_of_frames_and_the_mean_count(street: Street) -> None:
    for level in (64, 64, 192, 64):
        street.see(level)
    street.see(192, 1)
    assert street.step() == {
        "corner": (4.0, GOOD, 4),
        "bridge": (1.0, GOOD, 1),
        "corner/dim": (0.75, GOOD, 4),
        "corner/bright": (0.25, GOOD, 4),
        "bridge/dim": (0.0, GOOD, 1),
        "bridge/bright": (1.0, GOOD, 1),
        "count/corner/vehicle": (1.5, GOOD, 4),
    }


def test_without_frames_nothing_is_zero(street: Street) -> None:
    street.see(64)
    street.step()
    values = street.step()
    assert values["corner"] == (None, Quality.STALE, 0)
    assert values["corner/dim"] == values["count/corner/vehicle"] == (None, Quality.STALE, 0)
    assert values["bridge/dim"] == (None, Quality.MISSING, 0)


def test_without_a_model_counts_are_missing_and_it_is_told(street: Street) -> None:
    street.see(64)
    street.step()
    street.node.set_model("light", None, "it was taken away")
    street.see(64)
    values = street.step()
    assert values["corner"] == (1.0, GOOD, 1)
    assert values["corner/dim"] == (None, Quality.MISSING, 0)
    assert values["count/corner/vehicle"] == (1.0, GOOD, 1)
    assert ("no_model", "light") in street.open()
    assert street.node.looks(0) and {look.task for look in street.node.looks(0)} == {"count"}


def test_the_quality_of_most_frames_is_that_of_their_counts(street: Street) -> None:
    street.see(64)
    street.see(64, dark=True)
    assert street.step()["corner/dim"] == (1.0, Quality.DARK, 2)
    assert ("camera_dark", "corner") in street.open()
    street.see(64)
    street.see(64)
    assert street.step()["corner/dim"] == (1.0, GOOD, 2)
    assert ("camera_dark", "corner") not in street.open()


def test_frames_that_overtake_each_other_are_dropped_counted_and_told() -> None:
    runner = HeldRunner()
    street = Street(runner)
    street.node.set_model("light", LightModel())  # type: ignore[arg-type]
    street.take()
    for level in (10, 20, 30, 40):
        street.see(level)
    assert len(runner.jobs) == 1
    assert ("frames_dropped", "corner") in street.open()
    for _ in range(2):
        job = runner.jobs[-1]
        job.run()
        street.node.answered(job)
    values = street.step()
    assert values["corner"] == (4.0, GOOD, 4)
    assert values["corner/dim"] == (1.0, GOOD, 2), "the first, and the last that came meanwhile"
    assert values["corner/dropped"] == (2.0, GOOD, 2)
    street.step()
    assert ("frames_dropped", "corner") not in street.open()


def test_a_late_answer_is_given_up_and_told_and_its_pixels_are_gone() -> None:
    runner = HeldRunner()
    street = Street(runner)
    street.node.set_model("light", LightModel())  # type: ignore[arg-type]
    street.see(200)
    runner.is_late = True
    street.pass_s(1.0)
    assert ("model_late", "light") in street.open()
    job = runner.jobs[0]
    job.run()
    street.node.answered(job)
    street.take()
    assert street.step()["corner/bright"] == (None, Quality.MISSING, 0)
    runner.is_late = False
    street.see(200)
    runner.jobs[-1].run()
    street.node.answered(runner.jobs[-1])
    assert ("model_late", "light") not in street.open()
    assert not any(pixels.any() for pixels in runner.jobs[-1].views)
    assert street.step()["corner/bright"] == (1.0, GOOD, 1)


@pytest.mark.parametrize(("answer", "code"), [([[np.nan, 1.0]], "model_nan"), ([[0.25, 0.5]], "model_constant")])
def test_an_ill_model_is_told(answer: Any, code: str) -> None:
    street = Street()
    model = LightModel()
    model.answer = answer
    street.node.set_model("light", model)  # type: ignore[arg-type]
    for level in range(CONSTANT + 1):
        street.see(level)
    assert (code, "light") in street.open()
    model.answer = None
    street.see(200)
    assert (code, "light") not in street.open()


def test_equal_answers_to_equal_pictures_are_no_fault_of_the_model() -> None:
    street = Street()
    model = LightModel()
    model.answer = [[0.25, 0.5]]
    street.node.set_model("light", model)  # type: ignore[arg-type]
    for _ in range(3 * CONSTANT):
        street.see(100, changed=False, frozen=True)
    assert ("model_constant", "light") not in street.open()
    assert ("camera_frozen", "corner") in street.open()


def test_a_restart_keeps_what_was_counted(street: Street) -> None:
    street.see(64)
    street.see(192)
    street.restart()
    street.node.set_model("light", LightModel())  # type: ignore[arg-type]
    street.see(192)
    street.take()
    values = street.step()
    assert values["corner"] == (3.0, GOOD, 3)
    assert values["corner/bright"] == (pytest.approx(2 / 3), GOOD, 3)


def test_no_state_holds_a_pixel(street: Street) -> None:
    street.see(199)
    assert b"199" not in msgspec.json.encode(street.node.state()).replace(b"1990", b"")


def test_frames_are_laid_beside_what_the_board_drove_when_they_were_taken(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = []
    picture = street.node._pictures[0]
    monkeypatch.setattr(picture, "_decide", lambda sites, *_: answers.append(sites))
    monkeypatch.setattr(picture, "decider", object())
    node, flags = street.node, int(Flag.HOST_ALIVE | Flag.LINKED | Flag.SIGNALS)
    node.receive([Identity(1, 0, 0, 1, 0, "board-1", 7, 1, 8192)])
    seq, zero = 1, street.clock.ns

    def board(*events: int) -> None:
        nonlocal seq
        ms = (street.clock.ns - zero) // 1_000_000
        heard: list[Any] = []
        for kind in events:
            heard.append(Event(seq, ms, kind, 2, 1))
            seq += 1
        node.receive([*heard, Status(ms, seq, 1, seq - 1, 0, 0, 0, flags)])

    board()
    for kind, level in ((GREEN, 192), (YELLOW, 64), (RED, 64), (RED, 192)):
        board(kind)
        street.clock.ns += 5 * 10**9
        board()
        street.see(level)
        street.clock.ns += 3 * 10**9
        board()
    street.pass_s(40.0)
    by_head = answers[-1]["corner"].by_head
    assert by_head == {"green": {"bright": 1}, "yellow": {"dim": 1}, "red": {"dim": 1, "bright": 1}}
    assert answers[-1]["bridge"].by_head is None
    street.see(192)  # and then the line is cut
    street.pass_s(60.0)
    assert answers[-1]["corner"].by_head == {"unknown": {"bright": 1}}


WRONG: list[tuple[Callable[[str], str], str]] = [
    (lambda t: t.replace('output = "bridge"', 'output = "brigde"'), "no camera of this file"),
    (lambda t: t.replace('after = "delete"\n', ""), "says what becomes"),
    (lambda t: t.replace('folder = "others"', 'folder = "pictures"'), "each camera has its own"),
    (lambda t: t.replace('folder = "others"', 'folder = "state/x"'), "in each other's way"),
    (lambda t: t.replace('folder = "others"', 'folder = "others"\nurl = "/dev/video0"'), "either a folder or a url"),
    (lambda t: t.replace('folder = "others"\nafter = "keep"', 'url = "http://camera/"'), "rtsp://"),
    (lambda t: t.replace('[board]\nport = "/dev/null"\n', ""), "needs a [board]"),
]


@pytest.mark.parametrize(("change", "rule"), WRONG)
def test_a_file_with_a_mistake_about_cameras_is_refused_by_name(change: Callable[[str], str], rule: str) -> None:
    from wayside.contracts.wire import ContractError

    with pytest.raises(ContractError) as refused:
        load_node_config(change(TOML))
    assert any(rule in text for _, text in refused.value.mistakes), refused.value.mistakes


def test_a_class_of_any_words_is_the_name_of_a_row() -> None:
    assert row_name("corner", "no passing over 3.5 t") == "corner/no_passing_over_3.5_t"
    assert len(row_name("c" * 32, "x" * 64)) == 64
