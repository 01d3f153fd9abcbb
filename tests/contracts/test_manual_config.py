"""What a node's file may say of values that other systems tell."""

from __future__ import annotations

import pytest

from wayside.contracts.node_config import load_node_config
from wayside.contracts.wire import ContractError

BEGIN = 'node = "forecourt"\nstate_dir = "state"\n'
VALUE = '[[manual.values]]\ndatastream = "ed/arrivals"\nunit = "{pat}"\n'
EVENTS, TOTALS = f'{VALUE}kind = "events"\n', f'{VALUE}kind = "totals"\n'
FILE = '[[manual.files]]\npath = "a.csv"\ncolumns = { n = "ed/arrivals" }\n'
TASK = '[[tasks]]\nname = "ed"\nbundle = "ed-24h"\ninterval_s = 3600\nsites = [{ output = "ed/arrivals" }]\n'


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        (EVENTS, "$.manual.values", "nobody can tell them"),
        (f'manual.secret = "0123456789abcdef"\n{EVENTS}{FILE}id = "k"\n', "$.manual.secret", "is for HTTP"),
        (f'manual.port = 80\nmanual.secret = "short"\n{EVENTS}', "$.manual.secret", "16 to 128"),
        (f'manual.port = 80\n{TOTALS}silence = "zero"\n', "$.manual.values[0].silence", "zero is for events"),
        (f'manual.port = 80\n{EVENTS}silence = "zero"\n', "$.manual.values[0].silence", "at most 3600"),
        (f"manual.port = 80\n{EVENTS}high = 0\n", "$.manual.values[0].high", "low < high"),
        (f"{EVENTS}{FILE}", "$.manual.files[0].columns.n", "add id"),
        (f"{TOTALS}{FILE}", "$.manual.files[0].columns.n", "add interval_s"),
        (f'{TOTALS}{FILE}interval_s = 60\n{FILE}interval_s = 60\n', "$.manual.files[1].path", "given twice"),
        (f'{TOTALS}{FILE}interval_s = 60\ntimezone = "Mars"\n', "$.manual.files[0].timezone", "no time zone"),
        (TOTALS + FILE.replace("ed/", "er/"), "$.manual.files[0].columns.n", "no datastream"),
        (f"manual.port = 80\n{EVENTS}{EVENTS}", "$.manual.values[1].datastream", "given twice"),
        (f"manual.port = 80\nmanual.wait_s = 3600\n{EVENTS}{TASK}", "$.tasks[0]", "always go on without ed/arrivals"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_told_by_its_field(text: str, field: str, rule: str) -> None:
    with pytest.raises(ContractError) as refused:
        load_node_config(BEGIN + text)
    assert [(f, rule in r) for f, r in refused.value.mistakes] == [(field, True)]


def test_what_is_told_can_be_forecast() -> None:
    config = load_node_config(f"{BEGIN}manual.port = 8040\nmanual.wait_s = 600\n{EVENTS}{TASK}")
    (stream,) = config.datastreams()
    assert (stream.name, stream.unit, stream.aggregate) == ("ed/arrivals", "{pat}", "sum")
