"""Int8 models that others made, integers at both ends, run on the same runtimes: the data's folder ``models``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.real_data import ABSENT, DATA
from wayside.edge.runtimes.load import available, load_runtime
from wayside.edge.runtimes.runtime import FORMATS, RuntimeInputError, RuntimeLoadError

PIL = pytest.importorskip("PIL.Image", reason="pillow is not installed here")
MODELS = DATA / "models"
pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason=ABSENT)
RUNTIMES = [name for name, format_ in FORMATS.items() if format_ == "tflite" and name in available()]


def grey(name: str) -> np.ndarray:
    """(96, 96) of 0–255."""
    return np.asarray(PIL.open(MODELS / name).convert("L"))


def frame(picture: np.ndarray) -> np.ndarray:
    """(H, W) of 0–255 → (1, H, W, 3) of 0–1."""
    return np.repeat(picture[None, :, :, None], 3, axis=3).astype(np.float32) / 255


@pytest.mark.parametrize("name", RUNTIMES)
class TestVisualWakeWords:
    """MLPerf Tiny's person detector: int8 in and out, probabilities of (nobody, person)."""

    def test_it_sees_the_person_and_not_the_giraffe(self, name):
        runtime = load_runtime(name, MODELS / "vww_96_int8.tflite")
        assert (runtime.input_shape, runtime.output_shape) == ((1, 96, 96, 3), (1, 2))
        # person.bmp holds signed bytes: 128 is black.
        for picture, person in ((grey("person.bmp") ^ 128, True), (grey("no_person.bmp"), False)):
            answer = runtime.run(frame(picture))
            assert answer.dtype == np.float32
            assert answer.sum() == pytest.approx(1, abs=0.01)
            assert (answer[0, 1] > answer[0, 0]) == person

    def test_a_missing_value_is_refused_since_an_integer_cannot_say_it(self, name):
        runtime = load_runtime(name, MODELS / "vww_96_int8.tflite")
        nothing = np.full(runtime.input_shape, np.nan, np.float32)
        with pytest.raises(RuntimeInputError, match="missing"):
            runtime.run(nothing)

    def test_values_beyond_the_integers_range_are_its_ends(self, name):
        runtime = load_runtime(name, MODELS / "vww_96_int8.tflite")
        white = np.ones(runtime.input_shape, np.float32)
        np.testing.assert_array_equal(runtime.run(white * 50), runtime.run(white))


@pytest.mark.parametrize("name", RUNTIMES)
def test_the_small_resnet_gives_a_class_of_ten(name):
    runtime = load_runtime(name, MODELS / "pretrainedResnet_quant.tflite")
    picture = np.asarray(PIL.open(MODELS / "0001.bmp").convert("RGB").resize((32, 32)), np.float32)[None]  # 0–255
    answer = runtime.run(picture)
    assert answer.shape == (1, 10)
    assert answer.sum() == pytest.approx(1, abs=0.03)
    assert answer.max() > 0.5


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_recurrent_detector_of_several_outputs_runs_when_told_which(name):
    path = MODELS / "traffic_model.tflite"
    with pytest.raises(RuntimeLoadError, match="inputs instead of one"):
        load_runtime(name, path)
    boxes = next(r for r in _outputs(name, path) if r.output_shape[-1] == 4)
    picture = np.asarray(PIL.open(MODELS / "0001.bmp").convert("RGB"), np.float32)[None] / 127.5 - 1
    answer = boxes.run(picture)
    assert answer.shape == (1, 40, 4)
    assert np.isfinite(answer).all()
    assert ((answer > -0.2) & (answer < 1.2)).all()  # corners, relative to the picture


def _outputs(name: str, path: Path):
    for index in range(16):
        try:
            yield load_runtime(name, path, output=index)
        except RuntimeLoadError as exc:
            if "there is no output" in str(exc):
                return


@pytest.mark.parametrize("name", RUNTIMES[1:])
def test_the_runtimes_agree_within_two_steps_of_the_output(name):
    x = frame(grey("no_person.bmp"))
    first, other = (load_runtime(n, MODELS / "vww_96_int8.tflite").run(x) for n in (RUNTIMES[0], name))
    assert np.abs(first - other).max() <= 2.01 / 256
