"""Checkpoint to bundle: deterministic, staged, int8 where it belongs, and refused when a number is wrong."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.simulators.exported_bundle import exported, trained
from tests.simulators.trained_run import build, write_run
from wayside.contracts.passport import PASSPORT_FILE
from wayside.edge.trusted_bundle import open_bundle
from wayside.export import bundle as packing
from wayside.export import checkpoint, pipeline, tflite
from wayside.export.errors import ConversionError, ExportError, GateRefused, RunDirectoryError
from wayside.export.onnx import OPSET, to_onnx
from wayside.export.parity import Limits, parity
from wayside.export.pipeline import STAGES, Options, plan, run, write
from wayside.export.quantize import inside, onnx_nodes, places, softer

ROOT = Path(__file__).resolve().parents[2]
BOTH = ("onnxruntime", "tflite-runtime", "ai-edge-litert")


def by_name(name: str) -> bytes:
    return next(g.content for g in exported().graphs if g.name == name)


class TestStages:
    def test_every_stage_runs_after_its_predecessors_and_once(self):
        order = plan("bundle")
        assert sorted(order) == sorted(STAGES)
        for i, name in enumerate(order):
            assert set(STAGES[name].after) <= set(order[:i])

    def test_an_early_stage_pulls_in_only_what_it_needs(self):
        assert plan("graph") == ["train", "graph"]
        assert plan("train") == ["train"]

    def test_an_unknown_stage_is_refused_with_the_choices(self):
        with pytest.raises(ExportError, match="choose of train, graph"):
            plan("sing")

    def test_the_full_line_makes_four_variants_promised_on_the_runtimes_that_ran_them(self):
        made = {v.name: v.runtimes for v in exported().passport.variants}
        assert made == {
            "onnx-fp32": ("onnxruntime",),
            "onnx-int8": ("onnxruntime",),
            "tflite-fp32": ("ai-edge-litert", "tflite-runtime"),
            "tflite-int8": ("ai-edge-litert", "tflite-runtime"),
        }

    def test_the_passport_tells_accuracy_per_hour_beside_torch_and_both_floors(self):
        accuracy = exported().passport.accuracy
        assert [a.slice for a in accuracy] == ["all", *(f"hour {h:02d}" for h in range(24))]
        assert accuracy[0].n == sum(a.n for a in accuracy[1:])
        variants = {v.name for v in exported().passport.variants}
        for a in accuracy:
            assert a.mae.keys() == variants | {"torch", "naive", "seasonal"}
        assert accuracy[0].mae["onnx-int8"] < accuracy[0].mae["naive"]

    def test_one_format_without_int8_makes_one_variant(self):
        work = run(trained(), Options(formats=("onnx",), int8=False), build=build)
        assert [v.name for v in work.passport.variants] == ["onnx-fp32"]
        assert work.passport.bundle == "traffic-flow"  # from the task's name

    def test_an_unknown_format_or_runtime_is_refused(self):
        with pytest.raises(ExportError, match="no format 'gguf'"):
            run(trained(), Options(formats=("gguf",)), build=build)
        with pytest.raises(ExportError, match="no runtime 'abacus'"):
            run(trained(), Options(runtimes=("abacus",)), build=build)

    def test_a_version_that_is_not_one_is_refused(self):
        with pytest.raises(ExportError, match="version"):
            run(trained(), Options(formats=("onnx",), int8=False, version="next"), build=build)


class TestGraphs:
    def test_onnx_is_opset_20_batch_1_and_carries_no_paths(self):
        content = by_name("onnx-fp32")
        model = onnx.load_from_string(content)
        assert [(o.domain, o.version) for o in model.opset_import if o.domain == ""] == [("", OPSET)]
        assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [1, 4, 3]
        assert not model.graph.value_info
        for content in (g.content for g in exported().graphs):
            assert str(ROOT).encode() not in content
            assert b"site-packages" not in content

    def test_normalization_and_calendar_stay_float_in_int8_onnx(self):
        model = onnx.load_from_string(by_name("onnx-int8"))
        made_by = {output: node for node in model.graph.node for output in node.output}
        for node in model.graph.node:
            if node.op_type in ("Sin", "Cos", "Sub", "Slice", "Gather", "Add"):
                for tensor in node.input:
                    source = made_by.get(tensor)
                    if source is not None and source.op_type == "DequantizeLinear":
                        # only the network's own result comes back from int8
                        assert node.op_type == "Add" or "linear" in tensor
        kinds = [n.op_type for n in model.graph.node]
        assert kinds.count("Gemm") == 3

    def test_what_lies_between_weighted_nodes_is_quantized_and_what_lies_around_is_not(self):
        nodes = onnx_nodes(onnx.load_from_string(by_name("onnx-fp32")))
        chosen = inside(nodes)
        assert [n.kind for n in nodes if n.name in chosen] == ["Gemm", "Relu", "Gemm", "Relu", "Gemm"]
        assert set(places(nodes).values()) == {"first", "inner", "last"}

    def test_int8_tflite_really_computes_in_int8(self):
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=by_name("tflite-int8"))
        weights = [t for t in interpreter.get_tensor_details() if list(t["shape"]) == [64, 64]]
        assert [t["dtype"] for t in weights] == [np.int8]
        assert {"QUANTIZE", "DEQUANTIZE"} <= set(tflite.ops(by_name("tflite-int8")))

    def test_the_answers_do_not_depend_on_how_the_hour_or_the_volume_is_scaled(self):
        """The whole declared range of hour and weekday, at small volumes: one shared int8 scale would ruin this."""
        from wayside.edge.golden import run_all
        from wayside.edge.runtimes.load import load_runtime

        hours = np.linspace(0, 23.75, 96, dtype=np.float32)
        windows = np.zeros((96, 4, 3), np.float32)
        windows[:, :, 0], windows[:, :, 1], windows[:, :, 2] = 3.0, hours[:, None], 6.0
        fp32, int8 = (run_all(load_runtime("onnxruntime", by_name(f"onnx-{p}")), windows) for p in ("fp32", "int8"))
        assert np.abs(fp32 - int8).max() < 1.5  # veh

    def test_a_model_that_does_not_convert_is_refused_with_the_reason(self):
        class DataDependent(torch.nn.Module):
            def forward(self, x):
                return x[:, :, 0] if x.sum() > 0 else x[:, :, 1]

        with pytest.raises(ConversionError, match="does not convert to ONNX"):
            to_onnx(DataDependent(), torch.zeros(1, 4, 3))


class TestDeterminism:
    def test_two_processes_with_different_hash_seeds_make_identical_bundles(self, tmp_path):
        """Against the bundle of this process, which has a third seed."""
        script = (
            "import sys, pathlib\n"
            "from wayside.export.pipeline import Options, run\n"
            "from tests.simulators.trained_run import build\n"
            "work = run(pathlib.Path(sys.argv[1]), Options(bundle='traffic-flow'), build=build)\n"
            "pathlib.Path(sys.argv[2]).write_bytes(work.bundle)\n"
        )
        out = tmp_path / "other.bundle"
        subprocess.run(
            [sys.executable, "-c", script, str(trained()), str(out)],
            env=os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(exported().bundle).digest()

    def test_the_archive_has_no_times_and_a_fixed_order(self):
        with zipfile.ZipFile(BytesIO(exported().bundle)) as archive:
            entries = archive.infolist()
        assert {e.date_time for e in entries} == {(1980, 1, 1, 0, 0, 0)}
        names = [e.filename for e in entries]
        assert names == [PASSPORT_FILE, *sorted(names[1:])]

    def test_the_bundle_opens_on_a_node(self):
        opened = open_bundle(exported().bundle, agent_version="0.1.0")
        assert opened.passport == exported().passport

    def test_writing_leaves_whole_files_only(self, tmp_path):
        paths = write(exported(), tmp_path / "out")
        assert paths[-1].read_bytes() == exported().bundle
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(p.name for p in paths)


class TestGate:
    """The number that failed is in the message."""

    def judge(self, limits: Limits, family: str = "mlp", graphs=None):
        work = exported()
        import dataclasses

        return parity(dataclasses.replace(work.trained, family=family), graphs or work.graphs, BOTH, limits)

    def test_a_fp32_variant_that_answers_differently_is_refused(self):
        import dataclasses

        work = exported()
        swapped = [
            dataclasses.replace(g, content=by_name("onnx-int8")) if g.name == "onnx-fp32" else g for g in work.graphs
        ]
        with pytest.raises(GateRefused, match=r"onnx-fp32: onnxruntime: golden window .* > tolerance"):
            self.judge(Limits(), graphs=swapped)

    def test_a_fp32_variant_is_never_optional(self):
        with pytest.raises(GateRefused, match="-fp32"):
            self.judge(Limits(fp32_golden=-1))

    def test_int8_that_costs_accuracy_overall_is_left_out_with_the_number(self):
        result = self.judge(Limits(int8_loss=-0.5))
        assert [m.graph.name for m in result.measured] == ["onnx-fp32", "tflite-fp32"]
        assert set(result.refused) == {"onnx-int8", "tflite-int8"}
        for why in result.refused.values():
            assert re.search(
                r"-int8 on .*: held-out mae, all: .* \{veh\} is .*% worse than torch's .*; the limit is", why
            )
        assert "onnx-int8" not in result.accuracy[0].mae

    def test_int8_that_costs_accuracy_in_one_hour_is_left_out_with_the_number(self):
        result = self.judge(Limits(int8_slice_loss=-0.5, slice_min_n=30))
        assert re.search(r"-int8 on .*: held-out \w+, hour \d\d: ", result.refused["onnx-int8"])

    def test_hours_with_few_windows_do_not_judge(self):
        assert self.judge(Limits(int8_slice_loss=-0.5, slice_min_n=10_000)).refused == {}

    def test_int8_that_is_larger_than_fp32_does_not_pay_and_is_left_out(self):
        import dataclasses

        graphs = [
            dataclasses.replace(g, content=g.content + bytes(20_000)) if g.name == "tflite-int8" else g
            for g in exported().graphs
        ]
        result = self.judge(Limits(), graphs=graphs)
        assert set(result.refused) == {"tflite-int8"}
        assert re.search(
            r"tflite-int8 has \d+ bytes, tflite-fp32 \d+: int8 does not pay", result.refused["tflite-int8"]
        )

    def test_a_refused_int8_variant_is_tried_with_more_of_it_in_float(self):
        """Limits between what the whole and what the softer attempts lose: the first that passes ships."""
        work = exported()
        calibration = work.trained.calibration
        whole = next(m for m in work.parity.measured if m.graph.name == "onnx-int8")
        fp32 = next(g for g in work.graphs if g.name == "onnx-fp32")
        attempts = list(softer(fp32, calibration))
        assert [len(a.float_layers) for a in attempts] == [1, 2]
        only = Limits(int8_golden=whole.max_abs_diff / float(np.ptp(work.parity.golden_outputs)) * 0.9)
        result = parity(work.trained, [fp32, whole.graph], BOTH, only, softer=lambda g: softer(g, calibration))
        shipped = next(m for m in result.measured if m.graph.name == "onnx-int8")
        assert shipped.graph.float_layers in [a.float_layers for a in attempts]
        assert "in float it passes" in result.notes[0]

    def test_a_demanded_int8_variant_that_is_refused_fails_the_export(self):
        options = Options(formats=("onnx",), require_int8=True, limits=Limits(int8_loss=-0.5))
        with pytest.raises(GateRefused, match="the export demands int8"):
            run(trained(), options, until="parity", build=build)

    def test_a_format_that_nothing_here_can_run_is_not_promised(self):
        work = exported()
        with pytest.raises(GateRefused, match="tflite-fp32: no runtime for tflite"):
            parity(work.trained, work.graphs, ("onnxruntime",))

    def test_an_untrained_constant_model_is_refused(self, tmp_path):
        folder = write_run(tmp_path, steps=1)
        data = dict(np.load(folder / "windows.npz"))
        data["golden"] = np.repeat(data["golden"][:1], 32, axis=0)
        np.savez(folder / "windows.npz", **data)
        with pytest.raises(GateRefused, match="one number"):
            run(folder, Options(formats=("onnx",)), until="parity", build=build)

    @pytest.mark.parametrize(
        ("broken", "kind", "says"),
        [
            (torch.nan, RunDirectoryError, r"256 of \d+ numbers of its weight net.2.weight are not finite"),
            (3e38, GateRefused, r"it gives no finite number for \d+ of \d+ (golden|held-out) windows"),
            (1e6, GateRefused, r"held-out mean error .*, naive .*, which is \S+ times as much; the limit is 10 times"),
        ],
    )
    def test_a_model_that_diverged_is_refused_in_a_sentence_before_anything_is_made(self, tmp_path, broken, kind, says):
        folder = write_run(tmp_path, steps=1)
        held = torch.load(folder / "checkpoint.pt", weights_only=True)
        with torch.no_grad():
            held["state_dict"]["net.2.weight"][:4].fill_(broken)
            if broken == 1e6:  # what the last layer makes of it may be no vehicle at all, which is not ten times worse
                held["state_dict"]["net.4.weight"].abs_()
        torch.save(held, folder / "checkpoint.pt")
        with pytest.raises(kind, match=says) as refusal:
            run(folder, Options(formats=("onnx",)), until="graph", build=build)
        assert "train again" in str(refusal.value)

    def test_the_tolerance_lets_the_measured_pass_and_a_wrong_vector_not(self):
        spread = float(np.ptp(exported().parity.golden_outputs))
        for v in exported().passport.variants:
            assert v.max_abs_diff < v.tolerance < 0.16 * spread


def test_of_many_pictures_a_bundle_carries_some_golden_ones_and_of_windows_all():
    assert packing.golden_shipped(np.zeros((48, 12, 3), np.float32)).tolist() == list(range(48))
    shipped = packing.golden_shipped(np.zeros((48, 32, 32, 3), np.float32))
    assert 12 <= len(shipped) < 48
    assert (shipped[0], shipped[-1]) == (0, 47)


def test_of_many_sites_a_passport_tells_those_that_lose_most():
    from wayside.contracts.passport import Accuracy, Loss

    rows = [Accuracy(slice="all", n=9, mae={})]
    for i in range(100):
        loss = {"onnx-int8": Loss(metric="mae", loss=i / 100, low=0, high=1)}
        rows.append(Accuracy(slice=f"site {i}", n=9, mae={}, losses=loss))
    told = [a.slice for a in packing._told(rows)]
    assert told == ["all", *(f"site {i}" for i in range(100 - packing.SITES, 100))]


class TestRunDirectory:
    """What training left behind is checked before anything is made from it."""

    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("checkpoint.pt", "windows.npz"):
            (tmp_path / name).write_bytes((trained() / name).read_bytes())
        return tmp_path

    def test_it_loads(self, folder):
        loaded = checkpoint.load(folder, build=build)
        assert loaded.family == "mlp"
        assert loaded.sample().shape == (1, 4, 3)

    @pytest.mark.parametrize("name", ["checkpoint.pt", "windows.npz"])
    @pytest.mark.parametrize("content", [None, b"", b"garbage", b"PK\x03\x04 torn"])
    def test_a_missing_or_damaged_file_is_named(self, folder, name, content):
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        with pytest.raises(RunDirectoryError, match=name):
            checkpoint.load(folder, build=build)

    def test_a_pickle_in_place_of_weights_is_not_executed(self, folder, tmp_path):
        class Boom:
            def __reduce__(self):
                return (Path.touch, (tmp_path / "executed",))

        torch.save({"state_dict": Boom(), "config": {}}, folder / "checkpoint.pt")
        with pytest.raises(RunDirectoryError, match="plain weights"):
            checkpoint.load(folder, build=build)
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize(
        ("name", "change", "says"),
        [
            ("golden", lambda a: a[:, :2], "golden in windows.npz"),
            ("holdout_y", lambda a: a[:5], "holdout_y in windows.npz"),
            ("calibration", lambda a: np.full_like(a, np.inf), "not finite"),
            ("holdout_y", lambda a: a * np.nan, "not finite"),
        ],
    )
    def test_windows_of_another_shape_or_without_numbers_are_refused(self, folder, name, change, says):
        data = dict(np.load(folder / "windows.npz"))
        data[name] = change(data[name])
        np.savez(folder / "windows.npz", **data)
        with pytest.raises(RunDirectoryError, match=says):
            checkpoint.load(folder, build=build)

    def test_a_missing_array_or_setting_is_named(self, folder):
        data = dict(np.load(folder / "windows.npz"))
        del data["holdout_seasonal"]
        np.savez(folder / "windows.npz", **data)
        with pytest.raises(RunDirectoryError, match="holdout_seasonal"):
            checkpoint.load(folder, build=build)

    def test_weights_of_another_model_are_refused(self, folder):
        saved = torch.load(folder / "checkpoint.pt", weights_only=True)
        saved["config"]["width"] = 32
        torch.save(saved, folder / "checkpoint.pt")
        with pytest.raises(RunDirectoryError, match="do not fit"):
            checkpoint.load(folder, build=build)


def test_the_code_version_is_a_digest_of_the_sources():
    assert packing.code_version().startswith("sha256:")
    assert packing.code_version() == exported().passport.code_version


def test_stages_are_public_functions_that_say_what_they_did():
    work = pipeline.Work(trained(), Options(formats=("onnx",), int8=False), build)
    assert "864 held-out windows" in pipeline.train(work)
    assert "onnx-fp32" in pipeline.graph(work)
