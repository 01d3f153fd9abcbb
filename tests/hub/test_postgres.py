"""A hub on PostgreSQL: whatever state the server is in is one sentence, and what it loses is sent again."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner, Result

from tests.hub.conftest import AUTH, OPERATOR, Hub, HubProcess, initialise, miscounted, store_of
from tests.simulators.node import SimulatedNode
from tests.simulators.postgres import ENCODED, PASSWORD, PostgresServer, running_postgres
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.cli import hub as verbs
from wayside.cloud.hub.engine import migrate, open_engine
from wayside.cloud.hub.postgres import PostgresStore
from wayside.contracts.summary import Kind

VERBS = ["init", "token", "run"]


def invoke(verb: str, data: Path, address: str, *more: str) -> Result:
    port = ["--port", "0"] if verb == "run" else []
    return CliRunner().invoke(verbs, [verb, "--data", str(data), *port, *more], env={"WAYSIDE_DATABASE": address})


def said(verb: str, data: Path, address: str) -> str:
    """The one sentence of a verb that failed."""
    done = invoke(verb, data, address)
    assert done.exit_code == 1, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert len(done.output.strip().splitlines()) == 1, done.output
    assert not any(secret in done.output for secret in (ENCODED, PASSWORD, "secret")), done.output
    return done.output


@pytest.fixture
def address(postgres: PostgresServer, template: str) -> Iterator[str]:
    with postgres.database(template) as made:
        yield made


@pytest.fixture
def data(tmp_path: Path, address: str) -> Path:
    done = invoke("init", tmp_path / "hub", address)
    assert done.exit_code == 0, done.output
    return tmp_path / "hub"


def test_a_hub_is_made_and_tells_where_its_rows_are_without_the_password(tmp_path: Path, address: str) -> None:
    made = json.loads(invoke("init", tmp_path / "hub", address, "--json").stdout)
    assert made["database"] == address.replace(f":{ENCODED}@", "@")
    assert invoke("token", tmp_path / "hub", address).exit_code == 0
    assert not (tmp_path / "hub" / "hub.sqlite").exists()


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_is_not_there_refuses_or_lacks_the_database_is_named(
    verb: str, data: Path, postgres: PostgresServer, address: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = address.replace(str(postgres.port), str(free.getsockname()[1]))
    assert "does it run?" in said(verb, data, nobody)
    assert "does not take the password" in said(verb, data, address.replace(ENCODED, "secret"))
    assert "has no database films: `createdb films`" in said(verb, data, postgres.address("films"))
    assert "is on a host that nobody knows" in said(verb, data, address.replace("127.0.0.1", "db.invalid"))


def test_another_program_behind_the_port_is_named(data: Path, address: str, postgres: PostgresServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            line, _ = other.accept()
            with line:
                line.recv(1024)
                line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        there = address.replace(str(postgres.port), str(other.getsockname()[1]))
        assert "is no PostgreSQL" in said("token", data, there)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE alembic_version SET version_num = 'v9999'", "another release of wayside (revision 'v9999')"),
        ("DELETE FROM alembic_version", "does not say of which release it is"),
        ("DROP TABLE tokens", "is damaged (it lacks tokens): restore"),
        ("ALTER TABLE alembic_version RENAME version_num TO other", "is damaged (column"),
    ],
)
def test_a_newer_hubs_database_and_one_with_parts_gone_are_left_as_they_are(
    verb: str, statement: str, words: str, data: Path, address: str, postgres: PostgresServer
) -> None:
    postgres.execute(statement, address.rpartition("/")[2])
    assert words in said(verb, data, address)


@pytest.mark.parametrize("verb", VERBS)
def test_another_programs_database_is_not_touched(verb: str, data: Path, postgres: PostgresServer) -> None:
    with postgres.database() as other:
        name = other.rpartition("/")[2]
        postgres.execute("CREATE TABLE films (name text)", name)
        told = said(verb, data, other)
        assert "another program's database (it has films): name another with --database" in told
        tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        assert postgres.execute(tables, name) == [("films",)]


def test_a_user_who_may_not_make_tables_is_told(tmp_path: Path, postgres: PostgresServer) -> None:
    with postgres.database() as empty:
        postgres.execute("DROP ROLE IF EXISTS reader")
        postgres.execute("CREATE ROLE reader LOGIN PASSWORD 'pass-it-on'")
        reader = postgres.address(empty.rpartition("/")[2], user="reader", password="pass-it-on")
        assert "may its user write there" in said("init", tmp_path / "hub", reader)


def test_an_empty_and_an_earlier_database_are_brought_up_by_name(
    data: Path, address: str, postgres: PostgresServer
) -> None:
    with postgres.database() as empty:
        assert f"is empty: `wayside hub init --data {data}` with the same --database" in said("token", data, empty)
    migrate(data, "-1", down=True, database=address)
    assert "is an earlier release's" in said("token", data, address)
    assert invoke("init", data, address).exit_code == 0
    assert invoke("token", data, address).exit_code == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("mysql://wayside:secret@127.0.0.1/hub", "is not postgresql://USER"),
        ("secret", "is not postgresql://USER"),
        ("postgresql://wayside:secret%zz@127.0.0.1/hub", "cannot be read: postgresql://USER"),
        ("postgresql://wayside:secret@127.0.0.1:x/hub", "does not answer"),
        ("postgresql://wayside:secret@127.0.0.1/hub?sslmode=some", "does not answer"),
    ],
)
def test_an_address_that_is_none_is_told_without_its_password(given: str, words: str, tmp_path: Path) -> None:
    assert words in said("init", tmp_path / "hub", given)


def test_one_data_directory_has_one_store(tmp_path: Path, address: str) -> None:
    initialise(tmp_path / "hub")
    assert "has its rows in hub.sqlite already" in said("init", tmp_path / "hub", address)


def test_while_the_server_is_away_everybody_is_told_so_and_afterwards_all_goes_on(tmp_path: Path) -> None:
    with running_postgres() as server, server.database() as address:
        data = initialise(tmp_path / "hub", address)
        app = create_app(data, OPERATOR, address)
        with TestClient(app, headers=AUTH, raise_server_exceptions=False) as client:
            hub = Hub(data, client, address)
            node = hub.node()
            node.sync([node.summary(1.0)])
            server.stop()
            body = node.request([node.summary(2.0)])
            for answer in (node.post(body), node.post(body), client.get("/api/v1/nodes"), client.get("/api/v1/stats")):
                assert (answer.status_code, answer.json()["error"]) == (503, "store_unavailable"), answer.text
                assert answer.json()["message"] == "the hub's database is away; send it again later"
            server.start()
            answer = node.post(body)
            assert answer.status_code == 200, answer.text
            assert (answer.json()["stored"], answer.json()["duplicates"]) == (1, 0)
            assert hub.get("/api/v1/stats")["stored"] == 2
        assert miscounted(data, address) == []


def test_a_server_that_is_killed_under_the_hub_keeps_every_row_that_was_acknowledged_once(
    tmp_path: Path, hub_process: Callable[..., HubProcess]
) -> None:
    with running_postgres(durable=True) as server, server.database() as address:
        data = initialise(tmp_path / "killed", address)
        hub = HubProcess(data, database=address).start()
        try:
            nodes = [hub.node(f"node-{i}") for i in range(3)]
            told: set[int] = set()
            going, again = threading.Event(), threading.Event()

            def work(node: SimulatedNode) -> None:
                node.client = httpx.Client(base_url=hub.url, timeout=30)
                for _ in range(40):
                    body = node.request([node.summary(1.0) for _ in range(20)])
                    while (answer := node.post(body)).status_code != 200:
                        told.add(answer.status_code)
                        again.wait(10)
                        time.sleep(0.05)
                    if node.seq > 200:
                        going.set()

            threads = [threading.Thread(target=work, args=(node,)) for node in nodes]
            for thread in threads:
                thread.start()
            assert going.wait(60)
            server.kill()
            hub.client.get("/api/v1/nodes", headers=AUTH)
            server.start()
            again.set()
            for thread in threads:
                thread.join()
            assert told <= {503}
            stats = hub.client.get("/api/v1/stats", headers=AUTH).json()
            assert (stats["stored"], stats["missing"]) == (3 * 40 * 20, 0)
            assert miscounted(data, address) == []
        finally:
            hub.kill()


@pytest.mark.parametrize(
    ("code", "status", "error", "words"),
    [
        ("53100", 507, "store_full", "disk is full"),
        ("XX001", 503, "store_unavailable", "is damaged"),
        ("25006", 503, "store_unavailable", "standby"),
        ("42501", 503, "store_unavailable", "does not let the hub"),
        ("57014", 503, "store_unavailable", "does not answer"),
        ("22003", 422, "broken_contract", "cannot hold a value"),
    ],
)
def test_what_the_server_complains_of_while_rows_come_is_one_of_ours(
    code: str, status: int, error: str, words: str, data: Path, address: str
) -> None:
    app = create_app(data, OPERATOR, address)
    with TestClient(app, headers=AUTH, raise_server_exceptions=False) as client:
        hub = Hub(data, client, address)
        node = hub.node()
        node.sync([node.summary(1.0)])
        with store_of(hub) as connection:
            raises = f"BEGIN RAISE EXCEPTION 'in its words' USING ERRCODE = '{code}'; END"
            connection.execute(sa.text(f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ {raises} $$"))
            connection.execute(sa.text("CREATE TRIGGER t BEFORE INSERT ON summaries EXECUTE FUNCTION f()"))
        body = node.request([node.summary(2.0)])
        answer = node.post(body)
        assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
        assert words in answer.json()["message"]
        with store_of(hub) as connection:
            connection.execute(sa.text("DROP TRIGGER t ON summaries"))
        assert node.post(body).json()["stored"] == 1
    assert miscounted(data, address) == []


def test_a_character_that_postgresql_does_not_take_is_refused_and_no_fault_of_the_hub(data: Path, address: str) -> None:
    with TestClient(create_app(data, OPERATOR, address), headers=AUTH, raise_server_exceptions=False) as client:
        hub = Hub(data, client, address)
        node = hub.node()
        answers = [
            client.get("/api/v1/summaries", params={"node": "a\0b"}),
            client.get("/api/v1/nodes/a%00b"),
            node.post(node.request([node.summary(datastream="a\0b")])),
            node.post(node.request([node.summary(None, kind=Kind.ALERT, detail={"what": "a\0b"})])),
        ]
        assert [answer.status_code for answer in answers] == [422, 422, 422, 200]
        (alert,) = hub.get("/api/v1/alerts")["summaries"]  # type: ignore[misc]
        assert alert["detail"] == {"what": "a\0b"}


@pytest.mark.both_stores
def test_a_reader_sees_one_state_and_holds_nobody_up(hub: Hub) -> None:
    node = hub.node()
    node.sync([node.summary(1.0)])
    engine = open_engine(hub.data, hub.database)
    count = sa.text("SELECT count(*) FROM summaries")
    with engine.connect() as reader:
        assert reader.execute(count).scalar() == 1
        node.sync([node.summary(2.0)])
        assert reader.execute(count).scalar() == 1
    with engine.connect() as reader:
        assert reader.execute(count).scalar() == 2
    engine.dispose()


def test_a_reading_connection_cannot_write(data: Path, address: str) -> None:
    engine = open_engine(data, address)
    with engine.connect() as reader, pytest.raises(DBAPIError, match="read-only transaction"):
        reader.execute(sa.text("DELETE FROM tokens"))
    engine.dispose()


def test_what_is_acknowledged_is_on_disk_though_the_server_prefers_speed(
    data: Path, address: str, postgres: PostgresServer
) -> None:
    name = address.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    engine = open_engine(data, address)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SHOW synchronous_commit")).scalar() == "on"
    engine.dispose()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ('FATAL: no pg_hba.conf entry for host "192.0.2.1"', "does not let this computer"),
        ('FATAL: role "ada" does not exist', "does not know the user"),
        ("FATAL: the database system is starting up", "is starting"),
        ("FATAL: sorry, too many clients already", "has no connection left"),
        ("FATAL: etwas anderes", "does not answer (FATAL: etwas anderes)"),
    ],
)
def test_a_refused_connection_is_told_by_its_words(words: str, told: str) -> None:
    store = PostgresStore(Path("hub"), "postgresql://wayside@127.0.0.1/hub")
    assert told in str(store.told(DBAPIError("SELECT", {}, psycopg.OperationalError(words))))


def test_a_hub_is_moved_with_all_that_it_holds_and_its_nodes_notice_nothing(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    data = tmp_path / "hub"
    assert CliRunner().invoke(verbs, ["init", "--data", str(data)]).exit_code == 0
    with TestClient(create_app(data, OPERATOR), headers=AUTH, raise_server_exceptions=False) as client:
        hub = Hub(data, client)
        node = hub.node()
        odd = {"what": 'a "door", open\nin \\N', "empty": ""}
        rows = [node.summary(0.1 + i) for i in range(50)] + [node.summary(None, kind=Kind.ALERT, detail=odd)]
        node.sync(rows)
        assert node.hand_in(node.walked()).status_code == 200
        paths = ("nodes/node-1/keys", "summaries?limit=1000", "alerts", "stats", "datastreams", "users")
        before = [client.get(f"/api/v1/{path}").json() for path in paths]
    with postgres.database() as empty:
        done = invoke("move", data, empty)
        assert done.exit_code == 0, done.output
        assert "rows are in postgresql://wayside@127.0.0.1" in done.output
        assert "has its rows in a PostgreSQL: name it with --database" in said("run", data, "")
        assert invoke("token", data, empty).exit_code == 0
        with TestClient(create_app(data, OPERATOR, empty), headers=AUTH, raise_server_exceptions=False) as client:
            assert [client.get(f"/api/v1/{path}").json() for path in paths] == before
            node.client = client
            answer = node.sync([*rows, node.summary(7.0)])
            assert (answer.stored, answer.duplicates) == (1, len(rows))
        assert miscounted(data, empty) == []
        assert "there is no hub in" not in said("move", data, empty)
    assert (data / "hub.sqlite.moved").exists()


def test_a_move_that_cannot_be_done_changes_nothing(tmp_path: Path, address: str, postgres: PostgresServer) -> None:
    data = tmp_path / "hub"
    assert CliRunner().invoke(verbs, ["init", "--data", str(data)]).exit_code == 0
    assert "name an empty PostgreSQL" in said("move", data, "")
    assert "is not empty: make a new database" in said("move", data, address)
    assert "has no database films" in said("move", data, postgres.address("films"))
    assert (data / "hub.sqlite").exists()
    assert invoke("token", data, "").exit_code == 0
