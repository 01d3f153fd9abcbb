"""Where feeding systems reach the node: a port on its loopback, and their CSV files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from wayside.contracts.manual_config import ManualConfig, ManualFileConfig
from wayside.edge.sensors.csv_file import HEADER_BYTES, LINE_BYTES, Look, Mark, WatchedFile
from wayside.edge.sensors.csv_rows import CsvRows, LineUnreadable
from wayside.edge.sources.entry import Entry, EntryRefused
from wayside.edge.sources.manual import Desk
from wayside.paths import placed

FILE_POLL_S = 2.0
PATIENCE_LOOKS = 3  # in vain: between two files of a rotation there may be none for a moment
log = structlog.get_logger(__name__)


def last_row(file: ManualFileConfig, folder: Path, timezone: str, told: ManualConfig) -> list[Entry]:
    """The entries of a file's last whole line, for people; none: it has no rows.

    Raises:
        OSError: it cannot be read.
        LineUnreadable: its first or last line.
    """
    path = placed(folder, file.path)
    with path.open("rb") as handle:
        header, end, _ = handle.readline(HEADER_BYTES).partition(b"\n")
        if not end:
            raise LineUnreadable("it has no first line yet")
        rows = CsvRows(file, timezone, told.totals, header)
        begin = handle.tell()
        handle.seek(max(begin, path.stat().st_size - LINE_BYTES))
        lines = handle.read(LINE_BYTES).split(b"\n")[:-1]
    return rows.entries(lines[-1]) if lines and lines[-1].strip() else []


class FileFeed:
    """Looks into one file again and again."""

    def __init__(self, config: ManualFileConfig, path: Path, timezone: str, totals: frozenset[str], desk: Desk) -> None:
        self._config, self._timezone, self._totals, self._desk = config, timezone, totals, desk
        self._datastreams = tuple(config.columns.values())
        self._file = WatchedFile(path)
        self._header: bytes | None = None
        self._rows: CsvRows | None = None
        self._failures = 0

    async def run(self) -> None:
        try:
            while True:
                if not await self.look():
                    await asyncio.sleep(FILE_POLL_S)
        finally:
            self._file.close()

    async def look(self) -> bool:
        """Take what is new. Returns whether there is more."""
        source, path = self._desk.manual, str(self._config.path)
        mark = Mark(*source.marks.get(path, ()))
        since_ms = source.since_ms()
        if since_ms is None:
            return False  # its rows have times, and nobody knows how long ago they are
        if path not in source.marks:
            mark = Mark(before_ms=since_ms)
            source.marks[path] = list(mark)
        try:
            look = await asyncio.to_thread(self._file.look, mark.offset, mark.anchor)
        except OSError as exc:
            self._failures += 1
            if self._failures >= PATIENCE_LOOKS:
                source.unreadable(self._datastreams, f"{self._file.path}: {exc.strerror}"[:256])
            return False
        self._failures = 0
        try:
            rows = self._layout(look)
        except LineUnreadable as exc:
            source.unreadable(self._datastreams, f"{self._file.path}: {exc}"[:256])
            return False
        if rows is None:
            return False
        if look.again:
            log.info("file was written anew", path=path)
            mark = mark._replace(before_ms=max(mark.before_ms, source.forgot_ms + 1), last_ms=0)
        if look.news and not look.lines:
            self._desk.told([Entry(name, None) for name in self._datastreams])
        return self._take(look, rows, mark)

    def _layout(self, look: Look) -> CsvRows | None:
        """None: the file has no first line yet. Raises: LineUnreadable."""
        if look.header is None:
            if look.too_long:
                raise LineUnreadable("the first line never ends")
            return None
        if look.header != self._header:
            self._rows = CsvRows(self._config, self._timezone, self._totals, look.header)
            self._header = look.header
        return self._rows

    def _take(self, look: Look, rows: CsvRows, mark: Mark) -> bool:
        offset, bad, why, blocked = mark.offset, 0, "", False
        rows.last_ms = mark.last_ms
        for line, end in look.lines:
            last_ms = rows.last_ms
            try:
                entries = rows.entries(line) if line.strip() or look.too_long else []
                self._desk.told([e for e in entries if e.from_ms is None or e.from_ms >= mark.before_ms])
            except EntryRefused as exc:
                if exc.passes:
                    blocked, why, rows.last_ms = True, str(exc), last_ms
                    break
                bad, why = bad + 1, why or f"at byte {offset}: {exc}"
            except LineUnreadable as exc:
                bad, why = bad + 1, why or f"at byte {offset}: {exc}"
            offset = end
        source = self._desk.manual
        if bad:
            source.unreadable(self._datastreams, f"{self._file.path}: {bad} lines not taken; {why}"[:256])
        elif look.lines and not blocked:
            source.readable(self._datastreams)
        if look.lines:
            mark = mark._replace(offset=offset, anchor=look.anchor(offset), last_ms=rows.last_ms)
            source.marks[str(self._config.path)] = list(mark)
        return look.more and not blocked


class ManualInputs:
    """Serves and watches until cancelled."""

    def __init__(self, config: ManualConfig, folder: Path, timezone: str, desk: Desk) -> None:
        """``folder``: relative paths begin there."""
        self._config, self._desk = config, desk
        self._files = [FileFeed(f, placed(folder, f.path), timezone, config.totals, desk) for f in config.files]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for file in self._files:
                group.create_task(file.run())
            if self._config.port is not None:
                from wayside.edge.sensors.manual_http import serve  # its parser is loaded where it is used

                group.create_task(serve(self._config, self._desk))
