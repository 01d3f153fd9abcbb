"""One run of the plant: what it is given, and what it gives. Both cross a process boundary as plain values."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from wayside.contracts.wire import Document, wire_field

At = Annotated[float, msgspec.Meta(ge=0)]


class Fault(Document, frozen=True, kw_only=True):
    """Something that fails in the plant, from ``from_s`` after the begin until ``until_s``.

    ``dead``: the detectors' edges no longer come; ``stuck``: they are occupied and stay so; ``swapped``: the wires of
    two channels (``where``: ``3,7``) are exchanged; ``silent``: the node says nothing any more. From the begin to the
    end: ``lying``: its policy asks for anything at random each second; ``harmful``: for what does most harm; ``wild``:
    it lies, and no guard is between it and the board.
    """

    kind: Literal["dead", "stuck", "swapped", "silent", "lying", "harmful", "wild"]
    where: str = ""  # of detectors: phase:2, lane:1, the edge of an approach, or channels by comma
    light: str | None = None  # None: every light's node; detectors of the map's first light
    from_s: At = 0.0
    until_s: At = 1e9

    @property
    def of_loops(self) -> bool:
        return self.kind in ("dead", "stuck", "swapped")

    def holds(self, at_s: float) -> bool:
        return self.from_s <= at_s < self.until_s


class RunSpec(Document, frozen=True, kw_only=True):
    net: str  # a map's name, or the path of a network
    policy: str
    seed: int
    data: str | None = None  # the data folder
    routes: str | None = None  # of a network that is a path
    begin_s: float | None = None
    seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None  # None: the map's own hour
    settings: dict[str, object] = {}  # of the policy
    compare: bool = False  # the node compares its policy with the board alone, as it does on a street
    faults: tuple[Fault, ...] = ()
    events: str | None = None  # a file for the boards' events


class Green(Document, frozen=True, kw_only=True):
    light: str
    phase: int
    from_s: float  # after the begin
    to_s: float


class RunResult(Document, frozen=True, kw_only=True):
    """What a run gave. Everything but ``wall_s`` is the same whenever it is run again."""

    wire: int = wire_field()
    net: str
    policy: str
    seed: int
    seconds: float
    delay_s: float  # mean over all vehicles of time loss and departure delay (docs/signals.md)
    vehicles: int
    arrived: int
    undeparted: int
    stops: float  # a vehicle
    queue_mean: float  # vehicles that halt or cannot enter
    queue_max: int
    longest_red_s: float  # of a phase for which somebody waited
    longest_red_phase: str  # "light/phase"
    pedestrians: int
    ped_wait_s: float  # mean
    ped_wait_max_s: float
    co2_kg: float
    nox_g: float
    fuel_kg: float
    teleports: int  # vehicles that stood for 300 s and were taken away: the net was locked
    collisions: int
    violations: tuple[str, ...]  # broken signal rules, at most the first twenty
    violation_count: int
    requests: dict[str, int]  # of the node, by what became of them
    greens: tuple[Green, ...]
    queue: tuple[float, ...]  # mean of each minute
    wall_s: float

    @property
    def locked(self) -> bool:
        return self.teleports > 0
