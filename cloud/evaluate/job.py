"""What is to be evaluated. Light to import: the parent process needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from wayside.cloud.evaluate.errors import NothingToJudge
from wayside.cloud.train import files
from wayside.cloud.train.errors import DataError
from wayside.cloud.train.taskfile import TaskFile, load_task, task_names
from wayside.paths import listed


@dataclass(frozen=True, kw_only=True)
class Job:
    task: str  # name, or path of a task file
    data: Path | None  # the data directory
    runs: Path  # one run directory a task
    unseen: Path | None = None  # a file, or a directory laid out like ``data``: the later period
    seed: int = 0
    epochs: int | None = None  # at most
    retrain: bool = False
    refit: bool = True  # also fit on all days, for later periods

    @property
    def name(self) -> str:
        return Path(self.task).stem


def names(wanted: str, data: Path | None) -> list[str]:
    """The tasks that ``wanted`` lists; ``all``: those whose files are in ``data``, or in whose format it is.

    Raises:
        NothingToJudge: there is none.
    """
    if wanted != "all":
        return [name for name in listed(wanted) if name]
    chosen = [name for name in task_names() if _has(load_task(name), data)]
    if not chosen:
        where = f"{data} has files of none of" if data is not None else "without --data there is none of"
        raise NothingToJudge(f"{where} the tasks {', '.join(task_names())}; name a folder as docs/data.md says")
    return chosen


def _has(taskfile: TaskFile, data: Path | None) -> bool:
    if data is None or taskfile.sampled:
        return data is None and taskfile.sampled  # its data come with a package or a seed, not with a folder
    if not data.is_dir():
        # A pattern that fits any file (*.csv) says nothing of the task: such a one is named with --task.
        patterns = [Path(pattern).name for pattern in taskfile.data.files]
        return any(fnmatch(data.name, pattern) for pattern in patterns if not pattern.startswith("*"))
    try:
        return bool(files.find(taskfile, data))
    except DataError:
        return False
