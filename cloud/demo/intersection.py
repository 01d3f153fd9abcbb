"""The intersection: a real controller log edge by edge, green times by forecast, a notice of what is unusual."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from wayside.cloud.demo.feeds import Feed, controller_log
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
BUTTON, DOOR = 17, 27  # pins


class Intersection(Node):
    ring = RING
    name, domain, runtime, timezone = "intersection", "traffic", "onnxruntime", "America/Los_Angeles"
    models = {FLOW: "traffic_flow", SCORE: "traffic_score"}
    watched = "intersection/volume"
    held_out = False  # another intersection than that of the training data, whose lanes have other numbers

    def __init__(self, feed: Feed, phases: dict[int, int]) -> None:
        self.feed, self.phases = feed, phases
        self.seconds = feed.seconds
        self.start_unix_s = float(feed.start.tz_localize(ZoneInfo(self.timezone)).timestamp())

    @classmethod
    def of_log(cls) -> Intersection:
        return cls(*controller_log())

    def fed(self) -> float:
        return float(sum(self.feed.vehicles.values()))

    def stored(self, rows: list[dict[str, Any]]) -> float:
        return sum(total(rows, volume(channel)) for channel in self.feed.vehicles)

    def write(self, place: Place) -> None:
        self.feed.write(place.folder / "events.csv")
        (place.folder / "plan.csv").write_text(self.board_plan())

    def stats(self, place: Place) -> Path:
        """What the board says of itself."""
        return place.folder / "board.json"

    def devices(self, place: Place) -> dict[str, list[str]]:
        board = place.folder.parent.parent / "firmware" / "board"
        return {
            "board": [
                str(board), "--pty-link", str(place.folder / "board.tty"), "--feed", str(place.folder / "events.csv"),
                "--speed", f"{place.speed:.6f}", "--anchor", f"{place.anchor:.3f}",
                "--end", str(int(self.seconds * 1000) + 1000), "--plan", str(place.folder / "plan.csv"),
                "--id", BOARD, "--ring", str(RING), "--stats", str(self.stats(place)),
            ]
        }  # fmt: skip

    def board_plan(self) -> str:
        """The board's own plan and limits, in tenths of a second (``wayside board run --plan``)."""
        clearance = (YELLOW_S + RED_CLEARANCE_S) * 10
        rows = ["phase,ring,min_green,max_green,clearance,green"]
        rows += [
            f"{phase},1,{low * 10:.0f},{high * 10:.0f},{clearance:.0f},{green * 10:.0f}"
            for phase, green, low, high in PLAN
        ]
        return "\n".join(rows) + "\n"

    def sections(self, place: Place) -> list[str]:
        channels = sorted(self.feed.vehicles)
        lines = [
            "[board]",
            f'port = "{place.folder / "board.tty"}"',
            "baud = 921600",
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
        return lines + self._flow() + self._score() + self._actuators()

    def _flow(self) -> list[str]:
        timed = {phase for phase, *_ in PLAN}  # the log has detectors of a phase that its plan does not time
        calls = {c: self.phases[c] for c in sorted(self.feed.vehicles) if self.phases.get(c) in timed}
        phases = ", ".join(f'"{volume(c)}" = {phase}' for c, phase in calls.items())
        return [
            *self._task("flow", FLOW),
            'policy = "signal_timing"',
            f'actuator = "{SIGNAL}"',
            f"settings = {{ phases = {{ {phases} }} }}",
        ]

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
            "[[actuators]]",
            f'name = "{SIGNAL}"',
            'kind = "signal"',
            f"cycle_s = {CYCLE_S}",
            "max_change_s = 1.0",  # drivers should not meet another intersection every quarter of an hour
        ]
        for phase, green, low, high in PLAN:
            lines += [
                "[[actuators.phases]]",
                f"phase = {phase}",
                f"green_s = {green}",
                f"min_green_s = {low}",
                f"max_green_s = {high}",
                f"yellow_s = {YELLOW_S}",
                f"red_clearance_s = {RED_CLEARANCE_S}",
            ]
        return lines


def volume(channel: int) -> str:
    return f"detector/{channel}/volume"
