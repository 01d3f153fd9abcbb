"""A node takes what was signed, tested here and switched whole; everything else is refused by name, and the old
model keeps running. Real python-tuf client, real HTTP on loopback, real signatures."""

from __future__ import annotations

import errno
import json
import os
import shutil

import msgspec
import numpy as np
import pytest
from tuf.api.metadata import Metadata

from tests.simulators.exported_bundle import exported, failing_onnx
from tests.simulators.signed_hub import bundle, node_updater, signed_hub
from wayside.contracts.rollout import Refusal, UpdateState
from wayside.contracts.sync import Desired, Reported
from wayside.contracts.wire import decode
from wayside.edge.update import slots, trial, trusted_download, updater
from wayside.edge.update.installation import Installation
from wayside.export.keys import make_keys, signer


@pytest.fixture
def hub(tmp_path):
    with signed_hub(tmp_path) as hub:
        yield hub


class FlowNode:
    """A node with the one task traffic-flow; made again on the same folder, the node after a restart."""

    def __init__(self, folder, hub, url=None, agent="0.1.0", **config):
        self.updater = node_updater(folder, hub.root_file, url or hub.repository.url, agent=agent, **config)
        self.place = self.updater.installations["traffic-flow"]

    def active(self):
        return self.place.active

    def reported(self) -> Reported:
        return self.place.reported

    def install(self, desired: Desired) -> Reported:
        outcome = self.updater.install(desired)
        assert outcome.reported is self.reported()
        return outcome.reported


@pytest.fixture
def node(tmp_path, hub):
    """Makes (or restarts) the node."""
    return lambda **config: FlowNode(tmp_path / "node", hub, **config)


def works(up: FlowNode) -> None:
    """The active model answers like torch."""
    active, work = up.active(), exported()
    got = active.runtime.run(work.trained.golden[:1])
    assert np.abs(got - work.parity.golden_outputs[:1]).max() <= active.variant.tolerance


def state(up: FlowNode) -> tuple:
    r = up.reported()
    return r.state, r.version, r.attempted, r.refusal


def test_a_new_node_has_no_model_and_says_so(node):
    up = node()
    assert up.active() is None
    assert up.reported() == Reported()


@pytest.mark.parametrize("runtime", ["onnxruntime", "tflite-runtime", "ai-edge-litert"])
@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_a_signed_bundle_becomes_active_on_the_nodes_own_runtime(hub, node, runtime, precision):
    up = node(runtime=runtime, precision=precision)
    reported = up.install(hub.publish(bundle()))
    kind = "onnx" if runtime == "onnxruntime" else "tflite"
    assert reported == Reported(
        state=UpdateState.ACTIVE,
        bundle="traffic-flow",
        version="1.0.0",
        variant=f"{kind}-{precision}",
        runtime=runtime,
        attempted="1.0.0",
    )
    works(up)


def test_a_restart_runs_and_reports_the_same_without_a_network(hub, node):
    before = node()
    before.install(hub.publish(bundle()))
    hub.repository.down = True
    after = node()
    assert after.reported() == before.reported()
    assert after.active().passport == before.active().passport
    works(after)


def test_a_newer_version_replaces_the_old_one_and_the_old_runtime_still_answers(hub, node):
    up = node()
    up.install(hub.publish(bundle()))
    old = up.active()
    up.install(hub.publish(bundle("1.1.0")))
    assert state(up) == (UpdateState.ACTIVE, "1.1.0", "1.1.0", None)
    old.runtime.run(exported().trained.golden[:1])  # an inference that was under way
    works(node())
    assert node().active().passport.version == "1.1.0"


def test_going_back_to_an_older_published_version_is_an_ordinary_install(hub, node):
    up = node()
    first = hub.publish(bundle())
    up.install(hub.publish(bundle("1.1.0")))
    up.install(first)
    assert state(up) == (UpdateState.ACTIVE, "1.0.0", "1.0.0", None)


def test_installing_what_runs_already_touches_neither_network_nor_disk(hub, node):
    up = node()
    desired = hub.publish(bundle())
    up.install(desired)
    hub.repository.requests.clear()
    assert up.install(desired).state is UpdateState.ACTIVE
    assert hub.repository.requests == []


