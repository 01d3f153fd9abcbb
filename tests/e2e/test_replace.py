"""Dead hardware is replaced, put back, and copied: real agents, a real hub, the verbs as they are typed."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub.conftest import OPERATOR, ROOT, HubProcess, hub_process, miscounted
from tests.hub.test_cli import complaint, wayside
from tests.simulators.agent import AgentProcess
from tests.simulators.interrupted import few_or_many, killed_then_run_again
from wayside.edge.identity import KEY_FILE, load_or_create
from wayside.edge.status import STATUS_FILE

__all__ = ["hub_process"]
LONG_S = 3600  # the longest pause: whoever is shut out asks once in an hour


class Patient(AgentProcess):
    def wait(self, what: Any, timeout_s: float = 120.0) -> None:
        super().wait(what, timeout_s)


def configured(folder: Path, hub: HubProcess, token: str, backoff_s: float = 0.5) -> AgentProcess:
    """An agent whose gauge does not answer: it has to tell that every second."""
    folder.mkdir(exist_ok=True)
    return Patient(
        folder,
        f'node = "node-1"\nstate_dir = "state"\n[hub]\nurl = "{hub.url}"\ntoken = "{token}"\n'
        f'sync_s = 0.2\nbackoff_max_s = {backoff_s}\n[modbus]\nport = "nowhere"\n[[modbus.registers]]\n'
        'device = 1\naddress = 0\ndatastream = "gauge"\nunit = "m"\n'
        '[[tasks]]\nname = "level"\nbundle = "b"\ninterval_s = 1\nsites = [{ output = "gauge" }]\n',
    )


def verb(hub: HubProcess, *words: str) -> dict[str, Any]:
    done = wayside(*words, "--hub", hub.url, "--json", WAYSIDE_OPERATOR_TOKEN=OPERATOR)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def node_at(hub: HubProcess) -> dict[str, Any]:
    said: dict[str, Any] = hub.client.get("/api/v1/nodes/node-1").json()
    return said


def present_key(hub: HubProcess) -> str:
    return str(hub.client.get("/api/v1/nodes/node-1/keys").json()["keys"][0]["public_key"])


def refusals(hub: HubProcess) -> int:
    """Syncs and enrolments that the hub refused with 403."""
    pattern = r'wayside_request_seconds_count\{method="POST",route="/api/v1/(?:sync|enrol)",status="403"\} ([0-9.]+)'
    return int(sum(float(n) for n in re.findall(pattern, hub.client.get("/metrics").text)))


def boot_at_hub(agent: AgentProcess, hub: HubProcess) -> bool:
    beat = node_at(hub).get("heartbeat") or {}
    return "boot" in agent.status and beat.get("at", {}).get("boot") == agent.status["boot"]


def doctor(agent: AgentProcess) -> dict[str, str]:
    """The finding of the hub's notices."""
    done = wayside("doctor", str(agent.config), "--json")
    (found,) = (f for f in json.loads(done.stdout)["findings"] if f["check"] == "hub's notices")
    return dict(found)


