"""A node's first start until the hub knows it: runs the real agent, ends when it has enrolled and synced once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from wayside.hub_http.client import bearer

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


def main(config: Path, hub: str) -> int:
    token = bearer(os.environ["WAYSIDE_OPERATOR_TOKEN"])
    agent = subprocess.Popen([sys.executable, str(ROOT / "wayside.py"), "agent", "run", str(config)])
    status = config.parent / "state" / "status.json"
    deadline = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < deadline and agent.poll() is None:
            said = json.loads(status.read_bytes()) if status.exists() else {}
            boot = said["boot"] if said.get("pid") == agent.pid else None  # else it is of a start that was killed
            seen = httpx.get(f"{hub}/api/v1/nodes/node-1", headers=token, timeout=10).json()
            if boot is not None and ((seen.get("heartbeat") or {}).get("at") or {}).get("boot") == boot:
                agent.send_signal(signal.SIGTERM)
                return agent.wait(20)
            time.sleep(0.02)
        print(f"not enrolled: {seen}")
        return 1
    finally:
        agent.kill()
        agent.wait()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
