"""Logging in: sessions that cannot be fixed, guessed or borrowed; passwords that cost an attacker time, not the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from tests.hub.conftest import NOBODY, Hub
from wayside.cloud.hub import audit
from wayside.cloud.hub.door import limits
from wayside.cloud.hub.engine import open_engine
from wayside.cloud.hub.people import access
from wayside.cloud.hub.people.access import COOKIE, CSRF_HEADER
from wayside.cloud.hub.store import api_tokens, sessions

PASSWORD = "seven herons over the weir"


@pytest.fixture
def anna(hub: Hub) -> Iterator[TestClient]:
    """A browser at the hub's door; Anna is an operator."""
    about = {"name": "anna", "role": "operator", "password": PASSWORD}
    assert hub.client.post("/api/v1/users", json=about).status_code == 201
    hub.client.cookies.clear()
    hub.client.headers.pop("authorization")
    yield hub.client


def log_in(browser: TestClient, password: str = PASSWORD, name: str = "anna", **headers: str) -> httpx.Response:
    form = browser.get("/login").text
    csrf = re.search(r'name="csrf" value="([0-9a-f]{64})"', form)
    assert csrf is not None
    answer: httpx.Response = browser.post(
        "/login", data={"name": name, "password": password, "csrf": csrf[1]}, headers=headers, follow_redirects=False
    )
    return answer


