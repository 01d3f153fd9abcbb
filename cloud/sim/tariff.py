"""What energy costs: a price by time of use or by the load of the grid, and a charge on the month's highest demand.

A tariff is a TOML file; two come along in ``cloud/sim/tariffs``: ``time_of_use`` and ``dynamic``. Prices are round
numbers for comparison, no supplier's.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from wayside.cloud.sim.errors import ScenarioError
from wayside.contracts.wire import ContractError, Document, decode_toml
from wayside.paths import placed
from wayside.text import read_toml

Numbers = npt.NDArray[np.float64]
Price = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
HourOfDay = Annotated[float, msgspec.Meta(ge=0, le=24)]
Weekday = Annotated[int, msgspec.Meta(ge=0, le=6)]


class TimeOfUse(Document, frozen=True, kw_only=True):
    """A price between two local hours (over midnight, if ``until`` is the smaller) on some weekdays (0: Monday)."""

    per_kwh: Price
    begins: HourOfDay = 0.0
    until: HourOfDay = 24.0
    weekdays: tuple[Weekday, ...] = (0, 1, 2, 3, 4, 5, 6)


class LoadPrice(Document, frozen=True, kw_only=True):
    """A point of the curve from the grid's load, as a share of its highest before the month, to an energy price."""

    load: Annotated[float, msgspec.Meta(ge=0, le=10)]
    per_kwh: Price


class Tariff(Document, frozen=True, kw_only=True):
    """``energy``: the first table that fits a step holds. ``by_load``: straight lines between its points, beyond them
    the nearest. Both are added up."""

    name: str
    currency: str
    energy: tuple[TimeOfUse, ...] = ()
    by_load: tuple[LoadPrice, ...] = ()
    demand_per_kw: Price = 0.0  # of the highest step of the month
    unserved_per_kwh: Price = 0.0  # of what had to run by a deadline and has not

    def __post_init__(self) -> None:
        if not self.energy and not self.by_load:
            raise ValueError("a tariff has [[energy]] or [[by_load]] tables")
        loads = [point.load for point in self.by_load]
        if loads != sorted(set(loads)):
            raise ValueError("the loads of [[by_load]] rise")

    def prices(self, hours: Numbers, weekdays: Sequence[int], share: Numbers) -> Numbers:
        """(N,) per kWh of steps whose middles are at local ``hours`` (0–24) of ``weekdays`` and at such a ``share`` of
        the grid's highest load.

        Raises:
            ScenarioError: no table fits a step.
        """
        total = np.zeros(len(hours))
        if self.energy:
            fitting = np.array([self._of_time(h, d) for h, d in zip(hours.tolist(), weekdays, strict=True)])
            total += fitting
        if self.by_load:
            total += np.interp(share, [p.load for p in self.by_load], [p.per_kwh for p in self.by_load])
        return total

    def _of_time(self, hour: float, weekday: int) -> float:
        for table in self.energy:
            if weekday in table.weekdays and inside(hour, table.begins, table.until):
                return table.per_kwh
        raise ScenarioError(
            f"tariff {self.name!r} has no price for hour {hour:g} of weekday {weekday}; end it with an [[energy]] "
            "table without hours and weekdays"
        )

    def bill(self, total_kw: Numbers, prices: Numbers, step_h: float) -> tuple[float, float]:
        """Energy and demand charge of one month of ``total_kw`` (N,)."""
        return float((total_kw * prices).sum() * step_h), float(total_kw.max()) * self.demand_per_kw


def inside(hour: float, begins: float, until: float) -> bool:
    """Whether ``hour`` is in ``[begins, until)``, which may go over midnight."""
    return begins <= hour < until if begins < until else hour >= begins or hour < until


def load_tariff(name: str) -> Tariff:
    """One of those that come along, by name, or a TOML file.

    Raises:
        ScenarioError: there is none, or it breaks its contract.
    """
    folder = importlib.resources.files("wayside.cloud.sim") / "tariffs"
    try:
        file = read_toml(placed(Path(), name)) if name.endswith(".toml") else (folder / f"{name}.toml").read_bytes()
    except OSError as exc:
        known = ", ".join(sorted(Path(str(f)).stem for f in folder.iterdir() if str(f).endswith(".toml")))
        what = f"{name}: {exc.strerror or exc}" if name.endswith(".toml") else f"there is no tariff {name!r}"
        raise ScenarioError(f"{what}; known: {known}; or give the path of a .toml file") from exc
    try:
        return decode_toml(file, Tariff)
    except ContractError as exc:
        raise ScenarioError(f"tariff {name}: {exc}") from exc
