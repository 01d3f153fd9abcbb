"""The three nodes of the demo: what each one's configuration says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from wayside.cloud.demo.feeds import Feed, controller_log, counted_day

TIMEZONE = "America/Los_Angeles"  # both data sets are from Oregon
FLOW, SCORE = "traffic-flow", "traffic-score"  # bundles
SIGNAL = "intersection/signal"
SEED = 7

# Node 1, from the log itself: yellow 4 s, red clearance 1.5 s, a cycle near 75 s, served 5 → 6 → 8 (2 runs beside 6).
# phase, fixed green, minimum green, maximum green, ring
LOGGED = ((5, 12.0, 5.0, 30.0, 1), (6, 36.0, 10.0, 60.0, 1), (8, 10.5, 6.0, 30.0, 1))
LOGGED_CYCLE_S = 75.0
YELLOW_S = 4.0
RED_CLEARANCE_S = 1.5
# Nodes 2 and 3: the package says nothing of phases. This plan and the detectors' phases are assumed.
ASSUMED = ((2, 48.0, 10.0, 65.0, 1), (4, 31.0, 7.0, 45.0, 1), (6, 48.0, 10.0, 65.0, 2), (8, 31.0, 7.0, 45.0, 2))
ASSUMED_CYCLE_S = 90.0
ASSUMED_PHASES = {2: 2, 3: 2, 4: 2, 17: 6, 18: 6, 21: 6, 5: 4, 6: 4, 7: 4, 19: 8, 20: 8, 16: 8}


class Node(NamedTuple):
    name: str
    board: str  # identity of its board
    runtime: str
    feed: Feed
    step_s: int
    ring: int  # events that its board can hold
    phases: dict[int, int]  # of detector channels
    plan: tuple[tuple[int, float, float, float, int], ...]
    cycle_s: float
    contacts: bool = False
    scores: bool = False  # it also says how unusual each detector's last hour is

    @property
    def bundles(self) -> tuple[str, ...]:
        """What it runs, in the order of its tasks."""
        return (FLOW, SCORE) if self.scores else (FLOW,)

    @property
    def held_out(self) -> bool:
        """It sees a whole day that no model was trained on."""
        return self.feed.seconds == 86400.0

    @property
    def start_unix_s(self) -> float:
        return float(self.feed.start.tz_localize(ZoneInfo(TIMEZONE)).timestamp())

    def board_plan(self) -> str:
        """The board's own plan and limits, in tenths of a second (``wayside board run --plan``)."""
        rows = ["phase,ring,min_green,max_green,clearance,green"]
        rows += [
            f"{phase},{ring},{low * 10:.0f},{high * 10:.0f},{(YELLOW_S + RED_CLEARANCE_S) * 10:.0f},{green * 10:.0f}"
            for phase, green, low, high, ring in self.plan
        ]
        return "\n".join(rows) + "\n"

    def config(self, *, state: Path, port: Path, hub: str, token: str, speed: float, anchor: float, root: Path) -> str:
        """The node's TOML. ``root`` is the pinned TUF root, ``anchor`` the Unix time of the feed's start."""
        lines = [
            f'node = "{self.name}"',
            f'state_dir = "{state}"',
            "[hub]",
            f'url = "{hub}"',
            f'token = "{token}"',
            "sync_s = 2.0",
            "backoff_max_s = 4.0",
            "[clock]",
            'kind = "scaled"',
            f"speed = {speed:.6f}",
            f"start_unix_s = {self.start_unix_s:.3f}",
            f"anchor_unix_s = {anchor:.3f}",
            f'timezone = "{TIMEZONE}"',
            "[model]",
            f'runtime = "{self.runtime}"',
            f'tuf_root = "{root}"',
            "[board]",
            f'port = "{port}"',
            "baud = 921600",
            f'identity = "{self.board}"',
            "[gpio]",
            'factory = "mock"',
        ]
        if self.contacts:
            for pin, stream, role in ((17, "ped/1/presses", "ped_button"), (27, "cabinet/door", "cabinet_door")):
                lines += ["[[gpio.contacts]]", f"pin = {pin}", f'datastream = "{stream}"', f'role = "{role}"']
                lines.append("debounce_s = 0")
        channels = sorted(self.feed.vehicles)
        for channel in channels:
            lines += ["[[detectors]]", f"channel = {channel}", f'datastream = "{_volume(channel)}"']
            # Some lanes see nobody between midnight and six: that is no fault of theirs.
            lines.append("no_hit_s = 43200")
        lines += ["[[sums]]", 'name = "intersection/volume"', f"of = {_texts(map(_volume, channels))}"]
        lines += self._flow() + (self._score() if self.scores else []) + self._signal()
        return "\n".join(lines) + "\n"

    def _flow(self) -> list[str]:
        timed = {phase for phase, *_ in self.plan}  # the log has detectors of a phase that its plan does not time
        calls = {c: self.phases[c] for c in sorted(self.feed.vehicles) if self.phases.get(c) in timed}
        phases = ", ".join(f'"{_volume(c)}" = {phase}' for c, phase in calls.items())
        return [
            *self._task("flow", FLOW),
            'policy = "signal_timing"',
            f'actuator = "{SIGNAL}"',
            f"settings = {{ phases = {{ {phases} }} }}",
        ]

    def _score(self) -> list[str]:
        return [*self._task("score", SCORE), 'kind = "score"']

    def _task(self, name: str, bundle: str) -> list[str]:
        sites = ", ".join(f'{{ output = "{_volume(channel)}" }}' for channel in sorted(self.feed.vehicles))
        return [
            "[[tasks]]",
            f'name = "{name}"',
            f'bundle = "{bundle}"',
            "interval_s = 900",
            f"step_s = {self.step_s}",
            f"sites = [{sites}]",
        ]

    def _signal(self) -> list[str]:
        lines = [
            "[[actuators]]",
            f'name = "{SIGNAL}"',
            'kind = "signal"',
            f"cycle_s = {self.cycle_s}",
            "max_change_s = 4.0",  # drivers should not meet another intersection every quarter of an hour
        ]
        for phase, green, low, high, ring in self.plan:
            lines += [
                "[[actuators.phases]]",
                f"phase = {phase}",
                f"green_s = {green}",
                f"min_green_s = {low}",
                f"max_green_s = {high}",
                f"yellow_s = {YELLOW_S}",
                f"red_clearance_s = {RED_CLEARANCE_S}",
                f"ring = {ring}",
            ]
        return lines


def _volume(channel: int) -> str:
    return f"detector/{channel}/volume"


def _texts(names: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def nodes() -> list[Node]:
    """Node 1 sees the controller log and runs two tasks; 2 and 3 see held-out days, which no model was trained on."""
    log, phases = controller_log()
    return [
        Node(
            "node-1", "WS-00001", "onnxruntime", log, 300, 8192, phases, LOGGED, LOGGED_CYCLE_S, contacts=True,
            scores=True,
        ),
        Node(
            "node-2", "WS-00002", "tflite-runtime", counted_day("2024-05-10", SEED), 900, 8192, ASSUMED_PHASES, ASSUMED,
            ASSUMED_CYCLE_S,
        ),
        Node(
            "node-3", "WS-00003", "onnxruntime", counted_day("2024-05-13", SEED), 900, 2048, ASSUMED_PHASES, ASSUMED,
            ASSUMED_CYCLE_S,
        ),
    ]  # fmt: skip
