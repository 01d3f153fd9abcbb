"""Families that look at pictures: shapes, missing pixels, light, and that a few pictures can be learnt."""

from __future__ import annotations

import pytest
import torch

from wayside.contracts.task import Input, TaskSpec
from wayside.contracts.wire import to_builtins
from wayside.models import registry
from wayside.models.errors import ModelConfigError

FAMILIES = [(f, kind) for kind in ("classify", "count") for f in registry.families(kind)]


def image_task(kind: str, side: int = 16, width: int | None = None) -> TaskSpec:
    return TaskSpec(
        name="pictures",
        domain="safety",
        kind=kind,
        inputs=(Input(name="pixel", unit="1", low=0, high=255),),
        output="class",
        output_unit="1",
        window=1,
        horizon=1,
        interval_s=1,
        season=1,
        image=(side, width or side, 3),
        classes=("bright", "dark"),
    )


def built(family: str, kind: str, side: int = 16, width: int | None = None) -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {"stem": 8, "stages": [[12, 2], [16, 2]], "head": 16}
    task = image_task(kind, side, width)
    return registry.build({"family": family, "sizes": sizes, "task": to_builtins(task)}).eval()


def some_pictures(n: int, side: int = 16, width: int | None = None) -> torch.Tensor:
    """(N, H, W, 3)"""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, side, width or side, 3, generator=generator) * 255


@pytest.mark.parametrize(("family", "kind"), FAMILIES)
@pytest.mark.parametrize("side", [(16, 16), (17, 23), (32, 48)])
def test_pictures_of_any_size_become_one_number_a_class(family: str, kind: str, side: tuple[int, int]) -> None:
    answer = built(family, kind, *side)(some_pictures(3, *side))
    assert answer.shape == (3, 2)
    assert torch.isfinite(answer).all()
    assert kind != "count" or (answer >= 0).all()


@pytest.mark.parametrize(("family", "kind"), FAMILIES)
def test_a_family_works_with_its_own_sizes(family: str, kind: str) -> None:
    module = registry.build({"family": family, "task": to_builtins(image_task(kind))}).eval()
    assert module(some_pictures(1)).shape == (1, 2)


@pytest.mark.parametrize(("family", "kind"), FAMILIES)
def test_missing_pixels_even_and_wild_pictures_are_answered(family: str, kind: str) -> None:
    module = built(family, kind)
    holed = some_pictures(1)
    holed[:, 3:5] = torch.nan
    for x in (holed, holed * torch.nan, holed.new_zeros(holed.shape), holed.new_full(holed.shape, 255), holed * 1e30):
        assert torch.isfinite(module(x)).all()


@pytest.mark.parametrize(("family", "kind"), FAMILIES)
def test_a_picture_is_answered_alone_as_in_a_batch(family: str, kind: str) -> None:
    module, x = built(family, kind), some_pictures(8)
    alone = torch.cat([module(x[i : i + 1]) for i in range(8)])
    assert torch.allclose(alone, module(x), atol=1e-4)


def test_a_trained_net_that_looks_closer_and_from_afar_answers_the_mean() -> None:
    torch.manual_seed(0)
    config = {"family": "cnn", "task": to_builtins(image_task("classify"))}
    once, x = registry.build(config).eval(), some_pictures(4)
    answers = []
    for zooms in ((2,), (-2,), (2, -2)):
        more = registry.build(config | {"sizes": {"zooms": zooms}}).eval()
        more.load_state_dict(once.state_dict())
        answers.append(more(x))
    closer, afar, both = answers
    assert torch.allclose(3 * both, 2 * closer + 2 * afar - once(x), atol=1e-4)


@pytest.mark.parametrize(("family", "kind"), FAMILIES)
def test_half_the_light_changes_little(family: str, kind: str) -> None:
    module, x = built(family, kind), some_pictures(16)
    bright, dark = module(x), module(x / 2)
    assert (bright - dark).abs().max() < 0.2 * bright.std()


@pytest.mark.parametrize(("family", "kind"), FAMILIES)
def test_a_few_pictures_are_learnt(family: str, kind: str) -> None:
    module = built(family, kind).train()
    x = some_pictures(16)
    y = torch.arange(16) % 2
    x[y == 1, 4:10, 4:10] = 250.0
    target = y if kind == "classify" else torch.stack([y, 1 - y], dim=1).float()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    first = module.training_loss(x, target).item()
    for _ in range(20):
        optimizer.zero_grad()
        loss = module.training_loss(x, target)
        loss.backward()
        optimizer.step()
    assert loss.item() < first / 2


@pytest.mark.parametrize(("family", "other"), [("cnn", "count"), ("count", "classify")])
def test_a_task_of_another_kind_is_refused_by_name(family: str, other: str) -> None:
    with pytest.raises(ModelConfigError, match=f"family {family} takes tasks of kind"):
        built(family, other)
