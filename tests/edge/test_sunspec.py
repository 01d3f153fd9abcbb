"""SunSpec: models are found in a device that describes itself, and what it does not implement is never a number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sunspec2.device import Model as Oracle

from tests.simulators.modbus import Meters
from tests.simulators.modbus_tcp import Network, free_port
from tests.simulators.sunspec import COMMON, block, device, points_of
from wayside.contracts.modbus_config import ModbusConfig, SunspecConfig
from wayside.contracts.node_config import load_node_config
from wayside.edge.configuration.check import check_file
from wayside.edge.doctor.examine import examine
from wayside.edge.sensors import modbus, sunspec
from wayside.edge.sensors.modbus import ModbusLine
from wayside.edge.sensors.sunspec import MAX_MODELS, MAX_WORDS, Search, spans
from wayside.edge.sensors.sunspec_model import load_model

INVERTER = {"W": 2301, "W_SF": 0, "WH": 123456, "WH_SF": 1, "PhVphA": 2305, "V_SF": -1, "TmpCab": 41, "Tmp_SF": 0}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modbus, "RETRY_CAP_S", 0.2)
    monkeypatch.setattr(modbus, "SILENT_CAP_S", 0.2)
    monkeypatch.setattr(sunspec, "AGAIN_S", 0.2)


def config(*points: str, model: int = 103, number: int = 1, **more: Any) -> SunspecConfig:
    from wayside.contracts.wire import from_builtins

    tables = [{"point": p, "datastream": f"pv/{p}", "poll_s": 0.1} for p in points]
    return from_builtins({"device": number, "model": model, "points": tables, **more}, SunspecConfig)


class Told:
    def __init__(self, url: str, *devices: SunspecConfig) -> None:
        self.all: list[tuple[int, float | str | None, float | None]] = []
        line = ModbusConfig(port=url, sunspec=devices, timeout_s=0.5)
        self.line = ModbusLine(line, lambda *read: self.all.append(read), lambda i, w: self.all.append((i, w, None)))

    def of(self, which: int) -> list[float | str | None]:
        return [said for i, said, _ in self.all if i == which]

    async def until(self, what: Callable[[], bool]) -> None:
        task = asyncio.create_task(self.line.run())
        try:
            async with asyncio.timeout(30):
                while not what():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextmanager
def serving(folder: Path, words: list[int]) -> Any:
    port = free_port()
    with Meters(folder / "server", {1: words}, tcp_port=port) as meters, Network(port) as between:
        yield meters, between


@pytest.mark.parametrize("base", [40000, 50000, 0])
async def test_points_are_read_with_their_scale_factors_wherever_the_device_begins(tmp_path: Path, base: int) -> None:
    with serving(tmp_path, device(COMMON, block(103, INVERTER), base=base)) as (_, between):
        told = Told(between.url, config("W", "WH", "PhVphA", "TmpCab"))
        await told.until(lambda: all(told.of(i) for i in range(4)))
    assert [told.of(i)[0] for i in range(4)] == [2301, 1234560, 230.5, 41]
    assert {wraps for i, _, wraps in told.all if i == 1} == {2**32 * 10}


async def test_what_is_not_implemented_is_no_value_and_no_failure(tmp_path: Path) -> None:
    nothing = {"W": 5, "W_SF": -32768, "A": 7, "A_SF": 11, "WH": 0, "WH_SF": 0}
    with serving(tmp_path, device(COMMON, block(103, nothing))) as (_, between):
        told = Told(between.url, config("W", "A", "WH", "PhVphA", "Hz"))
        await told.until(lambda: len(told.of(4)) >= 3)
    assert {said for _, said, _ in told.all} == {None}


async def test_a_scale_factor_that_changes_is_followed(tmp_path: Path) -> None:
    words = device(COMMON, block(103, INVERTER))
    offset = load_model(103).points["W_SF"].offset + 2 + len(COMMON)
    with serving(tmp_path, words) as (meters, between):
        told = Told(between.url, config("W"))

        def changed() -> bool:
            if told.of(0)[-1:] == [2301]:
                meters.set(1, offset, 2)
            return 230100 in told.of(0)

        await told.until(changed)
    assert set(told.of(0)) == {2301, 230100}


async def test_a_counter_whose_scale_factor_grows_loses_digits_and_no_counts(tmp_path: Path) -> None:
    words = device(COMMON, block(103, INVERTER | {"WH": 12345, "WH_SF": 0}))
    first = 2 + len(COMMON)
    wh, sf = (load_model(103).points[name].offset + first for name in ("WH", "WH_SF"))
    with serving(tmp_path, words) as (meters, between):
        told = Told(
            between.url,
            config(points=[{"point": "WH", "datastream": "e", "kind": "counter", "max_per_s": 100, "poll_s": 0.1}]),
        )
        steps = iter([
            lambda: (meters.set(1, wh, 0, 1234), meters.set(1, sf, 1)),
            lambda: meters.set(1, wh, 0, 1236),
        ])  # fmt: skip
        seen = 0

        def moved() -> bool:
            nonlocal seen
            if len(told.of(0)) >= seen + 3:
                seen = len(told.of(0))
                next(steps, lambda: None)()
            return 12360 in told.of(0)

        await told.until(moved)
    values = [v for v in told.of(0) if v is not None and v not in (1234, 123450)]  # between the two writes
    assert values == sorted(values)  # type: ignore[type-var]


async def test_a_model_that_is_not_there_is_said_with_those_that_are(tmp_path: Path) -> None:
    with serving(tmp_path, device(COMMON, block(103, INVERTER), block(120, {}))) as (_, between):
        told = Told(between.url, config("W", model=203), config("W", instance=2))
        await told.until(lambda: bool(told.of(0) and told.of(1)))
    assert "it has no SunSpec model 203; it has 1, 103, 120" in str(told.of(0)[0])
    assert "no instance 2 of SunSpec model 103" in str(told.of(1)[0])


async def test_a_device_that_is_none_of_sunspecs_says_so_and_its_neighbour_is_read(tmp_path: Path) -> None:
    port = free_port()
    registers = {1: device(COMMON, block(103, INVERTER)), 2: [5] * 200}
    with Meters(tmp_path / "server", registers, tcp_port=port):
        told = Told(f"tcp://127.0.0.1:{port}", config("W"), config("W", number=2))
        await told.until(lambda: len(told.of(0)) > 3 and bool(told.of(1)))
    assert set(told.of(0)) == {2301}
    assert 'no "SunS" at 40000, 50000 and 0' in str(told.of(1)[0])


async def test_a_device_that_was_exchanged_is_searched_anew(tmp_path: Path) -> None:
    words = device(COMMON, block(103, INVERTER))
    other = device(COMMON, block(120, {}), block(103, INVERTER | {"W": 77}))
    words += [0] * (len(other) - len(words))
    with serving(tmp_path, words) as (meters, between):
        told = Told(between.url, config("W"))

        def exchanged() -> bool:
            if told.of(0)[-1:] == [2301]:
                meters.set(1, 0, *other)
            return 77 in told.of(0)

        await told.until(exchanged)
    assert {v for v in told.of(0) if isinstance(v, int | float)} == {2301, 77}


NUMBERS = [p for p in points_of(103) if p["type"] in ("int16", "uint16", "acc32")]


@given(st.lists(st.integers(0, 65535), min_size=50, max_size=50))
@settings(max_examples=200, deadline=None)
def test_every_point_is_what_sunspecs_own_reader_makes_of_it(registers: list[int]) -> None:
    words = [103, 50, *registers]
    oracle = Oracle(103, data=b"".join(word.to_bytes(2) for word in words))
    model = load_model(103)
    for each in NUMBERS[2:]:
        point = model.points[each["name"]]
        ours = model.number_of(point, dict(enumerate(words))).value
        raw = oracle.points[point.name].value
        scale = oracle.points[point.sf].value if isinstance(point.sf, str) else 0
        if raw is None or scale is None or abs(scale) > 10:
            assert ours is None
        else:
            assert ours == pytest.approx(raw * 10.0**scale, rel=1e-12)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_search_ends_whatever_a_device_says(data: st.DataObject) -> None:
    search = Search(config("W", instance=data.draw(st.integers(1, 3))))
    search.answer([0x5375, 0x6E53])
    for _ in range(MAX_MODELS + 2):
        if search.place is not None or search.failed is not None:
            break
        assert 0 <= search.address <= 65534
        number = data.draw(st.sampled_from([1, 103, 120, 0xFFFF, 0]) | st.integers(0, 65535))
        search.answer(data.draw(st.none() | st.just([number, data.draw(st.integers(0, 65535))])))
    assert (search.place is None) != (search.failed is None)


@pytest.mark.parametrize("number", [101, 103, 113, 203, 213, 701, 704, 714])
def test_a_model_is_read_in_requests_that_modbus_allows_and_none_cuts_a_point(number: int) -> None:
    model = load_model(number)
    names = [p["name"] for p in points_of(number)[2:] if p["type"] in ("int16", "uint16", "uint32", "acc32", "uint64")]
    needed = model.needed(names)
    length = sum(p["size"] for p in points_of(number)) - 2
    read = spans(needed, length)
    assert all(words <= MAX_WORDS for _, words in read)
    for point in needed:
        assert any(at <= point.offset and point.offset + point.size <= at + words for at, words in read)
    assert spans(needed, 0) == [(0, 2)]  # an older device that has only the header


def toml(url: str, points: str) -> str:
    head = f'node = "n"\nstate_dir = "state"\n[modbus]\nport = "{url}"\ntimeout_s = 0.5\n'
    return f"{head}[[modbus.sunspec]]\ndevice = 1\nmodel = 103\n{points}"


POINT = '[[modbus.sunspec.points]]\npoint = "{}"\ndatastream = "{}"\n'


def test_a_check_names_points_that_the_model_has_not_and_units_that_are_not_its(tmp_path: Path) -> None:
    points = (
        POINT.format("w", "a")
        + POINT.format("St", "b")
        + POINT.format("W", "c")
        + 'unit = "kW"\n'
        + POINT.format("TmpCab", "d")
        + 'unit = "Cel"\nkind = "counter"\nmax_per_s = 1\n'
        + POINT.format("WH", "e")
        + 'unit = "kW.h"\nscale = 0.001\n'
    )
    (tmp_path / "node.toml").write_text(toml("tcp://127.0.0.1", points))
    said = dict(check_file(tmp_path / "node.toml").mistakes)
    at = "$.modbus.sunspec[0].points[{}].{}".format
    assert "no point w in its fixed block; is W" in said[at(0, "point")]
    assert "is a enum16, no number" in said[at(1, "point")]
    assert 'write unit = "W", or a scale' in said[at(2, "unit")]
    assert "does not count upwards" in said[at(3, "kind")]
    assert len(said) == 4


def test_the_doctor_searches_a_device_and_says_what_it_implements(tmp_path: Path) -> None:
    with serving(tmp_path, device(COMMON, block(103, INVERTER))) as (_, between):
        points = POINT.format("W", "pv/power") + 'unit = "W"\n'
        node = load_node_config(toml(between.url, points))
        (finding,) = (f for f in examine(node, tmp_path) if f.check == "modbus")
        assert (finding.state, finding.said) == ("ok", "pv/power 2301 W")
        node = load_node_config(toml(between.url, points + POINT.format("Hz", "grid/frequency")))
        (finding,) = (f for f in examine(node, tmp_path) if f.check == "modbus")
        assert finding.state == "fail"
        assert "the device does not implement Hz now" in finding.said
