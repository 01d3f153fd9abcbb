"""What `wayside node check` passes is a file from which an agent can be made, whatever was written into it."""

from __future__ import annotations

import copy
import json
import math
import random
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.domain_pages import PLACE, small
from tests.simulators.base_image import ROOT_JSON
from wayside.contracts.mistakes import Place, spelled
from wayside.edge.agent import Agent
from wayside.edge.configuration.check import Checked, check_file
from wayside.edge.status import LOCK_FILE, OUTBOX_FILE
from wayside.firmware_bridge.errors import ImageError
from wayside.firmware_bridge.image.files import STATE_DIR, node_file

ROOT = Path(__file__).parents[2]
FEED = """
[manual]
port = 8040
wait_s = 600
[[manual.values]]
datastream = "ed/arrivals"
unit = "{pat}"
kind = "events"
[[manual.files]]
path = "arrivals.csv"
columns = { n = "ed/arrivals" }
id = "k"
time_format = "%d.%m.%Y %H:%M"
timezone = "Europe/Vienna"
"""


def shipped() -> dict[str, dict[str, Any]]:
    """Every whole file of a node that the docs, the demo, the package and the tests of old forms have."""
    texts = {p.stem: p.read_text() for p in (ROOT / "tests" / "golden" / "old_node_form").glob("*.toml")}
    texts["package"] = (ROOT / "wayside" / "distribution" / "agent" / "node.toml").read_text()
    texts["page"] = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "node.md").read_text(), re.DOTALL)[0]
    texts |= {node.name: node.config(PLACE) for node in small()}
    texts["fed"] = f'node = "fed"\nstate_dir = "state"\n{FEED}'
    return {name: tomllib.loads(text) for name, text in texts.items()}


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(k, ensure_ascii=False)} = {toml(v)}' for k, v in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value) if isinstance(value, (str, bool, int, float)) else value.isoformat()


def written(folder: Path, raw: dict[str, Any]) -> Path:
    path = folder / "node.toml"
    path.write_text("".join(f"{json.dumps(k)} = {toml(v)}\n" for k, v in raw.items()))
    return path


def at_home(raw: dict[str, Any]) -> dict[str, Any]:
    """As it stands in a folder of the test's, beside its trust root."""
    raw = copy.deepcopy(raw) | {"state_dir": "state"}
    if "hub" in raw:
        raw["hub"].pop("ca", None)
        raw["hub"]["token"] = "t" * 43
        raw["model"] = raw.get("model", {}) | {"tuf_root": "root.json"}
    return raw


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every key and element."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from places(inner, (*place, key))


NUMBERS = [-1, 0, 1, 3, 1e-9, 0.5, 47.5, 65536, 2**31, 2**63 - 1, 1e300, -1e300, math.nan, math.inf]
TEXTS = [
    "", " ", "x", "x" * 300, "../..", "/dev/null/x", "taken", "taken/below", "dangling", "/proc/self/mem", "a\0b", "~",
    "~nobody-of-that-name/x", "America", "Mars/Olympus", "zone.tab", "%d.%m.%Y", "%d %d", "%Q", "%H:%M", "%c", "auto",
    "http://h:80000", "https://ü.example", "socks5://h", "http://[::1", "none", "2027-02-30", "25:00", "none such",
    "loop://", "tcp://", "tcp://h:0", "rfc2217://h", "*.tty", "[", "\ud7ff", "{veh}", "kW",
]  # fmt: skip


def hostile(value: Any, draw: random.Random) -> Any:
    """Another value for ``value``: most often of its own kind."""
    kind = draw.random()
    if kind < 0.1:
        return draw.choice([[], {}, [[]], {"a": 1}, True, "3", 3, -0.5, [value, value], {"x": value}])
    if isinstance(value, bool):
        return draw.choice([not value, 0, "true"])
    if isinstance(value, (int, float)):
        return draw.choice([*NUMBERS, -value, value * 1000, value + 1, value / 7])
    if isinstance(value, str):
        return draw.choice([*TEXTS, value * 40, value.upper(), value + " "])
    if isinstance(value, list):
        return draw.choice([value[:-1], value + value[-1:], value[::-1], value * 200])
    return {k: v for k, v in value.items() if draw.random() < 0.8} if isinstance(value, dict) else "x"


def changed(raw: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(raw)
    inner: Any = raw
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return raw


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "root.json").write_bytes(ROOT_JSON)
    (tmp_path / "taken").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    return tmp_path


def start(path: Path) -> None:
    """What ``agent run`` does before the first port is opened."""
    from wayside.contracts.node_config import read_node_config
    from wayside.text import read_toml

    Agent(read_node_config(read_toml(path)).config, path.parent).close()


