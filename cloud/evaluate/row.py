"""One line of the table: what a task's model is worth beside what others reach."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from wayside.cloud.train.taskfile import Published
from wayside.contracts.wire import Document, wire_field
from wayside.text import TextError, loads_json

Whole = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class Loss(msgspec.Struct):
    slice: str
    loss: float


class Begun(msgspec.Struct):
    """Alarms that one way of alarming began."""

    found: float
    false_per_week: float
    delay: float
    begun: float
    limit: float = 0.0


class Alarms(msgspec.Struct):
    stretches: Whole
    stage: Begun | None = None
    fixed: Begun | None = None
    best_fixed: Begun | None = None


class Row(Document, frozen=True, kw_only=True):
    """``scores``: who → measure → value; who is ``naive``, ``seasonal``, ``fp32`` (torch), or a variant.

    Of the variants: file size ``bytes``, median ``us`` of one inference on this machine, relative ``loss`` against
    ``fp32`` in the task's ``metric``, and that of the ``worst`` slice. ``refused``: variants that the gate left out,
    and the number that failed.
    """

    wire: int = wire_field()
    task: str
    domain: str
    kind: str
    family: str
    period: str  # "2006-10-22 – 2006-10-25", or what the examples are
    unseen: str = ""  # the file that --test named; "" for the held-out part of the data
    n: Whole
    metric: str
    of: str = ""
    unit: str
    goal: float | None = None
    published: tuple[Published, ...] = ()
    scores: dict[str, dict[str, float]]
    parameters: Whole
    bytes: dict[str, Whole]
    us: dict[str, float]
    loss: dict[str, float]
    alarms: dict[str, dict[str, Any]] = {}  # of kind score: who → what cloud.train.alarms.judge says of the alarm stage
    worst: dict[str, Any] = {}  # variant → {"slice", "loss"}
    kept_float: dict[str, str] = {}
    refused: dict[str, str] = {}
    seconds: float = 0.0  # of training
    notes: tuple[str, ...] = ()

    def value(self, who: str) -> float | None:
        """The task's own measure."""
        return self.scores.get(who, {}).get(self.metric)

    @property
    def int8(self) -> tuple[str, ...]:
        return tuple(name for name in self.scores if name.endswith("-int8"))

    @property
    def shipped(self) -> str:
        """What stands for the model: the worse of the int8 variants, or fp32 if the gate left none."""
        from wayside.cloud.evaluate.metrics import RISING

        worst = min if self.metric in RISING else max
        return worst(self.int8, key=lambda name: self.value(name) or 0.0) if self.int8 else "fp32"


def decode_rows(data: bytes) -> list[Row]:
    """What ``--json`` printed.

    Raises:
        ContractError: it is something else.
    """
    from wayside.contracts.wire import ContractError, from_builtins

    try:
        raw = loads_json(data)
    except TextError as exc:
        raise ContractError("$", str(exc)) from exc
    if not isinstance(raw, dict) or not isinstance(raw.get("tasks"), list):
        raise ContractError("tasks", "is a list; print it with `wayside evaluate --json`")
    rows = [from_builtins(each, Row) for each in raw["tasks"]]
    for at, row in enumerate(rows):
        try:  # what is told by kind of task; an empty one: there was too little to judge by
            msgspec.convert({name: of for name, of in row.alarms.items() if of}, dict[str, Alarms])
            msgspec.convert({name: of for name, of in row.worst.items() if of}, dict[str, Loss])
        except msgspec.ValidationError as exc:
            raise ContractError(f"tasks[{at}]", f"is no task that was judged: {exc}") from exc
    return rows
