"""The compiled signal core, every reachable state of it: no conflicting greens, nothing short, nothing without end."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from wayside.firmware_bridge.native import SIGNALS, SOURCE, WARNINGS

SEARCH = Path(__file__).parent / "signals_search.c"
INSTANCES = ["two", "crossing", "barriers", "change"]

CONFLICTS = "other->row == NO_ROW || other->state == RING_WAITS || !conflict(&s->table, row, other->row)"
MONITOR = "    if (heads_conflict(s)) s->mode = SIGNAL_MODE_FAULT;\n"

# The core with one protection taken out: what is removed, what stands in its place, and what the search then says.
MUTATIONS = {
    "the conflict matrix": (CONFLICTS, "true || other", "the conflict monitor tripped"),
    "who waits longer goes first": (
        "uint8_t first = s->first;",
        "uint8_t first = (uint8_t)(1u - s->first);",
        "can be kept from green for ever",
    ),
    "minimum green": ("r->ticks < row->min_green || ", "", "a green was shorter than the minimum"),
    "pedestrian service": (" || crossing(s, r)) return false;", ") return false;", "a walk was cut short"),
    "maximum green": (
        "    if (r->ticks >= row->max_green) return true;\n",
        "",
        "a green did not end at its maximum",
    ),
    "yellow": ("r->ticks >= row->yellow)", "r->ticks + 1u >= row->yellow)", "a yellow was short or long"),
    "red clearance": (
        "if (r->state == RING_CLEARS && r->ticks >= row->red)",
        "if (r->state == RING_CLEARS)",
        "a green began within a red clearance",
    ),
    "nobody is passed over twice": (
        "        if (s->skipped & want & bit(at)) return PLAN_CODE_STARVES;\n",
        "        (void)want;\n",
        "can be kept from green for ever",
    ),
    "greens end in order before a new table": (
        "if (s->mode == SIGNAL_MODE_CLOSING && !open)",
        "if (s->mode == SIGNAL_MODE_CLOSING)",
        "a green ended without yellow",
    ),
    "the fixed-time plan without a host": (
        "void signals_host_lost(signals *s) {\n",
        "void signals_host_lost(signals *s) {\n    if (s->mode == SIGNAL_MODE_RUN) return;\n",
        "without a host a green outlasted the fixed-time plan",
    ),
}


def compiled(to: Path, core: str) -> Path:
    to.mkdir(exist_ok=True)
    (to / "signals.c").write_text(core)
    others = [str(SOURCE / name) for name in SIGNALS if name != "signals.c"]
    command = ["cc", *WARNINGS, "-O2", f"-I{SOURCE}", "-o", to / "search", SEARCH, to / "signals.c", *others]
    subprocess.run(command, check=True)
    return to / "search"


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("search"), (SOURCE / "signals.c").read_text())


def visit(search: Path, instance: str, capsys: pytest.CaptureFixture[str]) -> str:
    done = subprocess.run([search, instance], capture_output=True, text=True, check=False)
    with capsys.disabled():
        print(f"\nsignals: {done.stdout}", end="")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("instance", INSTANCES)
def test_no_reachable_state_breaks_a_rule(search: Path, instance: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = re.match(rf"{instance}: (\d+) states, (\d+) transitions, no rule broken", visit(search, instance, capsys))
    assert said
    assert int(said[1]) >= 200


@pytest.mark.slow
def test_no_reachable_state_of_a_larger_intersection_breaks_a_rule(
    search: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = re.match(r"large: (\d+) states", visit(search, "large", capsys))
    assert said
    assert int(said[1]) > 1_000_000


def without(core: str, there: str, instead: str = "") -> str:
    assert core.count(there) == 1, "the core has changed: this mutation has to follow it"
    return core.replace(there, instead)


def refused(core: str, rule: str, folder: Path) -> None:
    search = compiled(folder / "mutant", core)
    said = [subprocess.run([search, one], capture_output=True, text=True, check=False) for one in INSTANCES]
    broken = [done.stdout.splitlines()[0] for done in said if done.returncode == 1]
    assert any("BROKEN: " in line and rule in line for line in broken), [done.stdout[:200] for done in said]


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_search_refuses_a_core_without(tmp_path: Path, name: str) -> None:
    there, instead, rule = MUTATIONS[name]
    refused(without((SOURCE / "signals.c").read_text(), there, instead), rule, tmp_path)


def test_the_search_needs_no_monitor_to_see_conflicting_greens(tmp_path: Path) -> None:
    core = without(
        without((SOURCE / "signals.c").read_text(), CONFLICTS, "true || other"),
        MONITOR,
        "    (void)heads_conflict(s);\n",
    )
    refused(core, "two conflicting heads are not red", tmp_path)
