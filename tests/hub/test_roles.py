"""Every route of the hub, asked by everybody: generated from the app, so that a new route has to say who may."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from tests.hub.conftest import AUTH, NOBODY, OPERATOR, Hub, initialise
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.engine import open_engine
from wayside.cloud.hub.people.access import RANK, Rule, allow, each, public, rules_of, undeclared
from wayside.cloud.hub.people.actor import Role
from wayside.cloud.hub.store import api_tokens

PUBLIC = {
    "/", "/healthz", "/login", "/login/link/{code}", "/login/oidc", "/login/oidc/back", "/logout", "/openapi.json",
    "/api/v1/tuf/online-key", "/tuf/metadata/{file}", "/tuf/targets/{path}",
}  # fmt: skip
NODES = {"/api/v1/nonce", "/api/v1/enrol", "/api/v1/sync", "/api/v1/commissioning"}
NEEDS = {  # each path that changes something, or tells what not every viewer is to know
    Role.ADMIN: ("/api/v1/users", "/api/v1/api-tokens", "/api/v1/departments", "/api/v1/open", "/api/v1/audit"),
    Role.OPERATOR: ("/api/v1/rollouts", "/api/v1/withdrawals", "/api/v1/tuf/"),
    Role.TECHNICIAN: ("/api/v1/tokens",),
}


class Asker(NamedTuple):
    name: str
    role: Role | None  # None: whoever it is, they are not let in
    headers: dict[str, str]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    data = initialise(tmp_path_factory.mktemp("roles") / "hub")
    with TestClient(create_app(data, OPERATOR), headers=AUTH, raise_server_exceptions=False) as client:
        yield Hub(data, client)


@pytest.fixture(scope="module")
def askers(hub: Hub) -> list[Asker]:
    """Each role by a token and by a session, and those who have no right any more."""

    def token(name: str, role: Role) -> dict[str, str]:
        about = {"name": name, "role": str(role)} | ({"department": "roads"} if role is Role.DEPARTMENT else {})
        return {"Authorization": f"Bearer {hub.client.post('/api/v1/api-tokens', json=about).json()['token']}"}

    def session(name: str, role: Role) -> dict[str, str]:
        about = {"name": name, "role": str(role)} | ({"department": "roads"} if role is Role.DEPARTMENT else {})
        assert hub.client.post("/api/v1/users", json=about).status_code == 201
        path = hub.client.post(f"/api/v1/users/{name}/link").json()["path"]
        begun = hub.client.get(path, headers=NOBODY, follow_redirects=False)
        cookie = begun.headers.get_list("set-cookie")[0].partition(";")[0]
        hub.client.cookies.clear()
        shown = NOBODY | {"Cookie": cookie}
        return shown | {"X-CSRF-Token": hub.client.get("/api/v1/me", headers=shown).json()["csrf"]}

    out = {name: token(name, Role.ADMIN) for name in ("expired", "withdrawn")}
    assert hub.client.delete("/api/v1/api-tokens/withdrawn").status_code == 200
    engine = open_engine(hub.data)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(api_tokens.update().where(api_tokens.c.name == "expired").values(expires_ms=1))
    engine.dispose()
    gone = session("gone", Role.ADMIN)
    assert hub.client.post("/api/v1/users", json={"name": "stays", "role": "admin"}).status_code == 201
    assert hub.client.post("/api/v1/users/gone/disabled", json={"disabled": True}).status_code == 200
    return [
        *(Asker(f"{role}'s token", role, token(f"a-{role}", role)) for role in Role),
        *(Asker(f"{role}'s session", role, session(f"b-{role}", role)) for role in Role),
        Asker("the operator's token", Role.ADMIN, AUTH),
        Asker("nobody", None, NOBODY),
        Asker("a made-up token", None, {"Authorization": "Bearer wayside_" + "x" * 43}),
        Asker("an expired token", None, out["expired"]),
        Asker("a withdrawn token", None, out["withdrawn"]),
        Asker("a disabled user's session", None, gone),
        Asker("a made-up session", None, NOBODY | {"Cookie": "wayside-session=" + "x" * 43}),
    ]


def routes(hub: Hub) -> list[tuple[str, APIRoute]]:
    app: FastAPI = hub.client.app  # type: ignore[assignment]
    return [(method, route) for route in each(app.routes) for method in sorted(route.methods or ())]


def test_every_route_declares_one_rule(hub: Hub) -> None:
    app: FastAPI = hub.client.app  # type: ignore[assignment]
    assert undeclared(app.routes) == []
    for method, route in routes(hub):
        (rule,) = set(rules_of(route))
        path = route.path_format
        if rule.who == "public":
            assert path in PUBLIC, f"{path} is open to everybody"
        elif rule.who == "node":
            assert path in NODES
        elif method != "GET":
            least = next((r for r, begins in NEEDS.items() if path.startswith(begins)), Role.TECHNICIAN)
            assert RANK.index(rule.least or Role.DEPARTMENT) >= RANK.index(least), f"{rule.least} may {method} {path}"
        elif path.startswith(NEEDS[Role.ADMIN]):
            assert rule.least in (Role.ADMIN, Role.OPERATOR), path


def test_a_route_without_a_rule_is_found() -> None:
    app, router = FastAPI(), APIRouter()
    router.get("/said", dependencies=[public()])(lambda: {})
    router.get("/forgotten")(lambda: {})
    router.get("/twice", dependencies=[public(), allow(Role.ADMIN)])(lambda: {})
    app.include_router(router)
    assert undeclared(app.routes) == ["/forgotten", "/twice"]


def test_every_route_lets_in_whom_its_rule_names_and_nobody_else(hub: Hub, askers: list[Asker]) -> None:
    """Let in: whatever the route then says of the request, it is neither 401 nor 403 for want of a role."""
    wrong = []
    for method, route in routes(hub):
        (rule,) = set(rules_of(route))
        path = route.path_format
        for old, new in (("{rollout}", "1"), ("{act}", "pause"), ("{role}", "root"), ("{file}", "root.json")):
            path = path.replace(old, new)
        path = path.replace("{", "").replace("}", "")
        if path == "/logout":  # it would end a session that the next route needs
            continue
        for asker in askers:
            hub.client.app.state.access._refusals.__init__()  # type: ignore[attr-defined] # nobody is slowed down here
            answer = hub.client.request(method, path, headers=asker.headers, follow_redirects=False)
            said = judged(answer.status_code, answer.text)
            if said != expected(rule, asker):
                wrong.append(f"{method} {path} by {asker.name}: {answer.status_code} {answer.text[:90]}")
    assert wrong == []


def judged(status: int, text: str) -> str:
    if status == 401 and any(f'"error":"{code}"' in text for code in ("credentials", "session")):
        return "unknown"
    if status == 403 and '"error":"role"' in text:
        return "forbidden"
    return "let in" if status < 500 else "failed"


def expected(rule: Rule, asker: Asker) -> str:
    if rule.least is None:
        return "let in"
    if asker.role is None:
        return "unknown"
    return "let in" if RANK.index(asker.role) >= RANK.index(rule.least) else "forbidden"
