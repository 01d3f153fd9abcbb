"""Tasks in processes of their own, a few at a time: training shares nothing, and memory goes back after each."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

from wayside.cloud.evaluate.errors import EvaluateError
from wayside.cloud.evaluate.job import Job
from wayside.cloud.evaluate.row import Row
from wayside.cloud.train.errors import TrainError
from wayside.edge.errors import EdgeError
from wayside.exits import system_sentence
from wayside.export.errors import ExportError
from wayside.models.errors import ModelError


class JobProgress(NamedTuple):
    """What a task is at."""

    task: str
    what: str
    share: float = 0.0  # of ``what``
    done: bool = False


def side_by_side(
    wanted: Sequence[Job], jobs: int, on_progress: Callable[[JobProgress], None]
) -> tuple[list[Row], dict[str, str]]:
    """Evaluate ``wanted``, ``jobs`` at a time; a task that fails does not stop the others.

    Returns:
        The rows in the order of ``wanted``, and the reasons of those that failed.
    """
    spawn = multiprocessing.get_context("spawn")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the children must not go on alone
    rows, failed = dict[str, Row](), dict[str, str]()
    with spawn.Manager() as manager:
        news: Any = manager.Queue()
        pool = ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_begin, max_tasks_per_child=1)
        try:
            waiting: dict[Future[Row | str], str] = {pool.submit(_one, job, news): job.name for job in wanted}
            while waiting:
                _drain(news, on_progress)
                for future in [f for f in waiting if f.done()]:
                    name = waiting.pop(future)
                    try:
                        outcome = future.result()
                    except BrokenProcessPool:
                        outcome = "its process was killed; is there too little memory? try --jobs 1"
                    if isinstance(outcome, str):
                        failed[name] = outcome
                    else:
                        rows[name] = outcome
                    on_progress(JobProgress(name, "failed" if name in failed else "done", 1.0, True))
        except BaseException:
            for child in multiprocessing.active_children():
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGTERM)
            # Waited for: without, the pool's own thread still counts processes that are none any more, aloud.
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()
    return [rows[job.name] for job in wanted if job.name in rows], failed


def _drain(news: Any, on_progress: Callable[[JobProgress], None]) -> None:
    try:
        on_progress(news.get(timeout=0.2))
        while True:
            on_progress(news.get_nowait())
    except queue.Empty:
        return


def _begin() -> None:
    """In each process: Ctrl-C is the parent's to handle; its SIGTERM ends the task as Ctrl-C would, cleanly."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ["OMP_NUM_THREADS"] = "1"


def _one(job: Job, news: Any) -> Row | str:
    """The row, or why there is none: exceptions of other rooms do not all travel between processes."""
    from wayside.cloud.evaluate.evaluate import evaluate  # torch, which only these processes need

    try:
        return evaluate(job, lambda what, share: news.put(JobProgress(job.name, what, share)))
    except (EvaluateError, TrainError, ModelError, ExportError, EdgeError) as exc:
        return str(exc)
    except OSError as exc:  # a full disk, a folder that may not be written
        return system_sentence(exc)
    except Exception:
        crash = job.runs / f"{job.name}.crash.txt"
        crash.parent.mkdir(parents=True, exist_ok=True)
        crash.write_text(traceback.format_exc())
        return f"a defect of wayside: {sys.exc_info()[1]!r}; the traceback is in {crash}"
