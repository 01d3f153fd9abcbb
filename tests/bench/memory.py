"""Memory of the agent with five tasks, beside a process that loads the runtime and runs one of its models.

    python -m tests.bench.memory [SECONDS]

A real agent from ``.venv-edge`` has enrolled, synced, and installed five exported int8 bundles over TUF; a board is
connected, each task has answered. Then it is left alone for SECONDS (20). Beside it runs the floor: Python, NumPy, the
runtime, one model, one inference. Pages that several processes have mapped are divided among them in PSS, so each
process is measured alone with its libraries first (a roadside computer has one agent), and then both at once.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.simulators.agent import ROOT, AgentProcess, node_toml
from tests.simulators.board import BoardProcess, Edge
from tests.simulators.exported_bundle import exported
from tests.simulators.plain_hub import PlainHub
from tests.simulators.signed_hub import SignedHub, bundle, signed_hub
from wayside.contracts.sync import Desired

PYTHON = ROOT / ".venv-edge" / "bin" / "python"
TASKS = 5
SPEED = 450.0  # a quarter of an hour in two seconds: every window fills
SETTLE_S = 20.0
GOALS = {"onnxruntime": 55.0, "tflite-runtime": 40.0}  # MiB of PSS
FLOOR = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
import numpy as np
content = Path({model!r}).read_bytes()
if {runtime!r} == "onnxruntime":
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    x = session.get_inputs()[0]
    session.run(None, {{x.name: np.zeros(x.shape, np.float32)}})
else:
    from tflite_runtime.interpreter import Interpreter
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()
print("ready", flush=True)
time.sleep(3600)
"""


class Memory(NamedTuple):
    """MiB of one process."""

    rss: float
    pss: float
    private: float  # that nobody else has, or can have: written to


def memory(pid: int) -> Memory:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(rest.split()[0]) / 1024 for name, rest in (line.split(":") for line in lines)}
    return Memory(sizes["Rss"], sizes["Pss"], sizes["Private_Dirty"])


@contextmanager
def floor(runtime: str, folder: Path) -> Iterator[int]:
    """The bare process, once it has run the model."""
    wanted = "onnx-int8" if runtime == "onnxruntime" else "tflite-int8"
    path = folder / "floor.model"
    path.write_bytes(next(g.content for g in exported().graphs if g.name == wanted))
    program = FLOOR.format(root=str(ROOT), model=str(path), runtime=runtime)
    process = subprocess.Popen([PYTHON, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
    finally:
        process.kill()
        process.wait()


def five_tasks(port: str, hub: str, runtime: str, root: Path) -> str:
    """A detector and a task for each bundle; the first one's policy tells people."""
    base = node_toml(port, anchor_s=time.time(), speed=SPEED, detectors=(), step_s=900)
    detectors = [f'[[detectors]]\nchannel = {i + 1}\ndatastream = "det/{i}"\n' for i in range(TASKS)]
    policy = 'policy = "incident_notice"\nactuator = "people"\n'
    tasks = [
        f'[[tasks]]\nname = "task-{i}"\nbundle = "flow-{i}"\ninterval_s = 900\nsites = [{{ output = "det/{i}" }}]\n'
        + (policy if i == 0 else "")
        for i in range(TASKS)
    ]
    return "\n".join(
        [
            base,
            f'[hub]\nurl = "{hub}"\ntoken = "{"t" * 32}"\nsync_s = 1\n',
            f'[model]\nruntime = "{runtime}"\ntuf_root = "{root}"\n',
            *detectors,
            '[[actuators]]\nname = "people"\nkind = "notice"\n',
            *tasks,
        ]
    )


def vehicles(hours: int = 72) -> Iterator[Edge]:
    """One over each detector every two minutes."""
    for ms in range(0, hours * 3_600_000, 120_000):
        for channel in range(1, TASKS + 1):
            yield ms + 1000 * channel, 1, channel, 1
            yield ms + 1000 * channel + 300, 1, channel, 0


def measured(runtime: str, settle_s: float) -> None:
    with tempfile.TemporaryDirectory() as name, PlainHub() as hub:
        folder = Path(name)
        with (
            signed_hub(folder, hub) as signed,
            BoardProcess(folder, vehicles(), speed=SPEED, anchor_s=time.time()) as board,
        ):
            hub.wanted = tuple(publish(signed, i) for i in range(TASKS))
            with floor(runtime, folder) as pid:
                bare = memory(pid)
            agent = AgentProcess(folder, five_tasks(board.port, hub.url, runtime, signed.root_file), python=PYTHON)
            with agent:
                agent.wait(lambda a: answering(a, hub) == TASKS, timeout_s=180)
                time.sleep(settle_s)
                assert agent.process is not None
                alone = memory(agent.process.pid)
                with floor(runtime, folder) as pid:
                    shared, bare_shared = memory(agent.process.pid), memory(pid)
    for who, (each, beside) in {"bare": (bare, bare_shared), "agent": (alone, shared)}.items():
        goal = f"goal {GOALS[runtime]:.0f}" if who == "agent" else "floor"
        print(
            f"{runtime:<15} {who:<6} RSS {each.rss:5.1f}  PSS {each.pss:5.1f}  written {each.private:5.1f}  "
            f"PSS beside the other {beside.pss:5.1f} MiB  {goal}"
        )


def publish(hub: SignedHub, number: int) -> Desired:
    name = f"flow-{number}"
    return hub.publish(bundle(bundle=name), "1.0.0")


def answering(agent: AgentProcess, hub: PlainHub) -> int:
    """Tasks that run a model and have told the hub what it says."""
    run = {task["name"] for task in agent.status.get("tasks", []) if task.get("model")}
    rows = [row for request in hub.syncs for row in request.summaries]
    told = {row.datastream for row in rows if row.forecast is not None}
    return min(len(run), len(told))


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SETTLE_S
    for kind in GOALS:
        measured(kind, seconds)
