"""Several bundles on one node: each has its slots, its report and its refusals; what does not fit never runs.

Real python-tuf client, real HTTP on loopback, real signatures.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.simulators.exported_bundle import exported
from tests.simulators.live_models import OTHERS, made
from tests.simulators.power import PowerCut, operations, power_cut
from tests.simulators.signed_hub import SignedHub, bundle, node_updater, offer_of, signed_hub
from wayside.contracts.node_config import ModelConfig
from wayside.contracts.rollout import FINAL, Refusal, UpdateState
from wayside.contracts.sync import Desired, Reported
from wayside.contracts.task_config import Offer
from wayside.contracts.wire import encode
from wayside.edge.update import trial
from wayside.edge.update.installation import Installation
from wayside.edge.update.layout import bundle_folder
from wayside.edge.update.slots import Slots
from wayside.edge.update.updater import Updater

BUNDLES = ("traffic-flow", "night")
TFLITE = {"runtime": "tflite-runtime", "precision": "fp32"}
GOOD, BETTER, WRONG, FOREIGN = "1.0.0", "1.1.0", "1.2.0", "1.3.0"
"""Versions that each of the two bundles has; WRONG fails its golden test, FOREIGN fits no node here."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedHub]:
    task = exported().passport.task
    with signed_hub(tmp_path_factory.mktemp("hub")) as one:
        for name in BUNDLES:
            one.publish(bundle(GOOD, bundle=name))
            one.publish(bundle(BETTER, bundle=name))
            one.publish(bundle(WRONG, bundle=name, golden_shift=50.0))
            one.publish(bundle(FOREIGN, bundle=name, task=msgspec.structs.replace(task, interval_s=3600)))
        yield one


def wanted(version: str, name: str = "traffic-flow") -> Desired:
    return Desired(bundle=name, version=version, target=f"models/{name}-{version}.bundle")


def place(updater: Updater, name: str = "traffic-flow") -> Installation:
    return updater.installations[name]


def answers(installation: Installation) -> bool:
    """The running model answers like torch."""
    active, work = installation.active, exported()
    assert active is not None
    got = active.runtime.run(work.trained.golden[:1])
    return bool(np.abs(got - work.parity.golden_outputs[:1]).max() <= active.variant.tolerance)


def facts(report: Reported) -> tuple[UpdateState, str | None, str | None, Refusal | None]:
    return report.state, report.version, report.attempted, report.refusal


# --- fit ------------------------------------------------------------------------------------------


def foreign_task(**changes: object) -> Callable[[str], bytes]:
    return lambda version: bundle(version, task=msgspec.structs.replace(exported().passport.task, **changes))


def other_units(output: str, unit: str) -> Callable[[str], bytes]:
    task = exported().passport.task
    inputs = tuple(
        msgspec.structs.replace(i, name=output, unit=unit) if i.name == task.output else i for i in task.inputs
    )
    return foreign_task(inputs=inputs, output=output, output_unit=unit)


def pictures(version: str) -> bytes:
    return made("traffic-flow", version, task=OTHERS["pictures"])


MISFITS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "a picture classifier": (
        lambda version: made("traffic-flow", version, task=OTHERS["pictures"]),
        "classifies pictures",
    ),
    "kilowatts": (other_units("load", "kW"), "kW"),
    "speeds": (other_units("speed", "km/h"), "km/h"),
    "another interval": (foreign_task(interval_s=3600), "3600 s"),
    "an anomaly score": (foreign_task(kind="score"), "scores"),
    "a day ahead": (foreign_task(lead=96), "96 intervals ahead"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_this_node_cannot_feed_is_refused_before_it_is_run_and_the_old_model_keeps_answering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, misfit: str
) -> None:
    make, words = MISFITS[misfit]
    with signed_hub(tmp_path) as hub:
        updater = node_updater(tmp_path / "node", hub.root_file, hub.repository.url)
        updater.install(hub.publish(bundle()))
        monkeypatch.setattr(trial, "load_runtime", lambda *_, **__: pytest.fail("it was loaded"))
        desired = hub.publish(make("1.1.0"))
        report = updater.install(desired).reported
        assert facts(report) == (UpdateState.REFUSED, "1.0.0", "1.1.0", Refusal.UNSUPPORTED)
        assert words in str(report.reason)
        assert answers(place(updater))
        assert updater.install(desired).known, "the same bytes are not fetched again"


