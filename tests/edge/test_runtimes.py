"""Loading: what is missing or damaged is refused with a sentence; what was asked for and what runs are both known."""

from __future__ import annotations

import builtins
import importlib
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.simulators.exported_bundle import failing_onnx
from wayside.contracts.node_config import ModelConfig
from wayside.contracts.passport import Passport
from wayside.contracts.wire import decode
from wayside.edge.errors import EdgeError
from wayside.edge.runtimes.load import available, load_runtime
from wayside.edge.runtimes.runtime import FORMATS, RuntimeLoadError, RuntimeRunError
from wayside.edge.update.trial import BundleRefused, choose


def tiny_onnx(shape=(1, 4, 3), dtype=TensorProto.FLOAT, outputs=1) -> bytes:
    """y = mean over T and F of x, as (1, 1)."""
    names = [f"y{i}" for i in range(outputs)]
    nodes = [
        node
        for name in names
        for node in (
            helper.make_node("ReduceMean", ["x", "axes"], [f"m{name}"], keepdims=0),
            helper.make_node("Reshape", [f"m{name}", "shape"], [name]),
        )
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info(name, dtype, (1, 1)) for name in names],
        [
            helper.make_tensor("axes", TensorProto.INT64, [3], [0, 1, 2]),
            helper.make_tensor("shape", TensorProto.INT64, [2], [1, 1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def test_this_machine_names_its_runtimes():
    assert set(available()) <= set(FORMATS)
    assert "onnxruntime" in available()


@pytest.mark.parametrize(
    ("installed", "variant"),
    [
        (("onnxruntime", "tflite-runtime"), "onnx-int8"),
        (("ai-edge-litert",), "tflite-int8"),
        (("tflite-runtime",), "tflite-int8"),
        ((), None),
    ],
)
def test_without_a_word_a_node_takes_the_best_runtime_that_is_installed(monkeypatch, installed, variant):
    monkeypatch.setattr("wayside.edge.update.trial.available", lambda: installed)
    passport = decode((Path(__file__).parents[1] / "golden" / "v1" / "Passport.json").read_bytes(), Passport)
    onnx_variant = passport.variants[0]
    tflite = msgspec.structs.replace(
        onnx_variant,
        name="tflite-int8",
        file="model.int8.tflite",
        format="tflite",
        runtimes=("tflite-runtime", "ai-edge-litert"),
    )
    passport = msgspec.structs.replace(passport, variants=(tflite, onnx_variant))
    if variant is None:
        with pytest.raises(BundleRefused, match="none is installed"):
            choose(ModelConfig(), passport)
    else:
        assert choose(ModelConfig(), passport).name == variant
        assert choose(ModelConfig(runtime="tflite-runtime"), passport).name == "tflite-int8", "a file may name one"


def test_a_model_loads_from_a_file_and_from_verified_bytes(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(tiny_onnx())
    x = np.arange(12, dtype=np.float32).reshape(1, 4, 3)
    for model in (path, path.read_bytes()):
        runtime = load_runtime("onnxruntime", model)
        assert runtime.run(x).tolist() == [[5.5]]
        runtime.close()


def test_an_unknown_runtime_is_refused_with_the_choices():
    with pytest.raises(RuntimeLoadError, match="choose one of onnxruntime"):
        load_runtime("tensorflow", b"")


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    real_import, real_module = builtins.__import__, importlib.import_module

    def no_onnxruntime(name, *args, **kwargs):
        if name.split(".")[0] in ("onnxruntime", "ai_edge_litert") or name == "wayside.edge.runtimes.onnx":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real_import(name, *args, **kwargs)

    def no_litert(name, *args):
        if name.startswith("ai_edge_litert"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real_module(name, *args)

    monkeypatch.setattr(builtins, "__import__", no_onnxruntime)
    monkeypatch.setattr(importlib, "import_module", no_litert)
    for kind in ("onnxruntime", "ai-edge-litert"):
        with pytest.raises(RuntimeLoadError, match=f'pip install "{kind}"'):
            load_runtime(kind, b"")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RuntimeLoadError, match="cannot be read"):
        load_runtime("onnxruntime", tmp_path / "none.onnx")


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=25, deadline=None)
@given(data=st.binary(max_size=200))
def test_garbage_is_refused_not_loaded(kind, data):
    with pytest.raises(RuntimeLoadError):
        load_runtime(kind, data)


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(min_value=0, max_value=250))
def test_a_truncated_onnx_model_is_refused(cut):
    whole = tiny_onnx()
    try:
        load_runtime("onnxruntime", whole[: min(cut, len(whole) - 1)]).close()
    except EdgeError:
        return
    pytest.fail("a truncated model was loaded")


def test_a_model_that_fails_when_it_runs_raises_this_houses_error():
    runtime = load_runtime("onnxruntime", failing_onnx())
    with pytest.raises(RuntimeRunError, match="cannot run the model"):
        runtime.run(np.ones((1, 4, 3), np.float32))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (tiny_onnx(shape=(2, 4, 3)), "instead of a fixed"),
        (tiny_onnx(shape=("n", 4, 3)), "instead of a fixed"),
        (tiny_onnx(shape=(1, 1, 1, 4, 3)), "instead of a fixed|cannot load"),
        (tiny_onnx(dtype=TensorProto.DOUBLE), "neither float32"),
        (tiny_onnx(outputs=2), "2 outputs instead of one"),
    ],
)
def test_another_signature_than_one_window_to_one_row_is_refused(model, says):
    with pytest.raises(RuntimeLoadError, match=says):
        load_runtime("onnxruntime", model)


def test_an_absent_provider_falls_back_to_the_cpu_and_says_so():
    with structlog.testing.capture_logs() as logs:
        runtime = load_runtime("onnxruntime", tiny_onnx(), providers=("tensorrt", "cuda", "cpu"))
    assert runtime.provider == "cpu"
    assert {entry.get("wanted") for entry in logs} == {"tensorrt", "cuda"}


def test_the_cpu_is_the_last_resort_even_when_not_listed():
    assert load_runtime("onnxruntime", tiny_onnx(), providers=("cuda",)).provider == "cpu"


def test_an_unknown_provider_is_refused():
    with pytest.raises(RuntimeLoadError, match="there is no provider 'npu'"):
        load_runtime("onnxruntime", tiny_onnx(), providers=("npu",))
