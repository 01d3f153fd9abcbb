"""A node's file: every mistake at once and in its place, whatever the text is."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from wayside.contracts.node_check import checked_node_config, obstacles
from wayside.contracts.node_config import NodeConfig, load_node_config, read_node_config
from wayside.contracts.wire import ContractError

DOCS = Path(__file__).parents[2] / "docs" / "node.md"
DOCUMENTED = re.search(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]  # type: ignore[index]
OLD = sorted((Path(__file__).parents[1] / "golden" / "old_node_form").glob("*.toml"))
MINIMAL = 'node = "n1"\nstate_dir = "/tmp/n1"\n'
BOARD = '[board]\nport = "/dev/ttyUSB0"\n'
DETECTOR = '[[detectors]]\nchannel = 1\ndatastream = "a"\n'
TASK = '[[tasks]]\nname = "t"\nbundle = "b"\nsites = [{ output = "a" }]\n'


def mistakes(text: str | bytes, read: Callable[[str | bytes], object] = load_node_config) -> dict[str, str]:
    """Field → rule."""
    with pytest.raises(ContractError) as refusal:
        read(text)
    return dict(refusal.value.mistakes)


def test_a_minimal_configuration_takes_its_defaults_from_the_contract() -> None:
    config = load_node_config(MINIMAL)
    assert config == NodeConfig(node="n1", state_dir="/tmp/n1")
    assert config.model.runtime == "auto"


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        ("node = 1\n", "$.node", "is text, not a whole number"),
        (MINIMAL + "nonsense = 1\n", "$.nonsense", "unknown"),
        (MINIMAL + "[clok]\nspeed = 0\n", "$.clok", "is clock meant?"),
        (MINIMAL + "[clock]\nspeed = 0\n", "$.clock.speed", "is a number > 0"),
        (MINIMAL + "[clock]\nspeed = nan\n", "$.clock.speed", "is a number"),
        (MINIMAL + "[model]\nruntime = 'magic'\n", "$.model.runtime", "tflite-runtime, ai-edge-litert, not 'magic'"),
        (MINIMAL + DETECTOR, "$.detectors", "[board]"),
        (MINIMAL + '[model]\ntuf_root = "\\u0000"\n', "$.model.tuf_root", "is no path: it holds a NUL"),
        (MINIMAL + "extra = { a = 1 }\n", "$.extra", "unknown"),
        ("node = \n", "$", "TOML"),
        ("node = " + "9" * 5000, "$", "TOML"),
        ("a = " + "[" * 5000, "$", "TOML"),
        (MINIMAL + TASK, "$.tasks[0].sites[0].output", "no source of this file gives a; it has none"),
        (MINIMAL + TASK + "actuator = 'x'\n", "$.tasks[0].actuator", "is for a policy"),
        (MINIMAL + TASK + "policy = 'x'\n", "$.tasks[0].policy", "needs an actuator"),
        (MINIMAL + TASK + "policy = 'x'\nactuator = 'y'\n", "$.tasks[0].actuator", "is no actuator of this file"),
        (MINIMAL + TASK + "step_s = 7\n", "$.tasks[0]", "multiple of step_s"),
        (MINIMAL + TASK + "inputs = { hour = 'a' }\n", "$.tasks[0].inputs.hour", "the node makes hour itself"),
        (MINIMAL + "[calendar]\nholiday = [2027-02-30]\n", "$", "TOML"),
        (MINIMAL + "[calendar]\nholiday = ['2027-02-30']\n", "$.calendar.holiday[0]", "no date"),
        (MINIMAL + "[calendar]\nhour = []\n", "$.calendar.hour", "makes itself"),
        (MINIMAL + "[[sums]]\nname = 's'\nof = ['a']\n", "$.sums[0].of[0]", "no source"),
        (MINIMAL + "[[actuators]]\nname = 'x'\n", "$.actuators[0]", "misses kind, one of signal, setpoint, notice"),
        (MINIMAL + "[[actuators]]\nkind = 3\n", "$.actuators[0].kind", "is one of signal"),
        (MINIMAL + "detectors = 3\n", "$.detectors", "is a list, not a whole number"),
        (MINIMAL + BOARD + DETECTOR + "lanes = 2\n" + TASK, "$.detectors[0].lanes", "constants = { lanes = 2 }"),
    ],
)
def test_a_mistake_is_named_by_its_field_and_the_rule(text: str, field: str, rule: str) -> None:
    assert rule in mistakes(text)[field]


def test_all_mistakes_of_a_file_are_named_at_once() -> None:
    text = (
        'node = "n 1"\nstate_dir = "s"\nnonsense = 1\n[board]\nport = "/dev/x"\nbaud = 5\n[hub]\nurl = 3\n'
        + DETECTOR
        + "chanel = 2\n"
        + DETECTOR.replace('"a"', '"b"')
        + TASK
        + TASK.replace('"a"', '"c"')
        + "[[sums]]\nname = 's'\nof = ['t']\n"
    )
    assert set(mistakes(text)) == {
        "$.node",
        "$.nonsense",
        "$.board.baud",
        "$.hub.url",
        "$.detectors[0].chanel",
        "$.tasks[1].name",  # the rules between the sections that are right are asked, too
        "$.tasks[1].bundle",
    }


def test_a_rule_that_compares_a_broken_section_proves_nothing_and_is_not_asked() -> None:
    told = mistakes(MINIMAL + BOARD + DETECTOR.replace("1", "300") + TASK + "policy = 'p'\nactuator = 'x'\n")
    assert set(told) == {"$.detectors[0].channel", "$.tasks[0].actuator"}


@pytest.mark.parametrize(
    ("encoded", "rule"),
    [
        (MINIMAL.encode("utf-16-le"), "UTF-16"),
        (MINIMAL.encode() + "# Zürich".encode("latin-1"), "line 3: 'ü' is not written in UTF-8"),
    ],
)
def test_a_file_of_another_encoding_is_told_so(encoded: bytes, rule: str) -> None:
    assert rule in mistakes(encoded)["$"]


@pytest.mark.parametrize("text", ["\ufeff" + MINIMAL, MINIMAL.replace("\n", "\r\n"), MINIMAL])
def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(text: str) -> None:
    assert load_node_config(text.encode()) == load_node_config(text) == load_node_config(MINIMAL)
    assert load_node_config(text.removeprefix("\ufeff").encode("utf-16")) == load_node_config(MINIMAL)


def test_a_date_of_the_calendar_is_a_date_or_text() -> None:
    text = MINIMAL + '[calendar]\nholiday = [2027-01-01, "2027-12-25"]\n'
    assert load_node_config(text).calendar == {"holiday": ("2027-01-01", "2027-12-25")}


# --- what cannot work ------------------------------------------------------------------------------------------------


def test_the_documented_example_can_work() -> None:
    assert list(obstacles(load_node_config(DOCUMENTED), (3, 13))) == []


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        (BOARD + "identity = 'WS-000001'\n", "$.board.identity", "1 to 8 printable ASCII characters"),
        (BOARD + "identity = 'WS-é'\n", "$.board.identity", "printable ASCII"),
        ("[hub]\nurl = 'http://h:99999'\n", "$.hub.url", "a number from 1 to 65535, not 99999"),
        ("[hub]\nurl = 'http://'\n", "$.hub.url", "nothing is no name"),
        ("[hub]\nurl = 'ftp://x'\n", "$.hub.url", "https://"),
        ("[hub]\nurl = 'hub.example:8000'\n", "$.hub.url", "begins with https:// or http://"),
        ("[hub]\nurl = 'http://::1:18415'\n", "$.hub.url", "in brackets, such as http://[::1]"),
        ("[hub]\nurl = 'http://h'\nproxy = 'ftp://p'\n", "$.hub.proxy", "none of ftp"),
        ("[hub]\nurl = 'http://:80'\n", "$.hub.url", "nothing is no name"),
        ("[hub]\nurl = 'http://xn--a.example'\n", "$.hub.url", "is no name"),
        ("[hub]\nurl = 'http://xn--ö.example'\n", "$.hub.url", "printable ASCII"),
        ("[hub]\nurl = 'http://h?x=1'\n", "$.hub.url", "no ? and no #"),
        ("[hub]\nurl = 'http://me:secret@h'\n", "$.hub.url", "holds a user's name"),
        ("[model]\nruntime = 'tflite-runtime'\n", "$.model.runtime", "no wheel for Python 3.13, 3.11 is the last"),
        ('[model]\ntuf_root = " "\n', "$.model.tuf_root", "is no path"),
        ("[hub]\nurl = 'http://x'\nca = 'x'\n", "$.hub.ca", "begins with https:"),
        (
            "[[actuators]]\nkind = 'setpoint'\nname = 'h'\nregister = { device = 1, address = 1 }\nlow = 0\nhigh = 1\n"
            "safe = 0\n",
            "$.actuators[0]",
            "a register needs a [modbus] line",
        ),
        (
            "[signal]\ncycle_s = 90\n[[signal.phases]]\nphase = 2\ngreen_s = 84\nmin_green_s = 5\nmax_green_s = 85\n"
            "yellow_s = 4\nred_clearance_s = 2\n",
            "$.signal",
            "a signal needs a [board]",
        ),
    ],
)
def test_what_no_node_can_do_is_refused_by_a_check_and_started_by_an_agent(text: str, field: str, rule: str) -> None:
    load_node_config(MINIMAL + text)
    assert rule in mistakes(MINIMAL + text, lambda t: checked_node_config(t, (3, 13)))[field]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc", "", "America", "zone.tab", "\\u0000", "UTC\\n"])
def test_a_time_zone_is_one_that_the_clock_can_open(zone: str) -> None:
    assert "no time zone" in mistakes(f'{MINIMAL}[clock]\ntimezone = "{zone}"\n')["$.clock.timezone"]


def test_the_older_spelling_of_a_byte_order_is_read_and_the_letters_are_told() -> None:
    register = "[modbus]\nport = '/dev/x'\n[[modbus.registers]]\ndevice = 1\naddress = 0\ndatastream = 'm'\n"
    heater = "[[actuators]]\nkind = 'setpoint'\nname = 'h'\nlow = 0\nhigh = 1\nsafe = 0\n"
    target = "register = { device = 1, table = 'holding', address = 9, byte_order = 'little' }\n"
    text = f"{MINIMAL}{register}type = 'float32'\nword_order = 'little'\n{heater}{target}"
    assert read_node_config(text).hints == (
        '$.modbus.registers[0].word_order: is the older spelling: write byte_order = "CDAB", and no word_order',
        '$.actuators[0].register.byte_order: is the older spelling: write byte_order = "BADC", and no word_order',
    )
    assert read_node_config(text.replace("word_order = 'little'", "byte_order = 'CDAB'")).hints[1:] == ()


def test_a_mistake_hides_none_of_what_cannot_work_in_other_sections_or_beside_it() -> None:
    text = f"{MINIMAL}[board]\nport = 'x'\nbaud = 1\nidentity = 'far too long'\n[hub]\nurl = 'ftp://x'\nsync = 3\n"
    told = mistakes(text, checked_node_config)
    assert set(told) == {"$.board.baud", "$.board.identity", "$.hub.sync", "$.hub.url"}
    heater = "[[actuators]]\nkind = 'setpoint'\nname = 'h'\nlow = 0\nhigh = 1\nsafe = 0\n"
    text = f"{MINIMAL}{heater}register = {{ device = 1, address = 9 }}\n[modbus]\nport = 3\n"
    assert set(mistakes(text, checked_node_config)) == {"$.modbus.port"}, "whether there is a line is not known"


def test_a_hubs_name_may_have_other_letters_as_dns_spells_them() -> None:
    config = checked_node_config(MINIMAL + "[hub]\nurl = 'https://xn--zrich-kva.example:8443/x'\n").config
    assert config.hub is not None
    assert httpx.URL(config.hub.url).host == "zürich.example"


def test_a_runtime_is_judged_by_the_nodes_python() -> None:
    text = MINIMAL + "[model]\nruntime = 'tflite-runtime'\n"
    assert checked_node_config(text, (3, 11)).config == checked_node_config(text).config


@given(st.one_of(st.from_regex(r"https?://[a-z0-9.:@\[\]/%?#_~-]{1,20}", fullmatch=True), st.text(max_size=20)))
@example("http://[::1]:80/x")
@example("http://a..b")
def test_a_hubs_url_that_passes_is_one_that_the_client_can_use(url: str) -> None:
    try:
        config = msgspec.convert({"node": "n", "state_dir": "s", "hub": {"url": url}}, NodeConfig)
    except msgspec.ValidationError:
        return
    assume("xn--" not in url.lower())
    if not list(obstacles(config)):
        assert httpx.URL(url).host


# --- any text --------------------------------------------------------------------------------------------------------

TEXTS = [DOCUMENTED, *[p.read_text() for p in OLD]]
PIECES = [
    "0", "-1", "1e400", "nan", "inf", "9" * 30, "''", '"x"', '"\\u0000"', "[]", "{}", "[[]]", "true", "2027-01-01",
    "12:00:00", "{ a = 1 }", "[{}]", '["a", "a"]', "[1]", "[[tasks]]", "[task]", "[signal]", "[hub]", "[[sums]]",
    "[[detectors]]", "[detectors]", "phase = 3", "lanes = []", "max_per_interval = 1", "name = 3", "kind = {}",
    "calendar = 3", "sums = 3", "tasks = {}", "actuators = [3]", "settings = 3", "sites = [[]]", "rows_s = 1.5", "=",
]  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A real file with lines dropped, doubled, swapped, and values and keys replaced."""
    lines = draw(st.sampled_from(TEXTS)).splitlines()
    for _ in range(draw(st.integers(1, 6))):
        i = draw(st.integers(0, len(lines) - 1))
        act = draw(st.integers(0, 5))
        if act == 0 and len(lines) > 1:
            del lines[i]
        elif act == 1:
            lines.insert(i, lines[draw(st.integers(0, len(lines) - 1))])
        elif act == 2:
            lines.insert(i, draw(st.sampled_from(PIECES)))
        elif act == 3 and "=" in lines[i]:
            lines[i] = lines[i].split("=")[0] + "= " + draw(st.sampled_from(PIECES))
        elif act == 4 and "=" in lines[i]:
            lines[i] = draw(st.text("abcdeklnpst_-. ", min_size=1, max_size=8)) + "=" + lines[i].split("=", 1)[1]
        else:
            lines[i] = draw(st.text(max_size=12))
    return "\n".join(lines) + "\n"


@settings(deadline=None)
@given(texts())
def test_any_text_is_a_configuration_or_a_refusal_whose_fields_stand_in_the_text(text: str) -> None:
    try:
        loaded = read_node_config(text)
    except ContractError as refusal:
        assert (refusal.field, refusal.rule) == refusal.mistakes[0]
        assert len(set(refusal.mistakes)) == len(refusal.mistakes)
        for field, rule in refusal.mistakes:
            assert rule
            assert stands(field, text), field
        return
    for obstacle in obstacles(loaded.config, (3, 13)):
        assert obstacle.rule
        loaded.as_written(obstacle.place)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_a_refusal(data: bytes) -> None:
    with pytest.raises(ContractError):
        load_node_config(data)


def stands(field: str, text: str) -> bool:
    """Whether the path leads to something that the person wrote."""
    if field == "$":
        return True
    value: Any = tomllib.loads(text)
    for key, quoted, index in re.findall(
        r'\.([A-Za-z0-9_-]+)|\.("(?:[^"\\]|\\.)*")|\[(\d+)\]', field.removeprefix("$")
    ):
        name = key or (msgspec.json.decode(quoted) if quoted else int(index))
        try:
            value = value[name]
        except (KeyError, IndexError, TypeError):
            return False
    return True
