"""The intersection: a real controller log edge by edge, a board that is actuated by itself, maximum greens by forecast.

The log does not say in which lane a detector lies, nor how far from the line. So each one that sees who is at the stop
line counts as a lane of its own, and the beat is one that needs no more than that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from wayside.cloud.demo.feeds import Detector, Feed, controller_log
from wayside.cloud.demo.node import Node, Place, texts, total

SIGNAL = "intersection/signal"
FLOW, SCORE = "traffic-flow", "traffic-score"
STEP_S = 300
RING = 1024  # events that its board can hold: few, so that an agent that is away for long loses some
BOARD = "WS-00001"
# From the log itself: yellow 4 s, red clearance 1.5 s, a cycle near 75 s, served 5 → 6 → 8 (2 runs beside 6).
# phase, fixed green, minimum green, maximum green
PLAN = ((5, 12.0, 5.0, 30.0), (6, 36.0, 10.0, 60.0), (8, 10.5, 6.0, 30.0))
CYCLE_S, YELLOW_S, RED_CLEARANCE_S = 75.0, 4.0, 1.5
DEAD_CYCLES = 20  # some lanes see nobody for many cycles: that is no fault of theirs
AT_LINE, AT_M = "Presence", 3  # metres from the line as is usual: the log does not say
BAUD = 921_600
CALLERS = 40  # channels 1 to this one can call phases (docs/wire.md, plan table)
BUTTON, DOOR = 17, 27  # pins


class Intersection(Node):
    ring = RING
    name, domain, runtime, timezone = "intersection", "traffic", "onnxruntime", "America/Los_Angeles"
    models = {FLOW: "traffic_flow", SCORE: "traffic_score"}
    watched = "intersection/volume"
    held_out = False  # another intersection than that of the training data, whose lanes have other numbers

    def __init__(self, feed: Feed, detectors: dict[int, Detector]) -> None:
        timed = {phase for phase, *_ in PLAN}  # the log has detectors of a phase that its plan does not time
        self.feed = feed
        self.detectors = {c: each for c, each in sorted(detectors.items()) if each.phase in timed}
        self.seconds = feed.seconds
        self.start_unix_s = float(feed.start.tz_localize(ZoneInfo(self.timezone)).timestamp())

    @classmethod
    def of_log(cls) -> Intersection:
        return cls(*controller_log())

    @property
    def ends_ms(self) -> int:
        """When its board's clock stands still."""
        return int(self.seconds * 1000) + 1000

    def fed(self) -> float:
        return float(sum(self.feed.vehicles.values()))

    def stored(self, rows: list[dict[str, Any]]) -> float:
        return sum(total(rows, volume(channel)) for channel in self.feed.vehicles)

    def write(self, place: Place) -> None:
        self.feed.write(place.folder / "events.csv")
        (place.folder / "plan.toml").write_text(self.board_plan())

    def stats(self, place: Place) -> Path:
        """What the board says of itself."""
        return place.folder / "board.json"

    def devices(self, place: Place) -> dict[str, list[str]]:
        board = place.folder.parent.parent / "firmware" / "board"
        return {
            "board": [
                str(board), "--pty-link", str(place.folder / "board.tty"), "--feed", str(place.folder / "events.csv"),
                "--speed", f"{place.speed:.6f}", "--anchor", f"{place.anchor:.3f}",
                "--end", str(self.ends_ms), "--store", str(place.folder / "board.nv"),
                "--id", BOARD, "--ring", str(RING), "--stats", str(self.stats(place)),
            ]
        }  # fmt: skip

    def settings(self, place: Place) -> list[list[str]]:
        plan, port = str(place.folder / "plan.toml"), str(place.folder / "board.tty")
        return [["board", "plan", plan, port, "--store", "--baud", str(BAUD), "--id", BOARD]]

    def board_plan(self) -> str:
        """The board's plan table (``wayside board plan``): actuated, the detectors of each phase call and extend it."""
        callers = {c: each.phase for c, each in self.detectors.items() if c <= CALLERS}
        lines = ["[detectors]", f"count = {max(callers)}", "debounce_ms = 0  # the controller has done that"]
        lines.append(f"dead_cycles = {DEAD_CYCLES}")
        for phase, green, low, high in PLAN:
            lines += [
                *("[[phases]]", "ring = 1"),
                *_phase(phase, green, low, high),
                f"detectors = {[c for c, called in callers.items() if called == phase]}",
                "passage_s = 3.0",
            ]
        return "\n".join(lines) + "\n"

    def sections(self, place: Place) -> list[str]:
        channels = sorted(self.feed.vehicles)
        lines = [
            "[board]",
            f'port = "{place.folder / "board.tty"}"',
            f"baud = {BAUD}",
            f'identity = "{BOARD}"',
            "[gpio]",
            'factory = "mock"',
        ]
        for pin, stream, role in ((BUTTON, "ped/1/presses", "ped_button"), (DOOR, "cabinet/door", "cabinet_door")):
            lines += ["[[gpio.contacts]]", f"pin = {pin}", f'datastream = "{stream}"', f'role = "{role}"']
            lines.append("debounce_s = 0")
        for channel in channels:
            lines += ["[[detectors]]", f"channel = {channel}", f'datastream = "{volume(channel)}"']
            lines.append("no_hit_s = 43200")  # some lanes see nobody for hours: that is no fault of theirs
        lines += ["[[sums]]", f'name = "{self.watched}"', f"of = {texts(map(volume, channels))}"]
        # No policy of its own: its forecasts are the beat's.
        return lines + self._task("flow", FLOW) + self._score() + self._actuators()

    def _score(self) -> list[str]:
        return [
            *self._task("score", SCORE),
            'kind = "score"',
            'policy = "incident_notice"',
            'actuator = "intersection/notice"',
            "settings = { warn_above = 3.0, end_below = 1.5 }",
        ]

    def _task(self, name: str, bundle: str) -> list[str]:
        sites = ", ".join(f'{{ output = "{volume(channel)}" }}' for channel in sorted(self.feed.vehicles))
        return [
            "[[tasks]]",
            f'name = "{name}"',
            f'bundle = "{bundle}"',
            "interval_s = 900",
            f"step_s = {STEP_S}",
            f"sites = [{sites}]",
        ]

    def _actuators(self) -> list[str]:
        lines = [
            "[[actuators]]",
            'name = "intersection/notice"',
            'kind = "notice"',
            "at_most_per_h = 1",
            "[[actuators]]",
            f'name = "{SIGNAL}"',
            'kind = "signal"',
            f"cycle_s = {CYCLE_S}",
            # Recorded vehicles do not wait for this signal, so that no comparison says what they gain from it.
            'beat = { policy = "actuated_plus", compare = false }',
        ]
        at_line = [(c, each.phase) for c, each in self.detectors.items() if each.function == AT_LINE]
        for lane, (channel, phase) in enumerate(at_line):
            lines.append("[[actuators.loops]]")
            lines += [f"channel = {channel}", f"phase = {phase}", f"lane = {lane}", f"at_m = {AT_M}"]
        for each in PLAN:
            lines += ["[[actuators.phases]]", *_phase(*each)]
        return lines


def _phase(phase: int, green: float, low: float, high: float) -> list[str]:
    """The same limits on the board and in the node's file."""
    return [
        f"phase = {phase}",
        f"green_s = {green}",
        f"min_green_s = {low}",
        f"max_green_s = {high}",
        f"yellow_s = {YELLOW_S}",
        f"red_clearance_s = {RED_CLEARANCE_S}",
    ]


def volume(channel: int) -> str:
    return f"detector/{channel}/volume"
