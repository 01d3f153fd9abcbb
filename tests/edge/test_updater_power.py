"""The power goes at every file operation of an install, in turn; each time the node boots into a model that works."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.simulators.power import PowerCut, operations, power_cut
from tests.simulators.signed_hub import bundle, node_updater, signed_hub
from wayside.contracts.rollout import UpdateState
from wayside.edge.update.updater import Updater

BUNDLES = ("traffic-flow", "night")
TFLITE = {"runtime": "tflite-runtime", "precision": "fp32"}


def test_a_power_cut_at_any_file_operation_of_an_install_leaves_a_working_model(tmp_path):
    with signed_hub(tmp_path) as hub:

        def node(folder: Path) -> Updater:
            return node_updater(folder, hub.root_file, hub.repository.url, BUNDLES, **TFLITE)

        node(tmp_path / "old").install(hub.publish(bundle()))
        node(tmp_path / "old").install(hub.publish(bundle("3.0.0", bundle="night")))
        desired = hub.publish(bundle("1.1.0"))
        shutil.copytree(tmp_path / "old", tmp_path / "count", symlinks=True)
        up = node(tmp_path / "count")
        total = operations(lambda: up.install(desired))
        assert up.installations["traffic-flow"].reported.version == "1.1.0"
        versions = []
        for cut in range(1, total + 1):
            folder = tmp_path / f"cut{cut}"
            shutil.copytree(tmp_path / "old", folder, symlinks=True)
            up = node(folder)
            with power_cut(cut), pytest.raises(PowerCut):
                up.install(desired)
            booted = node(folder)
            reported = booted.installations["traffic-flow"].reported
            assert reported.state is UpdateState.ACTIVE, (cut, reported)
            assert reported.version == booted.installations["traffic-flow"].active.passport.version
            assert booted.installations["night"].active.passport.version == "3.0.0"
            versions.append(reported.version)
            assert booted.install(desired).reported.version == "1.1.0", cut
            shutil.rmtree(folder)
        assert set(versions) == {"1.0.0", "1.1.0"}
        assert versions == sorted(versions)  # once switched, switched
        print(f"{len(versions)} cut points, {versions.count('1.1.0')} after the switch")
