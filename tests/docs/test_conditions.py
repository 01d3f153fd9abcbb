"""docs/conditions.md lists the conditions that the node begins, as severe as it begins them, with its numbers."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wayside.contracts import alarm
from wayside.contracts.condition import MAX_CONDITIONS
from wayside.edge import actuators, ledger, supervisor
from wayside.edge.sensors import manual, serial_board
from wayside.edge.sensors.uart import confirm
from wayside.edge.sources import board, values, view
from wayside.edge.sources import manual as told
from wayside.edge.tasks import forecast, health
from wayside.edge.update import installs
from wayside.firmware_bridge.line import noise

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "conditions.md").read_text()
RECEIVERS = {"ledger", "_ledger", "conditions", "_conditions"}
FORWARDS = {"_begin"}  # methods that hand their own ``code`` on; calls of them count instead


def listed() -> dict[str, str]:
    """Code → the column *severe* of its row."""
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in PAGE.splitlines() if row.startswith("| `")]
    return {code: row[2] for row in rows for code in re.findall(r"`(\w+)`", row[0])}


def _values(expression: ast.expr, module: Any, function: ast.AST) -> list[str]:
    """Every text that ``expression`` may be: a literal, a constant of the module, or what a loop over those binds."""
    match expression:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Subscript(value=ast.Name(id=table)):
            return list(getattr(module, table).values())
        case ast.Name(id=name) if hasattr(module, name):
            return [getattr(module, name)]
        case ast.Name(id=name):
            for loop in ast.walk(function):
                if isinstance(loop, ast.For) and isinstance(loop.target, ast.Tuple):
                    bound = [ast.unparse(element) for element in loop.target.elts]
                    if name in bound:
                        place = bound.index(name)
                        if isinstance(loop.iter, ast.Name):
                            return [row[place] for row in getattr(module, loop.iter.id)]
                        assert isinstance(loop.iter, ast.Tuple)
                        return [ast.literal_eval(row.elts[place]) for row in loop.iter.elts]  # type: ignore[attr-defined]
    raise AssertionError(f"{module.__name__}:{expression.lineno}: which code is {ast.unparse(expression)}?")


def _severe(call: ast.Call) -> str:
    """yes, no, or depends."""
    given = next((word.value for word in call.keywords if word.arg == "severe"), ast.Constant(True))
    return {True: "yes", False: "no"}[given.value] if isinstance(given, ast.Constant) else "depends"  # type: ignore[index]


def _begun() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "edge").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or function.name in FORWARDS:
                continue
            for call in ast.walk(function):
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                    continue
                receiver = ast.unparse(call.func.value).rpartition(".")[2]
                if (call.func.attr == "begin" and receiver in RECEIVERS) or call.func.attr in FORWARDS:
                    name = ".".join(("wayside", *path.relative_to(ROOT).with_suffix("").parts))
                    for code in _values(call.args[0], importlib.import_module(name), function):
                        yield code, _severe(call)


def test_the_table_has_every_condition_that_is_begun_and_no_other() -> None:
    assert sorted(listed()) == sorted({code for code, _ in _begun()})


def test_the_table_calls_severe_what_is_begun_as_severe() -> None:
    kinds = {code: text if text in ("yes", "no") else "depends" for code, text in listed().items()}
    assert {(code, kinds.get(code)) for code, _ in _begun()} == set(_begun())


def test_a_condition_that_the_table_lacks_would_be_seen() -> None:
    codes = {code for code, _ in _begun()}
    assert {"line_lost", "detector_chatter", "notice_alarm", "model_worse", "policy_failed"} <= codes


@pytest.mark.parametrize(
    ("sentence", "number"),
    [
        (r"comes back within (\d+) minutes", ledger.FLAP_S / 60),
        (r"at most (\d+) of them", MAX_CONDITIONS),
        (r"(\d+) STATUS in a row", board.UNHEARD_STATUSES),
        (r"(\d+) polls in a row", values.PATIENCE_POLLS),
        (r"(\d+) looks in a row", manual.PATIENCE_LOOKS),
        (r"more than (\d+) s ahead", told.AHEAD_MS / 1000),
        (r"(\d+) attempts in a row to install", installs.LASTS),
        (r"has run for (\d+) minutes without one", supervisor.STEADY_S / 60),
        (r"(\d+) attempts in a row to write", actuators.UNCONFIRMED_AFTER),
        (r"(\d+) answers of a site in a row", health.CONSTANT),
        (r"more than (\d+) residual standard deviations", health.MOVED),
        (r"the last (\d+) compared intervals", health.COMPARED),
        (r"in blocks of (\d+)", health.COMPARED / health.BLOCKS),
        (r"is ([\d.]+) times that of the value before", health.MARGIN),
        (r"falls to ([\d.]+) times `alert_sigma`", forecast.OVER),
        (r"score falls to ([\d.]+) times", alarm.OVER),
        (r"no \| (\d+) pictures in a row \(", view.PATIENCE),
        (r"(\d+) pictures look (?:elsewhere|where)", 4 * view.PATIENCE),
        (r"silent for (\d+) s, or", serial_board.SILENT_S),
        (r"reached for (\d+) s after", serial_board.ABSENT_S),
        (r"(\d+) frames in a row break", confirm.FRAMES),
        (r"more than (\d+) frames, and", noise.MAX_ERRORS),
        (r"more than (\d+) % of all", noise.MAX_SHARE * 100),
    ],
)
def test_the_numbers_are_those_of_the_code(sentence: str, number: float) -> None:
    stated = re.findall(sentence, " ".join(PAGE.split()))
    assert stated, f"docs/conditions.md says nothing like {sentence!r}"
    assert {float(text) for text in stated} == {number}
