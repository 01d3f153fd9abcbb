"""CSV files of a feeding system: appended, rotated, rewritten, cut in the middle of a line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.edge.sources.test_manual import BEGIN_MS, HOUR_S, StoppedClock
from wayside.contracts.manual_config import ManualConfig, ManualFileConfig, ManualValueConfig
from wayside.edge.ledger import Ledger
from wayside.edge.sensors import csv_file
from wayside.edge.sensors.csv_file import Mark
from wayside.edge.sensors.csv_rows import CsvRows, LineUnreadable
from wayside.edge.sensors.manual import FileFeed
from wayside.edge.sources.entry import Entry
from wayside.edge.sources.manual import ManualSource, Taken
from wayside.edge.sources.step import Grid, Loss, Step

NAME = "ed/arrivals"


def rows(header: bytes = b"time,arrivals", **more: object) -> CsvRows:
    named = {"path": "a.csv", "columns": {"arrivals": NAME}, **more}
    totals = frozenset({NAME} if "interval_s" in named else ())
    return CsvRows(ManualFileConfig(**named), "UTC", totals, header)  # type: ignore[arg-type]


def unix_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


# --- lines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "line", "more"),
    [
        (b"time,arrivals", b"2026-03-01T10:00Z,12.5", {}),
        (b"\xef\xbb\xbftime;arrivals\r", b"2026-03-01T10:00Z;12,5\r", {"decimal": ","}),
        (b"ward,arrivals,time", b'"A, north",12.5,2026-03-01 11:00+01:00', {}),
        (b"time,arrivals", b'2026-03-01T10:00Z,"12,5"', {"decimal": ","}),
        (b"time\tarrivals", b"01.03.2026 11:00\t12.5", {"time_format": "%d.%m.%Y %H:%M", "timezone": "Europe/Berlin"}),
    ],
)
def test_the_ways_in_which_csv_is_written_say_the_same(header: bytes, line: bytes, more: dict[str, object]) -> None:
    (entry,) = rows(header, **more).entries(line)
    assert entry == Entry(NAME, 12.5, unix_ms("2026-03-01T10:00Z"))


def test_umlauts_of_another_encoding() -> None:
    made = rows("time;Ankünfte".encode("cp1252"), columns={"Ankünfte": NAME}, encoding="cp1252")
    assert made.entries(b"2026-03-01T10:00Z;3")[0].value == 3


@pytest.mark.parametrize(
    "line",
    [
        b"2026-03-01T10:00Z", b"2026-03-01T10:00Z,1,2", b"soon,1", b",1", b"2026-03-01T10:00Z,1e3", b"\xff\xfe,1",
        b"2026-03-01T10:00Z,nan", b"2026-03-01T10:00Z,inf", b"2026-03-01T10:00Z,1,5", b'2026-03-01T10:00Z,"1,5"',
        b"2026-03-01T10:00Z,9999999999999999", b"2026-03-01T10:00Z,0x10",
        "2026-03-01T10:00Z,١".encode(), b"2026-03-01T10:00Z,1_000", b'2026-03-01T10:00Z,"1', b"2026-03-01T10:00Z,\x001",
    ],
)  # fmt: skip
def test_what_is_no_row_is_unreadable_and_not_quoted(line: bytes) -> None:
    with pytest.raises(LineUnreadable) as refused:
        rows().entries(line)
    assert "2026" not in str(refused.value)


def test_an_empty_cell_says_nothing() -> None:
    assert rows().entries(b"2026-03-01T10:00Z,") == []


@given(st.binary(max_size=80), st.sampled_from([".", ","]))
@example(b"2026-03-01T10:00Z,1", ".")
def test_any_bytes_are_a_row_or_unreadable(line: bytes, decimal: str) -> None:
    try:
        (entry,) = rows(decimal=decimal).entries(line) or [None]
    except LineUnreadable:
        return
    assert entry is None or (entry.value is not None and abs(entry.value) <= 1e12)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)), st.integers(-(10**9), 10**9))
def test_every_row_that_is_written_is_read_as_it_was(at: datetime, value: int) -> None:
    at = at.replace(microsecond=0, tzinfo=UTC)
    (entry,) = rows().entries(f"{at.isoformat()},{value / 1000:.3f}".encode())
    assert entry.from_ms == at.timestamp() * 1000
    assert entry.value == pytest.approx(value / 1000)


def test_the_hour_that_a_night_in_autumn_has_twice_is_taken_twice() -> None:
    made = rows(timezone="Europe/Berlin", interval_s=3600)
    lines = [b"2026-10-25 01:00,1", b"2026-10-25 02:00,2", b"2026-10-25 02:00,3", b"2026-10-25 03:00,4"]
    begins = [made.entries(line)[0].from_ms for line in lines]
    assert begins == [unix_ms("2026-10-24T23:00Z") + i * HOUR_S * 1000 for i in range(4)]
    with pytest.raises(LineUnreadable, match="skipped in spring"):
        made.entries(b"2027-03-28 02:30,1")


def test_the_quarters_of_that_hour_keep_their_order() -> None:
    made = rows(timezone="Europe/Berlin", interval_s=900)
    times = ["02:00", "02:15", "02:30", "02:45"] * 2
    begins = [made.entries(f"2026-10-25 {t},1".encode())[0].from_ms for t in times]
    assert begins == [unix_ms("2026-10-25T00:00Z") + i * 900_000 for i in range(8)]


def test_a_header_without_a_column_is_told() -> None:
    with pytest.raises(LineUnreadable, match="no column arrivals"):
        rows(b"time,departures")
    with pytest.raises(LineUnreadable, match="more than one column time"):
        rows(b"time,time,arrivals")


# --- files -------------------------------------------------------------------------------------------


class Clinic:
    """A file, and a node that looks into it when told to."""

    def __init__(self, folder: Path, kind: str = "totals") -> None:
        self.path = folder / "arrivals.csv"
        self.kind = kind
        more: dict[str, object] = {"interval_s": 3600} if kind == "totals" else {"id": "case"}
        file = ManualFileConfig(path="arrivals.csv", columns={"arrivals": NAME}, **more)  # type: ignore[arg-type]
        value = ManualValueConfig(datastream=NAME, kind=kind)  # type: ignore[arg-type]
        self.config = ManualConfig(wait_s=600, values=(value,), files=(file,))
        self.clock = StoppedClock()
        self.ledger = Ledger("node-1", "0" * 32, self.clock)
        self.steps: list[Step] = []
        self.losses: list[Loss] = []
        self.hour = 0
        self.start()
        self.manual.pass_time()

    def start(self) -> None:
        self.manual = ManualSource(self.config, self.clock, Grid(self.clock, HOUR_S), self.ledger)
        totals = frozenset({NAME} if self.kind == "totals" else ())
        self.feed = FileFeed(self.config.files[0], self.path, "UTC", totals, self)

    def told(self, entries: list[Entry]) -> Taken:  # type: ignore[override]
        taken = self.manual.take(entries)
        self.drain()
        return taken

    def drain(self) -> None:
        for item in self.manual.closed():
            (self.steps if isinstance(item, Step) else self.losses).append(item)  # type: ignore[arg-type]

    async def look(self) -> None:
        while await self.feed.look():
            pass

    async def hours(self, count: int = 1) -> None:
        for _ in range(count):
            self.hour += 1
            self.clock.ms = self.hour * HOUR_S * 1000 + 1000
            self.manual.pass_time()
            await self.look()
            self.drain()

    async def end(self) -> list[float | None]:
        """Values of the hours."""
        self.clock.ms += 650_000
        self.manual.pass_time()
        self.drain()
        return [s.values[0] for s in self.steps]

    def restart(self) -> None:
        state = self.manual.state()
        self.feed._file.close()
        self.start()
        self.manual.restore(state)

    def row(self, hour: int, value: object, case: str = "") -> bytes:
        at = datetime.fromtimestamp(BEGIN_MS / 1000, UTC) + timedelta(hours=hour)
        return f"{at.isoformat()},{value}{f',{case}' if self.kind == 'events' else ''}\n".encode()

    def header(self) -> bytes:
        return b"time,arrivals,case\n" if self.kind == "events" else b"time,arrivals\n"

    def append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def replace(self, data: bytes) -> None:
        part = self.path.with_suffix(".part")
        part.write_bytes(data)
        part.rename(self.path)

    def holds(self, code: str) -> bool:
        return self.ledger.holds(code, NAME)


async def begun(folder: Path, kind: str = "totals") -> Clinic:
    """Its node has looked for the file once."""
    clinic = Clinic(folder, kind)
    await clinic.look()
    return clinic


@pytest.fixture
async def clinic(tmp_path: Path) -> Clinic:
    return await begun(tmp_path)


async def test_what_is_appended_is_taken_once(clinic: Clinic) -> None:
    clinic.append(clinic.header() + clinic.row(-1, 99))  # of before the node began
    await clinic.look()
    for hour in range(4):
        clinic.append(clinic.row(hour, hour + 1))
        await clinic.hours()
        await clinic.look()
    assert await clinic.end() == [1, 2, 3, 4]
    assert not clinic.losses


async def test_half_a_line_waits_for_its_end(clinic: Clinic) -> None:
    clinic.append(clinic.header() + clinic.row(0, 12).rstrip(b"\n"))
    await clinic.hours()
    clinic.append(b"3\n")
    await clinic.look()
    assert await clinic.end() == [123]


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_file_that_is_written_anew_with_more_rows_is_taken_once(clinic: Clinic, restarts: bool) -> None:
    for hour in range(4):
        clinic.replace(clinic.header() + b"".join(clinic.row(h, h + 1) for h in range(hour + 1)))
        await clinic.hours()
        if restarts:
            clinic.restart()
    assert await clinic.end() == [1, 2, 3, 4]
    assert not clinic.losses


async def test_newest_first_is_taken_once_too(clinic: Clinic) -> None:
    for hour in range(4):
        clinic.replace(clinic.header() + b"".join(clinic.row(h, h + 1) for h in reversed(range(hour + 1))))
        await clinic.hours()
    assert await clinic.end() == [1, 2, 3, 4]
    assert not clinic.losses


async def test_a_correction_of_an_hour_that_is_closed_is_told(clinic: Clinic) -> None:
    clinic.replace(clinic.header() + clinic.row(0, 5))
    await clinic.hours(2)
    clinic.replace(clinic.header() + clinic.row(0, 6) + clinic.row(2, 2))
    await clinic.hours()
    assert [x.value for x in clinic.losses] == [6]


async def test_a_file_that_is_renamed_away_is_read_to_its_end(clinic: Clinic) -> None:
    clinic.append(clinic.header() + clinic.row(0, 1))
    await clinic.hours()
    clinic.append(clinic.row(1, 2))
    clinic.path.rename(clinic.path.with_suffix(".1"))
    clinic.append(clinic.header() + clinic.row(2, 3))
    await clinic.hours(2)
    assert await clinic.end() == [1, 2, 3]


async def test_a_file_that_is_emptied_and_filled_anew(clinic: Clinic) -> None:
    clinic.append(clinic.header() + clinic.row(0, 1))
    await clinic.hours()
    clinic.path.write_bytes(clinic.header() + clinic.row(1, 2))
    await clinic.hours()
    assert await clinic.end() == [1, 2]


async def test_an_event_that_is_inserted_later_is_found_and_no_other_counted_twice(tmp_path: Path) -> None:
    clinic = await begun(tmp_path, "events")
    clinic.replace(clinic.header() + clinic.row(0, 1, "a") + clinic.row(0, 1, "c"))
    await clinic.look()
    clinic.replace(clinic.header() + clinic.row(0, 1, "a") + clinic.row(0, 1, "b") + clinic.row(0, 1, "c"))
    await clinic.hours()
    clinic.clock.ms += 650_000
    clinic.manual.pass_time()
    clinic.drain()
    assert clinic.steps[0].values == [3]


async def test_a_row_of_the_future_waits_and_takes_nothing_with_it(clinic: Clinic) -> None:
    clinic.append(clinic.header() + clinic.row(0, 1) + clinic.row(1, 2))
    clinic.hour = 0
    await clinic.hours()
    assert clinic.holds("feeder_ahead")
    await clinic.hours()
    assert not clinic.holds("feeder_ahead")
    assert await clinic.end() == [1, 2]


async def test_lines_that_cannot_be_read_are_told_and_the_others_taken(clinic: Clinic) -> None:
    clinic.append(clinic.header() + b"\xff\xff\n" + clinic.row(0, "many") + clinic.row(0, 4))
    await clinic.hours()
    assert clinic.holds("file_unreadable")
    clinic.append(clinic.row(1, 2))
    await clinic.hours()
    assert not clinic.holds("file_unreadable")
    assert await clinic.end() == [4, 2]


async def test_a_file_that_is_not_there_is_told_and_its_coming_too(clinic: Clinic) -> None:
    for _ in range(3):
        await clinic.look()
    assert clinic.holds("file_unreadable")
    clinic.append(clinic.header() + clinic.row(0, 1))
    await clinic.look()
    await clinic.hours()
    assert not clinic.holds("file_unreadable")


async def test_a_line_that_never_ends_is_passed_over(clinic: Clinic) -> None:
    clinic.append(clinic.header() + b"x" * 1_000_000)
    await clinic.look()
    assert clinic.holds("file_unreadable")
    clinic.append(b"\n" + clinic.row(0, 3))
    await clinic.hours()
    assert await clinic.end() == [3]


async def test_a_file_without_a_clock_is_read_when_the_time_is_known(clinic: Clinic) -> None:
    clinic.manual.marks.clear()
    clinic.clock.known = False
    clinic.append(clinic.header() + clinic.row(0, 3))
    await clinic.look()
    assert not clinic.manual.marks
    clinic.clock.known = True
    await clinic.hours()
    assert await clinic.end() == [3]


@given(st.lists(st.tuples(st.sampled_from(["append", "anew", "rotate", "restart"]), st.integers(1, 40)), max_size=12))
async def test_however_a_file_is_written_each_row_counts_once(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]]
) -> None:
    clinic = await begun(tmp_path_factory.mktemp("clinic"), "events")
    clinic.append(clinic.header())
    told = 0
    kept = clinic.header()
    for what, n in acts:
        new = b"".join(clinic.row(0, 1, f"case-{told + i}") for i in range(n))
        if what == "restart":
            clinic.restart()
            continue
        told += n
        if what == "append":
            clinic.append(new)
            kept += new
        elif what == "anew":
            kept += new
            clinic.replace(kept)
        else:
            clinic.append(new[: len(new) // 2])  # the old file ends in the middle of a line
            clinic.path.rename(clinic.path.with_suffix(".1"))
            kept = clinic.header() + new
            clinic.append(kept)
        await clinic.look()
    await clinic.hours()
    clinic.clock.ms += 650_000
    clinic.manual.pass_time()
    clinic.drain()
    assert clinic.steps[0].values[0] in ([told] if told else [None])
    assert not clinic.losses


@given(st.binary(max_size=300), st.integers(0, 400), st.text("0123456789abcdef", max_size=24))
def test_any_file_and_any_mark_can_be_looked_at(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, offset: int, anchor: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.csv"
    path.write_bytes(data)
    file = csv_file.WatchedFile(path)
    look = file.look(offset, anchor)
    file.close()
    if look.lines:
        assert look.lines[-1][1] <= len(data)
        again = file.look(look.lines[-1][1], look.anchor(look.lines[-1][1]))
        file.close()
        assert not again.again
        assert not again.lines
    assert Mark(*list(Mark(offset))) == Mark(offset)
