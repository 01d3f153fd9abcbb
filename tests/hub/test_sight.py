"""A department sees its own, nobody sees what is open, and neither learns a name of anything else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hub.conftest import NOBODY, OPERATOR, Hub, initialise
from wayside.cloud.hub.app import create_app
from wayside.contracts.summary import Kind

NODES = ("alder-street", "birch-street", "cedar-street", "dogwood-street")
STREAMS = ("north/volume", "south/volume")
READS = (
    "/api/v1/nodes", "/api/v1/datastreams", "/api/v1/summaries?limit=1000", "/api/v1/summaries?kind=decision",
    "/api/v1/alerts", "/api/v1/conditions", "/api/v1/conditions/open", "/api/v1/fleet", "/api/v1/stats", "/",
)  # fmt: skip
OF_NODE = (
    "/api/v1/nodes/{}", "/api/v1/nodes/{}/keys", "/api/v1/nodes/{}/commissioning", "/api/v1/stats?node={}",
    "/api/v1/summaries?node={}", "/api/v1/alerts?node={}", "/api/v1/conditions?node={}", "/api/v1/datastreams?node={}",
    *(f"/api/v1/series?node={{}}&datastream={stream}" for stream in STREAMS),
)  # fmt: skip


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Four nodes at two sites; each has two datastreams, an open door that says where, and a record by a technician."""
    data = initialise(tmp_path_factory.mktemp("city") / "hub")
    auth = {"Authorization": f"Bearer {OPERATOR}"}
    app = create_app(data, OPERATOR, public_read=True)
    with TestClient(app, headers=auth, raise_server_exceptions=False) as client:
        hub = Hub(data, client)
        for name in NODES:
            node = hub.node(name)
            rows = [node.summary(1.0, datastream=f"{name}/{s}") for s in STREAMS]
            rows.append(
                node.summary(None, kind=Kind.ALERT, datastream=f"{name}/door", detail={"what": f"door of {name}"})
            )
            began = {"condition": "door", "what": f"door of {name}"}
            rows.append(node.summary(None, kind=Kind.ALERT, datastream=f"{name}/door", detail=began))
            assert node.sync(rows).stored == 4
            assert node.hand_in(node.walked(by=f"technician-of-{name}")).status_code == 200
        for node_name, site in zip(NODES, ("east", "east", "west", "west"), strict=True):
            assert client.post(f"/api/v1/nodes/{node_name}/description", json={"site": site}).status_code == 200
        yield hub


def answers(hub: Hub, headers: dict[str, str]) -> Iterator[tuple[str, int, str]]:
    for path in [*READS, *(path.format(name) for path in OF_NODE for name in (*NODES, "nobody"))]:
        answer = hub.client.get(path, headers=headers | {"Accept": "application/json"})
        yield path, answer.status_code, answer.text


def department(hub: Hub, sees: list[dict[str, str]]) -> dict[str, str]:
    assert hub.client.put("/api/v1/departments/roads", json={"sees": sees}).status_code == 200
    hub.client.delete("/api/v1/api-tokens/roads")
    about = {"name": "roads", "role": "department", "department": "roads"}
    made = hub.client.post("/api/v1/api-tokens", json=about).json()
    return {"Authorization": f"Bearer {made['token']}"}


entries = st.one_of(
    st.sampled_from([{"site": "east"}, {"site": "west"}, {"site": "nowhere"}]),
    st.sampled_from(NODES).map(lambda n: {"node": n}),
    st.tuples(st.sampled_from(NODES), st.sampled_from(STREAMS)).map(
        lambda t: {"node": t[0], "datastream": f"{t[0]}/{t[1]}"}
    ),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(entries, max_size=3))
def test_no_reply_to_a_department_names_a_node_that_it_does_not_see(city: Hub, sees: list[dict[str, str]]) -> None:
    site = dict(zip(NODES, ("east", "east", "west", "west"), strict=True))
    whole = {n for n in NODES for e in sees if e in ({"node": n}, {"site": site[n]})}
    named = whole | {e["node"] for e in sees if "node" in e}
    streams = {f"{n}/{s}" for n in whole for s in STREAMS} | {e["datastream"] for e in sees if "datastream" in e}
    for path, status, text in answers(city, department(city, sees)):
        assert status in (200, 404), (path, status, text)
        if status == 200:
            said = text.replace(path, "")
            foreign = [n for n in NODES if n not in named and n in said]
            foreign += [f"{n}/{s}" for n in NODES for s in STREAMS if f"{n}/{s}" not in streams and f"{n}/{s}" in said]
            foreign += [n for n in NODES if n not in whole and f"door of {n}" in said]
            foreign += [n for n in NODES if n not in whole and f"technician-of-{n}" in said]
            assert not foreign, (path, sees)


def test_a_department_sees_all_of_its_own(city: Hub) -> None:
    shown = department(city, [{"site": "west"}])
    get = lambda path: city.client.get(path, headers=shown).json()  # noqa: E731
    assert [n["node"] for n in get("/api/v1/nodes")["nodes"]] == ["cedar-street", "dogwood-street"]
    assert get("/api/v1/nodes/cedar-street")["heartbeat"]
    assert get("/api/v1/nodes/cedar-street/commissioning")["records"]
    assert len(get("/api/v1/alerts")["summaries"]) == 4
    assert get("/api/v1/stats")["stored"] == 8
    foreign = city.client.get("/api/v1/nodes/alder-street", headers=shown)
    unknown = city.client.get("/api/v1/nodes/nobody", headers=shown)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json()["message"].replace("alder-street", "nobody") == unknown.json()["message"]
    assert city.client.get("/api/v1/rollouts", headers=shown).status_code == 403
    assert city.client.get("/metrics", headers=shown).status_code == 403


def test_nobody_sees_what_is_released_as_open_and_nothing_else(city: Hub) -> None:
    stream = {"node": "alder-street", "datastream": "alder-street/north/volume"}
    assert city.client.get("/api/v1/nodes", headers=NOBODY).json()["nodes"] == []
    assert city.client.post("/api/v1/open", json=stream).status_code == 200
    (node,) = city.client.get("/api/v1/nodes", headers=NOBODY).json()["nodes"]
    assert (node["node"], node["site"], node["heartbeat"], node["hardware"]) == ("alder-street", "east", None, None)
    (only,) = city.client.get("/api/v1/datastreams", headers=NOBODY).json()["datastreams"]
    assert only["datastream"] == "alder-street/north/volume"
    (row,) = city.client.get("/api/v1/summaries", headers=NOBODY).json()["summaries"]
    assert row["value"] == 1.0
    assert city.client.get("/api/v1/series", params=stream, headers=NOBODY).json()["value"] == [1.0]
    for path, status, text in answers(city, NOBODY):
        assert status in (200, 401, 404), (path, status)
        if status == 200:
            said = text.replace(path, "")
            for secret in ("birch-street", "cedar", "dogwood", "door of", "technician", "south/volume", 'machine":"'):
                assert secret not in said, path
    city.client.delete("/api/v1/open", params=stream)
    assert json.loads(city.client.get("/api/v1/summaries", headers=NOBODY).text)["summaries"] == []


def test_without_the_option_nobody_sees_even_what_is_open(hub: Hub) -> None:
    node = hub.node("alder-street")
    node.sync([node.summary(1.0)])
    released = {"node": "alder-street", "datastream": "detector/2/volume"}
    assert hub.client.post("/api/v1/open", json=released).status_code == 200
    assert hub.client.get("/api/v1/nodes", headers=NOBODY).status_code == 401
