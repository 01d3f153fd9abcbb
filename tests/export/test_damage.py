"""Whatever lies where a run, a bundle, a key or an earlier table should lie: one sentence, and nothing is believed."""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.fuzz.damage import DAMAGE, Damage
from tests.simulators.exported_bundle import trained
from tests.simulators.live_models import made
from tests.simulators.trained_run import build
from wayside.cloud.evaluate.row import Row, decode_rows
from wayside.cloud.evaluate.table import alarms, markdown, svg, terminal
from wayside.contracts.passport import PASSPORT_FILE
from wayside.contracts.wire import ContractError
from wayside.errors import WaysideError
from wayside.export import checkpoint, cli, pipeline
from wayside.export.bundle_file import read_bundle
from wayside.export.errors import BundleError, ExportError, RunDirectoryError
from wayside.export.release import Hub, initialize, publish

BINARY = [damage for damage in DAMAGE if not damage.texts]
NOBODY = "http://127.0.0.1:1"
PLACED = frozenset({"nuls", "flip", "span lost", "span twice", "noise"})  # on a place that is drawn
SMALL = 8 << 20


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(trained(), folder)
    return folder


def damaged(path: Path, damage: Damage, seed: int) -> None:
    good = path.read_bytes()
    path.unlink()
    bad = damage.make(good, path, random.Random(f"{damage.name} {seed}"))
    if bad is not None:
        path.write_bytes(bad)


def sentence(exc: WaysideError) -> str:
    text = str(exc)
    assert text
    assert "Traceback" not in text
    assert "\n" not in text
    assert "weights_only=False" not in text  # torch's own advice: it runs code
    return text


@pytest.mark.parametrize("damage", BINARY, ids=lambda d: d.name)
@pytest.mark.parametrize("name", ["checkpoint.pt", "windows.npz"])
def test_a_damaged_run_is_refused_by_its_file_or_is_the_good_one(run: Path, name: str, damage: Damage) -> None:
    good = checkpoint.load(run, build=build)
    kept = (run / name).read_bytes()
    for seed in range(4 if damage.name in PLACED else 1):
        damaged(run / name, damage, seed)
        try:
            read = checkpoint.load(run, build=build)
        except RunDirectoryError as exc:
            assert name in sentence(exc)
        else:  # the damage fell between the archive's parts, where nothing stands
            assert read.calibration_sha256 == good.calibration_sha256
            assert all(map(torch.equal, read.model.state_dict().values(), good.model.state_dict().values()))
            assert (read.task, read.seed, read.residual_std) == (good.task, good.seed, good.residual_std)
            for part in ("x", "y", "naive", "seasonal", "hour"):
                assert np.array_equal(getattr(read.heldout, part), getattr(good.heldout, part), equal_nan=True)
        if (run / name).is_dir():
            (run / name).rmdir()
        (run / name).unlink(missing_ok=True)
        (run / name).write_bytes(kept)


class Foreign:
    """A class of somebody else's project."""

    def __init__(self) -> None:
        self.weights = [1.0]