FILES = {name: at_home(raw) for name, raw in shipped().items()}
CHANGES = 100  # of single values
BESIDE_THE_FILE = {"$.model.tuf_root", "$.hub.ca"}  # a card brings its own


def any_change(draw: random.Random, files: dict[str, dict[str, Any]] = FILES) -> tuple[str, Place, Any]:
    """One value of one file, and what stands there instead."""
    name = draw.choice(sorted(files))
    place = draw.choice(list(places(files[name])))
    value: Any = files[name]
    for key in place:
        value = value[key]
    return name, place, hostile(value, draw)


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_file_passes_and_starts(name: str, folder: Path) -> None:
    path = written(folder, FILES[name])
    assert check_file(path).mistakes == ()
    start(path)


def test_a_file_with_any_value_is_refused_by_its_key_or_starts(folder: Path) -> None:
    draw = random.Random(20271129)
    started = 0
    for _ in range(CHANGES):
        name, place, value = any_change(draw)
        path = written(folder, changed(FILES[name], place, value))
        checked = check_file(path)
        if checked.ok:
            start(path)
            shutil.rmtree(folder / "state", ignore_errors=True)
            started += 1
        else:
            assert checked.mistakes, (name, place, value)
    assert CHANGES / 10 < started < CHANGES, "some changes are harmless, some are not"


def test_of_two_wrong_values_none_hides_the_other(folder: Path) -> None:
    draw = random.Random(20271130)
    pairs = 0
    while pairs < CHANGES / 6:
        name, place, value = any_change(draw)
        others = [p for p in places(FILES[name]) if p[:1] != place[:1]]
        if not others:
            continue
        beside = draw.choice(others)
        both = [(place, value), (beside, [[{"no": "such"}]])]
        told = [fields(check_file(written(folder, changed(FILES[name], *one)))) for one in both]
        if not all(told):
            continue
        raw = changed(changed(FILES[name], *both[0]), *both[1])
        together = fields(check_file(written(folder, raw)))
        for (place_of_one, _), alone in zip(both, told, strict=True):
            own = {f for f in alone if f.startswith(spelled(place_of_one[:1]))}
            assert not own or own & together, (name, both, alone, together)
        pairs += 1