def changed(offer: Offer, **task: object) -> Offer:
    return msgspec.structs.replace(offer, tasks=(msgspec.structs.replace(offer.tasks[0], **task),))


def test_a_model_that_no_longer_fits_the_configuration_is_not_run_and_the_task_says_why(
    tmp_path: Path, hub: SignedHub
) -> None:
    def node(offer: Offer) -> Installation:
        return place(Updater(tmp_path / "node", ModelConfig(), offer, hub.root_file, hub.repository.url))

    node_updater(tmp_path / "node", hub.root_file, hub.repository.url).install(wanted(GOOD))
    hourly = node(changed(offer_of("traffic-flow"), interval_s=3600.0))
    assert hourly.active is None
    assert facts(hourly.reported) == (UpdateState.ROLLED_BACK, None, GOOD, Refusal.UNSUPPORTED)
    assert "the model's interval is 900 s" in hourly.why_none()
    again = node(offer_of("traffic-flow"))
    assert answers(again)
    assert facts(again.reported) == (UpdateState.ACTIVE, GOOD, GOOD, None)


def test_after_an_upgrade_or_another_configuration_a_final_refusal_is_tried_again_once(
    tmp_path: Path, hub: SignedHub
) -> None:
    fetched = f"traffic-flow-{WRONG}"

    def tries(**config: str) -> int:
        before = sum(fetched in path for path in hub.repository.requests)
        for _ in range(2):  # and again after a restart
            updater = node_updater(tmp_path / "node", hub.root_file, hub.repository.url, **config)  # type: ignore[arg-type]
            for _ in range(2):
                assert updater.install(wanted(WRONG)).reported.refusal is Refusal.GOLDEN
        return sum(fetched in path for path in hub.repository.requests) - before

    assert tries() == 1
    assert tries(agent="0.2.0") == 1
    assert tries(**TFLITE) == 1
    assert tries(**TFLITE) == 0


def test_other_bytes_under_a_refused_version_are_tried(tmp_path: Path) -> None:
    with signed_hub(tmp_path) as hub:
        updater = node_updater(tmp_path / "node", hub.root_file, hub.repository.url)
        desired = hub.publish(bundle(golden_shift=50.0))
        assert updater.install(desired).reported.refusal is Refusal.GOLDEN
    with signed_hub(tmp_path / "anew") as hub:  # a hub that was set up anew, and a node that is told so
        shutil.rmtree(tmp_path / "node" / "model" / "tuf")
        updater = node_updater(tmp_path / "node", hub.root_file, hub.repository.url)
        assert updater.install(hub.publish(bundle())).reported.version == "1.0.0"


# --- refusals belong to a bundle and a version ----------------------------------------------------


def test_the_same_version_number_of_another_bundle_is_another_version(tmp_path: Path, hub: SignedHub) -> None:
    updater = node_updater(tmp_path / "node", hub.root_file, hub.repository.url, BUNDLES)
    assert updater.install(wanted(WRONG)).reported.refusal is Refusal.GOLDEN
    assert facts(updater.install(wanted(GOOD, "night")).reported) == (UpdateState.ACTIVE, GOOD, GOOD, None)
    assert facts(place(updater).reported) == (UpdateState.REFUSED, None, WRONG, Refusal.GOLDEN)
    assert updater.install(wanted(WRONG, "night")).reported.refusal is Refusal.GOLDEN
    assert facts(updater.install(wanted(GOOD)).reported) == (UpdateState.ACTIVE, GOOD, GOOD, None)
    assert facts(place(updater, "night").reported) == (UpdateState.REFUSED, GOOD, WRONG, Refusal.GOLDEN)


@pytest.mark.parametrize("seed", range(3))
def test_in_any_order_each_report_is_about_what_is_wanted_last_of_its_bundle(
    tmp_path: Path, hub: SignedHub, seed: int
) -> None:
    draw = random.Random(seed)
    updater = node_updater(tmp_path / "node", hub.root_file, hub.repository.url, BUNDLES)
    runs: dict[str, str | None] = dict.fromkeys(BUNDLES)
    last: dict[str, str] = {}
    for _ in range(25):
        name, version = draw.choice(BUNDLES), draw.choice((GOOD, BETTER, WRONG, FOREIGN, WRONG))
        if draw.random() < 0.2:
            updater = node_updater(tmp_path / "node", hub.root_file, hub.repository.url, BUNDLES)
        updater.install(wanted(version, name))
        last[name] = version
        if version in (GOOD, BETTER):
            runs[name] = version
        for other, tried in last.items():
            report, active = place(updater, other).reported, place(updater, other).active
            assert (active.passport.version if active else None) == runs[other] == report.version
            assert report.attempted == tried
            assert (report.refusal is None) == (tried in (GOOD, BETTER))
            assert report.refusal is None or report.refusal in FINAL
            assert (report.state is UpdateState.ACTIVE) == (tried in (GOOD, BETTER))


