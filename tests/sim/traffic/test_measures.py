"""Measures of what SUMO's traffic does under the compiled board are the kept library's, row for row."""

from __future__ import annotations

import csv
import json
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.edge.measures.test_against_atspm import differing, in_the_librarys_words
from tests.edge.measures.test_measures import rows_of
from tests.simulators import atspm_library
from wayside.cloud.sim.traffic.cli import sim
from wayside.cloud.sim.traffic.maps import find_map
from wayside.cloud.sim.traffic.plant import intersections_of
from wayside.cloud.sim.traffic.process import run_all
from wayside.cloud.sim.traffic.spec import RunSpec
from wayside.edge.measures.codes import codes_of
from wayside.edge.measures.layout import Layout, Settings

pytest.importorskip("libsumo", reason="SUMO is not installed: pip install 'wayside[sim]'")
pytest.importorskip("atspm")
if metadata.version("duckdb").split(".")[0] != "1":
    pytest.skip("atspm 2.6.1 fails with DuckDB 2: pip install -c constraints.txt duckdb", allow_module_level=True)
MIDNIGHT = 1_767_225_600_000


def hours(net: str, seeds: range, folder: Path) -> list[tuple[int, int, int]]:
    """One hour of each seed after the other, as codes."""
    specs = [RunSpec(net=net, policy="board", seed=seed, events=str(folder / f"{seed}.csv")) for seed in seeds]
    run_all(specs)
    events: list[tuple[int, int, int]] = []
    for hour, spec in enumerate(specs):
        with Path(str(spec.events)).open(newline="") as file:
            for row in csv.DictReader(file):
                ms, kind, channel, value = (int(row[name]) for name in ("ms", "kind", "channel", "value"))
                at = MIDNIGHT + hour * 3_600_000 + max(0, ms)
                events += [(at, code, channel) for code in codes_of(kind, value)]
    return sorted(events)


def test_a_run_has_its_measures_as_table_and_picture(tmp_path: Path) -> None:
    path = tmp_path / "1.csv"
    run_all([RunSpec(net="dual_ring", policy="board", seed=1, seconds=600, events=str(path))])
    picture = tmp_path / "signal.png"
    told = CliRunner().invoke(sim, ["measures", "dual_ring", str(path), "--plot", str(picture), "--json"])
    assert told.exit_code == 0, told.output
    phases = json.loads(told.stdout)["phases"]
    with path.open(newline="") as file:
        events = list(csv.DictReader(file))
    greens = [e for e in events if e["kind"] == "3" and e["channel"] == "2"]
    assert set(phases) == {str(phase) for phase in range(1, 9)}
    assert phases["2"]["greens"] == len(greens)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "failures" in CliRunner().invoke(sim, ["measures", "dual_ring", str(path)]).stdout
    other = CliRunner().invoke(sim, ["measures", "dual_ring", str(path), "--light", "nowhere"])
    assert other.exit_code == 1
    path.write_text("a,b\n1,2\n")
    assert CliRunner().invoke(sim, ["measures", "dual_ring", str(path)]).exit_code == 1


@pytest.mark.parametrize("net", ["crossing", "dual_ring"])
def test_no_row_differs_on_a_simulated_hour(net: str, tmp_path: Path) -> None:
    events = hours(net, range(1, 2), tmp_path)
    (intersection,) = intersections_of(find_map(net, None, seed=1))
    layout = Layout.of(placed.loop for placed in intersection.loops)
    theirs = atspm_library.answers(atspm_library.frame(events), atspm_library.config(layout), Settings())
    ours = in_the_librarys_words(rows_of(events, layout, Settings(), 10_000))
    assert {"terminations", "arrival_on_green", "platoon_ratio", "split_failures"} <= {key[0] for key in theirs}
    assert len(theirs) > 50
    assert differing(ours, theirs) == []
