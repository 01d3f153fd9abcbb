"""What a board is compared with: SUMO's own actuated lights, and two that see every vehicle.

``greedy`` and ``max_pressure`` are those of the RESCO benchmark (Ault and Sharon, NeurIPS 2021): every ten seconds the
row that has most to serve, three seconds of yellow where it changes. They count vehicles on the lanes at the signal,
as no detector on a street can; ``max_pressure`` counts who halts, less who halts where they go (Varaiya 2013): counts
of all vehicles would starve short lanes beside long ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

from wayside.cloud.sim.traffic import coordination
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.nets import Light, read_net
from wayside.cloud.sim.traffic.rows import Row, rows_of
from wayside.cloud.sim.traffic.timing import RULE

DECIDE_S = 10
YELLOW_S = 3
HALTS_M_S = 0.1
GREEDY_M, PRESSURE_M = 50.0, 200.0
MIN_GREEN_S = 5
# Of a few that were tried, each once or twice, the best.
GAP_BASED = {"max-gap": "2.0", "detector-gap": "1.0"}
DELAY_BASED = {"detectorRange": "100", "minTimeLoss": "1"}


class Actuated:
    """SUMO's own program of ``kind`` for each light with a single ring; a NEMA light is actuated as the net has it."""

    def __init__(self, kind: str, params: Mapping[str, str], net: Path, intersections: Sequence[Intersection]) -> None:
        lights = read_net(net).lights
        self._programs = [
            _program(lights[each.light], _called(lights[each.light], each), kind, params)
            for each in intersections
            if lights[each.light].kind != "NEMA"
        ]

    def additional(self) -> str:
        return "".join(self._programs)

    def begin(self, sumo: Any) -> None:
        """Programs of an additional file are in force from the begin."""

    def step(self, sumo: Any) -> None:
        """SUMO drives its lights itself."""


def _called(light: Light, intersection: Intersection) -> Sequence[Row]:
    """Without the rows that have no lane of their own: SUMO would serve them at every turn."""
    own = {p.loop.phase for p in intersection.loops}
    passed = {p.phase for p in intersection.plan.phases if p.phase not in own}
    return [row for row in rows_of(light) if row.phase not in passed]


def _program(light: Light, rows: Sequence[Row], kind: str, params: Mapping[str, str]) -> str:
    width = len(light.links)
    lines = [f'<param key="{key}" value="{value}"/>' for key, value in params.items()]
    for n, row in enumerate(rows):
        following = rows[(n + 1) % len(rows)]
        low = max(MIN_GREEN_S, round(row.green_s) if row.walks else 0)
        state = _green(width, row)
        high = max(
            RULE.maximum(row.green_s), low
        )  # the board's: a lane that is shared would else extend its left to 50 s
        lines.append(f'<phase duration="{low}" minDur="{low}" maxDur="{high:g}" state="{state}"/>')
        lines.append(f'<phase duration="{YELLOW_S}" state="{_change(width, row, following)}"/>')
        if row.red_s:
            red = _change(width, row, following).replace("y", "r")
            lines.append(f'<phase duration="{row.red_s:g}" state="{red}"/>')
    return f'<tlLogic id={quoteattr(light.id)} type="{kind}" programID="{kind}" offset="0">{"".join(lines)}</tlLogic>'


def _green(width: int, row: Row) -> str:
    walks = dict.fromkeys(row.walks, "G")
    return "".join((row.lamps | walks).get(link, "r") for link in range(width))


def _change(width: int, row: Row, following: Row) -> str:
    """Between two rows: what is green in both stays, and yields where it does in one of them."""

    def letter(link: int) -> str:
        if link not in row.lamps:
            return "r"
        if link not in following.lamps:
            return "y"
        return "G" if row.lamps[link] == following.lamps[link] == "G" else "g"

    return "".join(letter(link) for link in range(width))


class Coordinated:
    """The fixed plan of each signal of a street, with the offsets of the widest bands; SUMO drives it."""

    def __init__(self, net: Path, intersections: Sequence[Intersection]) -> None:
        read = read_net(net)
        street = coordination.street_of(read, intersections)
        offsets = coordination.best_bands(street).offsets
        self._programs = [
            _fixed(read.light(signal.light), signal.phase, offset)
            for signal, offset in zip(street.signals, offsets, strict=True)
        ]

    def additional(self) -> str:
        return "".join(self._programs)

    def begin(self, sumo: Any) -> None:
        """Programs of an additional file are in force from the begin."""

    def step(self, sumo: Any) -> None:
        """SUMO drives its lights itself."""


