"""What an agent holds in memory: only libraries that its configuration has a use for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODE = 'node = "n"\nstate_dir = "s"\n'
BOARD = '[board]\nport = "/dev/none"\n[[detectors]]\nchannel = 1\ndatastream = "det/1"\n'
TASK = '[[tasks]]\nname = "t"\nbundle = "b"\nsites = [{ output = "det/1" }]\n'
HUB = '[hub]\nurl = "https://hub.example"\ntoken = "0123456789abcdef"\n'
MODBUS = '[modbus]\nport = "/dev/none"\n[[modbus.registers]]\ndevice = 1\naddress = 0\ndatastream = "m"\n'
MANUAL = '[manual]\nport = 8040\n[[manual.values]]\ndatastream = "ed"\nkind = "events"\n'

COMMAND_LINE = {"typer", "rich", "pygments", "click"}
TRUST = {"tuf", "securesystemslib", "urllib3"}
OF_THE_HUB = {"httpx", "cryptography"}  # and at the first request httpcore, h11, anyio
RUNTIMES = {"onnxruntime", "tflite_runtime", "ai_edge_litert"}
HEAVY = COMMAND_LINE | TRUST | OF_THE_HUB | RUNTIMES | {"pymodbus", "h11", "av", "gpiozero", "multiprocessing"}

# As `wayside agent run FILE` goes, up to where the agent would begin to run.
PROGRAM = """
import json, sys
from wayside.__main__ import main
import wayside.edge.start as start
def instead(loaded, folder):
    from wayside.edge.agent import Agent
    agent = Agent(loaded.config, folder)
    agent.close()
    print(json.dumps(sorted(m.split(".")[0] for m, what in sys.modules.items() if what is not None)))
start.run = instead
sys.exit(main(["agent", "run", "n.toml"]))
"""


def loaded(folder: Path, toml: str) -> set[str]:
    (folder / "n.toml").write_text(toml)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("", set()),
        (BOARD + TASK, set()),
        (BOARD + TASK + HUB, OF_THE_HUB),
        (MODBUS, {"pymodbus"}),
        (MANUAL, set()),  # h11 comes with the port
    ],
    ids=["nothing", "board", "hub", "modbus", "manual"],
)
def test_an_agent_loads_what_its_file_has_a_use_for_and_no_more(tmp_path: Path, toml: str, expected: set[str]) -> None:
    assert loaded(tmp_path, NODE + toml) == expected


def test_a_wrong_file_is_the_command_lines_to_report(tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(NODE + 'colour = "red"\n')
    done = subprocess.run(
        [sys.executable, str(ROOT / "wayside.py"), "agent", "run", "n.toml"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, "$.colour: is unknown here" in done.stderr) == (1, True), done.stderr
