"""A picture becomes a model's input in one way: the same bits in training and on the node, from any kind of file."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.simulators.pictures import encoded, jpeg, scene, task
from tests.train.taskfiles import taskfile
from wayside.cloud.train import datasets
from wayside.cloud.train.errors import DataError
from wayside.contracts import picture
from wayside.contracts.camera_config import Region
from wayside.contracts.picture import MAX_SIDE, WHOLE, bounds, decoded, prepared
from wayside.contracts.task import PictureSpec
from wayside.contracts.wire import ContractError, decode, encode

RGB, GREY = PictureSpec(), PictureSpec(colours="grey")
SIZES = [(480, 640), (97, 31), (31, 97), (33, 33), (20, 1000), (32, 32), (1, 1)]


def noise(height: int, width: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def by_whole_numbers(part: Any, height: int, width: int) -> Any:
    """The same written down with Python's integers, pixel by pixel."""
    down, across = max(1, part.shape[0] // (2 * height)), max(1, part.shape[1] // (2 * width))
    part = part[down // 2 :: down, across // 2 :: across]

    def weights(side: int, to: int) -> list[list[int]]:
        reach, rows = 2 * max(side, to), []
        for k in range(to):
            parts = [max(0, reach - abs((2 * i + 1) * to - (2 * k + 1) * side)) for i in range(side)]
            total = sum(parts)
            whole = [(2 * p * 2**15 + total) // (2 * total) for p in parts]
            whole[whole.index(max(whole))] += 2**15 - sum(whole)
            rows.append(whole)
        return rows

    rows, columns = weights(part.shape[0], height), weights(part.shape[1], width)
    made = np.zeros((height, width, part.shape[2]), np.float32)
    for y, x, c in itertools.product(*map(range, made.shape)):
        total = sum(
            rows[y][i] * columns[x][j] * int(part[i, j, c])
            for i in range(part.shape[0]) if rows[y][i]
            for j in range(part.shape[1]) if columns[x][j]
        )  # fmt: skip
        made[y, x, c] = (total + 2**29) // 2**30
    return made


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 23), st.integers(1, 23), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**16))
def test_resizing_is_exact_arithmetic_on_whole_numbers(h: int, w: int, to_h: int, to_w: int, seed: int) -> None:
    picture = noise(h, w, seed)
    assert np.array_equal(prepared(picture, WHOLE, RGB, (to_h, to_w, 3)), by_whole_numbers(picture, to_h, to_w))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("image", [(32, 32, 3), (24, 48, 3), (96, 96, 1)])