def test_new_hardware_takes_over_the_old_one_is_told_and_what_it_keeps_comes_when_it_is_put_back(
    tmp_path: Path, hub_process: Callable[..., HubProcess]
) -> None:
    hub = hub_process()
    first = verb(hub, "hub", "token", "--node", "node-1")["token"]
    old = configured(tmp_path / "old", hub, first, LONG_S)
    with old:
        old.wait(lambda a: boot_at_hub(a, hub) and not a.rows())
        before = node_at(hub)
        made = verb(hub, "replace", "node-1", "--reason", "water in the cabinet")
        new = configured(tmp_path / "new", hub, made["token"])
        with new:
            new.wait(lambda a: boot_at_hub(a, hub) and not a.rows())
            old.wait(lambda a: [n["code"] for n in a.status.get("notices", [])] == ["key_revoked"])
            assert "water in the cabinet" in old.status["notices"][0]["message"]
            assert "refuses this computer (key_revoked)" in old.status["trouble"]["hub"]
            found = doctor(old)
            assert (found["state"], doctor(new)["state"]) == ("fail", "ok")
            assert "another one is the node now" in found["fix"]
            assert "this hardware was replaced on" in wayside("node", "status", str(old.config)).stdout
            old.wait(lambda _: refusals(hub) >= 2)  # its key, and then its token
            stopped_at, requests = refusals(hub), node_at(hub)["requests"]
            new.wait(lambda _: node_at(hub)["requests"] > requests + 8)
            assert refusals(hub) == stopped_at, "the old one does not hammer"
            after = node_at(hub)
            assert after["enrolled_ms"] == before["enrolled_ms"]
            assert after["stored"] > before["stored"], "one history"
            assert new.stop() == 0
        assert old.stop() == 0
    kept = len(old.rows())
    with old:  # at its start it tries again, with a token that is used: the rows stay
        old.wait(lambda a: len(a.rows()) > kept and bool(a.status["trouble"]["hub"]))
        assert old.stop() == 0
    back = configured(tmp_path / "old", hub, verb(hub, "replace", "node-1", "--reason", "dried")["token"])
    with back:
        back.wait(lambda a: boot_at_hub(a, hub) and not a.rows())
        assert back.stop() == 0
    keys = hub.client.get("/api/v1/nodes/node-1/keys").json()["keys"]
    assert [k["reason"] for k in keys] == [None, "dried", "water in the cabinet"]
    assert miscounted(hub.data) == []


@pytest.mark.slow
def test_a_retired_node_says_so_keeps_its_rows_and_delivers_them_when_it_is_let_in_again(
    tmp_path: Path, hub_process: Callable[..., HubProcess]
) -> None:
    hub = hub_process()
    agent = configured(tmp_path / "node", hub, verb(hub, "hub", "token", "--node", "node-1")["token"], LONG_S)
    with agent:
        agent.wait(lambda a: boot_at_hub(a, hub) and not a.rows())
        verb(hub, "hub", "node", "retire", "node-1", "--reason", "the mast is gone")
        agent.wait(lambda a: [n["code"] for n in a.status.get("notices", [])] == ["node_retired"])
        assert "the mast is gone" in agent.status["notices"][0]["message"]
        assert "refuses this computer (node_retired)" in agent.status["trouble"]["hub"]
        found = doctor(agent)
        assert found["state"] == "fail"
        assert "take this computer away" in found["fix"]
        agent.wait(lambda a: len(a.rows()) > 1)
        assert refusals(hub) <= 2, "its key, and then its token: it does not hammer"
        assert agent.stop() == 0
    stored = node_at(hub)["stored"]
    back = configured(tmp_path / "node", hub, verb(hub, "replace", "node-1")["token"])
    with back:
        back.wait(lambda a: boot_at_hub(a, hub) and not a.rows())
        assert back.stop() == 0
    assert node_at(hub)["stored"] > stored + 1
    assert miscounted(hub.data) == []


@few_or_many
def test_the_new_hardwares_first_start_may_be_killed_at_any_moment(
    tmp_path: Path, hub_process: Callable[..., HubProcess], times: int
) -> None:
    hub = hub_process()
    hub.node("node-1")
    state = tmp_path / "node" / "state"

    def fresh() -> None:
        shutil.rmtree(state, ignore_errors=True)
        configured(tmp_path / "node", hub, verb(hub, "replace", "node-1")["token"])

    def check() -> None:
        assert load_or_create(state).public_hex == present_key(hub)
        keys = hub.client.get("/api/v1/nodes/node-1/keys").json()["keys"]
        assert [k["revoked_ms"] is None for k in keys] == [True] + [False] * (len(keys) - 1)
        assert node_at(hub)["clone"] is None, "an interrupted start is no second computer"

    done = killed_then_run_again(
        [sys.executable, "-m", "tests.simulators.first_boot", tmp_path / "node" / "node.toml", hub.url],
        times=times,
        check=check,
        fresh=fresh,
        environment={"PYTHONPATH": str(ROOT), "WAYSIDE_OPERATOR_TOKEN": OPERATOR},
    )
    assert done.hit == times


