"""Everything that can be wrong with a run over many sites, said at once and before the first token and card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from wayside.firmware_bridge.errors import ImageError, ProvisionError
from wayside.firmware_bridge.image.base import Base
from wayside.firmware_bridge.image.build import check_room
from wayside.firmware_bridge.image.card_files import noted
from wayside.firmware_bridge.image.credentials import UNKNOWN_TOKEN
from wayside.firmware_bridge.image.disk import Disk
from wayside.firmware_bridge.image.files import Personality, root_entries
from wayside.firmware_bridge.image.needs import doubts, unfit
from wayside.firmware_bridge.image.wheels import WheelSet, load_wheels
from wayside.firmware_bridge.provision.given import Common, Hub, person_of, reachable
from wayside.firmware_bridge.provision.journal import expired, load_journal
from wayside.firmware_bridge.provision.labels import MAX_LABEL_BYTES, label_text_of
from wayside.firmware_bridge.provision.site_list import Site, SiteRow, read_sites
from wayside.firmware_bridge.provision.stock import StockBase


def checked_sites(
    sites_csv: Path,
    template: Path | None,
    stock: StockBase,
    out: Path,
    *,
    common: Common,
    hub: Hub,
    say: Callable[[str], None],
) -> list[Site]:
    """The rows of the list, once nothing is wrong with them, with the files, with the base and with what is there.

    Raises:
        ProvisionError: everything that is wrong.
    """
    files = common.files
    wrong, hints = [*files.wrong], [*files.hints]
    base, wheels, disk = _looked_into(stock, common.wheels, wrong)
    if base is not None:
        hints += doubts(files.network, base)
    if hub.url is not None:
        with noted(wrong):
            reachable(hub.url)
    roomy: list[bool] = []  # once measured: cards of one base differ by a few kilobytes
    static = files.network.fixed if files.network is not None else ()
    if static:
        hints.append(f"--network-config: every card of this run gets the address {', '.join(static)}")
    rows = 0
    boards: dict[str, str] = {}  # identity → the first node that had it

    def person(row: SiteRow, text: str) -> Personality:
        nonlocal rows
        rows += 1
        mistakes = list(_journal_mistakes(out, row, hub))
        if static and rows > 1:
            mistakes.append(
                f"--network-config gives it the address {static[0]}, which the node before has, too: "
                "write dhcp4: true, or make one card at a time"
            )
        who = None
        with noted(mistakes):
            who = person_of(common, row, text, row.token or UNKNOWN_TOKEN)
        if who is not None:
            mistakes += _node_mistakes(who, row)
            board = who.config.board.identity if who.config.board is not None else None
            if board is not None and (other := boards.setdefault(board, row.node)) != row.node:
                mistakes.append(
                    f"the board {board} is that of {other}, too, and one board is in one cabinet: correct "
                    "board.identity; `wayside flash --id` names a board"
                )
            if base is not None and wheels is not None:
                mistakes += unfit(who, wheels, base)
                if disk is not None and not roomy:
                    roomy.append(True)
                    with noted(mistakes):
                        check_room(disk.ext4, root_entries(who, wheels, disk.ext4, base, "wayside-" + "0" * 16))
        if who is None or mistakes:
            raise ProvisionError("; ".join(mistakes))
        return who

    sites = read_sites(sites_csv, template, person, also=wrong)
    for hint in hints:
        say(f"hint: {hint}")
    return sites


def _looked_into(stock: StockBase, folder: Path, wrong: list[str]) -> tuple[Base | None, WheelSet | None, Disk | None]:
    """The base and the wheels for its Python, as far as they are in order."""
    base = wheels = disk = None
    try:
        base, disk = stock.look()
    except (ImageError, ProvisionError) as exc:
        wrong.append(str(exc))
    with noted(wrong):
        if base is not None:
            wheels = load_wheels(folder, base.python)
        elif not any(folder.glob("cp*/wheels.json")):
            raise ImageError(f"{folder} has no wheels: `wayside image wheels {folder}` fetches them")
    return base, wheels, disk


def _node_mistakes(who: Personality, row: SiteRow) -> Iterator[str]:
    if who.config.node != row.node:
        yield f'the template names the node {who.config.node}; write node = "$node"'
    if len(label_text_of(row.node, row.site, who.hub).encode()) > MAX_LABEL_BYTES:
        yield "the hub's address is too long for a label's QR code"


def _journal_mistakes(out: Path, row: SiteRow, hub: Hub) -> Iterator[str]:
    """Raises nothing: what an earlier run left, and whether a token can be had."""
    try:
        journal = load_journal(out, row.node)
    except ProvisionError as exc:
        yield str(exc)
        return
    if not row.token and not hub.operator_token and (journal is None or expired(journal)):
        yield (
            f"{row.node} has no token: set WAYSIDE_OPERATOR_TOKEN to what the hub's operator.token holds, "
            "or give the list a column 'token'"
        )
