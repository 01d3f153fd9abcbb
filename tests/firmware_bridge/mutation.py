"""How many small faults of the board's core its quick checks find: ``python -m tests.firmware_bridge.mutation``.

Every mutant (``mutants.py``) is compiled and run against the checks below, the cheapest first, until one fails. The
cases take milliseconds, and so does tcc, where it is installed; only what they let through meets the optimising
compiler and the searches. Mutants of which that compiler makes the same machine code are no faults, and told apart
(trivial compiler equivalence: Papadakis et al., ICSE 2015); what does not compile is not counted either. What survives
and has a reason in ``equivalent_mutants.toml`` is no fault, what has none counts against the score. ``mutation.json``
keeps the counts.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rich.progress import track

from tests.firmware_bridge.mutants import Mutant, mutants, tokens
from wayside.firmware_bridge.native import SIGNALS, SOURCE

HERE = Path(__file__).parent
RECORD, EQUIVALENT = HERE / "mutation.json", HERE / "equivalent_mutants.toml"
CORE = (*SIGNALS, "detectors.c", "plan.c", "settings.c")
FLAGS = ("-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Werror=implicit-function-declaration", f"-I{SOURCE}")
PLAIN = ("cc", "-O1", "-fno-pie")
QUICK = ("tcc",) if shutil.which("tcc") else PLAIN  # for the cases
NOT_TCC = "plan.c"  # 0.9.27 makes an endless loop of a structure that is returned within a loop's condition
SANITIZED = ("cc", "-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")  # reads beyond an array are faults, too
THOROUGH = ("cc", "-Werror=return-type", "-O2")  # for the searches, and whether it is the same code
STAGES = (QUICK, SANITIZED, THOROUGH)
MEMORY = 2 << 30  # of one check; the unchanged core needs a fraction


class Check(NamedTuple):
    program: str  # <program>.c of this folder, linked with the core
    arguments: tuple[str, ...]
    judges: tuple[str, ...]  # files of the core
    cpu_s: int  # a multiple of what the unchanged core needs: what takes longer has no end


# Of search_instances.h, quickest first; their large ones are for `make proof` alone.
INSTANCES = (
    *("two", "crossing", "barriers", "change", "tables", "pedestrians"),
    *("faults", "preemption", "rings", "actuated", "overlaps"),
)
CHECKS = (
    Check("signal_cases", (), SIGNALS, 1),
    Check("core_cases", (), CORE, 1),
    *(Check("signals_search", (name,), SIGNALS, 20) for name in INSTANCES),
)
PROGRAMS = {"core_cases": (*CORE, "frame.c"), "signal_cases": SIGNALS, "signals_search": SIGNALS}
OUTCOMES = ("killed", "without end", "survived", "equivalent", "same code", "does not compile")


class Outcome(NamedTuple):
    outcome: str  # one of OUTCOMES
    by: str  # the check that failed


def compile_object(compiler: tuple[str, ...], source: Path, to: Path) -> bool:
    if compiler == QUICK and (source.name == NOT_TCC or source.parent == HERE):
        compiler = PLAIN
    command = [*compiler, *FLAGS, "-c", "-o", str(to), str(source)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def build(folder: Path) -> None:
    """Objects of the unchanged core and of the programs that check it, for each compiler in a folder of its own."""
    for compiler in STAGES:
        objects = folder / compiler[-1]
        objects.mkdir()
        sources = [SOURCE / name for name in sorted({file for files in PROGRAMS.values() for file in files})]
        for source in (*sources, *(HERE / f"{program}.c" for program in PROGRAMS)):
            if not compile_object(compiler, source, objects / f"{source.name}.o"):
                raise SystemExit(f"{source.name} does not compile")


def link(compiler: tuple[str, ...], objects: Path, program: str, to: Path, instead: dict[str, Path]) -> None:
    parts = [instead.get(name, objects / f"{name}.o") for name in PROGRAMS[program]]
    linkers = {("tcc",): ("tcc",), PLAIN: ("cc", "-no-pie"), SANITIZED: ("cc", "-fsanitize=undefined")}
    linker = linkers.get(compiler, ("cc",))
    subprocess.run([*linker, "-o", str(to), str(objects / f"{program}.c.o"), *map(str, parts)], check=True)


def failure(program: Path, check: Check) -> str:
    """``killed`` or ``without end`` when the check does not pass."""
    limits = ["prlimit", f"--cpu={check.cpu_s}", f"--as={MEMORY}", "--core=0"]
    done = subprocess.run([*limits, str(program), *check.arguments], capture_output=True, check=False)
    if done.returncode == 0:
        return ""
    return "without end" if done.returncode in (2, -9, -24) else "killed"


def judge(folder: Path, sources: dict[str, str], mutant: Mutant, checks: Iterable[Check]) -> Outcome:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        source = Path(scratch) / mutant.file
        source.write_text(mutant.applied(sources[mutant.file]))
        for compiler in STAGES:
            objects, fresh = folder / compiler[-1], Path(scratch) / f"{compiler[-1]}.o"
            if not compile_object(compiler, source, fresh):
                return Outcome("does not compile", "")
            if compiler == THOROUGH and fresh.read_bytes() == (objects / f"{mutant.file}.o").read_bytes():
                return Outcome("same code", "")
            for check in checks:
                if mutant.file not in check.judges or (check.program == "signals_search") != (compiler == THOROUGH):
                    continue
                program = Path(scratch) / f"{check.program}{compiler[-1]}"
                if not program.exists():
                    link(compiler, objects, check.program, program, {mutant.file: fresh})
                if failed := failure(program, check):
                    return Outcome(failed, " ".join((check.program, *check.arguments)))
    return Outcome("survived", "")


def every_mutant() -> list[Mutant]:
    return [m for name in CORE for m in mutants(name, (SOURCE / name).read_text())]


def equivalents() -> dict[str, str]:
    """The reason why no check can find it, of each mutant's key."""
    rows = tomllib.loads(EQUIVALENT.read_text()).get("mutant", []) if EQUIVALENT.exists() else []
    return {key: row["reason"] for row in rows for key in row["keys"]}