def test_no_card_is_made_of_a_file_that_a_check_refuses(folder: Path) -> None:
    draw = random.Random(20271201)
    at_hub = {name: raw | {"state_dir": STATE_DIR} for name, raw in FILES.items() if "hub" in raw}
    for raw in at_hub.values():
        node_file(written(folder, raw).read_text(), "node.toml")
    refused = 0
    for _ in range(CHANGES // 2):
        name, place, value = any_change(draw, at_hub)
        path = written(folder, changed(at_hub[name], place, value))
        mistakes = check_file(path, python=(3, 11)).mistakes
        if mistakes and not {field for field, _ in mistakes} <= BESIDE_THE_FILE:
            refused += 1
            with pytest.raises(ImageError):
                node_file(path.read_text(), "node.toml")
    assert refused > CHANGES / 10
    wrong = at_hub["mast"]["tasks"][0]["settings"] | {"threshold": "much"}
    path = written(folder, changed(at_hub["mast"], ("tasks", 0, "settings"), wrong))
    with pytest.raises(ImageError, match=r"settings\.threshold"):
        node_file(path.read_text(), "node.toml")


def fields(checked: Checked) -> set[str]:
    return {field for field, _ in checked.mistakes}


# --- single rules -----------------------------------------------------------------------------------------------------


def check(folder: Path, text: str) -> dict[str, str]:
    path = folder / "node.toml"
    path.write_text(f'node = "n"\n{text}' if "state_dir" in text else f'node = "n"\nstate_dir = "state"\n{text}')
    return dict(check_file(path).mistakes)


@pytest.mark.parametrize(
    ("form", "rule"),
    [
        ("%Q", "strptime reads"),
        ("%d.%m.%Y %d", "strptime reads"),
        ("%F %T", "strptime reads"),
        ("%", "strptime reads"),
        ("%d.%m. %H:%M", "no whole date"),
        ("%H:%M", "no whole date"),
        ("%d.%m.%Y", "no time of day"),
        ("%d.%m.%Y %I:%M", "%I needs %p"),
        ("%d.%m.%Y %H", "no time of day"),
        ("%c", "in each language"),
        ("%Y-%m-%d %H:%M %Z", "write %z"),
    ],
)
def test_a_form_of_a_time_is_tried_and_means_one_moment(form: str, rule: str, folder: Path) -> None:
    told = check(folder, FEED.replace("%d.%m.%Y %H:%M", form))
    assert rule in told.pop("$.manual.files[0].time_format")
    assert not told


@pytest.mark.parametrize(
    "form", ["%d.%m.%Y %H:%M", "%Y-%m-%dT%H:%M:%S%z", "%m/%d/%y %I:%M %p", "%Y%m%d%H%M", "%j %Y %H.%M", "100 %% %c%c"]
)
def test_a_form_that_means_one_moment_is_taken(form: str, folder: Path) -> None:
    told = check(folder, FEED.replace("%d.%m.%Y %H:%M", form))
    assert bool(told) == ("%c" in form)


def test_a_days_total_needs_no_time_of_day(folder: Path) -> None:
    text = FEED.replace(" %H:%M", "").replace('"events"', '"totals"')
    assert "no time of day" in check(folder, text + "interval_s = 3600\n")["$.manual.files[0].time_format"]
    assert check(folder, text + "interval_s = 86400\n") == {}


def test_a_state_folder_that_cannot_be_written_or_is_taken_is_refused(folder: Path) -> None:
    refused = {
        "taken/below": "is a file",
        "dangling": "link that leads nowhere",
        "x" * 300: "too long",
        "/proc/self/mem/x": "is a file",
    }
    for text, rule in refused.items():
        assert rule in check(folder, f'state_dir = "{text}"\n')["$.state_dir"]
    (folder / "state").mkdir()
    assert check(folder, "") == {}
    (folder / "state" / LOCK_FILE).mkdir()
    assert LOCK_FILE in check(folder, "")["$.state_dir"]


def test_a_state_folder_of_which_only_another_user_may_write_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests may run as root, who may write everywhere: the kernel's answer is the one thing that is made up."""
    (folder / "state").mkdir()
    (folder / "state" / OUTBOX_FILE).write_bytes(b"")
    writable: set[Path] = set()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) in writable)
    assert "may not be written by the user" in check(folder, "")["$.state_dir"]
    writable.add(folder / "state")
    assert OUTBOX_FILE in check(folder, "")["$.state_dir"]
    writable.add(folder / "state" / OUTBOX_FILE)
    assert check(folder, "") == {}
    text = 'state_dir = "/var/lib/no-such-node"\n'
    assert check(folder, text) == {}, "systemd makes it"
    assert any("StateDirectory=" in hint for hint in check_file(folder / "node.toml").hints)
    assert "may not be written" in check(folder, 'state_dir = "/usr/no-such-node"\n')["$.state_dir"]
    path = folder / "node.toml"
    assert check_file(path, python=(3, 11)).mistakes == (), "another computer's folders are not this one's"


def test_a_file_in_place_of_a_folder_and_a_folder_in_place_of_a_file_are_refused(folder: Path) -> None:
    camera = '[[cameras]]\nname = "c"\nafter = "keep"\nfolder = "{}"\n'
    assert "is a file" in check(folder, camera.format("taken"))["$.cameras[0].folder"]
    assert check(folder, camera.format("pictures")) == {}
    assert check(folder, FEED) == {}, "a file that is not there yet may come"
    (folder / "arrivals.csv").mkdir()
    assert "is a folder" in check(folder, FEED)["$.manual.files[0].path"]


def test_values_without_bounds_of_their_own_have_those_of_their_unit(folder: Path) -> None:
    analog = "[board]\nport = '/dev/x'\n[[analog]]\nchannel = 1\ndatastream = 't'\nunit = 'Cel'\n"
    assert check(folder, analog + "scale = 0.1\noffset = -40\n") == {}
    assert (
        "reads 1e+06 to 2.023e+06, none of which"
        in check(folder, analog + "scale = 1000\noffset = 1e6\n")["$.analog[0]"]
    )
    assert "nothing is within" in check(folder, analog + "low = 9000\n")["$.analog[0]"]
    gauge = FEED.replace('"events"', '"gauge"').replace("{pat}", "Cel")
    assert check(folder, gauge) == {}
    assert "nothing is within" in check(folder, gauge.replace('"gauge"', '"gauge"\nlow = 1e6'))["$.manual.values[0]"]


def test_a_set_points_number_of_a_manual_is_hinted_at_like_a_registers(folder: Path) -> None:
    line = "[modbus]\nport = '/dev/x'\n"
    heater = "[[actuators]]\nkind = 'setpoint'\nname = 'h'\nlow = 0\nhigh = 1\nsafe = 0\n"
    assert check(folder, f"{line}{heater}register = {{ device = 1, table = 'holding', address = 40002 }}\n") == {}
    assert check_file(folder / "node.toml").hints == (
        '$.actuators[0].register.address: if 40002 is the manual\'s number, write address = 1, table = "holding"',
    )
