"""The model of each task: which one runs, how good it is, and if none runs, why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wayside.contracts.fit import misfits
from wayside.contracts.node_config import NodeConfig
from wayside.contracts.sync import TaskState
from wayside.contracts.task_config import TaskConfig
from wayside.contracts.version import VERSION
from wayside.contracts.wire import ContractError, from_builtins
from wayside.edge.doctor.conditions import open_conditions
from wayside.edge.doctor.finding import Finding, looked_at
from wayside.edge.errors import EdgeError
from wayside.edge.runtimes.load import available
from wayside.edge.trusted_bundle import open_bundle
from wayside.edge.update.layout import slots_folder
from wayside.edge.update.slots import NAMES, Slots
from wayside.edge.update.trial import choose, try_out


def check_models(config: NodeConfig, state_dir: Path, agent: dict[str, Any] | None) -> Iterator[Finding]:
    """One finding a task: what lies in its slots is tested here and now; a running agent says what it runs."""
    if not config.tasks:
        yield Finding("tasks", "skip", "this node has no task, so it runs no model")
    states = {state.name: state for state in task_states(agent or {})}
    for task in config.tasks:
        check = f"task {task.name}"
        installed = looked_at(check, lambda task=task: check_installed(config, task, state_dir))  # type: ignore[misc]
        state = states.get(task.name)
        if installed.state == "fail" or agent is None or state is None:
            yield installed
        elif state.model is not None:
            yield _runs_one(check, state, agent)
        else:
            yield _runs_none(check, state, agent)


def check_installed(config: NodeConfig, task: TaskConfig, state_dir: Path) -> Finding:
    """What would run in ``task`` after a restart: does it fit, and does it answer as it should, here?"""
    check, why = f"task {task.name}", f"runs no model, because no version of {task.bundle} has come yet"
    none = Finding(check, "warn", why, f"a rollout brings it: `wayside rollout start {task.bundle} VERSION`")
    folder = model_folder(state_dir, task.bundle)
    if folder is None:
        return none
    slots = Slots(folder)
    for slot in slots.sound():
        try:
            bundle = open_bundle(slot.content, agent_version=VERSION)
            passport = bundle.passport
            wrong = misfits(passport, task.offered(), config.offer(VERSION, available()))
            if wrong:
                reasons = "; ".join(misfit.message for misfit in wrong)
                return Finding(
                    check,
                    "fail",
                    f"runs no model, because {passport.bundle} {passport.version} does not fit: {reasons}",
                    "correct the task, or start a rollout of a version that fits: "
                    "`wayside node check --passport BUNDLE` says which does",
                )
            variant = choose(config.model, passport)
            runtime, result = try_out(config.model, bundle, variant)
        except EdgeError as exc:
            fix = "start a rollout of a good version; the agent falls back to the other slot"
            return Finding(check, "fail", f"slot {slot.name}: {exc}", fix)
        name = runtime.name
        runtime.close()
        tested = f"golden test passed, {result.max_abs_diff:.3g} of {variant.tolerance:.3g}"
        runs = f"{passport.bundle} {passport.version} ({variant.name} on {name})"
        return Finding(check, "ok", f"{runs}: {tested}")
    if slots.damaged:
        damage = "; ".join(f"slot {name}: {why}" for name, why in slots.damaged.items())
        return Finding(check, "fail", damage, "the hub sends it again at the next sync; is the card dying?")
    return none


def model_folder(state_dir: Path, bundle: str) -> Path | None:
    """Where the slots of ``bundle`` are; None: there are none yet. Before tasks, one pair lay in ``model`` itself."""
    folder = slots_folder(state_dir, bundle)
    return folder if any((folder / f"{slot}.json").exists() for slot in NAMES) else None


def task_states(status: dict[str, Any]) -> list[TaskState]:
    """Of an agent's status; what makes no sense is left out."""
    states = []
    listed = status.get("tasks")
    for raw in listed if isinstance(listed, list) else ():
        try:
            states.append(from_builtins(raw, TaskState))
        except ContractError:
            continue
    return states


def model_sentence(task: TaskState, status: dict[str, Any]) -> str:
    """``traffic-flow 1.2.0 (onnx-int8 on onnxruntime), 412 forecasts compared, MAE 4.3 vs persistence 5.1``."""
    text = f"{task.bundle} {task.model}"
    models = status.get("models")
    for model in models if isinstance(models, list) else ():
        if isinstance(model, dict) and model.get("bundle") == task.bundle and model.get("variant"):
            text += f" ({model['variant']} on {model.get('runtime', '?')})"
            break
    compared, mae, persistence = (task.extra.get(key) for key in ("compared", "mae", "mae_persistence"))
    if isinstance(compared, int) and isinstance(mae, int | float) and isinstance(persistence, int | float):
        text += f", {compared} forecasts compared, MAE {mae:.3g} vs persistence {persistence:.3g}"
    return text


def _runs_one(check: str, state: TaskState, agent: dict[str, Any]) -> Finding:
    """Not "ok" while its agent says that something is wrong with the task; what, stands with the conditions."""
    wrong = ", ".join(c.code for c in open_conditions(agent) if c.subject == state.name)
    sentence = model_sentence(state, agent)
    if not wrong:
        return Finding(check, "ok", sentence)
    return Finding(check, "warn", f"{sentence}, with {wrong}", "see its conditions above")


def _runs_none(check: str, state: TaskState, agent: dict[str, Any]) -> Finding:
    """A failure, unless the agent says that the task only waits for its first rollout."""
    waits = any(c.code == "no_model" and c.subject == state.name and not c.severe for c in open_conditions(agent))
    why = state.why or f"no version of {state.bundle} has come yet"
    fix = f"start a rollout of a version that fits: `wayside rollout start {state.bundle} VERSION`"
    return Finding(check, "warn" if waits else "fail", f"runs no model, because {why}", fix)