@pytest.mark.parametrize("name", ["tuf", "a.bundle", "reported.json", "sites/main/flow", "a/../../b"])
def test_no_name_of_a_bundle_leads_out_of_its_own_folder(tmp_path: Path, name: str) -> None:
    folder = bundle_folder(tmp_path, name)
    assert folder.parent == tmp_path / "model"
    assert folder.name not in ("tuf", "a.bundle", "reported.json")
    assert folder.resolve().parent == (tmp_path / "model").resolve()


# --- the slot pair of earlier versions ------------------------------------------------------------


def old_state(folder: Path, a: bytes, b: bytes, report: Reported) -> None:
    """As the agent with one slot pair left it: ``a``, then ``b``, which runs."""
    slots = Slots(folder / "model")
    slots.write(b, keep=slots.write(a, keep=None))
    (folder / "model" / "reported.json").write_bytes(encode(report))


REFUSED = Reported(
    state=UpdateState.REFUSED,
    bundle="traffic-flow",
    version=BETTER,
    variant="tflite-fp32",
    runtime="tflite-runtime",
    attempted=WRONG,
    refusal=Refusal.GOLDEN,
    reason="it answered 7",
)


def test_a_power_cut_at_any_operation_of_the_move_loses_neither_model_nor_report(
    tmp_path: Path, hub: SignedHub
) -> None:
    old_state(tmp_path / "old", bundle(GOOD), bundle(BETTER), REFUSED)
    (tmp_path / "old" / "model" / "trial.json").write_bytes(b"{}")

    def node(folder: Path) -> Updater:
        return node_updater(folder, hub.root_file, hub.repository.url, BUNDLES, **TFLITE)  # type: ignore[arg-type]

    shutil.copytree(tmp_path / "old", tmp_path / "count")
    total = operations(lambda: node(tmp_path / "count"))
    assert total > 10
    for cut in range(1, total + 1):
        folder = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "old", folder)
        with power_cut(cut), pytest.raises(PowerCut):
            node(folder)
        booted = place(node(folder))
        assert booted.reported == REFUSED, cut
        assert answers(booted), cut
        assert [slot.name for slot in Slots(booted.folder).sound()] == ["b", "a"], cut
        assert [path.name for path in (folder / "model").iterdir()] == ["traffic-flow"]
        shutil.rmtree(folder)
    print(f"{total} cut points of the move")


def test_two_bundles_in_the_old_pair_go_to_their_own_folders(tmp_path: Path, hub: SignedHub) -> None:
    report = msgspec.structs.replace(REFUSED, bundle="night")
    old_state(tmp_path, bundle(GOOD), bundle(BETTER, bundle="night"), report)
    updater = node_updater(tmp_path, hub.root_file, hub.repository.url, BUNDLES, **TFLITE)  # type: ignore[arg-type]
    assert place(updater).reported.version == GOOD
    assert place(updater, "night").reported == report
    assert answers(place(updater)) and answers(place(updater, "night"))


def test_an_old_slot_that_rotted_is_still_said_and_the_other_one_runs(tmp_path: Path, hub: SignedHub) -> None:
    old_state(tmp_path, bundle(GOOD), bundle(BETTER), REFUSED)
    (tmp_path / "model" / "b.bundle").write_bytes(b"rotten")
    updater = node_updater(tmp_path, hub.root_file, hub.repository.url, BUNDLES, **TFLITE)  # type: ignore[arg-type]
    assert facts(place(updater).reported) == (UpdateState.ROLLED_BACK, GOOD, BETTER, None)
    assert "recorded hash" in str(place(updater).reported.reason)


def test_what_was_refused_before_the_move_is_tried_again(tmp_path: Path, hub: SignedHub) -> None:
    old_state(tmp_path, bundle(GOOD), bundle(BETTER), msgspec.structs.replace(REFUSED, attempted=GOOD))
    updater = node_updater(tmp_path, hub.root_file, hub.repository.url, **TFLITE)  # type: ignore[arg-type]
    assert updater.install(wanted(GOOD)).reported.version == GOOD
