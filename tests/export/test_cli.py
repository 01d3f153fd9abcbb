"""The command line: what it prints, and that a person's mistake gives one sentence and status 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.simulators.exported_bundle import exported, trained
from tests.simulators.odd_names import ODD
from tests.simulators.signed_hub import bundle, signed_hub
from tests.simulators.trained_run import build
from tests.simulators.tuf_repository import TufRepository
from wayside.contracts.hub_api import Candidates, Excluded, RolloutPreview
from wayside.contracts.wire import encode
from wayside.export import checkpoint, cli, pipeline

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    real = checkpoint.load
    monkeypatch.setattr(pipeline.checkpoint, "load", lambda run_dir, **_: real(run_dir, build=build))


def call(app, *args: object):
    return CliRunner().invoke(app, [str(arg) for arg in args])


class TestExport:
    def test_it_prints_each_stage_with_its_time_and_writes_the_bundle(self, tmp_path):
        out = tmp_path / ODD
        result = call(cli.export, trained(), "--out", out)
        assert result.exit_code == 0, result.output
        lines = result.output.splitlines()
        assert [line.split()[0] for line in lines[:6]] == ["train", "graph", "quantize", "parity", "passport", "bundle"]
        assert all(line.endswith(" s)") for line in lines[:6])
        assert "onnx-int8" in result.output
        assert (out / "traffic-flow-1.0.0.bundle").read_bytes() == exported().bundle

    def test_json_has_stages_passport_and_files(self, tmp_path):
        result = call(
            cli.export, trained(), "--out", tmp_path, "--json", "--format", "onnx", "--no-int8", "--version", "2.0.0"
        )
        document = json.loads(result.stdout)
        assert [s["stage"] for s in document["stages"]] == list(pipeline.STAGES)
        assert [v["name"] for v in document["passport"]["variants"]] == ["onnx-fp32"]
        assert document["files"][-1].endswith("traffic-flow-2.0.0.bundle")

    def test_an_early_stage_leaves_its_files_and_no_bundle(self, tmp_path):
        result = call(cli.export, trained(), "--out", tmp_path, "--stage", "graph", "--format", "onnx")
        assert result.exit_code == 0
        assert [p.name for p in tmp_path.iterdir()] == ["model-fp32.onnx"]

    @pytest.mark.parametrize(
        ("args", "says"),
        [
            (["--version", "next", "--format", "onnx", "--no-int8"], "version"),
            (["--stage", "sing"], "no stage 'sing'"),
            (["--format", "gguf"], "no format 'gguf'"),
        ],
    )
    def test_a_mistake_gives_one_sentence_and_status_1(self, tmp_path, args, says):
        result = call(cli.export, trained(), "--out", tmp_path / "out", *args)
        assert result.exit_code == 1
        assert says in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert "Traceback" not in result.output
        assert not (tmp_path / "out").exists()

    def test_an_empty_run_directory_says_what_to_type(self, tmp_path):
        result = call(cli.export, tmp_path, "--out", tmp_path / "out")
        assert result.exit_code == 1
        assert "wayside train" in result.stderr

    def test_interrupting_leaves_nothing(self, tmp_path, monkeypatch):
        def interrupted(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr(pipeline, "parity", interrupted)
        result = call(cli.export, trained(), "--out", tmp_path / "out", "--format", "onnx", "--no-int8")
        assert result.exit_code == 130
        assert not (tmp_path / "out").exists()


class TestRelease:
    def test_keys_init_publish_show_renew(self, tmp_path, monkeypatch):
        path = tmp_path / "b.bundle"
        path.write_bytes(bundle())
        with TufRepository() as repository:
            monkeypatch.setenv("WAYSIDE_OPERATOR_TOKEN", repository.token)
            hub, keys = ("--hub", repository.url), ("--keys", tmp_path / "keys")
            for args in (
                ["keys", tmp_path / "keys"],
                ["init", *keys, *hub],
                ["publish", path, *keys, *hub],
                ["renew", "targets", *keys, *hub],
            ):
                result = call(cli.release, *args)
                assert result.exit_code == 0, result.output
            assert "models/traffic-flow-1.0.0.bundle" in call(cli.release, "show", *hub).output
            shown = json.loads(call(cli.release, "show", *hub, "--root", tmp_path / "keys/root.json", "--json").stdout)
            assert [r["version"] for r in shown["releases"]] == ["1.0.0"]
            assert shown["roles"]["targets"]["version"] == 2

    def test_a_dry_run_signs_and_sends_nothing_and_finds_what_would_fail(self, tmp_path):
        path = tmp_path / "b.bundle"
        path.write_bytes(bundle())

        def files():
            return {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

        with TufRepository() as repository:
            at = ("--keys", tmp_path / "keys", "--hub", repository.url, "--operator-token", repository.token)
            call(cli.release, "keys", tmp_path / "keys")
            for args in (["init"], ["publish", path], ["renew", "targets"]):
                before = files(), dict(repository.served)
                done = call(cli.release, *args, *at, "--dry-run")
                assert done.exit_code == 0, done.output
                assert "would be" in done.stdout
                assert json.loads(call(cli.release, *args, *at, "--dry-run", "--json").stdout)["dry_run"] is True
                assert (files(), repository.served) == before
                assert repository.staged == {}
                if args == ["init"]:
                    call(cli.release, *args, *at)
            assert call(cli.release, "publish", path, *at).exit_code == 0
            assert "published already" in call(cli.release, "publish", path, *at, "--dry-run").stderr

    def test_publish_prints_json(self, tmp_path):
        path = tmp_path / "b.bundle"
        path.write_bytes(bundle())
        with signed_hub(tmp_path) as hub:
            result = call(
                cli.release, "publish", path, "--keys", hub.keys, "--hub", hub.repository.url,
                "--operator-token", hub.repository.token, "--json",
            )  # fmt: skip
            assert json.loads(result.stdout)["target"] == "models/traffic-flow-1.0.0.bundle"

    @pytest.mark.parametrize(
        ("candidates", "warns"),
        [
            (Candidates(can=("a", "b"), cannot=(Excluded(why="no task for traffic-flow", nodes=("c",)),)), False),
            (Candidates(cannot=(Excluded(why="no task for traffic-flow", nodes=("c",)),)), True),
            (Candidates(), False),
        ],
    )
    def test_publish_says_which_nodes_could_take_it_and_warns_if_none_can(self, tmp_path, candidates, warns):
        path = tmp_path / "b.bundle"
        path.write_bytes(bundle())
        target = "models/traffic-flow-1.0.0.bundle"
        summary = "so many nodes can take it, others not"
        with signed_hub(tmp_path) as hub:
            told = RolloutPreview(
                bundle="traffic-flow", version="1.0.0", target=target, candidates=candidates, summary=summary
            )
            hub.repository.preview = (200, encode(told))
            result = call(
                cli.release, "publish", path, "--keys", hub.keys, "--hub", hub.repository.url,
                "--operator-token", hub.repository.token,
            )  # fmt: skip
        assert result.exit_code == 0
        assert result.stdout.splitlines()[-1] == summary
        assert ("no node can take it now" in result.stderr) == warns

    @pytest.mark.parametrize(
        ("answer", "says"), [((500, b""), "HTTP 500"), ((200, b"<html>"), "is none"), ((404, b""), "")]
    )
    def test_what_is_published_stays_so_whatever_the_hub_answers_then(self, tmp_path, answer, says):
        path = tmp_path / "b.bundle"
        path.write_bytes(bundle())
        with signed_hub(tmp_path) as hub:
            hub.repository.preview = answer
            result = call(
                cli.release, "publish", path, "--keys", hub.keys, "--hub", hub.repository.url,
                "--operator-token", hub.repository.token, "--json",
            )  # fmt: skip
        assert result.exit_code == 0
        assert json.loads(result.stdout)["nodes"] is None
        assert says in result.stderr
        assert bool(says) == bool(result.stderr)

    def test_a_refusal_of_the_hub_is_one_sentence(self, tmp_path):
        call(cli.release, "keys", tmp_path)
        result = call(cli.release, "init", "--keys", tmp_path, "--hub", "http://127.0.0.1:9")
        assert result.exit_code == 1
        assert len(result.stderr.splitlines()) == 1
        assert "does not answer" in result.stderr


@pytest.mark.parametrize("verb", ["export", "release"])
def test_help_comes_without_importing_torch(verb):
    script = f"import sys; from wayside.__main__ import main; sys.argv = ['wayside', '{verb}', '--help']\n" + (
        "try:\n    main()\nexcept SystemExit as e:\n    assert not e.code\nassert 'torch' not in sys.modules\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--hub" in done.stdout or "publish" in done.stdout or "--out" in done.stdout
