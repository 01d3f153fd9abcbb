"""The form before ``[[tasks]]``: every file that it accepted is accepted, means the same, and can be written anew."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.node_config import NodeConfig, load_node_config, read_node_config
from wayside.contracts.wire import ContractError
from wayside.edge.configuration.migrate import MigrationError, migrated

OLD = sorted((Path(__file__).parents[1] / "golden" / "old_node_form").glob("*.toml"))


@pytest.mark.parametrize("path", OLD, ids=lambda p: p.stem)
def test_a_file_of_the_old_form_means_what_it_meant(path: Path) -> None:
    raw, loaded = tomllib.loads(path.read_text()), read_node_config(path.read_bytes())
    config, detectors, task = loaded.config, raw.get("detectors", []), raw.get("task")
    names = [d["datastream"] for d in detectors]
    assert "wayside node migrate" in loaded.hints[0]
    assert [d.datastream for d in config.detectors] == names
    interval_s = (task or {}).get("interval_s", 900)
    for detector, old in zip(config.detectors, detectors, strict=True):
        assert detector.max_veh_h * interval_s / 3600 == pytest.approx(
            old.get("max_per_interval", 4000 * interval_s / 3600)
        )
    assert [s.of for s in config.sums] == ([tuple(names)] if len(names) > 1 else [])
    assert config.step_s == (task or {}).get("step_s", 900)
    assert signal_of(config) == signal_in(raw)
    if task is None or not names:
        assert config.tasks == ()
        return
    (made,) = config.tasks
    assert (made.bundle, made.interval_s, made.alert_sigma, made.kind, made.lead, made.horizon) == (
        task["bundle"], interval_s, task.get("alert_sigma", 6.0), "forecast", 1, 1,
    )  # fmt: skip
    assert [s.output for s in made.sites] == names
    assert [s.constants for s in made.sites] == [{"lanes": d.get("lanes", 1)} for d in detectors]
    assert (made.policy, made.actuator, made.settings) == (None, None, {})
    told = [hint for hint in loaded.hints if "the board keeps its own plan" in hint]
    assert len(told) == ("signal" in raw)


def signal_in(raw: dict[str, Any]) -> dict[str, Any] | None:
    if "signal" not in raw:
        return None
    plan = [{"ring": 1, **phase} for phase in raw["signal"]["phases"]]
    change = raw["signal"].get("max_change_s", 10.0)
    return {"cycle_s": raw["signal"]["cycle_s"], "phases": plan, "max_change_s": change}


def signal_of(config: NodeConfig) -> dict[str, Any] | None:
    signals = [a for a in config.actuators if isinstance(a, SignalConfig)]
    if not signals:
        return None
    (signal,) = signals
    names = ("phase", "green_s", "min_green_s", "max_green_s", "yellow_s", "red_clearance_s", "ring")
    plan = [{name: getattr(p, name) for name in names} for p in signal.phases]
    return {"cycle_s": signal.cycle_s, "phases": plan, "max_change_s": signal.max_change_s}


@pytest.mark.parametrize("path", OLD, ids=lambda p: p.stem)
def test_it_is_written_anew_with_its_comments_and_means_the_same(path: Path) -> None:
    text = path.read_text()
    made = migrated(text.encode())
    assert read_node_config(made).hints == ()
    assert load_node_config(made) == load_node_config(text)
    assert migrated(made.encode()) == made
    moved = ("phase", "lanes", "max_per_interval")
    for line in text.splitlines():
        if "#" in line and not line.startswith(moved):
            assert line[line.index("#") :] in made


def test_a_layout_that_lines_do_not_show_is_refused_and_not_guessed() -> None:
    text = 'node = "n"\nstate_dir = "s"\ntask = { bundle = "b" }\nboard = { port = "p" }\n'
    text += 'detectors = [{ channel = 1, datastream = "a", lanes = 2 }]\n'
    assert load_node_config(text).tasks
    with pytest.raises(MigrationError, match="one key a line"):
        migrated(text.encode())


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        (("phase = 2", "phase = 99"), "$.detectors[0].phase", "<= 16"),
        (("lanes = 2", "lanes = 'two'"), "$.detectors[0].lanes", "not text"),
        (("cycle_s = 90", "cycle_s = 91"), "$.signal.cycle_s", "sums to cycle_s"),
        (("green_s = 48", "green_s = 4"), "$.signal.phases[0].green_s", "min_green_s <= green_s"),
        (("step_s = 300", "step_s = 70"), "$.task.interval_s", "multiple of step_s"),
        (("[task]", "[task]\nhorizon = 3"), "$.task.horizon", "unknown"),
        (('bundle = "traffic-flow"', ""), "$.task", "misses bundle"),
        (("[task]", "[[tasks]]\n[task]"), "$.tasks", "belongs to today's form"),
        (("[signal]", "[signal]\nname = 'x'"), "$.signal.name", "unknown in [signal]"),
        (
            ('datastream = "detector/4/volume"', 'datastream = "detector/2/volume"'),
            "$.detectors[1].datastream",
            "twice",
        ),
    ],
)
def test_a_mistake_in_it_is_named_where_the_person_wrote_it(change: tuple[str, str], field: str, rule: str) -> None:
    text = next(p for p in OLD if p.stem == "documented").read_text()
    assert change[0] in text
    with pytest.raises(ContractError) as refusal:
        load_node_config(text.replace(*change))
    assert rule in dict(refusal.value.mistakes)[field]