def foreign_checkpoints(good: dict[str, Any], folder: Path) -> dict[str, bytes]:
    """What other programs save under this name, and ours with one part of another kind."""

    def saved(content: Any, **options: Any) -> bytes:
        out = io.BytesIO()
        torch.save(content, out, **options)
        return out.getvalue()

    weights, config = good["state_dict"], good["config"]
    first = next(iter(weights))
    executed = folder / "executed"

    class Boom:
        def __reduce__(self) -> Any:
            return (Path.touch, (executed,))

    changed: dict[str, Any] = {
        "a module": torch.nn.Linear(2, 2),
        "a class of another project": {"state_dict": weights, "config": Foreign()},
        "code": {"state_dict": Boom(), "config": {}},
        "a list": [1, 2],
        "weights alone": weights,
        "no weights": {"state_dict": {}, "config": config},
        "weights by number": {"state_dict": dict(enumerate(weights.values())), "config": config},
        "a weight that is text": {"state_dict": weights | {first: "heavy"}, "config": config},
        "a weight of another shape": {"state_dict": weights | {first: torch.zeros(3)}, "config": config},
        "a weight in half": {"state_dict": weights | {first: weights[first].half()}, "config": config},
        "a sparse weight": {"state_dict": weights | {first: weights[first].to_sparse()}, "config": config},
        "a weight without values": {"state_dict": weights | {first: weights[first].to("meta")}, "config": config},
        "one weight more": {"state_dict": weights | {"more": torch.zeros(1)}, "config": config},
        "of DataParallel": {"state_dict": {f"module.{k}": v for k, v in weights.items()}, "config": config},
        "not finite": {"state_dict": weights | {first: weights[first] * np.nan}, "config": config},
        **{
            f"config.{key} is {value!r}"[:60]: {"state_dict": weights, "config": config | {key: value}}
            for key, values in {
                "task": (None, 3, {}, [], {"name": "x"}, config["task"] | {"window": -1}),
                "seed": (None, "one", {}, np.inf),
                "residual_std": (None, "much", []),
                "width": (32, "wide", -1, None),
                "honest": (3, [1], {"a": 3}, {"a": {"b": "c"}}),
                "sizes": (3, "x"),
                "parameters": ("many",),
            }.items()
            for value in values
        },
        **{
            f"without {key}": {"state_dict": weights, "config": {k: v for k, v in config.items() if k != key}}
            for key in ("task", "family", "seed", "data_sha256", "residual_std")
        },
    }
    contents = {name: saved(content) for name, content in changed.items()}
    contents["of the old format, with code"] = saved(changed["code"], _use_new_zipfile_serialization=False)
    contents["a plain pickle with code"] = pickle.dumps(changed["code"]["state_dict"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(SMALL + 1))
    contents["a zip that unpacks to too much"] = packed.getvalue()
    return contents


def test_a_foreign_checkpoint_is_refused_in_a_sentence_and_nothing_in_it_runs(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "LARGEST", SMALL)
    path = run / "checkpoint.pt"
    good = torch.load(path, weights_only=True)
    for name, content in foreign_checkpoints(good, tmp_path).items():
        path.write_bytes(content)
        try:
            checkpoint.load(run, build=build)
        except ExportError as exc:
            sentence(exc)
        else:
            pytest.fail(f"{name} is taken")
        assert not (tmp_path / "executed").exists(), name


def test_a_report_that_is_none_is_refused_and_one_of_other_kinds_is_not_told(run: Path) -> None:
    for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000, bytes(9)):
        (run / "report.json").write_bytes(content)
        with pytest.raises(RunDirectoryError, match=r"report\.json"):
            checkpoint.load(run, build=build)
    for report in ([1], "text", {"seconds": "long", "epochs": 7}, {"seconds": math.nan, "epochs": {}}):
        (run / "report.json").write_text(json.dumps(report))
        assert "held-out windows" in pipeline.train(pipeline.Work(run, pipeline.Options(), build))


@pytest.mark.parametrize("damage", BINARY, ids=lambda d: d.name)
def test_a_damaged_bundle_is_refused_by_its_file(tmp_path: Path, damage: Damage) -> None:
    path = tmp_path / "a.bundle"
    for seed in range(4 if damage.name in PLACED else 1):
        path.write_bytes(made("traffic-flow", "1.0.0"))
        good = read_bundle(path)[1]
        damaged(path, damage, seed)
        try:
            read = read_bundle(path)[1]
        except BundleError as exc:
            assert str(path) in sentence(exc)
        else:  # a bit of what a zip says of who made it
            assert (read.passport, read.files) == (good.passport, good.files)
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)


