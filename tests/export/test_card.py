"""The model card says what the passport says, in Markdown and in one HTML file that needs nothing else."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.simulators.exported_bundle import exported
from wayside.contracts.fit import UNKNOWN_SITE
from wayside.contracts.passport import Accuracy
from wayside.contracts.task import TaskSpec
from wayside.export import card, cli, pipeline
from wayside.export.card import render
from wayside.export.needs import needs


def made(**changes) -> dict[str, str]:
    work = exported()
    passport = msgspec.structs.replace(work.passport, **changes)
    return render(passport, work.trained.golden, work.parity.golden_outputs)


def test_it_names_every_variant_with_its_bytes_and_what_int8_lost():
    text = exported().cards[card.MARKDOWN]
    for v in exported().passport.variants:
        assert v.name in text
        assert f"| {v.bytes} |" in text
    loss = exported().passport.accuracy[0].losses["onnx-int8"]
    assert f"{loss.loss:+.2%} {loss.metric}" in text


def test_the_pictures_are_sound_svg_and_the_html_holds_them():
    files = exported().cards
    assert sorted(files) == ["card-accuracy.svg", "card-example.svg", "card.html", "card.md"]
    for name in (card.ACCURACY_SVG, card.EXAMPLE_SVG):
        assert ET.fromstring(files[name]).tag.endswith("svg")
        assert files[name] in files[card.HTML]
        assert f"]({name})" in files[card.MARKDOWN]
    for outside in ("<script", "<link", "src=", "url("):
        assert outside not in files[card.HTML]


def test_what_was_left_out_and_weights_that_saw_everything_are_said():
    text = made(
        left_out={"tflite-int8": "mae, all: 9 is 5.00% worse"},
        seen_until="2024-05-13T00:00:00",
        honest={"holdout": {"mae": 4.5}},
    )[card.MARKDOWN]
    assert "tflite-int8 is left out: mae, all: 9 is 5.00% worse." in text
    assert "seen all days until 2024-05-13" in text
    assert "holdout: mae 4.5" in text


def test_it_says_which_nodes_can_run_it_and_how_it_fares_at_unknown_sites():
    unknown = Accuracy(slice=UNKNOWN_SITE, n=77, mae={"naive": 10.7, "onnx-int8": 7.83})
    text = made(accuracy=(*exported().passport.accuracy, unknown))[card.MARKDOWN]
    for need in needs(exported().passport):
        assert f"| {need.what} | {need.needed} |" in text
    assert "77 of them) the mean absolute error is naive 10.7, onnx-int8 7.83" in text
    assert "does not know" not in exported().cards[card.MARKDOWN]


@pytest.mark.parametrize(("missing", "says"), [("graph", "A missing value is NaN."), ("last", "the last one before")])
def test_it_says_who_fills_gaps(missing, says):
    task = msgspec.structs.replace(exported().passport.task, missing=missing)
    assert says in made(task=task)[card.MARKDOWN]


def test_names_from_the_data_are_escaped():
    accuracy = exported().passport.accuracy[1]
    hostile = msgspec.structs.replace(accuracy, slice="site <script>|x")
    files = made(accuracy=(exported().passport.accuracy[0], hostile))
    assert "<script" not in files[card.HTML]
    assert ET.fromstring(files[card.ACCURACY_SVG]) is not None


@pytest.mark.parametrize("kind", ["classify", "count", "score"])
def test_kinds_without_a_forecast_have_no_example(kind):
    task = exported().trained.task
    if kind == "score":
        other = msgspec.structs.replace(task, kind=kind)
    else:
        fields = {f: getattr(task, f) for f in TaskSpec.__struct_fields__} | {"kind": kind}
        other = TaskSpec(**fields | {"image": (16, 16, 3), "classes": ("car", "bus")})
    files = made(task=other)
    assert card.EXAMPLE_SVG not in files
    assert {"classify": "2 classes", "count": "counts car, bus", "score": "unusual"}[kind] in files[card.MARKDOWN]


def test_quantiles_become_a_band_and_missing_values_a_gap():
    work = exported()
    task = msgspec.structs.replace(work.passport.task, horizon=3, quantiles=(0.1, 0.5, 0.9))
    inputs = work.trained.golden.copy()
    inputs[:, 1, 0] = np.nan
    outputs = np.sort(np.random.default_rng(0).uniform(0, 50, (len(inputs), 3, 3)).astype(np.float32))
    svg = render(msgspec.structs.replace(work.passport, task=task), inputs, outputs)[card.EXAMPLE_SVG]
    assert "<polygon" in svg
    assert "nan" not in svg


def test_the_card_of_a_bundle_is_the_card_of_its_export(tmp_path):
    path = tmp_path / "a.bundle"
    path.write_bytes(exported().bundle)
    assert pipeline.card_of(path) == exported().cards
    result = CliRunner().invoke(cli.export, [str(path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / card.HTML).read_text() == exported().cards[card.HTML]


def test_what_is_no_bundle_is_one_sentence(tmp_path):
    path = tmp_path / "a.bundle"
    path.write_bytes(b"no")
    result = CliRunner().invoke(cli.export, [str(path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "not a sound zip" in result.stderr


def test_a_work_without_accuracy_still_has_a_card():
    assert card.ACCURACY_SVG not in made(accuracy=())
