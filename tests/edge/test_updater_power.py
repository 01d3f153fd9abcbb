"""The power goes at every file operation of an install, in turn; each time the node boots into a model that works."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.simulators.signed_hub import bundle, signed_hub
from wayside.contracts.node_config import ModelConfig
from wayside.contracts.rollout import UpdateState
from wayside.edge.update.updater import Updater

OPERATIONS = (
    (os, "open"),
    (os, "write"),
    (os, "fsync"),
    (os, "replace"),
    (os, "remove"),
    (os, "symlink"),
    (Path, "replace"),
    (Path, "unlink"),
)


class PowerCut(BaseException):
    pass


class Disk:
    """Counts the operations; from number ``cut`` on none happens any more."""

    def __init__(self, patch: pytest.MonkeyPatch, cut: int | None = None) -> None:
        self.names: list[str] = []
        for owner, name in OPERATIONS:
            real = getattr(owner, name)

            def counted(*args, _real=real, _name=name, **kwargs):
                self.names.append(_name)
                if cut is not None and len(self.names) >= cut:
                    raise PowerCut
                return _real(*args, **kwargs)

            patch.setattr(owner, name, counted)


def test_a_power_cut_at_any_file_operation_of_an_install_leaves_a_working_model(tmp_path):
    with signed_hub(tmp_path) as hub:

        def node(folder: Path) -> Updater:
            return Updater(
                folder, ModelConfig(runtime="tflite-runtime", precision="fp32"), hub.root, hub.repository.url, "0.1.0"
            )

        node(tmp_path / "old").install(hub.publish(bundle()))
        desired = hub.publish(bundle("1.1.0"))
        shutil.copytree(tmp_path / "old", tmp_path / "count", symlinks=True)
        up = node(tmp_path / "count")
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch)
            assert up.install(desired).version == "1.1.0"
        versions = []
        for cut in range(1, len(disk.names) + 1):
            folder = tmp_path / f"cut{cut}"
            shutil.copytree(tmp_path / "old", folder, symlinks=True)
            up = node(folder)
            with pytest.MonkeyPatch.context() as patch:
                Disk(patch, cut)
                with pytest.raises(PowerCut):
                    up.install(desired)
            booted = node(folder)
            reported = booted.reported()
            assert reported.state is UpdateState.ACTIVE, (cut, reported)
            assert reported.version == booted.active().passport.version
            versions.append(reported.version)
            assert booted.install(desired).version == "1.1.0", (cut, booted.reported())
            shutil.rmtree(folder)
        assert set(versions) == {"1.0.0", "1.1.0"}
        assert versions == sorted(versions)  # once switched, switched
        print(f"{len(versions)} cut points, {versions.count('1.1.0')} after the switch")
