"""An agent of before there were several tasks leaves its state directory to this one: nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.simulators.tiny_model import TinyModel
from wayside.contracts.node_config import NodeConfig, load_node_config
from wayside.contracts.summary import Kind, Summary
from wayside.edge.clock import ScaledClock
from wayside.edge.node import Node
from wayside.edge.outbox import Outbox
from wayside.firmware_bridge.line.messages import Event, Identity, Status

KEPT = Path(__file__).parents[1] / "golden" / "state_1"
BOOT = "1" * 32


class Hand(ScaledClock):
    """A clock that the operations set."""

    now_ns = 0

    def mono_ns(self) -> int:
        return self.now_ns


def play(node: Node, config: NodeConfig, clock: Hand, operations: list[list[Any]]) -> None:
    for what, *rest in operations:
        match what:
            case "clock":
                clock.now_ns = rest[0]
                node.pass_time()
            case "event":
                node.receive([Event(*rest)])
            case "status":
                node.receive([Status(*rest)])
            case "identity":
                node.receive([Identity(*rest)])
            case "register":
                node.value_read(node.registers, *rest)
            case "contact":
                contact = next(c for c in config.gpio.contacts if c.datastream == rest[0])
                node.contact(contact, rest[1])


@pytest.fixture
def _same_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("clock", "sources.step", "sources.beat"):
        monkeypatch.setattr(f"wayside.edge.{module}.machine_boot", lambda: "machine-1")


def began(box: Outbox, config: NodeConfig, clock: Hand) -> Node:
    node = Node(config, clock, BOOT)
    node.restore({key: box.load(key) for key in Node.PIECES}, box.history())
    node.set_model("tiny", TinyModel(window=4, bundle="tiny"))
    return node


def comparable(row: Summary) -> dict[str, Any]:
    """What a row says, without what has a better name now."""
    said = msgspec.to_builtins(row)
    for left_out in ("seq", "detail", "derived", "node"):
        said.pop(left_out, None)
    said["at"].pop("error_ms", None)
    return said


@pytest.mark.usefixtures("_same_machine")
@pytest.mark.parametrize("restarts", [False, True])
def test_the_next_rows_are_those_that_the_old_agent_would_have_written(tmp_path: Path, restarts: bool) -> None:
    shutil.copy(KEPT / "state" / "node.sqlite3", tmp_path)
    config = load_node_config((KEPT / "node.toml").read_text())
    before, after = (json.loads((KEPT / f"{name}.json").read_bytes()) for name in ("before", "after"))
    clock = Hand(config.clock)
    clock.now_ns = max(o[1] for o in before if o[0] == "clock")
    box = Outbox(tmp_path / "node.sqlite3", 10_000_000)
    unsent = box.rows
    node = began(box, config, clock)
    assert node.durable[0] == 7
    assert node.count()["raw_bytes"] == 12345
    allowed_before = node.count()["proposals_allowed"]
    assert allowed_before > 0
    rows: list[Summary] = []
    for operation in after:
        play(node, config, clock, [operation])
        if restarts and node.ledger.rows:
            rows += node.ledger.rows
            box.commit(node.ledger.rows, node.state(), node.steps, kept=node.kept)
            box.close()
            box = Outbox(tmp_path / "node.sqlite3", 10_000_000)
            node = began(box, config, clock)
    rows += node.ledger.rows
    kept = json.loads((KEPT / "rows.json").read_bytes())
    # Green times for an interval are no policy's business any more: the board keeps its plan, and nothing else changes.
    wanted = [row for row in (msgspec.convert(r, Summary) for r in kept["rows"]) if row.kind is not Kind.DECISION]
    for name in {r.datastream for r in wanted}:
        assert [comparable(r) for r in rows if r.datastream == name and "ended" not in r.detail] == [
            comparable(r) for r in wanted if r.datastream == name
        ], name
    assert {r.datastream for r in rows} == {r.datastream for r in wanted}
    counts = node.count()
    for name in ("readings_received", "readings_sent", "readings_lost"):
        assert counts[name] == kept["counters"][name]
    assert not [r for r in rows if r.kind is Kind.DECISION]
    assert counts["proposals_allowed"] == allowed_before, "what the old agent had counted stays counted"
    if restarts:
        assert box.rows == unsent + len(rows) - len(node.ledger.rows)
        assert box.load("pipeline") is None
    box.close()
