"""The list of sites: a CSV that a person keeps in a spreadsheet, checked to the last row before anything is made."""

from __future__ import annotations

import csv
import io
import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from wayside.contracts.reading import Name
from wayside.contracts.wire import ContractError, Document, from_builtins
from wayside.firmware_bridge.errors import ImageError, ProvisionError
from wayside.firmware_bridge.image.files import Personality, read_named_text
from wayside.firmware_bridge.image.seed import hostname

MAX_BYTES, MAX_ROWS, MAX_SAID = 8 << 20, 10_000, 20
Cell = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*\Z")]  # no control characters
SiteName = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
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


def read_sites(path: Path, template: Path | None, check: Callable[[SiteRow, str], Personality]) -> list[Site]:
    """Read, fill in and check every row.

    Args:
        check: makes the personality of a row and its configuration, as will be done for its image.

    Raises:
        ProvisionError: every mistake found, each with its line and column.
    """
    try:
        text = read_named_text(path, "the list of sites", MAX_BYTES)
    except ImageError as exc:
        raise ProvisionError(str(exc)) from exc
    header, _, _ = text.partition("\n")
    separator = ";" if header.count(";") > header.count(",") else ","
    sites: list[Site] = []
    wrong: list[str] = []
    templates: dict[Path, string.Template] = {}
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        columns = [name.strip() for name in next(rows, [])]
        _check_columns(path, columns)
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            place = f"{path.name}, line {rows.line_num}"
            if len(sites) + len(wrong) >= MAX_ROWS:
                raise ProvisionError(f"{path} has more than {MAX_ROWS} sites: split it")
            try:
                row = _row(columns, cells)
                sites.append(Site(rows.line_num, row, hostname(row.node), _filled(path, row, template, templates)))
                check(row, sites[-1].config_text)
            except ContractError as exc:
                column = exc.field.removeprefix("$.").removeprefix("fields.")
                wrong.append(f"{place}, column {column}: {_RULES.get(column, exc.rule)}")
            except (ImageError, ProvisionError) as exc:
                wrong.append(f"{place}: {exc}")
    except csv.Error as exc:
        raise ProvisionError(f"{path} is not CSV, line {rows.line_num}: {exc}") from exc
    wrong += _twice(path, sites)
    if wrong:
        more = f"\n  and {len(wrong) - MAX_SAID} more" if len(wrong) > MAX_SAID else ""
        raise ProvisionError("nothing was made; mend these first:\n  " + "\n  ".join(wrong[:MAX_SAID]) + more)
    if not sites:
        raise ProvisionError(f"{path} has no sites")
    return sites


def _check_columns(path: Path, columns: list[str]) -> None:
    if "node" not in columns:
        listed = ", ".join(columns)[:200]
        raise ProvisionError(f"{path}, line 1: there is no column 'node'; the columns are: {listed!r}")
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise ProvisionError(f"{path}, line 1: column {twice!r} stands there twice")


def _row(columns: list[str], cells: list[str]) -> SiteRow:
    if len(cells) != len(columns):
        raise ProvisionError(f"{len(cells)} cells under {len(columns)} columns")
    values = {name: cell.strip() for name, cell in zip(columns, cells, strict=True) if cell.strip()}
    known = {name: values.pop(name) for name in ("node", "site", "config", "token") if name in values}
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


def _twice(path: Path, sites: list[Site]) -> list[str]:
    seen: dict[str, Site] = {}
    wrong = []
    for site in sites:
        if (first := seen.setdefault(site.slug, site)) is not site:
            same = "the same node" if first.row.node == site.row.node else f"named {site.slug} like {first.row.node}"
            wrong.append(
                f"{path.name}, line {site.line}, column node: {site.row.node} is {same} as in line {first.line}"
            )
    return wrong
