"""What is the same for every node of the demo: its place, its clock, the head of its TOML, the devices beside it."""

from __future__ import annotations

import abc
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

VERSION = "1.0.0"
SPARE_DAYS = 3
"""The data go on for so long after a feed: while the line drains, sensors do not stand still."""


class Place(NamedTuple):
    """Where and when a node runs; all that is not the same in another run of the demo."""

    folder: Path  # of its files
    hub: str
    token: str
    root: Path  # the pinned TUF root
    port: int  # free on 127.0.0.1, for a device of it
    speed: float
    anchor: float  # real Unix time at which its feed begins

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def config(self) -> Path:
        return self.folder / "node.toml"


class Node(abc.ABC):
    """One node and what it is fed with."""

    name: ClassVar[str]
    domain: ClassVar[str]
    runtime: ClassVar[str]
    timezone: ClassVar[str]
    models: ClassVar[Mapping[str, str]]
    """bundle → the shipped task that it is trained by, in the order of the node's tasks"""
    watched: ClassVar[str]
    """of all it shows the datastream that says the most"""
    held_out: ClassVar[bool] = True
    """its feed is what training kept from its models"""
    tolerance: ClassVar[float] = 0.02
    """of what it was fed with: the share by which the hub may have something else; readings are averaged"""
    start_unix_s: float
    seconds: float  # that its feed lasts

    @property
    def bundles(self) -> tuple[str, ...]:
        return tuple(self.models)

    @abc.abstractmethod
    def fed(self) -> float:
        """What it was fed with, as one number: a sum of what is counted, a mean of what is not."""

    @abc.abstractmethod
    def stored(self, rows: list[dict[str, Any]]) -> float:
        """The same as the hub has it. ``rows`` are those of the feed's time."""

    @abc.abstractmethod
    def write(self, place: Place) -> None:
        """The files that its devices read."""

    @abc.abstractmethod
    def devices(self, place: Place) -> dict[str, list[str]]:
        """Processes that its sensors and actuators are at the end of: name → command."""

    def settings(self, place: Place) -> list[list[str]]:
        """What an operator tells its devices once they run, before its agent starts: words of ``wayside``."""
        return []

    @abc.abstractmethod
    def sections(self, place: Place) -> list[str]:
        """Of its TOML: sensors, tasks, actuators."""

    def config(self, place: Place) -> str:
        """The node's TOML."""
        lines = [
            f'node = "{self.name}"',
            f'state_dir = "{place.state}"',
            "[hub]",
            f'url = "{place.hub}"',
            f'token = "{place.token}"',
            "sync_s = 2.0",
            "backoff_max_s = 4.0",
            "[clock]",
            'kind = "scaled"',
            f"speed = {place.speed:.6f}",
            f"start_unix_s = {self.start_unix_s:.3f}",
            f"anchor_unix_s = {place.anchor:.3f}",
            f'timezone = "{self.timezone}"',
            "[model]",
            f'runtime = "{self.runtime}"',
            f'tuf_root = "{place.root}"',
            "[storage]",
            "checkpoint_s = 0.2",  # hours pass in a second here
            *self.sections(place),
        ]
        return "\n".join(lines) + "\n"

    def scaled(self, place: Place) -> list[str]:
        """How a device is told the clock of its node."""
        return [
            "--speed", f"{place.speed:.6f}", "--anchor", f"{place.anchor:.3f}", "--start", f"{self.start_unix_s:.3f}",
        ]  # fmt: skip

    def device(self, module: str, *args: str, place: Place) -> list[str]:
        """The command of a device that is a module of the demo."""
        return [sys.executable, "-m", f"wayside.cloud.demo.{module}", *args, *self.scaled(place)]


def intervals(rows: list[dict[str, Any]], datastream: str) -> list[dict[str, Any]]:
    """A datastream's rows that follow on each other: where intervals overlap, each that begins where the last ended."""
    wanted = [row for row in rows if row["kind"] == "interval" and row["datastream"] == datastream]
    kept: list[dict[str, Any]] = []
    for row in sorted(wanted, key=lambda row: row["at"].get("wall_ms") or 0):
        if not kept or begins(row) >= (kept[-1]["at"].get("wall_ms") or 0) - 1000:
            kept.append(row)
    return kept


def begins(row: dict[str, Any]) -> float:
    """Unix time in ms at which a row's interval began."""
    return float((row["at"].get("wall_ms") or 0) - 1000 * (row.get("duration_s") or 0))


def total(rows: list[dict[str, Any]], datastream: str) -> float:
    return float(sum(row["value"] or 0.0 for row in intervals(rows, datastream)))


def mean(rows: list[dict[str, Any]], datastream: str) -> float:
    values = [row["value"] for row in intervals(rows, datastream) if row["value"] is not None]
    return float(sum(values) / len(values)) if values else 0.0


def texts(names: Iterable[str]) -> str:
    """A TOML list."""
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
