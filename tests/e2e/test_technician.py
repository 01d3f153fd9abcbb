"""A technician's visit: doctor, the walk, the signed record; the hub is away meanwhile and gets it afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.edge.test_commission_terminal import BUTTON, cabinet, press, pulses
from tests.hub.conftest import AUTH, HubProcess, hub_process
from tests.hub.test_cli import wayside
from tests.simulators.agent import AgentProcess
from tests.simulators.person import PATIENCE_S, Person
from wayside.contracts.commissioning import SignedCommissioning
from wayside.contracts.wire import decode
from wayside.edge.commission.record import FOLDER, verified

__all__ = ["hub_process"]


def at_hub(hub: HubProcess) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = hub.client.get("/api/v1/nodes/node-1/commissioning").json()["records"]
    return said


def findings(config: Path) -> dict[str, str]:
    said = json.loads(wayside("doctor", str(config), "--json").stdout)["findings"]
    return {f["check"]: f["state"] for f in said}


def walked(config: Path, folder: Path) -> tuple[int | None, str]:
    with Person("commission", config, "--by", "A. Muster") as person:
        for number in (1, 2):
            person.sees(f"{number} of 3")
            person.sees("Was that your vehicle?")
            person.types("y")
        person.sees("3 of 3")
        person.sees("shows released")
        press(folder)
        return person.ends()


def test_a_visit_while_the_hub_is_away(tmp_path: Path, hub_process: Callable[..., HubProcess]) -> None:
    hub = hub_process()
    token = hub.client.post("/api/v1/tokens", json={"node": "node-1"}, headers=AUTH).json()["token"]
    section = f'[hub]\nurl = "{hub.url}"\ntoken = "{token}"\nsync_s = 0.5\nbackoff_max_s = 1\n'
    port = int(hub.url.rsplit(":", 1)[1])
    with cabinet(tmp_path, pulses(1), pulses(2), extra=BUTTON + section):
        config = tmp_path / "node.toml"
        with AgentProcess(tmp_path, config.read_text()) as agent:
            agent.wait(lambda a: a.status.get("board", {}).get("connected"), timeout_s=PATIENCE_S)
            agent.wait(lambda _: findings(config)["enrolment"] == "ok", timeout_s=PATIENCE_S)
            assert findings(config)["board"] == "ok"
            hub.kill()
            status, said = walked(config, tmp_path)
            assert "fail: hub" in said  # the doctor's word, and so the record's
            assert status == 1
            (waiting,) = (tmp_path / "state" / FOLDER).glob("*.json")
            assert "waits for the hub" in wayside("commission", "show", str(config)).stdout
            hub.start(port)
            agent.wait(lambda _: not waiting.exists(), timeout_s=PATIENCE_S)
            (there,) = at_hub(hub)
            record = verified(decode(json.dumps(there["signed"]).encode(), SignedCommissioning))
            assert [s.outcome for s in record.sensors] == ["passed"] * 3
            assert [d.check for d in record.doctor if d.state == "fail"] == ["hub", "trust root"]
            assert "is at the hub" in wayside("commission", "show", str(config)).stdout
            assert agent.stop() == 0
        # No agent runs, and the hub is there: the walk hands its record in by itself.
        status, said = walked(config, tmp_path)
        assert "fail: hub" not in said
        deadline = time.monotonic() + PATIENCE_S
        while len(at_hub(hub)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(at_hub(hub)) == 2
        assert not list((tmp_path / "state" / FOLDER).glob("*.json"))
