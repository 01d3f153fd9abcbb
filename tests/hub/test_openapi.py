"""The OpenAPI document is accurate: schemathesis makes requests from it and judges the answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub.conftest import OPERATOR, Hub, HubProcess
from tests.hub.scene import play


def test_the_document_names_every_contract_it_speaks(hub: Hub) -> None:
    document = hub.get("/openapi.json")
    schemas = document["components"]["schemas"]  # type: ignore[index]
    assert {"SyncRequest", "SyncReply", "EnrolRequest", "NonceReply", "ErrorReply", "Summary"} <= set(schemas)
    assert "HTTPValidationError" not in str(document)


def schemathesis(hub: HubProcess, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    rules = Path(__file__).parent / "schemathesis.toml"
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(rules)]
    command += ["run", f"{hub.url}/openapi.json", "--checks", "all", "--seed", "1", "--no-color", *options]
    # This one sends wrong credentials, and after some of them is told to come again later. What each route does with
    # wrong ones is held by test_roles.py.
    command += ["--exclude-checks", "ignored_auth"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=500, check=False)


@pytest.mark.timeout(900)  # seconds by itself, minutes beside others
def test_schemathesis_finds_nothing(hub_process: Callable[[], HubProcess], tmp_path: Path) -> None:
    """Neither with an admin's token, nor without credentials: then all but what is public is refused as described."""
    hub = hub_process()
    play(hub)
    known = schemathesis(hub, tmp_path, "--max-examples", "5", "-H", f"Authorization: Bearer {OPERATOR}")
    assert known.returncode == 0, known.stdout[-6000:]
    nobody = schemathesis(hub, tmp_path, "--max-examples", "2", "--phases", "fuzzing")
    assert nobody.returncode == 0, nobody.stdout[-6000:]
    assert hub.client.get("/healthz").status_code == 200
