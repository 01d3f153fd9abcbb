"""The compiled signal core, every reachable state of it: no conflicting greens, nothing short, nothing without end."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from wayside.firmware_bridge.native import SIGNALS, SOURCE, WARNINGS

SEARCH = Path(__file__).parent / "signals_search.c"
FIXED = ["two", "crossing", "barriers", "change"]
ACTUATED = ["tables", "pedestrians", "faults", "preemption", "rings", "actuated", "overlaps"]
LARGE = ["large", "large_actuated", "large_pedestrians", "large_faults", "large_rings", "large_preemption"]

CONFLICTS = "other->row == NO_ROW || other->state == RING_WAITS || !conflict(&s->table, row, other->row)"
MONITOR = "    if (signals_conflict(&s->table, &heads)) s->mode = SIGNAL_MODE_FAULT;\n"

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


# The same of the actuated core, by the file in which it lies.
ACTUATED_MUTATIONS = {
    "a row that waits too long comes first": (
        "actuation.c",
        "        if (s->waits[i] >= from) rows |= bit(i);\n",
        "        if (s->waits[i] >= from && from == 0) rows |= bit(i);\n",
        "can be kept from green for ever",
    ),
    "locked calls": (
        "actuation.c",
        "    else if (!has(r, ROW_OPTION_LOCKING))\n",
        "    else\n",
        "can be kept from green for ever",
    ),
    "the maximum": (
        "actuation.c",
        "s->green[row] < r->max_green ? s->green[row] : r->max_green",
        "s->green[row]",
        "a green did not end at its maximum while somebody waited",
    ),
    "pedestrian service of an actuated green": (
        "actuation.c",
        " || crossing(s, r)) return 0;",
        ") return 0;",
        "a walk was cut short",
    ),
    "an overlap's own clearance": (
        "overlaps.c",
        "s->overlaps[o].state != OVERLAP_RED && (",
        "s->overlaps[o].state == OVERLAP_GREEN && (",
        "within an overlap's red clearance",
    ),
    "clearance of those who walk when a train comes": (
        "preemption.c",
        "r->walked = s->table.rows[r->row].walk;",
        "r->walking = false;",
        "a walk was cut short",
    ),
    "a preemption that ends": ("preemption.c", "        s->preempt = 0;\n", "", "can be kept from green for ever"),
    "the second preemption waits for the first": (
        "preemption.c",
        "first + 1u < s->preempt",
        "first + 1u > s->preempt",
        "a preemption can be kept from its green for ever",
    ),
}


def compiled(to: Path, changed: dict[str, str]) -> Path:
    """The search of the core, with some of its files as given."""
    to.mkdir(exist_ok=True)
    for name in SIGNALS:
        (to / name).write_text(changed.get(name, (SOURCE / name).read_text()))
    command = ["cc", *WARNINGS, "-O2", f"-I{SOURCE}", "-o", to / "search", SEARCH, *(to / name for name in SIGNALS)]
    subprocess.run(command, check=True)
    return to / "search"


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("search"), {})


def visit(search: Path, instance: str, capsys: pytest.CaptureFixture[str]) -> str:
    done = subprocess.run([search, instance], capture_output=True, text=True, check=False)
    with capsys.disabled():
        print(f"\nsignals: {done.stdout}", end="")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("instance", FIXED)
def test_no_reachable_state_breaks_a_rule(search: Path, instance: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = re.match(rf"{instance}: (\d+) states, (\d+) transitions, no rule broken", visit(search, instance, capsys))
    assert said
    assert int(said[1]) >= 200


@pytest.mark.parametrize("instance", ACTUATED)
def test_no_reachable_state_of_an_actuated_table_breaks_a_rule(
    search: Path, instance: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever comes, whatever fails, whatever a host asks, and every call is served within the longest red."""
    said = re.match(rf"{instance}: (\d+) states, (\d+) transitions, no rule broken", visit(search, instance, capsys))
    assert said
    assert int(said[1]) > 5000


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("instance", LARGE)
def test_no_reachable_state_of_a_larger_intersection_breaks_a_rule(
    search: Path, instance: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = re.match(rf"{instance}: (\d+) states", visit(search, instance, capsys))
    assert said
    assert int(said[1]) > 300_000


def without(core: str, there: str, instead: str = "") -> str:
    assert core.count(there) == 1, "the core has changed: this mutation has to follow it"
    return core.replace(there, instead)


def refused(changed: dict[str, str], instances: list[str], rule: str, folder: Path) -> None:
    """Whether the search finds ``rule`` broken in one of the instances; it does not look at the others then."""
    search, said = compiled(folder / "mutant", changed), []
    for one in instances:
        done = subprocess.run([search, one], capture_output=True, text=True, check=False)
        said.append(done.stdout.splitlines()[0] if done.stdout else done.stderr)
        if done.returncode == 1 and rule in said[-1]:
            return
    pytest.fail(f"{rule!r} is not in {said}")


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_search_refuses_a_core_without(tmp_path: Path, name: str) -> None:
    there, instead, rule = MUTATIONS[name]
    core = without((SOURCE / "signals.c").read_text(), there, instead)
    refused({"signals.c": core}, FIXED, rule, tmp_path)


@pytest.mark.parametrize("name", ACTUATED_MUTATIONS)
def test_the_search_refuses_an_actuated_core_without(tmp_path: Path, name: str) -> None:
    file, there, instead, rule = ACTUATED_MUTATIONS[name]
    refused({file: without((SOURCE / file).read_text(), there, instead)}, ACTUATED, rule, tmp_path)


def test_the_search_needs_no_monitor_to_see_conflicting_greens(tmp_path: Path) -> None:
    core = without(
        without((SOURCE / "signals.c").read_text(), CONFLICTS, "true || other"), MONITOR, "    (void)heads;\n"
    )
    refused({"signals.c": core}, FIXED, "two conflicting heads are not red", tmp_path)
