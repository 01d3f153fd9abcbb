"""Sites that a model has not seen: trained for by hiding some, measured by hiding all, promised only where measured."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from msgspec.structs import replace

from tests.simulators.node_kinds import offer, tables
from wayside.cloud.train import cases, datasets, sites
from wayside.cloud.train.errors import TaskError
from wayside.cloud.train.fit import fit
from wayside.cloud.train.grid import Grid
from wayside.cloud.train.run import train
from wayside.cloud.train.taskfile import TaskFile, load_task, task_names
from wayside.contracts.fit import UNKNOWN_SITE, misfits
from wayside.contracts.passport import Passport
from wayside.contracts.task import Input
from wayside.contracts.wire import ContractError, decode_toml
from wayside.export import checkpoint, pipeline
from wayside.models.registry import build

SHARE = 0.1
Street = tuple[TaskFile, Grid]


@pytest.fixture(scope="module")
def street() -> Street:
    """The real sample, with the detector as an input."""
    made = load_task("traffic_flow")
    inputs = (*made.task.inputs, Input(name="site", unit="1", low=0, high=4095))
    made = replace(made, task=replace(made.task, inputs=inputs), fit=replace(made.fit, epochs=2, steps=400))
    grid, made = datasets.load(made)
    assert isinstance(grid, Grid)
    return made, grid


def trained(street: Street, share: float, out: Path) -> Path:
    made, grid = street
    train(replace(made, fit=replace(made.fit, site_dropout=share)), grid, out)
    return out


def passport_of(run: Path) -> Passport:
    passport = pipeline.run(run, pipeline.Options(formats=("onnx",)), until="passport").passport
    assert passport is not None
    return passport


@pytest.fixture(scope="module")
def strangers(street: Street, tmp_path_factory: pytest.TempPathFactory) -> Passport:
    return passport_of(trained(street, SHARE, tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def local_run(street: Street, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(street, 0.0, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def locals_only(local_run: Path) -> Passport:
    return passport_of(local_run)


def test_a_model_that_is_trained_for_unknown_sites_is_better_than_naive_there(strangers: Passport) -> None:
    (unknown,) = (a for a in strangers.accuracy if a.slice == UNKNOWN_SITE)
    assert unknown.mae.keys() == {"torch", "naive", "seasonal", "onnx-fp32", "onnx-int8"}
    assert unknown.mae["onnx-int8"] < unknown.mae["naive"]
    assert "onnx-int8" in unknown.losses
    assert unknown.n == 4000


def test_known_sites_pay_little_for_it(strangers: Passport, locals_only: Passport) -> None:
    assert strangers.accuracy[0].mae["torch"] < 1.03 * locals_only.accuracy[0].mae["torch"]


def test_a_model_that_is_not_says_nothing_of_unknown_sites(locals_only: Passport) -> None:
    assert UNKNOWN_SITE not in {a.slice for a in locals_only.accuracy}


def test_an_unnamed_site_takes_the_one_and_refuses_the_other(strangers: Passport, locals_only: Passport) -> None:
    node = offer("intersection")
    for passport, refused in ((strangers, []), (locals_only, ["site"])):
        table = next(iter(tables(passport, node)))
        unnamed = replace(table, sites=(replace(table.sites[0], site=None),))
        assert [m.misses for m in misfits(passport, unnamed, node)] == refused


def test_without_it_the_unknown_site_is_worse_than_naive(street: Street, local_run: Path) -> None:
    """Why such a model is not used there: what it keeps for that index was never trained."""
    made, grid = street
    data = datasets.split(grid, made)
    module = checkpoint.load(local_run).model
    x, y = data.holdout.take(np.arange(0, len(data.holdout), 8))
    x[:, :, -1] = len(made.task.sites)
    with torch.inference_mode():
        error = np.abs(module(torch.from_numpy(x)).numpy() - y).mean()
    assert error > np.abs(x[:, -1:, 0] - y).mean()


def test_the_share_is_hidden_and_nothing_else_changes(street: Street) -> None:
    task = street[0].task
    x = torch.rand(4000, task.window, len(task.inputs))
    hidden = sites.hide(x, task, SHARE, torch.Generator().manual_seed(0))
    gone = hidden[:, 0, -1] == len(task.sites)
    assert 0.08 < gone.float().mean() < 0.12
    assert torch.equal(hidden[~gone], x[~gone])
    assert torch.equal(hidden[:, :, :-1], x[:, :, :-1])
    assert (hidden[gone][:, :, -1] == len(task.sites)).all()
    assert sites.hide(x, task, 0.0, torch.Generator()) is x


def test_int8_is_calibrated_with_unknown_sites_too(street: Street) -> None:
    made, grid = street
    windows = datasets.split(grid, made).train
    for share, some in ((SHARE, True), (0.0, False)):
        recipe = replace(made, fit=replace(made.fit, site_dropout=share))
        stored = cases.stored(recipe, windows, windows.where(np.arange(8)), 0)
        assert (stored["calibration"][:, -1, -1] == len(made.task.sites)).any() == some


def test_a_task_without_sites_has_none_to_hide() -> None:
    text = (importlib.resources.files("wayside.cloud.train") / "tasks" / "traffic_flow.toml").read_text()
    with pytest.raises(ContractError, match="no input of that name"):
        decode_toml(text + "site_dropout = 0.1\n", TaskFile)


def test_a_size_that_became_a_matter_of_training_is_refused_where_it_stood(street: Street) -> None:
    made, grid = street
    recipe = replace(made.fit, family="light", sizes={"site_dropout": 0.1})
    with pytest.raises(TaskError, match=r"site_dropout stands in \[fit\] now"):
        fit(recipe, made.task, datasets.split(grid, made))


def test_a_checkpoint_from_before_that_is_still_read(street: Street) -> None:
    config = {"family": "light", "sizes": {"site_dropout": 0.1, "hidden": 8}}
    assert build(config | {"task": msgspec.to_builtins(street[0].task)})


def test_shipped_tasks_that_hide_sites_have_some() -> None:
    hiding = {n for n in task_names() if load_task(n).fit.site_dropout}
    assert hiding == {"junctions", "scats_15", "scats_30", "scats_60"}
