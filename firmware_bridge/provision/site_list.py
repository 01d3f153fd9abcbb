"""The list of sites: a CSV that a person keeps in a spreadsheet, checked to the last row before anything is made."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from wayside import csv_dialect
from wayside.contracts.reading import Name
from wayside.contracts.wire import ContractError, Document, from_builtins
from wayside.firmware_bridge.errors import ImageError, ProvisionError
from wayside.firmware_bridge.image.card_files import read_named, read_named_text
from wayside.firmware_bridge.image.files import Personality
from wayside.firmware_bridge.image.seed import hostname
from wayside.text import TextError

MAX_BYTES, MAX_ROWS, MAX_SAID = 8 << 20, 10_000, 20
Cell = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*\Z")]  # no control characters
SiteName = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
_KNOWN = ("node", "site", "config", "token")  # columns that are no place of the template
_COLUMN = r"^[a-z_][a-z0-9_]{0,31}$"


_RULES = {
    "node": "is the node's name: letters, digits, . _ / and -, at most 64, a letter or digit first",
    "site": "has at most 64 characters, all printable",
    "token": "is an enrolment token: 16 to 128 letters, digits, _ and -",
}


class SiteRow(Document, frozen=True, kw_only=True):
    """One line of the list; further columns fill the template's ``$column`` places."""

    node: Name
    site: SiteName | None = None
    config: Cell | None = None  # template of its own, beside the list
    token: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{16,128}$")] | None = None  # else asked of the hub
    fields: dict[Annotated[str, msgspec.Meta(pattern=_COLUMN)], Cell] = {}


class Site(NamedTuple):
    """A checked row."""

    line: int  # in the file
    row: SiteRow
    slug: str  # names its files
    config_text: str  # filled in, without token


def read_sites(
    path: Path,
    template: Path | None,
    check: Callable[[SiteRow, str], Personality],
    *,
    also: Sequence[str] = (),
) -> list[Site]:
    """Read, fill in and check every row.

    Args:
        check: makes the personality of a row and its configuration, as will be done for its image.
        also: what is wrong beside the list; said together with the mistakes of its rows.

    Raises:
        ProvisionError: every mistake found, each with its line and column.
    """
    wrong = [*also]
    sites: list[Site] = []
    try:
        sites = _read(path, template, check, wrong)
        if not sites and not wrong:
            wrong.append(f"{path} has no sites")
    except ProvisionError as exc:
        wrong.append(str(exc))
    except ImageError as exc:  # the file itself
        wrong.append(str(exc))
    if wrong:
        more = f"\n  and {len(wrong) - MAX_SAID} more" if len(wrong) > MAX_SAID else ""
        raise ProvisionError("nothing was made; mend these first:\n  " + "\n  ".join(wrong[:MAX_SAID]) + more)
    return sites


def _read(
    path: Path,
    template: Path | None,
    check: Callable[[SiteRow, str], Personality],
    wrong: list[str],
) -> list[Site]:
    try:
        given = csv_dialect.read(read_named(path, "the list of sites", MAX_BYTES), names=_KNOWN)
    except TextError as exc:
        raise ProvisionError(f"{path}: {exc}") from exc
    if given.encoding == "cp1252":  # a guess, and what it says would be baked into cards
        raise ProvisionError(f'{path} is not UTF-8 text: save it again as "CSV UTF-8"')
    sites: list[Site] = []
    once = _Once(path)
    templates: dict[Path, string.Template] = {}
    try:
        rows = given.rows()
        columns = [name.strip() for name in next(rows, csv_dialect.Row(1, [])).cells]
        while columns and not columns[-1]:  # a separator at the end of each line
            columns.pop()
        _check_columns(path, columns)
        for line, cells in rows:
            place = f"{path.name}, line {line}"
            if len(sites) >= MAX_ROWS:
                raise ProvisionError(f"{path} has more than {MAX_ROWS} sites: split it")
            try:
                row = _row(columns, cells)
            except ContractError as exc:
                column = exc.field.removeprefix("$.").removeprefix("fields.")
                wrong.append(f"{place}, column {column}: {_RULES.get(column, exc.rule)}")
                continue
            except ProvisionError as exc:
                wrong.append(f"{place}: {exc}")
                continue
            wrong += once.named(line, row)
            try:
                filled = _filled(path, row, template, templates)
                sites.append(Site(line, row, hostname(row.node), filled))
                check(row, filled)
            except (ImageError, ProvisionError) as exc:
                wrong.append(f"{place}: {exc}")
    except TextError as exc:
        raise ProvisionError(f"{path}: {exc}") from exc
    return sites


def _check_columns(path: Path, columns: list[str]) -> None:
    if "node" not in columns:
        listed = ", ".join(columns)[:200]
        raise ProvisionError(f"{path}, line 1: there is no column 'node'; the columns are: {listed!r}")
    if twice := csv_dialect.twice(columns):
        raise ProvisionError(f"{path}, line 1: column {twice!r} stands there twice")
    if wrong := csv_dialect.misnamed(columns):
        raise ProvisionError(f"{path}, line 1: the column {wrong}")


def _row(columns: list[str], cells: list[str]) -> SiteRow:
    if len(cells) < len(columns) or any(cell.strip() for cell in cells[len(columns) :]):
        raise ProvisionError(f"{len(cells)} cells under {len(columns)} columns")
    values = {name: cell.strip() for name, cell in zip(columns, cells, strict=False) if cell.strip()}
    known = {name: values.pop(name) for name in _KNOWN if name in values}
    return from_builtins({**known, "fields": values}, SiteRow)


def _filled(path: Path, row: SiteRow, template: Path | None, templates: dict[Path, string.Template]) -> str:
    """The row's configuration. Values are escaped as in a TOML string: none can write TOML of its own."""
    source = path.parent / row.config if row.config else template
    if source is None:
        raise ProvisionError("there is no configuration: give --template, or a column 'config'")
    if source not in templates:
        templates[source] = string.Template(read_named_text(source, "the template"))
    values = {"node": row.node, "site": row.site or "", **row.fields}
    try:
        return templates[source].substitute({k: json.dumps(v, ensure_ascii=False)[1:-1] for k, v in values.items()})
    except KeyError as exc:
        raise ProvisionError(f"the template {source.name} asks for ${exc.args[0]}, which is empty here") from exc
    except ValueError as exc:
        raise ProvisionError(f"the template {source.name}: {exc}; a plain dollar sign is written $$") from exc


class _Once:
    """What no two rows may share: a name, what the name becomes as a host's, a token."""

    def __init__(self, path: Path) -> None:
        self._file = path.name
        self._first: dict[tuple[str, str], tuple[int, str]] = {}  # kind and value → line and node

    def named(self, line: int, row: SiteRow) -> Iterator[str]:
        if first := self._before(line, row, "host", hostname(row.node)):
            same = "the same node" if first[1] == row.node else f"named {hostname(row.node)} like {first[1]}"
            yield f"{self._file}, line {line}, column node: {row.node} is {same} as in line {first[0]}"
        if row.token and (first := self._before(line, row, "token", row.token)):
            yield (
                f"{self._file}, line {line}, column token: it is that of {first[1]} in line {first[0]}; "
                "a token enrols one node"
            )

    def _before(self, line: int, row: SiteRow, kind: str, value: str) -> tuple[int, str] | None:
        """The first row that had ``value``, if another did."""
        first = self._first.setdefault((kind, value), (line, row.node))
        return None if first[0] == line else first
