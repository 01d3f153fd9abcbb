"""Who drives the lights of a run: a board with a fixed plan, a board alone, a node above it, or a comparator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from wayside.cloud.sim.errors import ControllerError
from wayside.cloud.sim.traffic import comparators, faults
from wayside.cloud.sim.traffic.board_light import BoardLight
from wayside.cloud.sim.traffic.intersection import Intersection
from wayside.cloud.sim.traffic.node_host import NodeHost, policy_named
from wayside.cloud.sim.traffic.spec import Fault, RunSpec
from wayside.edge.policies.policy import beat_names
from wayside.firmware_bridge.signal_plan import SignalPlan

FIXED, BOARD, NODE = "fixed", "board", "node:"


class Comparator(Protocol):
    """Drives every light of a map by setting SUMO directly."""

    def additional(self) -> str:
        """Elements of SUMO's additional file, such as a program of its own; may be empty."""
        ...

    def begin(self, sumo: Any) -> None:
        """SUMO has started; no second has passed."""
        ...

    def step(self, sumo: Any) -> None:
        """A second has passed."""
        ...


Made = Callable[[Path, Sequence[Intersection]], Comparator]
"""From the path of the network and its intersections."""
COMPARATORS: Mapping[str, Made] = comparators.COMPARATORS


def names() -> list[str]:
    """What ``--policy`` takes."""
    return [FIXED, BOARD, *(NODE + name for name in beat_names()), *COMPARATORS]


def check(policy: str, settings: Mapping[str, object]) -> None:
    """Raises: ControllerError: there is no such controller, or these are no settings of lights."""
    _by_light(settings)
    if policy not in names():
        raise ControllerError(f"there is no policy {policy!r}; there are {', '.join(names())}")


LIGHTS = "lights"


def settings_of(light: str, settings: Mapping[str, object]) -> dict[str, object]:
    """Those of one light: what all have in common, and what ``settings["lights"]`` has for it."""
    common = {key: value for key, value in settings.items() if key != LIGHTS}
    return common | dict(_by_light(settings).get(light, {}))


def _by_light(settings: Mapping[str, object]) -> Mapping[str, Mapping[str, object]]:
    by_light = settings.get(LIGHTS, {})
    if not isinstance(by_light, dict) or not all(isinstance(each, dict) for each in by_light.values()):
        raise ControllerError(f"--settings: {LIGHTS} is an object of settings by traffic light")
    return by_light


def comparator(spec: RunSpec, net: Path, intersections: Sequence[Intersection]) -> Comparator | None:
    """None: boards drive the lights."""
    return COMPARATORS[spec.policy](net, intersections) if spec.policy in COMPARATORS else None


def board_light(
    spec: RunSpec, intersection: Intersection, width: int, own: Sequence[Fault], begin_s: float
) -> BoardLight:
    """``own``: the faults of this intersection.

    Raises:
        ControllerError: see :func:`check`. PlantError: the board refuses its plan.
    """
    plan = intersection.plan if spec.policy != FIXED else fixed(intersection.plan)
    light = BoardLight(intersection._replace(plan=plan), width, listens=spec.events is not None)
    if spec.policy.startswith(NODE):
        named = settings_of(intersection.light, spec.settings)
        policy, settings = policy_named(spec.policy.removeprefix(NODE), named, intersection.signal)
        kinds = {fault.kind for fault in own}
        if (worst := faults.policy_of(kinds, spec.seed)) is not None:
            policy, settings = worst, None
        host = NodeHost(
            policy, settings, intersection.signal, light.link,
            seed=spec.seed, compare=spec.compare, guarded="wild" not in kinds, hour=begin_s / 3600,
        )  # fmt: skip
        light.attach(host)
    return light


def fixed(plan: SignalPlan) -> SignalPlan:
    """The same plan by the clock: every phase is called and goes to the green of its fixed-time plan, unseen."""
    phases = [
        msgspec.structs.replace(p, detectors=[], recall="maximum", max_1_s=p.green_s, locking=True) for p in plan.phases
    ]
    return msgspec.structs.replace(plan, phases=phases)
