"""The hub as a service: a unit that systemd takes, shut in as far as a hub allows, for what `hub run` is to be told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.simulators.verb import typed
from wayside.cloud.hub.service import UNIT, Service, unit_text
from wayside.systemd import UnitError

ROOT = Path(__file__).parents[2]
STOCK = Service(Path("/var/lib/wayside-hub"), ("/opt/wayside/bin/wayside",), user="root")
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="apt-get install systemd verifies units here"
)


def test_the_stock_unit_is_what_stands_in_the_package() -> None:
    stock = (ROOT / "cloud/hub" / UNIT.name).read_text()
    assert unit_text(STOCK) == stock.replace("User=wayside-hub", "User=root")


def test_other_places_and_low_ports_are_allowed_and_no_more() -> None:
    lines = unit_text(
        STOCK._replace(data=Path("/srv/hub 50%"), options=("--port", "443", "--host", "::"), port=443)
    ).splitlines()
    assert 'ReadWritePaths="/srv/hub 50%%"' in lines
    assert not any(line.startswith("StateDirectory") for line in lines)
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in lines
    assert any(line.endswith("--port 443 --host ::") for line in lines)
    assert not any(line.startswith("AmbientCapabilities") for line in unit_text(STOCK).splitlines())
    with pytest.raises(UnitError, match="/tmp of its own"):
        unit_text(STOCK._replace(data=Path("/tmp/hub")))


@needs_systemd
@pytest.mark.parametrize("change", [{}, {"data": Path("/srv/a b 5%$/d"), "options": ("--port", "443"), "port": 443}])
def test_systemd_finds_nothing_wrong_with_it_and_little_exposed(tmp_path: Path, change: dict[str, object]) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(unit_text(STOCK._replace(command=("/bin/true",), **change)).replace("User=root\n", "User=daemon\n"))
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "wayside" in line]) == (0, []), done.stderr
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=30", unit],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert judged.returncode == 0, judged.stdout


def test_the_verb_tells_wrong_options_of_hub_run_and_writes_nothing_in_a_dry_run(tmp_path: Path) -> None:
    words = ["hub", "install-service", "--user", "root", "--folder", tmp_path]
    shown = typed(*words, "--dry-run", "--", "--port", "9000")
    assert (shown.status, list(tmp_path.iterdir())) == (0, []), shown.err
    assert "hub run --data /var/lib/wayside-hub --port 9000" in shown.out
    wrong = typed(*words, "--", "--prot", "9000")
    assert (wrong.status, list(tmp_path.iterdir())) == (2, [])
    assert "--prot" in wrong.err
    done = typed(*words, "--json")
    assert json.loads(done.out)["changed"] is True, done.err
    assert (tmp_path / UNIT.name).read_text() == json.loads(done.out)["unit"]
    assert typed(*words, "--uninstall").status == 0
    assert list(tmp_path.iterdir()) == []
