"""The agent beside which one looks: whether it runs, and what it says of itself."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from wayside.edge.doctor.conditions import open_conditions
from wayside.edge.doctor.finding import Finding
from wayside.edge.status import STATUS_FILE

FRESH_S = 15.0  # of the agent's status file


def running_agent(state_dir: Path) -> dict[str, Any] | None:
    """What the running agent said of itself in the last seconds."""
    path = state_dir / STATUS_FILE
    try:
        if abs(time.time() - path.stat().st_mtime) > FRESH_S:
            return None
        said = json.loads(path.read_bytes())
        return said if isinstance(said, dict) and _lives(int(said["pid"])) else None
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
        said = f"runs and has said nothing for {FRESH_S:g} s"
        return Finding("agent", "fail", said, "was it started just now? else see `journalctl -u wayside-agent`")
    if agent is None:
        try:
            (state_dir / STATUS_FILE).open().close()
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
