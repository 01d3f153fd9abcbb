"""Small task files for tests."""

from __future__ import annotations

from wayside.cloud.train.taskfile import TaskFile
from wayside.contracts.wire import decode_toml

CALENDAR = {"hour": ("h", 0, 24), "weekday": ("d", 0, 6), "yearday": ("d", 0, 366), "site": ("1", 0, 4095)}


def taskfile(
    data: str,
    *,
    inputs: tuple[str, ...] = ("volume",),
    ahead: tuple[str, ...] = (),
    top: str = "",
    **task: object,
) -> TaskFile:
    """A task with the hourly output ``volume``; ``data`` is the text of ``[data]``, ``top`` stands above all tables."""
    of = {
        "kind": "forecast",
        "window": 3,
        "horizon": 1,
        "lead": 1,
        "interval_s": 3600.0,
        "season": 24,
        "holdout_days": 1,
        "validation_days": 1,
    } | task
    lines = [top, "[task]", "wire = 1", 'name = "made"', 'domain = "traffic"', 'output = "volume"']
    lines += ['output_unit = "{veh}"', *(f"{k} = {v!r}" for k, v in of.items())]
    for name in inputs:
        unit, low, high = CALENDAR.get(name, ("1", -100, 1000))
        lines += ["[[task.inputs]]", f'name = "{name}"', f'unit = "{unit}"', f"low = {low}.0", f"high = {high}.0"]
        lines += ["ahead = true"] if name in ahead else []
    return decode_toml("\n".join([*lines, "[data]", data, "[fit]", 'family = "mlp"']), TaskFile)