def test_a_copied_card_both_are_told_nothing_is_lost_and_a_new_key_ends_it(
    tmp_path: Path, hub_process: Callable[..., HubProcess]
) -> None:
    hub = hub_process()
    one = configured(tmp_path / "one", hub, verb(hub, "hub", "token", "--node", "node-1")["token"])
    with one:
        one.wait(lambda a: boot_at_hub(a, hub))
        assert one.stop(signal.SIGKILL) != 0
    shutil.copytree(tmp_path / "one" / "state", tmp_path / "two" / "state")
    two = configured(tmp_path / "two", hub, "0123456789abcdef")
    with one, two:
        for each in (one, two):
            each.wait(lambda a: [n["code"] for n in a.status.get("notices", [])] == ["clone"])
            each.wait(lambda a: not a.rows())
        clone = node_at(hub)["clone"]
        assert {i["boot"] for i in clone["instances"]} == {one.status["boot"], two.status["boot"]}
        assert miscounted(hub.data) == []
        assert two.stop() == 0
        verb(hub, "replace", "node-1", "--accept-hardware", one.status["boot"][:12])
        one.wait(lambda a: a.status["notices"] == [])
        assert node_at(hub)["clone"] is None
        assert one.stop() == 0
    # The other end: a new key for the right one, on the card that it has.
    right = configured(tmp_path / "one", hub, verb(hub, "replace", "node-1")["token"])
    (tmp_path / "one" / "state" / KEY_FILE).unlink()
    with right, two:
        right.wait(lambda a: boot_at_hub(a, hub) and not a.rows())
        two.wait(lambda a: [n["code"] for n in a.status.get("notices", [])] == ["key_revoked"])
        assert right.status["notices"] == []


def test_the_enrolled_computer_works_on_and_its_copy_is_shut_out_and_told(
    tmp_path: Path, hub_process: Callable[..., HubProcess]
) -> None:
    hub = hub_process()
    right = configured(tmp_path / "right", hub, verb(hub, "hub", "token", "--node", "node-1")["token"])
    right.machine = "a" * 64
    with right:
        right.wait(lambda a: boot_at_hub(a, hub) and not a.rows())
        right.stop(signal.SIGKILL)
    shutil.copytree(tmp_path / "right" / "state", tmp_path / "copy" / "state")
    (tmp_path / "copy" / "state" / STATUS_FILE).unlink()
    copy = configured(tmp_path / "copy", hub, "0123456789abcdef", LONG_S)
    copy.machine = "b" * 64
    with right:
        with copy:
            copy.wait(lambda a: [n["code"] for n in a.status.get("notices", [])] == ["clone"])
            assert "this is a copy: node-1 runs on its own hardware" in copy.status["notices"][0]["message"]
            right.wait(lambda a: [n["code"] for n in a.status["notices"]] == ["clone"])
            assert doctor(right)["state"] == "fail"
            assert node_at(hub)["clone"]["settled"]
            rows = len(copy.rows())
            copy.stop()
            assert len(copy.rows()) >= rows, "what it has to tell, it keeps"
        verb(hub, "replace", "node-1", "--accept-hardware", "aaaaaa")
        right.wait(lambda a: a.status["notices"] == [])
        assert right.stop() == 0


def test_what_is_typed_wrong_is_said_in_one_line(tmp_path: Path, hub_process: Callable[..., HubProcess]) -> None:
    hub = hub_process()
    hub.node("node-1")
    on = ("--hub", hub.url)
    assert "no node 'nobody'" in complaint(wayside("replace", "nobody", *on, WAYSIDE_OPERATOR_TOKEN=OPERATOR))
    assert "WAYSIDE_OPERATOR_TOKEN" in complaint(wayside("replace", "node-1", *on))
    odd = wayside("replace", "node-1", *on, "--accept-hardware", "xyz", WAYSIDE_OPERATOR_TOKEN=OPERATOR)
    assert "hardware" in complaint(odd)
    file = tmp_path / "no" / "token"
    assert "cannot write" in complaint(
        wayside("replace", "node-1", *on, "--token-file", str(file), WAYSIDE_OPERATOR_TOKEN=OPERATOR)
    )
    file = tmp_path / "token"
    done = wayside("replace", "node-1", *on, "--token-file", str(file), WAYSIDE_OPERATOR_TOKEN=OPERATOR)
    assert done.returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in done.stdout, "what is in the file is not on the screen as well"
    both = wayside("replace", "node-1", *on, "--reason", "x", "--accept-hardware", "abcdef")
    assert both.returncode == 2
