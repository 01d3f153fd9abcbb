"""What a run proved, step by step, with the evidence: written after every step, so that a broken run tells, too."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Step:
    def __init__(self) -> None:
        self.evidence: dict[str, Any] = {}

    def saw(self, **evidence: Any) -> None:
        self.evidence |= evidence


class Report:
    def __init__(self, path: Path, **about: Any) -> None:
        self.path = path
        self.document: dict[str, Any] = {"about": about, "passed": False, "seconds": 0.0, "steps": []}
        self._began = time.monotonic()

    @contextmanager
    def step(self, claim: str) -> Iterator[Step]:
        began = time.monotonic()
        step = Step()
        entry: dict[str, Any] = {"claim": claim, "state": "failed", "seconds": 0.0, "evidence": step.evidence}
        self.document["steps"].append(entry)
        try:
            yield step
            entry["state"] = "passed"
        except BaseException as exc:
            entry["error"] = f"{type(exc).__name__}: {exc}"[-4000:]
            raise
        finally:
            entry["seconds"] = round(time.monotonic() - began, 1)
            self._write()
            seen = ", ".join(f"{name} {value}" for name, value in step.evidence.items())
            print(f"{entry['state']:<7}{entry['seconds']:8.1f} s  {claim}\n{'':18}{seen}", flush=True)

    def passed(self) -> None:
        self.document["passed"] = True
        self._write()

    def _write(self) -> None:
        self.document["seconds"] = round(time.monotonic() - self._began, 1)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.document, indent=1) + "\n")
        part.replace(self.path)