class TestRefusals:
    """Each keeps the old model, is durable, and quotes its evidence."""

    @pytest.fixture(autouse=True)
    def running(self, hub, node):
        self.hub, self.node = hub, node
        self.up = node()
        self.up.install(hub.publish(bundle()))

    def refuses(self, desired: Desired, refusal: Refusal, *evidence: str, up: FlowNode | None = None, **config) -> None:
        up = up or self.up
        reported = up.install(desired)
        assert (reported.state, reported.refusal) == (UpdateState.REFUSED, refusal), reported.reason
        assert (reported.version, reported.attempted) == ("1.0.0", desired.version)
        for words in evidence:
            assert words in reported.reason
        assert len(reported.reason) <= 512
        works(up)
        again = self.node(**config)
        assert again.reported() == reported
        works(again)

    def serve(self, part: str, content: bytes) -> str:
        path = next(p for p in self.hub.repository.served if part in p)
        self.hub.repository.tampered[path] = content
        return path

    def test_a_flipped_byte_in_the_target_is_hash(self):
        content = bytearray(bundle("1.1.0"))
        desired = self.hub.publish(bytes(content))
        content[len(content) // 2] ^= 1
        self.serve("traffic-flow-1.1.0", bytes(content))
        self.refuses(desired, Refusal.HASH, "models/traffic-flow-1.1.0.bundle is not what was signed")

    def test_endless_target_data_is_hash_and_stops_at_the_signed_length(self):
        content = bundle("1.1.0")
        desired = self.hub.publish(content)
        self.serve("traffic-flow-1.1.0", content + b"\0" * 3_000_000)
        self.refuses(desired, Refusal.HASH)

    def test_a_truncated_target_is_hash(self):
        content = bundle("1.1.0")
        desired = self.hub.publish(content)
        self.serve("traffic-flow-1.1.0", content[:-100])
        self.refuses(desired, Refusal.HASH)

    def test_a_wrong_golden_vector_properly_signed_is_golden(self):
        desired = self.hub.publish(bundle("1.1.0", golden_shift=5.0))
        self.refuses(desired, Refusal.GOLDEN, "golden window 3 of 40", "> tolerance")

    def test_another_models_weights_under_a_right_signature_are_golden(self):
        other = bundle("1.1.0", files={"model-int8.onnx": next(scaled_weights())})
        self.refuses(self.hub.publish(other), Refusal.GOLDEN, "onnx-int8")

    def test_a_variant_that_the_runtime_cannot_load_is_load(self):
        other = bundle("1.1.0", files={"model-int8.onnx": b"not a model"})
        self.refuses(self.hub.publish(other), Refusal.LOAD, "onnxruntime cannot load")

    def test_a_bundle_without_this_nodes_variant_is_unsupported(self):
        only_fp32 = tuple(v for v in exported().passport.variants if v.precision == "fp32")
        contents = {v.file for v in only_fp32}
        desired = self.publish_raw(
            "1.1.0", lambda files: {n: c for n, c in files.items() if "int8" not in n or n in contents}, only_fp32
        )
        self.refuses(desired, Refusal.UNSUPPORTED, "int8 on onnxruntime", "onnx-fp32 for onnxruntime")

    def publish_raw(self, version, choose, variants) -> Desired:
        from wayside.export.bundle import files_of, pack

        work = exported()
        passport = msgspec.structs.replace(work.passport, version=version, variants=variants)
        return self.hub.publish(pack(passport, choose(files_of(work.trained, work.parity))))

    def test_an_agent_that_is_too_old_is_unsupported(self):
        self.refuses(self.hub.publish(bundle("1.1.0", min_agent="9.0.0")), Refusal.UNSUPPORTED, "9.0.0")

    def test_a_target_that_nobody_signed_is_metadata(self):
        desired = Desired(bundle="traffic-flow", version="6.6.6", target="models/evil.bundle")
        self.refuses(desired, Refusal.METADATA, "no signed metadata names models/evil.bundle")

    def test_another_version_under_the_wanted_targets_name_is_metadata(self):
        signed = self.hub.publish(bundle("1.1.0"))
        self.refuses(
            msgspec.structs.replace(signed, version="2.0.0"), Refusal.METADATA, "('traffic-flow', '1.1.0')", "2.0.0"
        )

    def test_an_old_timestamp_is_metadata(self):
        old = self.hub.repository.served["/tuf/metadata/timestamp.json"]
        desired = self.hub.publish(bundle("1.1.0"))
        # The node has seen the newest.
        self.up.install(
            Desired(bundle="traffic-flow", version="0.0.1", target="models/x")
        )  # the node has seen the newest
        self.serve("timestamp.json", old)
        self.refuses(desired, Refusal.METADATA, "BadVersionNumberError")

    def test_an_expired_timestamp_stops_the_install_and_not_the_inference(self):
        desired = self.hub.publish(bundle("1.1.0"))
        self.hub.repository.sign(expires_in_days=-1)
        self.refuses(desired, Refusal.METADATA, "ExpiredMetadataError")

    def test_models_signed_with_another_key_are_metadata(self, tmp_path):
        desired = self.hub.publish(bundle("1.1.0"))
        make_keys(tmp_path / "thief")
        name = f"/{self.hub.repository.metadata['models'].signed.version}.models.json"
        forged = Metadata.from_bytes(self.hub.repository.served[f"/tuf/metadata{name}"])
        forged.signatures.clear()
        forged.sign(signer(tmp_path / "thief", "models"))
        self.serve(name, forged.to_bytes())
        self.refuses(desired, Refusal.METADATA, "models")

    def test_a_whole_repository_of_another_owner_is_metadata(self, tmp_path):
        with signed_hub(tmp_path / "other") as other:
            desired = other.publish(bundle("1.1.0"))
            up = FlowNode(tmp_path / "node", self.hub, other.repository.url)
            self.refuses(desired, Refusal.METADATA, up=up)

    def test_metadata_that_is_garbage_is_metadata(self):
        desired = self.hub.publish(bundle("1.1.0"))
        self.serve("timestamp.json", b"\xff{}")
        self.refuses(desired, Refusal.METADATA)

    def test_endless_metadata_is_metadata(self):
        desired = self.hub.publish(bundle("1.1.0"))
        self.serve("timestamp.json", b" " * 100_000)
        self.refuses(desired, Refusal.METADATA, "endless")

    def test_a_target_signed_larger_than_any_bundle_is_archive_and_is_not_fetched(self, monkeypatch):
        desired = self.hub.publish(bundle("1.1.0"))
        monkeypatch.setattr(trusted_download, "MAX_BUNDLE_BYTES", 1000)
        self.hub.repository.requests.clear()
        self.refuses(desired, Refusal.ARCHIVE, "the limit is 1000")
        assert not any("/tuf/targets/" in path for path in self.hub.repository.requests)

    def test_a_hub_that_is_down_is_download_and_the_next_try_succeeds(self):
        desired = self.hub.publish(bundle("1.1.0"))
        self.hub.repository.down = True
        self.refuses(desired, Refusal.DOWNLOAD, "503")
        self.hub.repository.down = False
        assert self.up.install(desired).state is UpdateState.ACTIVE

    def test_no_network_is_download(self, tmp_path):
        up = FlowNode(tmp_path / "node", self.hub, "http://127.0.0.1:9")
        desired = Desired(bundle="traffic-flow", version="1.1.0", target="models/traffic-flow-1.1.0.bundle")
        self.refuses(desired, Refusal.DOWNLOAD, "nothing listens at", up=up)

    def test_a_model_that_kills_the_agent_is_refused_at_the_third_try(self, monkeypatch):
        class Killed(BaseException):
            """Stands for SIGSEGV inside a runtime: no handler of ours runs."""

        def dies(*args, **kwargs):
            raise Killed

        desired = self.hub.publish(bundle("1.1.0"))
        up = self.up
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(trial, "load_runtime", dies)
                with pytest.raises(Killed):
                    up.install(desired)
            up = self.node()  # systemd restarts the agent, the old model runs
            works(up)
            assert state(up) == (UpdateState.ACTIVE, "1.0.0", "1.0.0", None)
        self.refuses(desired, Refusal.LOAD, "the agent died 2 times while testing it", up=up)
        assert up.install(self.hub.publish(bundle("1.2.0", files={"model-int8.onnx": other_int8()}))).version == "1.2.0"

    def test_a_model_that_fails_when_it_runs_is_refused_and_the_agent_lives(self):
        desired = self.hub.publish(bundle("1.1.0", files={"model-int8.onnx": failing_onnx()}))
        self.refuses(desired, Refusal.GOLDEN, "cannot run the model")

    def test_one_death_while_testing_is_forgiven(self, monkeypatch):
        class Power(BaseException):
            pass

        def dies(*args, **kwargs):
            raise Power

        desired = self.hub.publish(bundle("1.1.0"))
        with monkeypatch.context() as patch:
            patch.setattr(trial, "load_runtime", dies)
            with pytest.raises(Power):
                self.up.install(desired)
        assert self.node().install(desired).version == "1.1.0"
        assert self.node().install(self.hub.publish(bundle("1.2.0"))).version == "1.2.0"

    @pytest.mark.parametrize("content", [b"", b"\x00" * 4096, b"{}"])
    def test_trust_metadata_torn_by_a_power_cut_is_fetched_again(self, tmp_path, content):
        desired = self.hub.publish(bundle("1.1.0"))
        for path in (tmp_path / "node" / "model" / "tuf").rglob("*.json"):
            path.write_bytes(content)
        up = self.node()
        works(up)
        assert up.install(desired).version == "1.1.0"

    def test_a_full_disk_is_storage(self, monkeypatch):
        desired = self.hub.publish(bundle("1.1.0"))

        def full(self, content, *, keep):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(slots.Slots, "write", full)
            self.refuses(desired, Refusal.STORAGE, "No space left")
        assert self.up.install(desired).state is UpdateState.ACTIVE

    def test_too_little_room_is_storage_before_anything_is_fetched(self, monkeypatch):
        desired = self.hub.publish(bundle("1.1.0"))
        usage = shutil.disk_usage("/")
        monkeypatch.setattr(trusted_download.shutil, "disk_usage", lambda path: usage._replace(free=10))
        self.hub.repository.requests.clear()
        self.refuses(desired, Refusal.STORAGE, "10 bytes are free")
        assert not any("/tuf/targets/" in path for path in self.hub.repository.requests)

    def test_desiring_the_running_version_again_clears_a_refusal(self):
        good = Desired(bundle="traffic-flow", version="1.0.0", target="models/traffic-flow-1.0.0.bundle")
        self.up.install(Desired(bundle="traffic-flow", version="6.6.6", target="models/evil.bundle"))
        assert state(self.up) == (UpdateState.REFUSED, "1.0.0", "6.6.6", Refusal.METADATA)
        self.up.install(good)
        assert state(self.up) == (UpdateState.ACTIVE, "1.0.0", "1.0.0", None)


def other_int8() -> bytes:
    """The int8 ONNX model in other bytes."""
    import onnx

    model = onnx.load_from_string(next(g.content for g in exported().graphs if g.name == "onnx-int8"))
    model.producer_name = "another"
    return model.SerializeToString()


def scaled_weights():
    """The int8 ONNX model with one weight scale doubled: loads, runs, answers wrong."""
    import onnx

    model = onnx.load_from_string(next(g.content for g in exported().graphs if g.name == "onnx-int8"))
    scale = next(i for i in model.graph.initializer if i.name.endswith("_scale") and "weight" in i.name)
    values = onnx.numpy_helper.to_array(scale) * np.float32(2)
    scale.CopyFrom(onnx.numpy_helper.from_array(values, scale.name))
    yield model.SerializeToString()


def test_a_rotten_slot_falls_back_to_the_one_before_and_says_so(hub, node, tmp_path):
    up = node()
    up.install(hub.publish(bundle()))
    up.install(hub.publish(bundle("1.1.0")))
    path = tmp_path / "node" / "model" / "traffic-flow" / f"{up.active().slot}.bundle"
    path.write_bytes(path.read_bytes()[:-1])
    after = node()
    assert state(after) == (UpdateState.ROLLED_BACK, "1.0.0", "1.1.0", None)
    assert "recorded hash" in after.reported().reason
    works(after)
    # … and the lost version can be installed again.
    after.install(Desired(bundle="traffic-flow", version="1.1.0", target="models/traffic-flow-1.1.0.bundle"))
    assert state(after) == (UpdateState.ACTIVE, "1.1.0", "1.1.0", None)


def test_with_both_slots_rotten_the_node_starts_without_a_model(hub, node, tmp_path):
    up = node()
    up.install(hub.publish(bundle()))
    for path in (tmp_path / "node" / "model" / "traffic-flow").glob("*.bundle"):
        path.write_bytes(b"")
    after = node()
    assert after.active() is None
    assert state(after) == (UpdateState.ROLLED_BACK, None, "1.0.0", None)


def test_a_runtime_that_answers_wrong_after_an_upgrade_rolls_back_with_the_evidence(hub, node, monkeypatch):
    up = node()
    up.install(hub.publish(bundle()))
    up.install(hub.publish(bundle("1.1.0")))
    real, broken = trial.load_runtime, [True]

    class Upgraded:
        """The first load is of the newest slot; its kernels now answer with a bias."""

        def __init__(self, runtime):
            self._runtime = runtime
            self.name, self.provider = runtime.name, runtime.provider
            self.input_shape, self.output_shape, self.close = runtime.input_shape, runtime.output_shape, runtime.close

        def run(self, x):
            return self._runtime.run(x) + np.float32(9)

    def load(*args, **kwargs):
        runtime = real(*args, **kwargs)
        return Upgraded(runtime) if broken and broken.pop() else runtime

    monkeypatch.setattr(trial, "load_runtime", load)
    after = node()
    assert state(after) == (UpdateState.ROLLED_BACK, "1.0.0", "1.1.0", Refusal.GOLDEN)
    assert "max difference" in after.reported().reason
    works(after)


def test_a_new_configuration_runs_the_other_runtime_after_its_golden_test(hub, node):
    up = node()
    up.install(hub.publish(bundle()))
    other = node(runtime="tflite-runtime", precision="fp32")
    assert (other.reported().runtime, other.reported().variant) == ("tflite-runtime", "tflite-fp32")
    assert other.reported().state is UpdateState.ACTIVE
    works(other)


def test_power_lost_between_the_switch_and_the_report_leaves_the_new_model_active(hub, node, monkeypatch):
    up = node()
    up.install(hub.publish(bundle()))
    desired = hub.publish(bundle("1.1.0"))
    with monkeypatch.context() as patch:
        patch.setattr(Installation, "write_report", lambda self: None)
        up.install(desired)
    assert state(node()) == (UpdateState.ACTIVE, "1.1.0", "1.1.0", None)


@pytest.mark.parametrize("report", [b"", b"{", b'{"state":"flying"}', b"\xff"])
def test_a_lost_report_costs_nothing_but_the_last_reason(hub, node, tmp_path, report):
    node().install(hub.publish(bundle()))
    (tmp_path / "node" / "model" / "traffic-flow" / "reported.json").write_bytes(report)
    assert state(node()) == (UpdateState.ACTIVE, "1.0.0", "1.0.0", None)


def test_the_report_on_disk_is_the_contracts_document(hub, node, tmp_path):
    up = node()
    up.install(hub.publish(bundle()))
    path = tmp_path / "node" / "model" / "traffic-flow" / "reported.json"
    assert json.loads(path.read_bytes())["state"] == "active"
    assert decode(path.read_bytes(), Reported) == up.reported()


def test_a_root_signed_by_the_old_threshold_and_carried_forward_is_followed(hub, node):
    from wayside.export import release

    up = node()
    up.install(hub.publish(bundle()))
    release.renew("root", hub.keys, hub.hub)
    assert up.install(hub.publish(bundle("1.1.0"))).state is UpdateState.ACTIVE
    assert node().install(hub.publish(bundle("1.2.0"))).state is UpdateState.ACTIVE


@pytest.mark.parametrize(("fails", "refusal"), [("_fetch", Refusal.DOWNLOAD), ("admit", Refusal.LOAD)])
def test_what_nobody_foresaw_is_final_only_once_there_are_bytes_to_blame(hub, node, monkeypatch, fails, refusal):
    def broken(*_):
        raise ZeroDivisionError("nobody foresaw this")

    up = node()
    monkeypatch.setattr(updater.Updater if fails == "_fetch" else Installation, fails, broken)
    report = up.install(hub.publish(bundle()))
    assert (report.state, report.refusal) == (UpdateState.REFUSED, refusal)
    assert "nobody foresaw this" in str(report.reason)
    monkeypatch.undo()
    again = up.install(hub.publish(bundle("1.0.1")))
    assert again.state is UpdateState.ACTIVE
