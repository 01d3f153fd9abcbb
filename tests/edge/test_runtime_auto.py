"""``runtime = "auto"``: what is installed decides, by machine and Python, and the model's variants follow."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path

import msgspec
import pytest

from tests.firmware_bridge.test_network_config import FULL
from tests.simulators.base_image import NODE_TOML, ROOT_JSON, TOKEN
from tests.simulators.node_kinds import passport
from wayside.contracts.fit import misfits
from wayside.contracts.node_check import checked_node_config
from wayside.contracts.node_config import ModelConfig, load_node_config, runtimes_for
from wayside.contracts.task_config import SiteConfig, TaskOffer
from wayside.contracts.wire import ContractError
from wayside.edge.configuration.check import check_file
from wayside.edge.runtimes import load
from wayside.edge.runtimes.runtime import MODULES
from wayside.edge.trusted_bundle import BundleRefused
from wayside.edge.update.trial import choose, runtimes_of
from wayside.firmware_bridge.image.files import personality
from wayside.firmware_bridge.image.needs import unfit
from wayside.firmware_bridge.image.wheels import WheelManifest, WheelSet

AUTO = ModelConfig()
FILE = 'node = "n"\nstate_dir = "/var/lib/wayside"\n'


def has(monkeypatch: pytest.MonkeyPatch, *runtimes: str) -> None:
    """A computer that has these installed, in its own order."""
    modules = {MODULES[name] for name in runtimes}

    def find_spec(name: str) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, None) if name in modules else None

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


@pytest.mark.parametrize(
    ("python", "names"),
    [
        ((3, 11), ("onnxruntime", "tflite-runtime")),
        ((3, 12), ("onnxruntime", "ai-edge-litert")),
        ((3, 13), ("onnxruntime", "ai-edge-litert")),
        (None, ("onnxruntime", "ai-edge-litert", "tflite-runtime")),
    ],
)
def test_each_python_has_runtimes_of_its_own(python: tuple[int, int] | None, names: tuple[str, ...]) -> None:
    assert runtimes_for(python) == names


def test_auto_takes_what_is_installed_the_best_first(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "tflite-runtime", "onnxruntime")
    assert runtimes_of(AUTO) == load.available() == ("onnxruntime", "tflite-runtime")
    assert runtimes_of(ModelConfig(runtime="ai-edge-litert")) == ("ai-edge-litert",)  # a name is an order


@pytest.mark.parametrize(
    ("installed", "variant"),
    [
        (("onnxruntime", "tflite-runtime"), "onnx-int8"),
        (("tflite-runtime",), "tflite-int8"),
        (("ai-edge-litert",), "tflite-int8"),
    ],
)
def test_the_variant_follows_the_runtime(
    monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], variant: str
) -> None:
    has(monkeypatch, *installed)
    assert choose(AUTO, passport("traffic_flow")).name == variant
    assert choose(ModelConfig(precision="fp32"), passport("traffic_flow")).name == variant.replace("int8", "fp32")


def test_a_bundle_without_a_variant_for_the_best_runtime_runs_on_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "onnxruntime", "ai-edge-litert")
    whole = passport("traffic_flow")
    tflite_alone = msgspec.structs.replace(whole, variants=tuple(v for v in whole.variants if v.format == "tflite"))
    assert choose(AUTO, tflite_alone).name == "tflite-int8"
    with pytest.raises(BundleRefused, match="this node runs int8 on onnxruntime; the bundle has tflite"):
        choose(ModelConfig(runtime="onnxruntime"), tflite_alone)


def test_a_node_without_any_runtime_refuses_models_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    has(monkeypatch)
    with pytest.raises(BundleRefused, match="no runtime, for none is installed"):
        choose(AUTO, passport("traffic_flow"))
    (tmp_path / "node.toml").write_text(FILE)
    [hint] = [h for h in check_file(tmp_path / "node.toml").hints if "runtime" in h]
    assert 'this computer has none, so no model runs here: pip install "wayside[edge]"' in hint


def test_the_hub_hears_every_runtime_that_auto_may_take() -> None:
    config = load_node_config(FILE)
    both, one, none = (config.offer("0.1.0", names) for names in (("onnxruntime", "ai-edge-litert"), ("x",), ()))
    assert (both.runtime, both.runtimes) == ("onnxruntime", ("onnxruntime", "ai-edge-litert"))
    assert (one.runtime, one.runtimes, none.runtime, none.runtimes) == ("x", (), "none", ())


def test_what_fits_is_judged_by_all_of_them() -> None:
    config = load_node_config(FILE)
    whole = passport("traffic_flow")
    tflite_alone = msgspec.structs.replace(whole, variants=tuple(v for v in whole.variants if v.format == "tflite"))
    task = TaskOffer(name="t", bundle=whole.bundle, sites=(SiteConfig(output="x"),))

    def wrong(*installed: str) -> list[str]:
        offer = config.offer("0.1.0", installed)
        return [m.message for m in misfits(tflite_alone, task, offer) if m.misses == "runtime"]

    assert wrong("onnxruntime", "tflite-runtime") == []
    assert wrong("onnxruntime")[0].startswith("this node runs int8 on onnxruntime; the bundle has tflite")
    assert "on no runtime, for none is installed" in wrong()[0]


# --- a stock card of Debian 13 ---------------------------------------------------------------------------


def test_a_file_that_names_a_runtime_without_a_wheel_is_refused_and_auto_is_not() -> None:
    named = NODE_TOML + '[model]\nruntime = "tflite-runtime"\n'
    with pytest.raises(ContractError, match=r'no wheel for Python 3\.13, 3\.11 is the last: write "auto"'):
        checked_node_config(named, (3, 13))
    assert checked_node_config(NODE_TOML, (3, 13)).config.model.runtime == "auto"


def test_a_stock_trixie_card_runs_a_model_with_the_wheels_of_its_python() -> None:
    base = FULL._replace(python="3.13", lgpio=False)

    def lacks(more: str, *wheels: str) -> list[str]:
        files = {f"{name}-1.0-py3-none-any.whl": "0" * 64 for name in wheels}
        manifest = WheelManifest(python="3.13", wayside="0.1.0", files=files, installed_kilobytes=1)
        who = personality(NODE_TOML + more, ROOT_JSON, token=TOKEN)
        return list(unfit(who, WheelSet(Path("w/cp313"), manifest), base))

    assert lacks("", "onnxruntime", "ai_edge_litert") == lacks("", "ai_edge_litert") == []
    assert "no model could run" in lacks("", "numpy")[0]
    [named] = lacks('[model]\nruntime = "tflite-runtime"\n', "onnxruntime", "ai_edge_litert")
    assert 'write "auto" or "onnxruntime", "ai-edge-litert", or take a base with another Python' in named