def _fixed(light: Light, phase: int, offset_s: float) -> str:
    """Its own program; ``phase`` turns green ``offset_s`` into each cycle."""
    rows = list(rows_of(light))
    first = next(n for n, row in enumerate(rows) if row.phase == phase)
    rows = rows[first:] + rows[:first]
    width, lines = len(light.links), []
    for n, row in enumerate(rows):
        change = _change(width, row, rows[(n + 1) % len(rows)])
        stages = (row.green_s, _green(width, row)), (float(YELLOW_S), change), (row.red_s, change.replace("y", "r"))
        lines += [f'<phase duration="{s:g}" state="{state}"/>' for s, state in stages if s]
    return (
        f'<tlLogic id={quoteattr(light.id)} type="static" programID="bands" offset="{offset_s:g}">'
        f"{''.join(lines)}</tlLogic>"
    )


class _Choice(NamedTuple):
    """Rows of a light, with the lanes that feed each and those that it feeds."""

    light: str
    rows: Sequence[Row]
    width: int
    feeds: Sequence[tuple[frozenset[str], frozenset[str]]]


class Chooser:
    """Every ``DECIDE_S`` seconds the row with most to serve; of equal ones the present, then the first.

    ``worth``: from SUMO, the lanes before and the lanes behind.
    """

    def __init__(
        self,
        worth: Callable[[Any, frozenset[str], frozenset[str]], float],
        net: Path,
        intersections: Sequence[Intersection],
    ) -> None:
        lights = read_net(net).lights
        self._worth = worth
        self._choices = [_choice(lights[each.light]) for each in intersections]
        self._now = dict.fromkeys((c.light for c in self._choices), 0)
        self._second = 0

    def additional(self) -> str:
        return ""

    def begin(self, sumo: Any) -> None:
        for choice in self._choices:
            sumo.trafficlight.setRedYellowGreenState(choice.light, _green(choice.width, choice.rows[0]))

    def step(self, sumo: Any) -> None:
        self._second += 1
        show = sumo.trafficlight.setRedYellowGreenState
        for choice in self._choices:
            row = choice.rows[self._now[choice.light]]
            if self._second % DECIDE_S == 0:
                best = self._best(sumo, choice)
                if choice.rows[best] is not row:
                    show(choice.light, _change(choice.width, row, choice.rows[best]))
                    self._now[choice.light] = best
            elif self._second % DECIDE_S == YELLOW_S:
                show(choice.light, _green(choice.width, row))

    def _best(self, sumo: Any, choice: _Choice) -> int:
        worth = [self._worth(sumo, *lanes) for lanes in choice.feeds]
        present = self._now[choice.light]
        return present if worth[present] == max(worth) else worth.index(max(worth))


def _choice(light: Light) -> _Choice:
    rows = _single(rows_of(light))
    feeds = []
    for row in rows:
        protected = [k for k in light.links if row.lamps.get(k.index) == "G"]
        feeds.append((frozenset(k.lane for k in protected), frozenset(k.to for k in protected)))
    return _Choice(light.id, rows, len(light.links), feeds)


def _single(rows: Sequence[Row]) -> Sequence[Row]:
    """Of a dual ring the pairs of rows that may be green together; of one ring its rows."""
    if len({row.ring for row in rows}) == 1:
        return rows
    return [
        Row(a.phase, 1, a.lamps | b.lamps, a.walks + b.walks, max(a.green_s, b.green_s), max(a.red_s, b.red_s))
        for a in rows
        for b in rows
        if a.ring == 1 and b.ring == 2 and a.barrier == b.barrier
    ]


def _vehicles(sumo: Any, lanes: frozenset[str], within_m: float) -> Iterator[float]:
    """Speeds of the vehicles on these lanes that are that close to their end."""
    for lane in sorted(lanes):
        length = sumo.lane.getLength(lane)
        for vehicle in sumo.lane.getLastStepVehicleIDs(lane):
            if length - sumo.vehicle.getLanePosition(vehicle) <= within_m:
                yield sumo.vehicle.getSpeed(vehicle)


def _all(sumo: Any, before: frozenset[str], behind: frozenset[str]) -> float:
    return sum(1.0 for _ in _vehicles(sumo, before, GREEDY_M))


def _pressure(sumo: Any, before: frozenset[str], behind: frozenset[str]) -> float:
    halting: int = sum(speed < HALTS_M_S for speed in _vehicles(sumo, before, PRESSURE_M))
    return float(halting - sum(sumo.lane.getLastStepHaltingNumber(lane) for lane in behind))


COMPARATORS: Mapping[str, Callable[[Path, Sequence[Intersection]], Any]] = {
    "sumo_actuated": partial(Actuated, "actuated", GAP_BASED),
    "sumo_delay": partial(Actuated, "delay_based", DELAY_BASED),
    "fixed_bands": Coordinated,
    "greedy": partial(Chooser, _all),
    "max_pressure": partial(Chooser, _pressure),
}
