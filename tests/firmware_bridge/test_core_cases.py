"""The board's core, case by case: exact timelines of the signals, tables, plans, detectors, two copies in memory."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.firmware_bridge.conftest import SANITIZED
from wayside.firmware_bridge.native import SIGNALS, SOURCE, WARNINGS

HERE = Path(__file__).parent
PROGRAMS = {
    "signal_cases": SIGNALS,
    "core_cases": (*SIGNALS, "detectors.c", "plan.c", "settings.c", "frame.c"),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_case_comes_out_as_it_stands(tmp_path: Path, program: str) -> None:
    sources = [HERE / f"{program}.c", *(SOURCE / name for name in PROGRAMS[program])]
    to = tmp_path / program
    flags = [*WARNINGS, "-D_POSIX_C_SOURCE=200809L", "-Wno-conversion", *SANITIZED, f"-I{SOURCE}"]
    subprocess.run(["cc", *flags, "-o", to, *sources], check=True)
    done = subprocess.run([to], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(" 0 failed\n")
