"""Augmentation: pictures stay pictures, the seed decides, and signs keep their meaning."""

from __future__ import annotations

import pytest
import torch

from wayside.cloud.train.augment import AUGMENT, PARTNERS, augment
from wayside.cloud.train.errors import TaskError


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 64, height: int = 16, width: int = 20) -> torch.Tensor:
    return torch.rand(n, height, width, 3, generator=drawn(7)) * 255


@pytest.mark.parametrize("name", AUGMENT)
def test_pictures_stay_pictures_and_the_seed_decides(name: str) -> None:
    x, y = pictures(), torch.arange(64) % 43
    before = x.clone()
    (a, la), (b, lb), (c, _) = (augment([name], x, y, drawn(seed)) for seed in (1, 1, 2))
    assert a.shape == x.shape
    assert a.dtype == torch.float32
    assert torch.isfinite(a).all()
    assert a.min() >= 0
    assert a.max() <= 255
    assert torch.equal(a, b)
    assert torch.equal(la, lb)
    assert not torch.equal(a, c)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", [n for n in AUGMENT if n != "mirror_signs"])
def test_labels_and_counts_are_kept(name: str) -> None:
    counts = torch.rand(64, 2)
    assert torch.equal(augment([name], pictures(), counts, drawn())[1], counts)


def test_a_mirrored_left_turn_is_a_right_turn() -> None:
    x = pictures(200)
    for a, b in PARTNERS:
        y = torch.full((200,), a)
        out, labels = augment(["mirror_signs"], x, y, drawn())
        assert set(labels.tolist()) == {a, b}
        assert torch.equal(out[labels == b], x[labels == b].flip(2))
        assert torch.equal(out[labels == a], x[labels == a])


def test_signs_with_a_written_number_are_never_mirrored_left_for_right() -> None:
    for number in (0, 1, 2, 3, 4, 5, 7, 8, 14):
        x, y = pictures(50), torch.full((50,), number)
        out, labels = augment(["mirror_signs"], x, y, drawn())
        assert torch.equal(labels, y)
        assert all(torch.equal(o, i) or torch.equal(o, i.flip(0)) for o, i in zip(out, x, strict=True))


def test_affine_moves_the_picture_and_keeps_its_light() -> None:
    even = torch.full((8, 16, 16, 3), 90.0)
    assert torch.allclose(augment(["affine"], even, torch.zeros(8), drawn())[0], even, atol=1e-3)
    spot = torch.zeros(64, 32, 32, 3)
    spot[:, 15:17, 15:17] = 255
    moved, _ = augment(["affine"], spot, torch.zeros(64), drawn())
    assert (moved.sum((1, 2, 3)) > 0).all()
    assert not torch.allclose(moved, spot)


def test_names_are_applied_in_order_and_an_unknown_one_is_refused() -> None:
    x, y = pictures(), torch.zeros(64)
    both = augment(["mirror", "light"], x, y, drawn())[0]
    generator = drawn()
    assert torch.equal(AUGMENT["light"](*AUGMENT["mirror"](x, y, generator), generator)[0], both)
    with pytest.raises(TaskError, match="'sepia' is unknown; known: mirror, mirror_signs"):
        augment(["sepia"], x, y, drawn())
