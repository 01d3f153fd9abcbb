"""Login by OpenID Connect, against a provider that runs in a thread."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from oidc_provider_mock import User, run_server_in_thread

from tests.hub.conftest import AUTH, OPERATOR, Hub, initialise
from wayside.cloud.hub.app import create_app
from wayside.cloud.hub.errors import ConfigurationError
from wayside.cloud.hub.people import oidc

PEOPLE = (
    User(sub="1", claims={"preferred_username": "ines", "groups": ["staff", "hub-operators"]}),
    User(sub="2", claims={"preferred_username": "otto", "groups": ["roads-dept"]}),
    User(sub="3", claims={"preferred_username": "eve", "groups": ["staff"]}),
    User(sub="4", claims={"preferred_username": "local", "groups": ["hub-operators"]}),
)
SETTINGS = """
issuer = "{issuer}"
client_id = "hub"
client_secret_file = "secret"
shown_as = "the city"
[roles]
hub-operators = "operator"
hub-viewers = "viewer"
[departments]
roads-dept = "roads"
"""


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with run_server_in_thread(user_claims=PEOPLE, require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


def written(folder: Path, issuer: str) -> oidc.Provider:
    (folder / "secret").write_text("s3cret\n")
    (folder / "oidc.toml").write_text(SETTINGS.format(issuer=issuer))
    return oidc.load(folder / "oidc.toml")


@pytest.fixture
def hub(tmp_path: Path, issuer: str) -> Iterator[Hub]:
    data, provider = initialise(tmp_path / "hub"), written(tmp_path, issuer)
    with TestClient(create_app(data, OPERATOR, provider=provider), raise_server_exceptions=False) as client:
        yield Hub(data, client)


def away(browser: TestClient) -> str:
    """The address that the hub sends the browser to."""
    answer = browser.get("/login/oidc", follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def back(url: str, subject: str) -> str:
    """What the provider sends the browser back to, once ``subject`` has agreed."""
    agreed = httpx.post(url, data={"sub": subject}, follow_redirects=False)
    return str(agreed.headers["location"]).replace("http://testserver", "")


def test_who_has_a_group_of_the_hub_is_let_in_with_its_role(hub: Hub) -> None:
    assert "Log in by the city" in hub.client.get("/login").text
    url = away(hub.client)
    asked = parse_qs(urlsplit(url).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["nonce"][0] != asked["state"][0]
    answer = hub.client.get(back(url, "1"), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/"), answer.text
    me = hub.client.get("/api/v1/me").json()
    assert (me["name"], me["role"]) == ("user:ines", "operator")
    hub.client.cookies.clear()
    hub.client.get(back(away(hub.client), "2"))
    me = hub.client.get("/api/v1/me").json()
    assert (me["name"], me["role"], me["department"]) == ("user:otto", "department", "roads")
    (ines, _) = hub.client.get("/api/v1/users", headers=AUTH).json()["users"]
    assert (ines["name"], ines["password"], bool(ines["issuer"])) == ("ines", False, True)


@pytest.mark.parametrize(
    ("subject", "status", "said"), [("3", 403, "has no role"), ("4", 409, "Another user is called")]
)
def test_who_has_no_group_or_a_taken_name_is_told_so(hub: Hub, subject: str, status: int, said: str) -> None:
    assert hub.client.post("/api/v1/users", json={"name": "local", "role": "admin"}, headers=AUTH).status_code == 201
    answer = hub.client.get(back(away(hub.client), subject), follow_redirects=False)
    assert (answer.status_code, said in answer.text) == (status, True)
    assert hub.client.get("/api/v1/me").status_code == 401


def test_an_answer_to_another_login_or_none_is_refused(hub: Hub) -> None:
    landing = back(away(hub.client), "1")
    away(hub.client)  # the browser asks anew: another state
    assert hub.client.get(landing, follow_redirects=False).status_code == 401
    hub.client.cookies.clear()
    assert hub.client.get(landing, follow_redirects=False).status_code == 401, "no cookie: a link from somewhere"
    url = away(hub.client)
    landing = back(url, "1")
    forged = re.sub(r"code=[^&]+", "code=forged", landing)
    assert hub.client.get(forged, follow_redirects=False).status_code == 401
    assert hub.client.get("/login/oidc/back?error=access_denied", follow_redirects=False).status_code == 401


def test_a_token_for_another_login_is_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    landing = back(away(hub.client), "1")
    kept = hub.client.cookies.get("wayside-oidc", domain="testserver.local")
    assert kept is not None
    state, _, verifier = kept.strip('"').split(" ")
    hub.client.cookies.set("wayside-oidc", f"{state} another-nonce {verifier}", domain="testserver.local")
    answer = hub.client.get(landing, follow_redirects=False)
    assert (answer.status_code, "vouched for nobody" in answer.text) == (401, True)


def test_who_is_disabled_here_stays_out(hub: Hub) -> None:
    hub.client.get(back(away(hub.client), "1"))
    assert hub.client.get("/api/v1/me").status_code == 200
    out = hub.client.post("/api/v1/users/ines/disabled", json={"disabled": True}, headers=AUTH)
    assert out.status_code == 200
    assert hub.client.get("/api/v1/me").status_code == 401
    assert hub.client.get(back(away(hub.client), "1"), follow_redirects=False).status_code == 403


def test_while_the_provider_is_away_passwords_still_work(tmp_path: Path) -> None:
    data, provider = initialise(tmp_path / "hub"), written(tmp_path, "http://127.0.0.1:9")
    with TestClient(create_app(data, OPERATOR, provider=provider)) as client:
        about = {"name": "anna", "role": "viewer", "password": "seven herons over the weir"}
        assert client.post("/api/v1/users", json=about, headers=AUTH).status_code == 201
        answer = client.get("/login/oidc", follow_redirects=False)
        assert (answer.status_code, "the city does not answer" in answer.text) == (502, True)
        csrf = re.search(r'name="csrf" value="([0-9a-f]{64})"', answer.text)
        assert csrf is not None
        given = {"name": "anna", "password": about["password"], "csrf": csrf[1]}
        assert client.post("/login", data=given, follow_redirects=False).status_code == 303


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "issuer"),
        ('issuer = "http://id.example.city"\nclient_id = "hub"\n[roles]\na = "viewer"\n', "https"),
        ('issuer = "https://id.example.city"\nclient_id = "hub"\n', "nobody could log in"),
        ('issuer = "https://id.example.city"\nclient_id = "hub"\n[roles]\na = "king"\n', "king"),
        ('issuer = "https://id.example.city"\nclient_id = "hub"\n[roles]\na = "department"\n', "departments"),
        ('issuer = "https://id.example.city"\nclient_id = "hub"\nsecret = "x"\n', "secret"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "oidc.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=why):
        oidc.load(tmp_path / "oidc.toml")
