"""Several processes of one hub over PostgreSQL: each row once, whoever serves, whoever dies; one answer from all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.hub.bundles import bundle_of
from tests.hub.conftest import AUTH, OPERATOR, ROOT, HubProcess, initialise, miscounted
from tests.hub.offline_keys import OfflineKeys
from tests.simulators.authority import Authority
from tests.simulators.node import SimulatedNode
from tests.simulators.postgres import PostgresServer
from tests.simulators.verb import typed
from wayside.contracts.identity import NONCE_HEADER

WORKERS = 2
MODELS = {"bundle": "traffic-flow", "version": "1.0.0", "target": "models/traffic-flow-1.0.0.bundle"}


@contextlib.contextmanager
def two_workers(folder: Path, postgres: PostgresServer, template: str) -> Iterator[HubProcess]:
    """Every request of ``client`` may meet either."""
    with postgres.database(template) as database:
        hub = HubProcess(
            initialise(folder / "hub", database), database=database, options=["--workers", f"{WORKERS}"]
        ).start()
        hub.client = any_worker(hub)
        try:
            yield hub
            assert hub.stop() == 0
            assert miscounted(hub.data, database) == []
        finally:
            hub.kill()


@pytest.fixture(scope="module")
def hub(postgres: PostgresServer, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """For those that leave it as it is, but for nodes of their own."""
    with two_workers(tmp_path_factory.mktemp("shared"), postgres, template) as hub:
        yield hub


@pytest.fixture
def own_hub(postgres: PostgresServer, template: str, tmp_path: Path) -> Iterator[HubProcess]:
    with two_workers(tmp_path, postgres, template) as hub:
        yield hub


def any_worker(hub: HubProcess) -> httpx.Client:
    """Each request is a connection of its own, and the worker that is free takes it."""
    return httpx.Client(base_url=hub.url, timeout=10, headers=AUTH, limits=httpx.Limits(max_keepalive_connections=0))


def workers_of(hub: HubProcess) -> list[int]:
    assert hub.process is not None
    children = Path(f"/proc/{hub.process.pid}/task/{hub.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def wait_until(met: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def at_each(hub: HubProcess) -> dict[int, httpx.Client]:
    """A kept connection to each worker: the other one is stopped while it is made."""
    lines = {}
    pids = workers_of(hub)
    for pid in pids:
        others = [other for other in pids if other != pid]
        for other in others:
            os.kill(other, signal.SIGSTOP)
        try:
            lines[pid] = httpx.Client(base_url=hub.url, timeout=10, headers=AUTH)
            lines[pid].get("/healthz")
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)
    return lines


def test_a_revoked_node_is_refused_by_each_worker_at_once_and_let_in_by_each_again(hub: HubProcess) -> None:
    node = hub.node("stolen")
    lines = list(at_each(hub).values())

    def at(client: httpx.Client) -> tuple[int, str]:
        node.client = client
        answer = node.post(node.request([node.summary(1.0)]))
        return answer.status_code, str(answer.json().get("error", ""))

    for revoker in lines:
        assert [at(client) for client in lines] == [(200, "")] * WORKERS
        assert revoker.post("/api/v1/nodes/stolen/revocation", json={"reason": "stolen"}).status_code == 200
        assert [at(client) for client in lines] == [(403, "key_revoked")] * WORKERS
        token = hub.client.post("/api/v1/nodes/stolen/replacement", json={}).json()["token"]
        node.client = revoker
        assert node.enrol(token).status_code == 200
    assert [at(client) for client in lines] == [(200, "")] * WORKERS
    log = ["hub", "audit", "verify", "--data", str(hub.data), "--database", str(hub.database)]
    assert typed(*log).status == 0, "one chain of both"


def test_one_nodes_duplicates_over_all_workers_at_once_are_each_stored_once(hub: HubProcess) -> None:
    """Six clients with one node's key, which send the same rows and each other's, over whatever worker is free."""
    first = hub.node("hammered")
    rows = [first.summary(1.0) for _ in range(120)]
    lines = list(at_each(hub).values())
    refused: list[int] = []
    stored: list[int] = []

    def hammer(client: httpx.Client, offset: int) -> None:
        node = SimulatedNode(client, first.name, first.key)
        node.boot, node.offer = first.boot, None
        for step in range(8):
            start = (offset * 7 + step * 10) % 100
            body = node.request(rows[start : start + 20])
            for _ in range(50):
                answer = node.send(body, node.headers(body))
                if answer.status_code == 200:
                    stored.append(answer.json()["stored"])
                    break
                assert (answer.status_code, answer.json()["error"]) == (401, "nonce"), answer.text
                refused.append(1)
            else:
                raise AssertionError("never served")

    clients = [*lines, *(any_worker(hub) for _ in range(4))]
    threads = [threading.Thread(target=hammer, args=(client, i)) for i, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused, "they were in each other's way"
    assert sum(stored) == len({seq for (seq,) in rows_of(hub, "hammered")}) == len(rows_of(hub, "hammered"))


def rows_of(hub: HubProcess, node: str) -> list[tuple[int]]:
    with psycopg.connect(str(hub.database)) as connection:
        query = "SELECT s.seq FROM summaries s JOIN nodes n ON n.id = s.node_id WHERE n.name = %s"
        return connection.execute(query, (node,)).fetchall()


def test_two_workers_given_the_same_nonce_at_once_serve_one(hub: HubProcess) -> None:
    node = hub.node("twice")
    lines = list(at_each(hub).values())
    for _ in range(8):
        node.nonce = hub.client.get("/api/v1/nonce", params={"node": "twice"}).json()["nonce"]
        body = node.request([node.summary()])
        answers = at_once(lines, body, node.headers(body))
        assert sorted(a.status_code for a in answers) == [200, 401]
        (refused,) = (a for a in answers if a.status_code == 401)
        again = SimulatedNode(hub.client, "twice", node.key)
        again.boot, again.nonce = node.boot, refused.headers[NONCE_HEADER]
        empty = again.request([])
        assert again.send(empty, again.headers(empty)).status_code == 200, "the refusal brought a nonce that works"


def at_once(lines: list[httpx.Client], body: bytes, headers: dict[str, str]) -> list[httpx.Response]:
    answers: list[httpx.Response] = []

    def send(client: httpx.Client) -> None:
        answers.append(client.post("/api/v1/sync", content=body, headers=headers))

    threads = [threading.Thread(target=send, args=(client,)) for client in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_what_one_worker_did_the_other_knows(hub: HubProcess) -> None:
    one, other = at_each(hub).values()
    keys = OfflineKeys(one)
    keys.initialise()
    node = SimulatedNode(one, "node-1")
    made = one.post("/api/v1/tokens", json={"node": "node-1"}, headers=AUTH).json()["token"]
    assert node.enrol(made).status_code == 200
    node.client = other
    assert node.sync([node.summary()]).desired is None, "enrolled at the other a moment ago"
    keys.publish("1.0.0", bundle_of("1.0.0"))
    started = one.post("/api/v1/rollouts", json={**MODELS, "phases": [100]}, headers=AUTH)
    assert started.status_code == 201, started.text
    desired = node.sync().desired
    assert desired is not None, "published and started at the other a moment ago"
    assert desired.version == "1.0.0"
    node.run("1.0.0")
    node.client = one
    node.sync()
    (rollout,) = other.get("/api/v1/rollouts").json()["rollouts"]
    states = {m["node"]: m["state"] for phase in rollout["phases"] for m in phase["nodes"]}
    assert states["node-1"] == "active"
    assert other.post("/api/v1/nodes/node-1/replacement", json={}, headers=AUTH).status_code == 201
    token = other.post("/api/v1/nodes/node-1/replacement", json={}, headers=AUTH).json()["token"]
    new = SimulatedNode(other, "node-1")
    assert new.enrol(token).status_code == 200
    new.client = one
    assert new.sync([new.summary()]).stored == 1
    node.client = other
    assert node.post(node.request([])).status_code == 403
    node.client = one
    assert node.post(node.request([])).status_code == 403


def test_metrics_tell_of_all_workers_whoever_is_asked(hub: HubProcess) -> None:
    node, lines = hub.node("counted"), at_each(hub)
    before = ingested(hub.client)
    for node.client in lines.values():
        node.sync([node.summary(), node.summary()])
    for client in lines.values():  # an answer may be seconds old
        wait_until(lambda client=client: ingested(client) - before == 4)  # type: ignore[misc]


def ingested(client: httpx.Client) -> float:
    text = client.get("/metrics").text
    assert 'wayside_nodes{health="fresh"}' in text
    counted = re.search(r"(?m)^wayside_rows_ingested_total (\S+)$", text)
    return float(counted[1]) if counted else 0.0


def test_the_parent_of_workers_waits_and_does_nothing_else(hub: HubProcess) -> None:
    assert hub.process is not None
    stat, ticks = Path(f"/proc/{hub.process.pid}/stat"), []
    for _ in range(2):
        time.sleep(0.5)
        ticks.append(sum(int(word) for word in stat.read_text().rpartition(")")[2].split()[11:13]))
    assert ticks[1] - ticks[0] <= 5, "hundredths of a second of work in half a second"


@pytest.mark.slow
def test_the_leaders_work_goes_on_when_it_is_killed(own_hub: HubProcess) -> None:
    hub = own_hub
    keys = OfflineKeys(hub.client)
    keys.initialise()
    keys.publish("1.0.0", bundle_of("1.0.0"))
    node = hub.node("node-1")
    node.sync()
    leader = leading(hub)
    os.kill(leader, signal.SIGKILL)
    wait_until(lambda: leading(hub) not in (0, leader), 15)
    started = hub.client.post("/api/v1/rollouts", json={**MODELS, "phases": [100], "deadline_s": 1.0}, headers=AUTH)
    assert started.status_code == 201, started.text
    wait_until(lambda: hub.client.get("/api/v1/rollouts").json()["rollouts"][0]["state"] == "paused")


def leading(hub: HubProcess) -> int:
    """The worker that has the lock; 0: none."""
    with psycopg.connect(str(hub.database)) as connection:
        query = (
            "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
            "WHERE l.locktype = 'advisory' AND a.datname = current_database()"
        )
        row = connection.execute(query).fetchone()
    return int(row[0].rpartition(" ")[2]) if row else 0


@pytest.mark.slow
def test_each_worker_is_killed_under_load_and_every_row_is_there_once(own_hub: HubProcess) -> None:
    hub = own_hub
    nodes = [hub.node(f"node-{i}") for i in range(4)]
    acknowledged: dict[str, int] = dict.fromkeys((n.name for n in nodes), 0)
    done = threading.Event()

    def work(node: SimulatedNode) -> None:
        node.client = any_worker(hub)
        waiting = []
        while not done.is_set() or waiting:
            waiting = waiting or [node.summary(1.0) for _ in range(20)]
            try:
                node.sync(waiting)
            except httpx.TransportError:
                continue  # that worker was killed: the same rows again
            acknowledged[node.name] += len(waiting)
            waiting = []

    threads = [threading.Thread(target=work, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for _ in range(2):
        for pid in workers_of(hub):
            before = dict(acknowledged)
            wait_until(lambda before=before: all(acknowledged[n] > before[n] for n in before))  # type: ignore[misc]
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: len(now := workers_of(hub)) == WORKERS and pid not in now)  # type: ignore[misc]
    done.set()
    for thread in threads:
        thread.join()
    for node in nodes:
        assert sorted(rows_of(hub, node.name)) == [(seq,) for seq in range(acknowledged[node.name])]


@pytest.mark.slow
def test_workers_end_with_their_parent_and_give_the_data_directory_free(own_hub: HubProcess) -> None:
    hub = own_hub
    pids = workers_of(hub)
    hub.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    hub.start()
    assert len(workers_of(hub)) == WORKERS


@pytest.mark.slow
def test_a_worker_that_hears_nothing_for_a_while_knows_all_again(own_hub: HubProcess) -> None:
    """PostgreSQL ends all its connections."""
    hub = own_hub
    node = hub.node("node-1")
    node.sync([node.summary()])
    with psycopg.connect(str(hub.database), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    lines = list(at_each(hub).values())
    for client in lines:  # what a dead connection was asked is refused once, and comes again
        wait_until(lambda client=client: client.post("/api/v1/tokens", json={}, headers=AUTH).status_code == 201)  # type: ignore[misc]
    wait_until(lambda: leading(hub) != 0)
    node.client, other = lines
    assert node.sync([node.summary()]).stored == 1
    late = hub.node("late")
    for late.client in (other, node.client):
        assert late.sync([late.summary()]).stored == 1


@pytest.mark.slow
def test_workers_speak_https_and_end_at_one_sigterm(postgres: PostgresServer, template: str, tmp_path: Path) -> None:
    with postgres.database(template) as database:
        data, authority = initialise(tmp_path / "hub", database), Authority(tmp_path / "ca")
        options = ["--workers", f"{WORKERS}"]
        hub = HubProcess(data, database=database, authority=authority, options=options).start()
        pids = workers_of(hub)
        assert len(pids) == WORKERS
        for _ in range(8):
            assert hub.node(f"node-{secrets.token_hex(4)}").sync().stored == 0
        assert hub.stop() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_with_sqlite_there_is_one_worker(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "wayside.py", "hub", "run", "--data", str(initialise(tmp_path / "hub")), "--workers", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "WAYSIDE_OPERATOR_TOKEN": OPERATOR, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ran.returncode == 1
    assert "several workers need a PostgreSQL" in ran.stderr
