"""The OpenAPI document is accurate: schemathesis makes requests from it and judges the answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.hub.conftest import OPERATOR, Hub, HubProcess
from tests.hub.scene import play


def test_the_document_names_every_contract_it_speaks(hub: Hub) -> None:
    document = hub.get("/openapi.json")
    schemas = document["components"]["schemas"]  # type: ignore[index]
    assert {"SyncRequest", "SyncReply", "EnrolRequest", "NonceReply", "ErrorReply", "Summary"} <= set(schemas)
    assert "HTTPValidationError" not in str(document)


def test_schemathesis_finds_nothing(hub_process: Callable[[], HubProcess], tmp_path: Path) -> None:
    hub = hub_process()
    play(hub)
    rules = Path(__file__).parent / "schemathesis.toml"
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(rules)]
    command += ["run", f"{hub.url}/openapi.json", "--checks", "all", "--max-examples", "5", "--seed", "1", "--no-color"]
    done = subprocess.run(
        [*command, "-H", f"Authorization: Bearer {OPERATOR}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert hub.client.get("/healthz").status_code == 200
