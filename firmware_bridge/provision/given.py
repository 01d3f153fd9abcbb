"""What all sites of one run share, as a person gave it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from wayside.contracts.hub_address import HubAddress, hub_address, rules_broken
from wayside.contracts.wire import ContractError
from wayside.firmware_bridge.errors import ProvisionError
from wayside.firmware_bridge.image.card_files import CardFiles
from wayside.firmware_bridge.image.files import Personality, personality
from wayside.firmware_bridge.provision.site_list import SiteRow
from wayside.hub_http.proxy import ProxyError, route


class Common(NamedTuple):
    """What all sites share."""

    files: CardFiles
    wheels: Path


class Hub(NamedTuple):
    """Where tokens come from; ``url`` None: where each node's own configuration points."""

    url: str | None
    operator_token: str | None
    ttl_s: float = 30 * 86_400.0


def reachable(url: str) -> HubAddress:
    """The address of the hub that gives tokens.

    Raises:
        ProvisionError: it is none, or a proxy on the way to it cannot be used.
    """
    try:
        address = hub_address(url)
        route(address)
    except ContractError as exc:
        raise ProvisionError(f"{url[:128]!r} is no address of a hub: {rules_broken(exc)}; --hub names another") from exc
    except ProxyError as exc:
        raise ProvisionError(str(exc)) from exc
    return address


def person_of(common: Common, row: SiteRow, text: str, token: str) -> Personality:
    files = common.files
    return personality(
        text,
        files.root,
        token=token,
        hub_ca=files.hub_ca,
        site=row.site,
        ssh_key=files.ssh_key,
        network=files.network,
    )
