"""The model that would run after a restart."""

from __future__ import annotations

from pathlib import Path

from wayside.contracts.node_config import NodeConfig
from wayside.contracts.version import VERSION
from wayside.edge.doctor.finding import Finding
from wayside.edge.errors import EdgeError
from wayside.edge.trusted_bundle import open_bundle
from wayside.edge.update.layout import slots_folder
from wayside.edge.update.slots import Slots
from wayside.edge.update.trial import choose, try_out


def check_model(config: NodeConfig, state_dir: Path) -> Finding:
    """The golden test, here and now, of what would run after a restart."""
    folder = slots_folder(state_dir, config.tasks[0].bundle) if config.tasks else None
    if folder is None or not folder.is_dir():
        return Finding("model", "skip", "none is installed yet; a rollout brings it")
    slots = Slots(folder)
    for slot in slots.sound():
        try:
            bundle = open_bundle(slot.content, agent_version=VERSION)
            variant = choose(config.model, bundle.passport)
            runtime, result = try_out(config.model, bundle, variant)
        except EdgeError as exc:
            return Finding(
                "model", "fail", f"slot {slot.name}: {exc}", "start a rollout of a good version; the agent falls back"
            )
        runtime.close()
        passport = bundle.passport
        said = f"{passport.bundle} {passport.version}, {variant.name} on {config.model.runtime}: golden test passed, "
        return Finding("model", "ok", f"{said}{result.max_abs_diff:.3g} of {variant.tolerance:.3g}")
    if slots.damaged:
        said = "; ".join(f"slot {name}: {why}" for name, why in slots.damaged.items())
        return Finding("model", "fail", said, "the hub sends it again at the next sync; is the card dying?")
    return Finding("model", "skip", "none is installed yet; a rollout brings it")
