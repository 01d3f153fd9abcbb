"""`wayside simulate`: from data, or none, to the table; the same bundle given; and when it fails."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.simulators.odd_names import ODD
from tests.simulators.verb import Done, typed
from wayside.cloud.sim.comparison import BEST, NONE, POLICY, SHUFFLED
from wayside.cloud.sim.errors import NothingToReplay, ScenarioError
from wayside.cloud.sim.replay import choose
from wayside.cloud.sim.scenario import load_air, load_energy
from wayside.cloud.sim.tariff import Tariff, load_tariff
from wayside.cloud.train import datasets, generated
from wayside.cloud.train.taskfile import load_task

pytestmark = pytest.mark.timeout(600)  # a small model is trained, exported and gated
VERB = [sys.executable, "wayside.py", "simulate"]
DAYS = 110
SMALL = """
[task]
wire = 1
name = "small_load"
domain = "energy"
output = "demand"
output_unit = "MW"
window = 48
horizon = 48
interval_s = 1800.0
season = 48
holdout_days = 32
validation_days = 15
quantiles = [0.1, 0.5, 0.9]
[[task.inputs]]
name = "demand"
unit = "MW"
low = 0.0
high = 20000.0
[[task.inputs]]
name = "hour"
unit = "h"
low = 0.0
high = 24.0
[data]
layout = "long"
files = ["energy/vic_elec_*.csv"]
time = ["Time"]
zone = "Australia/Brisbane"
[data.columns.demand]
source = "Demand"
[fit]
family = "mlp"
loss = "pinball"
epochs = 3
batch = 128
rate = 0.003
[fit.sizes]
hidden = 24
"""


def simulate(*options: str | Path, status: int = 0, data: Path | None = None) -> Done:
    """Type it, with WAYSIDE_DATA naming ``data``, or nothing."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("WAYSIDE_DATA", raising=False)
        if data is not None:
            environment.setenv("WAYSIDE_DATA", str(data))
        done = typed("simulate", *options)
    assert done.status == status, done.err
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("simulate") / ODD
    made.mkdir(parents=True)
    (made / "small_load.toml").write_text(SMALL)
    generated.write(made / "data", 3, load_days=DAYS)
    return made


def small(folder: Path) -> list[str | Path]:
    return ["energy", "--model", folder / "small_load.toml", "--runs", folder / "runs"]


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    picture = folder / "effect.png"
    done = simulate(*small(folder), "--json", "--plot", picture, data=folder / "data")
    assert picture.stat().st_size > 10_000
    (one,) = json.loads(done.out)["simulations"]
    return one


def test_a_month_that_was_held_out_is_replayed_through_the_exported_model(found: dict[str, Any]) -> None:
    captures = {line["control"]: line["capture"] for line in found["lines"]}
    assert found["months"] == ["2013-12"]
    assert found["model"].startswith("small-load ") or "small" in found["model"]
    assert captures[NONE] == 0.0
    assert captures[BEST] == 1.0
    assert 0.5 < captures[POLICY] <= 1.0
    assert captures[SHUFFLED] < captures[POLICY]


def test_the_bundle_that_was_exported_gives_the_same_numbers(folder: Path, found: dict[str, Any]) -> None:
    (bundle,) = (folder / "runs").rglob("*.bundle")
    done = simulate(*small(folder), "--bundle", bundle, "--json", "--data", folder / "data")
    assert json.loads(done.out)["simulations"][0] == found


def test_the_table_says_what_was_assumed_and_what_was_captured(folder: Path, found: dict[str, Any]) -> None:
    done = simulate(*small(folder), "--config", "energy_time_of_use", "--month", "2013-12", data=folder / "data")
    for said in ("capture", "best possible", "has to run 21600 s by 17:00", "2013-12", "int8"):
        assert said in done.out