def test_it_is_what_an_image_library_makes_up_to_one_level(size: tuple[int, int], image: tuple[int, int, int]) -> None:
    seen = noise(*size)
    spec = RGB if image[2] == 3 else GREY
    made = prepared(seen, WHOLE, spec, image)
    down, across = (max(1, side // (2 * to)) for side, to in zip(size, image, strict=False))
    left = seen[down // 2 :: down, across // 2 :: across]  # of a large picture not all is looked at
    theirs = Image.fromarray(np.ascontiguousarray(left)).convert("RGB" if image[2] == 3 else "L")
    sized = np.asarray(theirs.resize((image[1], image[0]), Image.Resampling.BILINEAR)).reshape(image)
    assert made.dtype == np.float32
    assert np.array_equal(made, made.round())
    assert np.abs(made - sized).max() <= 1


def test_a_picture_of_the_models_size_is_passed_on_as_it_is() -> None:
    seen = noise(32, 32)
    assert np.array_equal(prepared(seen, WHOLE, RGB, (32, 32, 3)), seen.astype(np.float32))


def test_a_grey_picture_is_as_grey_in_colours_as_without_them() -> None:
    grey = np.repeat(noise(50, 40)[:, :, :1], 3, axis=2)
    assert np.array_equal(prepared(grey, WHOLE, GREY, (50, 40, 1)), grey[:, :, :1].astype(np.float32))
    colours = noise(50, 40)
    assert np.array_equal(
        prepared(colours, WHOLE, GREY, (50, 40, 1))[:, :, 0], np.asarray(Image.fromarray(colours).convert("L"))
    )


def test_a_region_is_cut_out_before_anything_else() -> None:
    seen = noise(101, 67)
    region = Region(left=0.25, top=0.1, right=0.75, bottom=0.5)
    rows, columns = bounds((101, 67), region, RGB, (32, 32))
    assert (rows, columns) == (slice(10, 51), slice(17, 50))
    alone = np.ascontiguousarray(seen[rows, columns])
    assert np.array_equal(prepared(seen, region, RGB, (32, 32, 3)), prepared(alone, WHOLE, RGB, (32, 32, 3)))


@pytest.mark.parametrize("size", SIZES)
def test_centre_keeps_the_ratio_and_the_middle(size: tuple[int, int]) -> None:
    rows, columns = bounds(size, WHOLE, PictureSpec(fit="centre"), (24, 48))
    height, width = rows.stop - rows.start, columns.stop - columns.start
    assert 0 <= rows.start < rows.stop <= size[0]
    assert 0 <= columns.start < columns.stop <= size[1]
    assert height in (size[0], max(1, round(width / 2)), max(1, int(width / 2 + 0.5)))
    assert abs((rows.start + rows.stop) - size[0]) <= 1
    assert abs((columns.start + columns.stop) - size[1]) <= 1


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 400), st.integers(1, 400), st.tuples(*[st.floats(0, 1)] * 4), st.sampled_from(["stretch", "centre"])
)
def test_every_region_of_every_picture_has_a_pixel(h: int, w: int, edges: tuple[float, ...], fit: Any) -> None:
    left, right = sorted(edges[:2])
    top, bottom = sorted(edges[2:])
    if right - left < 0.01 or bottom - top < 0.01:
        with pytest.raises(ValueError, match=r"0\.01"):
            Region(left=left, right=right, top=top, bottom=bottom)
        return
    region = Region(left=left, right=right, top=top, bottom=bottom)
    rows, columns = bounds((h, w), region, PictureSpec(fit=fit), (7, 5))
    assert 0 <= rows.start < rows.stop <= h
    assert 0 <= columns.start < columns.stop <= w


# --- files ----------------------------------------------------------------------------------------


def test_png_jpeg_and_bmp_are_read_and_nothing_else() -> None:
    seen = noise(40, 60)
    assert np.array_equal(decoded(encoded(seen)), seen)
    assert np.array_equal(decoded(encoded(seen, "BMP")), seen)
    assert decoded(jpeg(seen)).shape == (40, 60, 3)
    for form in ("GIF", "TIFF", "WEBP", "PPM"):
        with pytest.raises(ContractError, match="is no JPEG"):
            decoded(encoded(seen, form))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright_as_its_exif_says(orientation: int) -> None:
    upright = noise(40, 60)
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(upright).save(out, "PNG", exif=exif)
    seen = decoded(out.getvalue())
    expected = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, -1),
        7: np.rot90(upright.transpose(1, 0, 2), 2),
        8: np.rot90(upright, 1),
    }[orientation]
    assert np.array_equal(seen, expected)


def test_palette_alpha_grey_and_sixteen_bits_become_three_channels_of_eight() -> None:
    seen = noise(20, 30)
    grey = seen[:, :, 0]
    assert np.array_equal(decoded(encoded(grey)), np.repeat(grey[:, :, None], 3, axis=2))
    alpha = np.dstack([seen, np.zeros((20, 30), np.uint8)])
    assert np.array_equal(decoded(encoded(alpha)), seen)  # what is behind full transparency counts as it is
    palette = Image.fromarray(seen).quantize(64)
    out = io.BytesIO()
    palette.save(out, "PNG", transparency=0)
    assert np.array_equal(decoded(out.getvalue()), np.asarray(palette.convert("RGB")))
    deep = (grey.astype(np.uint16) << 8) | 0x7F
    assert np.array_equal(decoded(encoded(deep)), np.repeat(grey[:, :, None], 3, axis=2))
    bits = Image.fromarray(grey > 127)
    out = io.BytesIO()
    bits.save(out, "PNG")
    assert set(np.unique(decoded(out.getvalue()))) <= {0, 255}