def rebundled(**parts: bytes) -> bytes:
    """A bundle with other contents, of which the passport tells the right hashes: another maker's."""
    with zipfile.ZipFile(io.BytesIO(made("traffic-flow", "1.0.0"))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    passport = json.loads(files.pop(PASSPORT_FILE))
    for name, content in parts.items():
        full = next(f for f in files if f.replace("-", "_").startswith(name))
        files[full] = content
        digest = hashlib.sha256(files[full]).hexdigest()
        for variant in passport["variants"]:
            if variant["file"] == full:
                variant |= {"sha256": digest, "bytes": len(files[full])}
        for side in ("inputs", "outputs"):
            if passport["golden"][side] == full:
                passport["golden"][f"{side}_sha256"] = digest
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in {PASSPORT_FILE: json.dumps(passport).encode(), **files}.items():
            archive.writestr(name, content)
    return out.getvalue()


def golden(content: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, content, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\x10\x00" + b"((((((((((((((((",
        b"\x93NUMPY\x01\x00\x00\x20" + b"[" * 8192,
        b"\x93NUMPY\x01\x00\x08\x00" + b"'''\n   \\",
        golden(np.zeros((2, 2))),
        golden(np.array([Foreign()], dtype=object), allow_pickle=True),
        golden(np.array(["text"])),
    ],
    ids=range(8),
)
def test_golden_windows_that_are_none_are_refused_and_never_unpickled(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.bundle"
    path.write_bytes(rebundled(golden_inputs=content))
    with pytest.raises(BundleError, match=r"golden_inputs\.npy") as refusal:
        read_bundle(path)
    sentence(refusal.value)


@pytest.mark.parametrize("runtime", ["onnxruntime", "ai-edge-litert"])
@pytest.mark.parametrize("content", [b"", b"<html></html>", bytes(4000), b"\x08\x07\x12\x07pytorch"], ids=range(4))
def test_a_file_that_is_no_model_is_a_sentence_of_the_runtime(runtime: str, content: bytes) -> None:
    from wayside.edge.runtimes.load import load_runtime

    with pytest.raises(WaysideError) as refusal:
        load_runtime(runtime, content)
    assert str(refusal.value)


def test_keys_and_trust_roots_that_are_none_are_named_before_anything_is_sent(tmp_path: Path) -> None:
    from wayside.export.keys import make_keys

    bundle = tmp_path / "a.bundle"
    bundle.write_bytes(made("traffic-flow", "1.0.0"))
    keys = tmp_path / "keys"
    make_keys(keys)
    root = keys / "root.json"
    for damage in BINARY:
        root.write_bytes(b'{"signed": {}}')
        damaged(root, damage, 0)
        with pytest.raises(ExportError, match=r"root\.json") as refusal:
            publish(bundle, keys, Hub(NOBODY))
        sentence(refusal.value)
        if root.is_dir():
            root.rmdir()
        root.unlink(missing_ok=True)


def row() -> Row:
    return Row(
        task="small", domain="traffic", kind="forecast", family="mlp", period="May", n=9, metric="mae", unit="{veh}",
        scores={"fp32": {"mae": 1.0}, "naive": {"mae": 2.0}, "onnx-int8": {"mae": 1.1}}, parameters=9,
        bytes={"onnx-int8": 900}, us={"onnx-int8": 3.0}, loss={"onnx-int8": 0.1}, goal=2.0,
        worst={"onnx-int8": {"slice": "hour 07", "loss": 0.2, "n": 3}},
        alarms={"onnx-int8": {"stretches": 3, "fixed": {"found": 1, "false_per_week": 0, "delay": 0, "begun": 3}}},
    )  # fmt: skip


KINDS = [None, True, 3, -3, 10**400, "text", "[/red]", "<b>", [], [1], {}, {"a": 1}, {"onnx-int8": None}]


def test_an_earlier_table_of_other_kinds_is_refused_or_shown_and_never_a_defect() -> None:
    """Every field, and every field inside a table, with every kind of value."""
    good = msgspec.to_builtins(row())
    places = [(key,) for key in good] + [(k, "onnx-int8", i) for k in ("worst", "alarms") for i in good[k]["onnx-int8"]]
    for place in places:
        for value in KINDS:
            document = json.loads(json.dumps(good))
            inside = document
            for step in place[:-1]:
                inside = inside[step]
            inside[place[-1]] = value
            try:
                rows = decode_rows(json.dumps({"tasks": [document]}).encode())
            except ContractError:
                continue
            for width in (80, 200):
                from rich.console import Console

                Console(file=io.StringIO(), width=width, markup=False).print(terminal(rows, width), alarms(rows) or "")
            assert markdown(rows, "x.svg")
            assert "<b>" not in svg(rows)


def test_export_says_it_on_one_line_with_status_1(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "checkpoint.pt").write_bytes(b"PK\x05\x06" + bytes(18))
    done = CliRunner().invoke(cli.export, [str(run), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert done.stderr.startswith("wayside export: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_of_keys_of_which_a_part_is_gone_is_told_by_the_part(tmp_path: Path) -> None:
    from tests.simulators.signed_hub import signed_hub

    with signed_hub(tmp_path / "hub") as hub:
        (hub.keys / "targets.json").unlink()
        with pytest.raises(ExportError, match=r"targets\.json cannot be read"):
            initialize(hub.keys, hub.hub)
