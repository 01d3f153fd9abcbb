"""`wayside node why`: the node's own decisions as sentences, also those that the hub has and the outbox has not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.edge.tasks.test_tasks import BASE, Made, Town, newest
from tests.simulators.verb import typed
from wayside.contracts.summary import Kind
from wayside.edge import outbox
from wayside.edge.outbox import Outbox
from wayside.edge.status import OUTBOX_FILE

FAN = """
[[actuators]]
kind = "setpoint"
name = "fan"
register = { device = 3, table = "coil", address = 1 }
low = 0
high = 1
safe = 0
"""
SITE = '[{ output = "det/1", site = "one" }]'


def tables() -> tuple[str, str]:
    text = '[[tasks]]\nname = "flow"\nbundle = "flow"\ninterval_s = 900\n'
    text += f'sites = {SITE}\npolicy = "abatement"\nactuator = "fan"\nsettings = {{ threshold = 25, within = 1 }}\n'
    return text, FAN


def a_day(tmp_path: Path) -> Path:
    """A node that ran, and whose hub has everything."""
    task, fan = tables()
    town = Town(task, extra=fan).use(Made("flow", newest))
    box = Outbox(tmp_path / "state" / OUTBOX_FILE, 10_000_000)
    for count in (10, 30, 30, 5):
        town.step(count)
    town.node.set_model("flow", None, "it was taken away")
    town.step(30)
    box.commit(town.node.ledger.rows)
    box.commit(acknowledged=box.batch(10_000, 10_000_000).ids)
    assert box.rows == 0
    box.close()
    path = tmp_path / "node.toml"
    path.write_text(BASE + task + fan)
    return path


def test_the_nodes_own_decisions_are_sentences_with_their_time_the_newest_last(tmp_path: Path) -> None:
    path = a_day(tmp_path)
    done = typed("node", "why", path)
    assert done.status == 0
    lines = done.out.splitlines()
    assert any(
        line.startswith("2024-01-01 00:") and "fan was switched on (set to 1), because the model expects 30" in line
        for line in lines
    )
    assert "fan is off (set to 0): no model, because it was taken away: the safe value holds" in lines[-1]
    assert typed("node", "why", path, "fan", "--last", 1).out.splitlines() == lines[-1:]
    said = json.loads(typed("node", "why", path, "--json").out)
    assert [one["sentence"] in line for one, line in zip(said, lines, strict=True)] == [True] * len(lines)
    assert {one["row"]["kind"] for one in said} == {Kind.DECISION.value}


def test_an_unknown_actuator_and_a_node_that_never_ran_are_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    task, fan = tables()
    path.write_text(BASE + task + fan)
    assert "has no actuator heater; it has people, fan" in typed("node", "why", path, "heater").words
    assert "no agent has run here" in typed("node", "why", path).words


def test_the_node_keeps_only_its_last_decisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "KEPT_DECISIONS", 3)
    task, fan = tables()
    town = Town(task, extra=fan).use(Made("flow", newest))
    path = tmp_path / "n.sqlite3"
    box = Outbox(path, 10_000_000)
    for count in range(6):
        town.step(count)
        box.commit(town.node.ledger.rows)
        town.node.ledger.rows.clear()
    box.close()
    kept = outbox.last_decisions(path, None, 100)
    assert len(kept) == 3
    assert [row.seq for row in kept] == sorted(row.seq for row in kept)
