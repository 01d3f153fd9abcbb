"""``wayside hub user|api-token|department|open``: through the API, and through the data directory where no hub runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.hub.conftest import OPERATOR, HubProcess
from tests.simulators.verb import Done, typed

PASSWORD = "seven herons over the weir"


def hub_verb(*words: str, status: int = 0) -> Done:
    done = typed("hub", *words)
    assert done.status == status, done
    return done


def test_the_first_admin_is_made_once_and_lets_others_in_without_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WAYSIDE_HUB", "WAYSIDE_OPERATOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    data, file = ("--data", str(tmp_path / "hub")), tmp_path / "password"
    made = json.loads(hub_verb("init", *data, "--admin", "ines", "--json").out)
    assert made["admin"] == "ines"
    assert len(made["password"]) == 23
    assert "password" not in hub_verb("init", *data).out
    file.write_text(PASSWORD + "\n")
    added = hub_verb("user", "add", "ben", "--role", "operator", *data, "--password-file", str(file))
    assert added.out == "ben may log in with the role operator\n"
    assert "already" in hub_verb("user", "add", "ben", "--no-password", *data, status=3).words
    link = json.loads(hub_verb("user", "link", "ben", *data, "--hub", "http://h:1/", "--json").out)
    assert link["url"].startswith("http://h:1/login/link/")
    with (tmp_path / "nobody").open("w+") as empty:
        monkeypatch.setattr(sys, "stdin", empty)
        assert "no terminal" in hub_verb("user", "password", "ben", *data, status=2).words
    file.write_text("short\n")
    assert "12 to 256" in hub_verb("user", "password", "ben", *data, "--password-file", str(file), status=1).words


def test_the_verbs_of_a_hub_that_runs(hub_process: Callable[..., HubProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    hub = hub_process()
    hub.node("node-1")
    monkeypatch.setenv("WAYSIDE_HUB", hub.url)
    monkeypatch.setenv("WAYSIDE_OPERATOR_TOKEN", OPERATOR)
    say = lambda *words, status=0: hub_verb(*words, status=status).words  # noqa: E731
    assert "nothing was changed" in say("user", "add", "ines", "--role", "admin", "--dry-run")
    say("user", "add", "ines", "--role", "admin", "--no-password")
    assert "needs a department" in say("user", "add", "otto", "--role", "department", status=1)
    say("user", "add", "otto", "--role", "department", "--department", "roads", "--no-password")
    assert "roads" in say("user", "list")
    say("user", "role", "otto", "viewer")
    say("user", "disable", "otto")
    assert [u["disabled"] for u in json.loads(say("user", "list", "--json"))] == [False, True]
    say("user", "enable", "otto")
    with httpx.Client() as browser:
        assert browser.get(say("user", "link", "otto"), follow_redirects=True).status_code == 200
        assert browser.get(f"{hub.url}/api/v1/nodes").status_code == 200
    token = say("api-token", "make", "grafana", "--days", "30")
    say("node", "list", "--operator-token", token)
    assert "never" not in say("api-token", "list")
    say("api-token", "withdraw", "grafana")
    assert "WAYSIDE_OPERATOR_TOKEN" in say("node", "list", "--operator-token", token, status=1)
    say("department", "set", "roads", "--site", "Main St", "--node", "node-1", "--datastream", "node-1:a/b")
    assert "site Main St; node-1; node-1 a/b" in say("department", "list")
    say("open", "add", "node-1", "a/b")
    assert "a/b" in say("open", "list")
    say("open", "remove", "node-1", "a/b")
    assert "not released" in say("open", "remove", "node-1", "a/b", status=1)