@contextlib.contextmanager
def prepared(checks: Iterable[Check]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        for check in checks:
            compiler = THOROUGH if check.program == "signals_search" else QUICK
            program = Path(folder) / check.program
            if not program.exists():
                link(compiler, Path(folder) / compiler[-1], check.program, program, {})
            if failed := failure(program, check):
                raise SystemExit(f"the unchanged core does not pass {check.program} {check.arguments}: {failed}")
        yield Path(folder)


def run(chosen: Iterable[Mutant], *, quiet: bool = False, searches: bool = True) -> dict[str, Outcome]:
    """The outcome of each mutant, by its key."""
    sources = {name: (SOURCE / name).read_text() for name in CORE}
    todo, known = list(chosen), equivalents()
    checks = [check for check in CHECKS if searches or check.program != "signals_search"]
    with prepared(checks) as objects, ThreadPoolExecutor(os.cpu_count()) as pool:
        judged = pool.map(lambda m: judge(objects, sources, m, checks), todo)
        done = dict(zip((m.key for m in todo), track(judged, "mutants", len(todo), disable=quiet), strict=True))
    return {
        key: Outcome("equivalent", "") if one.outcome == "survived" and key in known else one
        for key, one in done.items()
    }


def score(outcomes: Iterable[Outcome]) -> float:
    """The share that was found, of those that can be."""
    count = collections.Counter(one.outcome for one in outcomes)
    found = count["killed"] + count["without end"]
    return found / max(1, found + count["survived"])


def sample(size: int, seed: int) -> list[Mutant]:
    return random.Random(seed).sample(every_mutant(), size)


def digest() -> str:
    """SHA-256 of the core's words, comments left out: of which core a record speaks."""
    words = [token.text for name in CORE for token in tokens((SOURCE / name).read_text())]
    return hashlib.sha256(" ".join(words).encode()).hexdigest()


def record(outcomes: dict[str, Outcome]) -> dict[str, object]:
    """What is committed: both scores, counts of each file, by which check, what survived."""
    by_file = {}
    for name in sorted({key.split(" ")[0] for key in outcomes}):
        mine = [one for key, one in outcomes.items() if key.startswith(f"{name} ")]
        counts = collections.Counter(one.outcome for one in mine)
        by_file[name] = {
            "mutants": len(mine),
            **{word: counts[word] for word in OUTCOMES},
            "score": round(score(mine), 4),
        }
    as_survivors = [Outcome("survived", "") if o.outcome == "equivalent" else o for o in outcomes.values()]
    return {
        "core": digest(),
        "mutants": len(outcomes),
        "score": round(score(outcomes.values()), 4),
        "score with equivalents as survivors": round(score(as_survivors), 4),
        "files": by_file,
        "found by": dict(collections.Counter(one.by for one in outcomes.values() if one.by)),
        "survived": [key for key, one in outcomes.items() if one.outcome == "survived"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.firmware_bridge.mutation", description=__doc__)
    parser.add_argument("--file", choices=CORE, help="of this file alone; nothing is recorded")
    parser.add_argument("--sample", type=int, help="so many, chosen by lot; nothing is recorded")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--searches", action="store_true", help="run the searches, too, on what the cases let through (hours)"
    )
    chosen = parser.parse_args()
    todo = sample(chosen.sample, chosen.seed) if chosen.sample else every_mutant()
    if chosen.file:
        todo = [m for m in todo if m.file == chosen.file]
    outcomes = run(todo, quiet=not sys.stderr.isatty(), searches=chosen.searches)
    text = json.dumps(record(outcomes), indent=1) + "\n"
    print(text, end="")
    if not (chosen.sample or chosen.file):
        RECORD.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
