"""How many conditions of the board's core decide by themselves: ``python -m tests.firmware_bridge.mcdc``.

Modified condition/decision coverage (DO-178C, table A-7): for every condition of every decision two runs of the tests
in which nothing but that condition decided. Measured by LLVM 18 or newer (``-fcoverage-mcdc``) over core_cases,
signal_cases and the small searches.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.firmware_bridge.mutation import CHECKS, CORE, HERE, PROGRAMS
from wayside.firmware_bridge.native import SOURCE

FLAGS = (
    "-std=c11",
    "-D_POSIX_C_SOURCE=200809L",
    "-O1",
    "-g",
    "-fprofile-instr-generate",
    "-fcoverage-mapping",
    "-fcoverage-mcdc",
    f"-I{SOURCE}",
)


class Tools(NamedTuple):
    clang: str
    profdata: str
    cov: str


def tools() -> Tools | None:
    """The newest of LLVM's tools that measure MC/DC, 18 or later."""
    for version in range(25, 17, -1):
        names = [shutil.which(f"{name}-{version}") for name in ("clang", "llvm-profdata", "llvm-cov")]
        if all(names):
            return Tools(*names)  # type: ignore[arg-type]
    return None


class Coverage(NamedTuple):
    covered: int
    total: int
    lines: int
    lines_total: int
    branches: int
    branches_total: int

    @property
    def share(self) -> float:
        return self.covered / self.total if self.total else 1.0


def measure(with_tools: Tools, *, searches: bool = True) -> tuple[dict[str, Coverage], str]:
    """Of each file of the core; and llvm-cov's listing of what is not covered."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, binaries, raw = Path(scratch), [], []
        for program, files in PROGRAMS.items():
            to = folder / program
            sources = [str(HERE / f"{program}.c"), *(str(SOURCE / name) for name in files)]
            subprocess.run([with_tools.clang, *FLAGS, "-o", str(to), *sources], check=True)
            binaries.append(to)
        for i, check in enumerate(CHECKS):
            if not searches and check.program == "signals_search":
                continue
            profile = folder / f"{i}.profraw"
            environment = {"LLVM_PROFILE_FILE": str(profile)}
            subprocess.run([folder / check.program, *check.arguments], env=environment, check=True, capture_output=True)
            raw.append(str(profile))
        merged = folder / "merged.profdata"
        subprocess.run([with_tools.profdata, "merge", "-o", str(merged), *raw], check=True)
        objects = [str(binaries[0]), *(word for one in binaries[1:] for word in ("-object", str(one)))]
        where = [f"-instr-profile={merged}", *objects]
        sources = [str(SOURCE / name) for name in CORE]
        export = [with_tools.cov, "export", "-summary-only", *where, *sources]
        report = json.loads(subprocess.run(export, check=True, capture_output=True, text=True).stdout)
        show = [with_tools.cov, "show", "-show-mcdc", "-show-branches=count", *where, *sources]
        listing = subprocess.run(show, check=True, capture_output=True, text=True).stdout
    out = {}
    for one in report["data"][0]["files"]:
        mcdc, lines, branches = (one["summary"][key] for key in ("mcdc", "lines", "branches"))
        out[Path(one["filename"]).name] = Coverage(
            mcdc["covered"], mcdc["count"], lines["covered"], lines["count"], branches["covered"], branches["count"]
        )
    return out, listing


def gaps(listing: str) -> list[str]:
    """``file:line: what`` of each condition that never decided by itself, and of each one-way branch."""
    out, file, decision = [], "", ""
    for line in listing.splitlines():
        if m := re.match(r"(/\S+/(\w+\.[ch])):$", line):
            file = m[2]
        elif m := re.search(r"MC/DC Decision Region \((\d+):", line):
            decision = m[1]
        elif m := re.search(r"(C\d+)-Pair: not covered", line):
            out.append(f"{file}:{decision}: condition {m[1]} never decides by itself")
        elif m := re.search(r"Branch \((\d+):(\d+)\): \[(?:True: 0, (?!Folded)|True: \S+, False: 0\])", line):
            out.append(f"{file}:{m[1]}: the branch at column {m[2]} goes one way alone")
    return list(dict.fromkeys(out))


def main() -> int:
    with_tools = tools()
    if with_tools is None:
        print("MC/DC is not measured: apt-get install clang-19 llvm-19")
        return 0
    coverage, listing = measure(with_tools)
    for name, one in sorted(coverage.items()):
        print(
            f"{name}: MC/DC {one.covered} of {one.total} conditions, branches {one.branches} of {one.branches_total}, "
            f"lines {one.lines} of {one.lines_total}"
        )
    print("\n".join(gaps(listing)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
