"""The agent as a service: a unit that systemd takes, for the paths, users and groups of this computer."""

from __future__ import annotations

import grp
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wayside.edge import agent_verb, service
from wayside.edge.cli import doctor, node
from wayside.edge.configuration import arguments
from wayside.edge.service import UNIT, Service, unit_text
from wayside.systemd import UnitError, install, this_command, uninstall

ROOT = Path(__file__).parents[2]
CARD = Service(Path("/etc/wayside/node.toml"), Path("/var/lib/wayside"), ("/opt/wayside/bin/wayside",), user="root")
FILE = 'node = "n"\nstate_dir = "/var/lib/wayside"\n'


def lines(made: Service) -> list[str]:
    return unit_text(made).splitlines()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that a service can see: pytest's own is below /tmp."""
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        yield Path(folder)


def test_for_a_card_it_is_the_unit_that_cards_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_has_group", lambda name: True)
    stock = (ROOT / "edge" / UNIT.name).read_text()
    assert unit_text(CARD) == stock.replace("User=wayside", "User=root")


def test_the_program_is_named_by_what_outlives_an_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versioned = tmp_path / "venvs/1.0/bin"
    versioned.mkdir(parents=True)
    (versioned / "wayside").touch()
    monkeypatch.setattr(sys, "executable", str(versioned / "python"))
    assert this_command() == (str(versioned / "wayside"),)
    (tmp_path / "wayside").symlink_to(tmp_path / "venvs/1.0")
    assert this_command(tmp_path / "wayside/bin/wayside") == (str(tmp_path / "wayside/bin/wayside"),)


def test_only_groups_that_exist_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_has_group", lambda name: name == "dialout")
    assert "SupplementaryGroups=dialout" in lines(CARD)
    monkeypatch.setattr(service, "_has_group", lambda name: False)
    assert not any(line.startswith("SupplementaryGroups") for line in lines(CARD))


def test_a_state_folder_and_a_program_elsewhere_can_be_reached() -> None:
    made = CARD._replace(state_dir=Path("/srv/it 50%/state"), command=("/home/pi/venv/bin/wayside",))
    assert 'ReadWritePaths="/srv/it 50%%/state"' in lines(made)
    assert "ProtectHome=read-only" in lines(made)
    assert not any(line.startswith("StateDirectory") for line in lines(made))
    assert "ExecStart=/home/pi/venv/bin/wayside agent run /etc/wayside/node.toml" in lines(made)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"user": "no-such-user"}, "useradd --system"),
        ({"user": "root\nExecStart=/bin/sh"}, "no name of a user"),
        ({"group": "no-such-group"}, "no group no-such-group"),
        ({"config": Path("/tmp/node.toml")}, "/tmp of its own"),
        ({"config": Path("/etc/a\nb.toml")}, "no such path"),
    ],
)
def test_what_a_service_cannot_have_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(UnitError, match=said):
        unit_text(CARD._replace(**change))  # type: ignore[arg-type]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="apt-get install systemd verifies units here")
@pytest.mark.parametrize(
    "change", [{}, {"state_dir": Path("/srv/a b 5%$/s")}, {"command": (sys.executable, "-m", "wayside")}]
)
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path, change: dict[str, object]) -> None:
    made = CARD._replace(**({"command": ("/bin/true",)} | change))  # type: ignore[arg-type]
    (tmp_path / UNIT.name).write_text(unit_text(made))
    first = (ROOT / "firmware_bridge/first_boot/wayside-first-boot.service").read_text()
    program = "/usr/local/sbin/wayside-first-boot"
    (tmp_path / "wayside-first-boot.service").write_text(first.replace(program, "/bin/true"))
    for unit in ("wayside-first-boot.service", UNIT.name):
        done = subprocess.run(
            ["systemd-analyze", "verify", tmp_path / unit],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        )
        ours = [line for line in done.stderr.splitlines() if "wayside" in line]
        assert (done.returncode, ours) == (0, []), done.stderr