def test_the_page_leads_to_the_login_and_the_login_to_the_page(anna: TestClient) -> None:
    door = anna.get("/", headers={"Accept": "text/html"}, follow_redirects=False)
    assert (door.status_code, door.headers["location"]) == (303, "/login")
    assert anna.get("/api/v1/nodes").status_code == 401
    answer = log_in(anna, name=" Anna ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(COOKIE))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert anna.get("/api/v1/nodes").status_code == 200
    assert "anna, operator" in anna.get("/").text
    assert anna.get("/api/v1/me").json()["name"] == "user:anna"


def test_over_https_the_cookie_is_secure_and_this_hosts_alone(anna: TestClient) -> None:
    anna.base_url = "https://hub.example.city"
    cookies = log_in(anna).headers.get_list("set-cookie")
    (cookie,) = (c for c in cookies if c.startswith(f"__Host-{COOKIE}="))
    assert {"Secure", "HttpOnly", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "domain" not in cookie.lower()
    assert anna.get("/api/v1/nodes").status_code == 200


@pytest.mark.parametrize(
    ("name", "password"), [("anna", "wrong"), ("nobody", PASSWORD), ("anna", ""), ("anna", "x" * 3000)]
)
def test_a_wrong_name_and_a_wrong_password_are_told_alike(anna: TestClient, name: str, password: str) -> None:
    answer = log_in(anna, password, name)
    assert answer.status_code == 401
    assert "The name or the password is wrong." in answer.text
    assert COOKIE not in anna.cookies


def test_a_session_begins_with_an_identifier_that_nobody_knew_before(anna: TestClient) -> None:
    anna.cookies.set(COOKIE, "chosen-by-somebody-else")
    log_in(anna)
    first = anna.cookies.get(COOKIE, domain="testserver.local")
    assert first != "chosen-by-somebody-else"
    log_in(anna)
    second = anna.cookies.get(COOKIE, domain="testserver.local")
    assert second != first
    anna.cookies.clear()
    anna.cookies.set(COOKIE, str(first))
    assert anna.get("/api/v1/nodes").json()["error"] == "session", "a new login ends the session before it"


def test_a_login_that_another_page_sends_is_refused(anna: TestClient) -> None:
    anna.get("/login")
    for csrf in ("", "0" * 64):
        answer = anna.post("/login", data={"name": "anna", "password": PASSWORD, "csrf": csrf}, follow_redirects=False)
        assert answer.status_code == 403


def test_every_change_by_a_session_needs_its_csrf_token(anna: TestClient) -> None:
    log_in(anna)
    csrf = anna.get("/api/v1/me").json()["csrf"]
    assert anna.post("/api/v1/tokens", json={}).json()["error"] == "csrf"
    assert anna.post("/api/v1/tokens", json={}, headers={CSRF_HEADER: "0" * 64}).json()["error"] == "csrf"
    assert anna.post("/api/v1/tokens", json={}, headers={CSRF_HEADER: csrf}).status_code == 201
    assert anna.post("/logout", data={"csrf": "0"}, follow_redirects=False).status_code == 403
    assert anna.post("/logout", data={"csrf": csrf}, follow_redirects=False).status_code == 303
    assert anna.get("/api/v1/nodes").status_code == 401


@pytest.mark.parametrize("act", ["disabled", "password"])
def test_who_is_disabled_or_gets_another_password_is_logged_out_at_once(hub: Hub, anna: TestClient, act: str) -> None:
    log_in(anna)
    body = {"disabled": True} if act == "disabled" else {"password": "nine otters under the bridge"}
    admin = {"Authorization": "Bearer 4f0c9a1d7e6b2835c1d94e7fa0b36c58"}
    assert anna.get("/api/v1/nodes").status_code == 200
    assert hub.client.post(f"/api/v1/users/anna/{act}", json=body, headers=admin).status_code == 200
    assert anna.get("/api/v1/nodes").status_code == 401
    assert log_in(anna).status_code == 401


def test_a_session_ends_when_it_is_idle_and_when_it_is_old(
    hub: Hub, anna: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(anna)
    csrf = anna.get("/api/v1/me").json()["csrf"]
    start = access.now_ms()

    def at(ms: int) -> int:
        monkeypatch.setattr(access, "now_ms", lambda: start + ms)
        return int(anna.get("/api/v1/nodes").status_code)

    half = access.IDLE_MS // 2
    assert at(half) == 200
    anna.post("/api/v1/tokens", json={}, headers={CSRF_HEADER: csrf})  # behind it in the writer: it is noted
    assert at(2 * half) == 200, "it was used meanwhile"
    assert at(4 * half + 60_001) == 401
    monkeypatch.undo()
    log_in(anna)
    csrf = anna.get("/api/v1/me").json()["csrf"]
    for ms in range(half, access.SESSION_MS, half):
        assert at(ms) == 200
        anna.post("/api/v1/tokens", json={}, headers={CSRF_HEADER: csrf})
    assert at(access.SESSION_MS + 60_000) == 401


def test_a_neighbour_at_the_same_address_keeps_nobody_out_who_logged_in_before(
    hub: Hub, anna: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LONGEST_PAUSE_S", 0.0)
    log_in(anna)
    neighbour = TestClient(hub.client.app)
    guesses = [log_in(neighbour, f"guess {i}").status_code for i in range(24)]
    assert guesses[-1] == 429
    assert log_in(neighbour).status_code == 429
    assert log_in(anna).status_code == 303
    stolen = str(anna.cookies.get("wayside-device", domain="testserver.local"))
    neighbour.cookies.set("wayside-device", stolen)
    assert log_in(neighbour, name="bob").status_code == 429, "it is one user's"
    assert [log_in(anna, f"typo {i}").status_code for i in range(24)][-1] == 429, "it is no way to guess on"


def test_passwords_that_are_tried_are_slowed_down_and_nobody_else_is(
    hub: Hub, anna: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LONGEST_PAUSE_S", 0.0)  # what an account waits is held in test_strangers
    statuses = [log_in(anna, f"guess {i}").status_code for i in range(24)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert log_in(anna).status_code == 429, "the right one does not help who guesses"
    assert anna.get("/api/v1/nodes", headers={"Authorization": "Bearer wayside_guess"}).status_code == 429
    operator = {"Authorization": "Bearer 4f0c9a1d7e6b2835c1d94e7fa0b36c58"}
    assert anna.get("/api/v1/nodes", headers=operator).status_code == 200, "who has a token is never slowed down"


def test_secrets_are_stored_as_hashes_alone(hub: Hub, anna: TestClient) -> None:
    log_in(anna)
    operator = {"Authorization": "Bearer 4f0c9a1d7e6b2835c1d94e7fa0b36c58"}
    made = hub.client.post("/api/v1/api-tokens", json={"name": "grafana", "role": "viewer"}, headers=operator).json()
    for secret in (PASSWORD, made["token"], str(anna.cookies.get(COOKIE, domain="testserver.local"))):
        for file in hub.data.glob("hub.sqlite*"):
            assert secret.encode() not in file.read_bytes()


def test_a_link_logs_in_once(hub: Hub, anna: TestClient) -> None:
    operator = {"Authorization": "Bearer 4f0c9a1d7e6b2835c1d94e7fa0b36c58"}
    path = hub.client.post("/api/v1/users/anna/link", headers=operator).json()["path"]
    code = path.rpartition("/")[2]
    anna.cookies.set(COOKIE, code)
    assert anna.get("/api/v1/nodes").status_code == 401, "a link is no session"
    anna.cookies.clear()
    assert anna.get(path, follow_redirects=False).status_code == 303
    assert anna.get("/api/v1/nodes").status_code == 200
    anna.cookies.clear()
    again = anna.get(path, follow_redirects=False)
    assert (again.status_code, "used already" in again.text) == (401, True)


def test_an_api_token_has_a_role_an_end_and_can_be_withdrawn(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    made = hub.client.post("/api/v1/api-tokens", json={"name": "grafana", "role": "viewer", "ttl_s": 60}).json()
    shown = {"Authorization": f"Bearer {made['token']}"}
    assert hub.client.get("/api/v1/nodes", headers=shown).status_code == 200
    assert hub.client.get("/api/v1/me", headers=shown).json()["name"] == "token:grafana"
    assert hub.client.post("/api/v1/tokens", json={}, headers=shown).json()["error"] == "role"
    assert hub.client.post("/api/v1/api-tokens", json={"name": "grafana", "role": "viewer"}).status_code == 409
    (listed,) = hub.client.get("/api/v1/api-tokens").json()["api_tokens"]
    assert listed["used_ms"] is not None
    assert "token" not in listed
    assert hub.client.delete("/api/v1/api-tokens/grafana").status_code == 200
    assert hub.client.get("/api/v1/nodes", headers=shown).status_code == 401
    again = hub.client.post("/api/v1/api-tokens", json={"name": "grafana", "role": "viewer", "ttl_s": 60}).json()
    monkeypatch.setattr(access, "now_ms", lambda: again["expires_ms"])
    shown = {"Authorization": f"Bearer {again['token']}"}
    assert hub.client.get("/api/v1/nodes", headers=shown).status_code == 401


@pytest.mark.parametrize(
    ("password", "why"),
    [("short one", "12 to 256"), ("passwordpassword", "tried first"), ("aaaaaaaaaaaaaa", "tried first"),
     ("anna has a boat", "tried first"), ("Password-123456!", "tried first")],
)  # fmt: skip
def test_a_new_password_is_long_and_not_one_that_everybody_tries(hub: Hub, password: str, why: str) -> None:
    answer = hub.client.post("/api/v1/users", json={"name": "anna", "role": "viewer", "password": password})
    assert answer.status_code == 422
    assert why in answer.json()["message"]


def test_the_last_admin_stays(hub: Hub) -> None:
    add = lambda name: hub.client.post("/api/v1/users", json={"name": name, "role": "admin"}).status_code  # noqa: E731
    assert add("first") == 201
    for act, body in (("disabled", {"disabled": True}), ("role", {"role": "viewer"})):
        assert hub.client.post(f"/api/v1/users/first/{act}", json=body).json()["error"] == "last_admin"
    assert add("second") == 201
    assert hub.client.post("/api/v1/users/first/disabled", json={"disabled": True}).status_code == 200


def test_logins_and_changes_of_users_stand_in_the_audit_log(hub: Hub, anna: TestClient) -> None:
    log_in(anna)
    engine = open_engine(hub.data)
    with engine.connect() as connection:
        told = [(e.actor, e.action, e.target) for e in audit.entries(connection)]
        assert connection.execute(sa.select(sa.func.count()).select_from(sessions)).scalar() == 1
        assert connection.execute(sa.select(sa.func.count()).select_from(api_tokens)).scalar() == 0
    engine.dispose()
    assert told == [("user:anna", "user.login", "anna"), ("token:operator", "user.added", "anna")]


def test_forms_are_bounded_and_junk_is_refused(anna: TestClient) -> None:
    assert anna.post("/login", content=b"x" * 10_000, headers=NOBODY).status_code == 413
    assert anna.post("/login", content=b"\xff=\xff").status_code in (400, 403)
    assert anna.post("/login", content="&".join(f"a{i}=1" for i in range(50))).status_code == 400