def test_a_huge_picture_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = encoded(np.zeros((1, MAX_SIDE + 1), np.uint8))
    bomb = bytearray(encoded(np.zeros((1, 1), np.uint8)))
    bomb[16:24] = (60000).to_bytes(4, "big") * 2  # IHDR says 3.6 thousand million pixels
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("it was decoded"))
    for content in (wide, bytes(bomb)):
        with pytest.raises(ContractError, match="picture"):
            decoded(content)
    monkeypatch.setattr(picture, "MAX_BYTES", 10)
    with pytest.raises(ContractError, match="bytes"):
        decoded(encoded(noise(4, 4)))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "BMP"]), st.data())
def test_damaged_files_are_refused_or_read_and_nothing_else_happens(form: str, data: st.DataObject) -> None:
    content = bytearray(encoded(noise(12, 12), form))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        seen = decoded(bytes(content[:cut]))
    except ContractError:
        return
    assert seen.dtype == np.uint8
    assert seen.ndim == 3


# --- training and the node ------------------------------------------------------------------------


@pytest.mark.parametrize("colours", ["rgb", "grey"])
@pytest.mark.parametrize("fit", ["stretch", "centre"])
def test_training_and_node_give_the_model_the_same_bits(tmp_path: Path, colours: Any, fit: Any) -> None:
    files = {
        "no/a.png": encoded(noise(31, 97, 1)),
        "no/b.jpg": jpeg(scene(1, 240, 320)),
        "no/c.png": encoded(noise(64, 64, 2)[:, :, 0]),
        "yes/a.bmp": encoded(noise(97, 31, 3), "BMP"),
        "yes/b.png": encoded(noise(50, 70, 4)[:, :, 0].astype(np.uint16) << 8),
        "yes/c.jpg": jpeg(scene(2, 101, 333)),
    }
    for name, content in files.items():
        path = tmp_path / "corner" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    spec = PictureSpec(colours=colours, fit=fit)
    image = (20, 28, 3 if colours == "rgb" else 1)
    of = taskfile(
        'layout = "images"\nfiles = ["corner"]',
        kind="classify",
        image=list(image),
        classes=["no", "yes"],
        window=1,
        **{"picture.colours": colours, "picture.fit": fit},
    )
    images = datasets.load(of, tmp_path)[0]
    seen, labels = images.take(np.arange(len(images)))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    for mine, content in zip(seen, files.values(), strict=True):
        node = prepared(decoded(content), WHOLE, spec, image)
        assert mine.dtype == node.dtype == np.float32
        assert np.array_equal(mine, node)


def test_a_folder_that_holds_something_else_is_refused_by_name(tmp_path: Path) -> None:
    of = taskfile('layout = "images"', kind="classify", image=[4, 4, 3], classes=["no", "yes"], window=1)
    with pytest.raises(DataError, match="no pictures in folders named after the classes"):
        datasets.load(of, override=[tmp_path])
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "list.txt").write_text("nothing")
    with pytest.raises(DataError, match=r"list\.txt: picture: is no JPEG"):
        datasets.load(of, override=[tmp_path])


# --- the contract ---------------------------------------------------------------------------------


def test_a_task_without_the_part_means_what_it_meant() -> None:
    old = task(picture=None)
    assert b"picture" not in encode(old)
    assert old.seen_as == RGB
    assert task(picture=None, image=(8, 8, 1)).seen_as == GREY
    new = task(picture=PictureSpec(fit="centre"))
    assert decode(encode(new), type(new)) == new


@pytest.mark.parametrize("changes", [{"image": (8, 8, 1)}, {"picture": GREY}])
def test_colours_and_channels_agree(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="3 channels of rgb, or 1 of grey"):
        task(**changes)
