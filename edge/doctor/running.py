"""The agent of this node: whether it runs, and its last status."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any

from wayside.edge.doctor.conditions import open_conditions
from wayside.edge.doctor.finding import Finding
from wayside.edge.status import STATUS_FILE
from wayside.text import loads_json, open_file, read_file

FRESH_S = 15.0  # of the agent's status file


def running_agent(state_dir: Path) -> dict[str, Any] | None:
    """The status that a running agent wrote in the last seconds; None: none runs, or none has written one."""
    path = state_dir / STATUS_FILE
    try:
        if abs(time.time() - path.stat().st_mtime) > FRESH_S:
            return None
        status = loads_json(read_file(path))
        return status if isinstance(status, dict) and _lives(int(status["pid"])) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # another user's process
        return True
    except (OSError, OverflowError):
        return False
    return True


def agent_runs(state_dir: Path) -> bool:
    """Whether an agent holds the state directory."""
    try:
        with (state_dir / "agent.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def check_agent(agent: dict[str, Any] | None, state_dir: Path) -> Finding:
    if agent is None and agent_runs(state_dir):
        silent = f"runs and has written no status for {FRESH_S:g} s"
        return Finding("agent", "fail", silent, "was it started just now? else see `journalctl -u wayside-agent`")
    if agent is None:
        try:
            open_file(state_dir / STATUS_FILE).close()
        except PermissionError as exc:
            return Finding(
                "agent", "warn", f"{exc.filename}: {exc.strerror}", "run this as the agent's user, or with sudo"
            )
        except OSError:
            pass
        return Finding("agent", "warn", "is not running", "start it: `systemctl start wayside-agent`")
    trouble = "; ".join(str(v) for v in agent.get("trouble", {}).values() if v)
    severe = [c.code for c in open_conditions(agent) if c.severe]
    if not agent.get("healthy") or severe:
        why = trouble or ", ".join(severe) or "no readings"
        return Finding("agent", "fail", f"runs and is not healthy: {why}", "mend what fails below")
    return Finding("agent", "ok", f"runs since {agent.get('uptime_s', 0):.0f} s, {agent.get('backlog', 0)} rows wait")