def test_made_up_data_are_said_to_be_made_up(folder: Path) -> None:
    """Its own first lines; all of it takes the training of a large model."""
    done = simulate(*small(folder)[:-1], folder / "no-data", "--month", "1999-01", status=1)
    assert "made-up data of seed 0" in done.words
    assert "1999-01 is no whole month that was held out; there are 2013-12" in done.words


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tariff", "cheap"], "there is no tariff 'cheap'; known: dynamic, time_of_use"),
        (["--month", "2013-10"], "2013-10 is no whole month that was held out; there are 2013-12"),
        (["--config", "no.toml"], "no.toml cannot be read: No such file or directory"),
        (["--bundle", "no.bundle"], "no.bundle cannot be read"),
        (["--bundle", "wayside.py"], "wayside.py would be refused by every node"),
        (["--model", "nothing"], "there is no task 'nothing'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    folder: Path, found: dict[str, Any], options: list[str], said: str
) -> None:
    done = simulate(*small(folder), *options, status=1, data=folder / "data")
    assert said in done.words
    assert not done.out


def test_ctrl_c_ends_it_cleanly(folder: Path, found: dict[str, Any], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    command = [*VERB, *map(str, small(folder)[:-1]), str(runs), "--data", str(folder / "data"), "--month", "2013-12"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (130, 0), said  # 0: it was done by then
    assert "Traceback" not in said
    assert not list(runs.rglob("*.partial"))


# --- files ------------------------------------------------------------------------------------------


def test_only_whole_months_that_training_did_not_see_are_replayed(folder: Path) -> None:
    grid, taskfile = datasets.load(load_task(str(folder / "small_load.toml")), folder / "data")
    assert choose("all", grid, taskfile) == choose("last", grid, taskfile) == ["2013-12"]
    short = msgspec.structs.replace(taskfile, task=msgspec.structs.replace(taskfile.task, holdout_days=20))
    with pytest.raises(NothingToReplay, match="contain no whole calendar month"):
        choose("last", grid, short)


def test_a_nodes_own_file_can_be_simulated(tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[2] / "cloud" / "sim" / "scenarios" / "energy.toml").read_text()
    tables = shipped[shipped.index("[[tasks]]") :]
    (tmp_path / "node.toml").write_text('node = "kiosk"\nstate_dir = "/var/lib/wayside"\n' + tables)
    assert load_energy(str(tmp_path / "node.toml")).tasks == load_energy(None).tasks


def test_a_wrong_field_is_named(tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[2] / "cloud" / "sim" / "scenarios" / "air.toml").read_text()
    (tmp_path / "air.toml").write_text(shipped.replace("cost_loss = 0.2", "cost_loss = 2"))
    with pytest.raises(ScenarioError, match=r"plant\.cost_loss"):
        load_air(str(tmp_path / "air.toml"))


def test_a_tariff_has_a_price_for_every_hour_or_says_which_it_lacks() -> None:
    prices = load_tariff("time_of_use").prices(np.array([3.0, 12.0, 18.0, 18.0]), [0, 0, 0, 6], np.ones(4))
    assert prices.tolist() == [0.12, 0.22, 0.34, 0.22]
    follows = load_tariff("dynamic").prices(np.zeros(3), [0] * 3, np.array([0.1, 0.625, 2.0]))
    assert follows.tolist() == pytest.approx([0.04, 0.18, 1.20])
    lacking = msgspec.convert(
        {"name": "day", "currency": "EUR", "energy": [{"per_kwh": 0.3, "begins": 6, "until": 22}]}, Tariff
    )
    with pytest.raises(ScenarioError, match=r"has no price for hour 3 of weekday 0"):
        lacking.prices(np.array([3.0]), [0], np.ones(1))


def test_made_up_data_of_a_seed_are_always_the_same() -> None:
    assert generated.load_curve(3, 5).equals(generated.load_curve(3, 5))
    assert not generated.load_curve(3, 5).equals(generated.load_curve(3, 6))
    first, again = generated.air(3, 5), generated.air(3, 5)
    assert all(first[name].equals(again[name]) for name in generated.STATIONS)
    assert 0.001 < first["Made Centre"]["PM2.5"].isna().mean() < 0.2
