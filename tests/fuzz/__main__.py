"""The whole matrix: ``python -m tests.fuzz [WORDS …] [--damage NAME] [--seeds N] [--jobs N]``.

What is wrong stands in a line each while it runs, and a table at the end: verb, option, damages, tracebacks (or hangs,
or memory without end), silent acceptances, refusals whose words do not help. ``FUZZ_MATERIAL`` names a folder that
keeps the good files for the next time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.damage import DAMAGE, TABLES, Damage
from tests.fuzz.oracle import Complaint, Fault
from tests.fuzz.play import Stage
from tests.fuzz.readers import READERS, Reader

HEAD = ("verb and option", "damages", "tracebacks", "silent", "words")
RUNS = "runs"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("words", nargs="*", help="readers in whose name one of them stands")
    parser.add_argument("--damage", default="", help="only those in whose name this stands")
    parser.add_argument("--room", default="", help="only readers of this room of material")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    chosen = [r for r in READERS if not args.words or any(word in r.name + " " + r.file for word in args.words)]
    chosen = [r for r in chosen if r.room == args.room or not args.room]
    damages = [each for each in (*DAMAGE, *TABLES) if args.damage in each.name]
    counts: Counter[tuple[str, str]] = Counter()
    say = threading.Lock()

    def told(reader: Reader, damage: Damage, seed: int, wrong: Sequence[Complaint]) -> None:
        with say:
            counts[reader.covers, RUNS] += 1
            for each in {complaint.fault: complaint for complaint in wrong}.values():
                counts[reader.covers, each.fault] += 1
            for complaint in wrong:
                print(f"{complaint.fault}: {reader.name} | {damage.name} {seed} | {complaint.text}", flush=True)

    place = Path(os.environ.get("FUZZ_MATERIAL") or tempfile.mkdtemp(prefix="fuzz-"))
    with ThreadPoolExecutor(args.jobs) as pool:
        shares = [chosen[job :: args.jobs] for job in range(args.jobs)]
        for playing in [pool.submit(_play, place, share, damages, args.seeds, told) for share in shares]:
            playing.result()
    print("\n".join(_table(counts)))
    return int(bool(counts and any(fault != RUNS for _, fault in counts)))


def _play(place: Path, readers: Iterable[Reader], damages: Sequence[Damage], seeds: int, told) -> None:  # type: ignore[no-untyped-def]
    with Stage(place) as stage:
        for reader in readers:
            for damage in damages:
                for seed in range(seeds):
                    if stage.suits(reader, damage, seed):
                        try:
                            wrong = stage.play(reader, damage, seed)
                        except AssertionError as exc:  # the good file is refused
                            wrong = [Complaint(Fault.TRACEBACK, str(exc))]
                        told(reader, damage, seed, wrong)


def _table(counts: Counter[tuple[str, str]]) -> Iterable[str]:
    names = list(dict.fromkeys(name for name, _ in counts))
    kinds = (RUNS, *Fault)
    rows = [(name, *(str(counts[name, kind]) for kind in kinds)) for name in names]
    total = ("total", *(str(sum(counts[name, kind] for name in names)) for kind in kinds))
    wide = max(map(len, (*names, HEAD[0])))
    for row in (HEAD, *rows, total):
        yield f"{row[0]:<{wide}}" + "".join(
            f"  {cell:>{len(head)}}" for cell, head in zip(row[1:], HEAD[1:], strict=True)
        )


if __name__ == "__main__":
    sys.exit(main())