def test_systemd_would_find_a_mistake(tmp_path: Path) -> None:
    """Or else the test above could not fail."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("apt-get install systemd verifies units here")
    (tmp_path / UNIT.name).write_text(unit_text(CARD._replace(command=("/no/such/program",))))
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / UNIT.name], capture_output=True, check=False)
    assert done.returncode != 0


def test_it_is_installed_once_brought_up_to_date_and_taken_away(tmp_path: Path) -> None:
    assert install(UNIT, unit_text(CARD), tmp_path)
    assert not install(UNIT, unit_text(CARD), tmp_path)
    assert install(UNIT, unit_text(CARD._replace(group="root")), tmp_path)
    assert "Group=root" in (tmp_path / UNIT.name).read_text()
    assert uninstall(UNIT, tmp_path)
    assert not uninstall(UNIT, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_anothers_unit_of_the_name_stays(tmp_path: Path) -> None:
    (tmp_path / UNIT.name).write_text("[Service]\nExecStart=/bin/true\n")
    with pytest.raises(UnitError, match="another kind"):
        install(UNIT, unit_text(CARD), tmp_path)
    with pytest.raises(UnitError, match="it stays"):
        uninstall(UNIT, tmp_path)
    assert (tmp_path / UNIT.name).exists()


def test_the_verb_says_what_to_type_next_and_a_dry_run_writes_nothing(place: Path, tmp_path: Path) -> None:
    config = place / "node.toml"
    config.write_text(FILE)
    config.chmod(0o644)
    words = ["install-service", str(config), "--user", "root", "--folder", str(tmp_path)]
    shown = CliRunner().invoke(node, [*words, "--dry-run"])
    assert (shown.exit_code, list(tmp_path.iterdir())) == (0, [])
    assert f"agent run {config}" in shown.stdout
    done = CliRunner().invoke(node, words)
    assert done.exit_code == 0, done.output
    assert (tmp_path / UNIT.name).read_text() == shown.stdout
    assert "sudo systemctl enable wayside-agent" in done.stdout
    again = CliRunner().invoke(node, words)
    assert "was so already" in again.stdout
    gone = CliRunner().invoke(node, ["install-service", "--folder", str(tmp_path), "--uninstall"])
    assert (gone.exit_code, list(tmp_path.iterdir())) == (0, [])


def test_a_file_that_the_agent_may_not_read_is_told(place: Path) -> None:
    config = place / "node.toml"
    config.write_text(FILE)
    config.chmod(0o600)
    made = Service(config, Path("/var/lib/wayside"), ("/bin/true",), user="nobody")
    group = grp.getgrgid(service.pwd.getpwnam("nobody").pw_gid).gr_name
    assert any(f"sudo chgrp {group} {config}" in doubt for doubt in service.doubts(made))


# --- the file that no verb needs to be told -------------------------------------------------------------


def test_without_a_file_on_the_command_line_the_one_of_a_card_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "node.toml"
    path.write_text(FILE.replace("/var/lib/wayside", str(tmp_path / "state")))
    monkeypatch.setattr(arguments, "DEFAULT", path)
    assert f"{path} is a valid configuration" in CliRunner().invoke(node, ["check"]).stdout
    assert "no agent has run" in CliRunner().invoke(node, ["status"]).stderr
    monkeypatch.setattr(agent_verb, "NODE_FILE", str(path))
    loaded = agent_verb._plain(["run"])
    assert loaded is not None
    assert loaded.config.node == "n"


@pytest.mark.parametrize(("app", "words"), [(node, ["check"]), (node, ["why"]), (doctor, [])])
def test_where_there_is_none_the_command_line_was_wrong(
    app: object, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arguments, "DEFAULT", tmp_path / "none.toml")
    done = CliRunner().invoke(app, words)  # type: ignore[arg-type]
    assert done.exit_code == 2
    assert "CONFIG" in done.stderr
