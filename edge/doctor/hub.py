"""The hub: can it be reached and trusted, does it know this node, which notices does it send."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import httpx

from wayside.contracts.hub_address import HubAddress, hub_address, rules_broken
from wayside.contracts.node_config import NodeConfig
from wayside.contracts.wire import ContractError
from wayside.edge.doctor.finding import Finding
from wayside.edge.hub_client import printable
from wayside.edge.hub_tls import HubTls, TlsError
from wayside.edge.identity import KEY_FILE
from wayside.edge.outbox import peek
from wayside.edge.status import OUTBOX_FILE
from wayside.hub_http.client import TrustError, client
from wayside.hub_http.failure import FAULTS, failure, unexpected
from wayside.hub_http.proxy import ProxyError, Route, mistakes, route
from wayside.text import TextError, loads_json, read_file

HEALTH_BYTES = 64  # of an answer are enough to see what it is
T = TypeVar("T")


def check_hub(config: NodeConfig, folder: Path, agent: dict[str, Any] | None) -> Finding:
    hub = config.hub
    assert hub is not None  # noqa: S101  (the caller checked)
    trouble = (agent or {}).get("trouble", {}).get("hub")
    tls = HubTls(hub, folder)
    try:
        address = hub_address(hub.url)
        way = route(address, hub.proxy)
        http = client(address, timeout_s=hub.timeout_s, verify=tls.context(), proxy=hub.proxy)
    except ContractError as exc:
        return Finding("hub", "fail", f"{hub.url}: {rules_broken(exc)}", "correct hub.url and restart the agent")
    except (ProxyError, TrustError, TlsError) as exc:
        what = "copy the authority's certificate there, or correct hub.ca, " if isinstance(exc, TlsError) else ""
        return Finding("hub", "fail", str(exc), f"{what}then restart the agent")
    begun = time.monotonic()
    if (wrong := _wrong(http, address, way, tls, 2 * hub.timeout_s)) is not None:
        return wrong
    took_ms = (time.monotonic() - begun) * 1000
    via = f" through the proxy {way.shown}" if way.proxy else ""
    if trouble:
        fix = "see the hub's notices below" if _shut_out(agent) else "wait for the next sync"
        return Finding("hub", "warn", f"{address.url} answers{via}; the agent last said: {trouble}", fix)
    return Finding("hub", "ok", f"{address.url} answers in {took_ms:.0f} ms{via}")


def _wrong(http: httpx.Client, address: HubAddress, way: Route, tls: HubTls, patience_s: float) -> Finding | None:
    """Why no hub answers; None: one does."""
    try:
        status, location, is_hub = _in_time(lambda: _asked(http), patience_s)
    except TimeoutError:
        late = f"{address.url} has not answered in {patience_s:g} s"
        return Finding("hub", "fail", late, "check the SIM or cable, the name server, and what lies in between")
    except FAULTS as exc:
        if (untrusted := tls.why(exc)) is not None:
            return Finding("hub", "fail", f"{address.url} answers and is not trusted", untrusted)
        why = failure(exc, address, way)
        return Finding("hub", "fail", f"{address.url}: {printable(why.said)}", why.fix)
    if status == httpx.codes.OK and is_hub:
        return None
    why = unexpected(status, location, address, way)
    return Finding("hub", "fail", f"{address.url} {printable(why.said)}", why.fix)


def check_proxy() -> Finding | None:
    """Of the environment's variables; None: there is nothing to say."""
    wrong = list(mistakes())
    if not wrong:
        return None
    return Finding("proxy", "warn", "; ".join(wrong), "or set hub.proxy in the node's file, which then decides alone")


def _asked(http: httpx.Client) -> tuple[int, str | None, bool]:
    """Status and new location of a hub's answer, and whether it begins as a hub's does: there may be no end of it."""
    with http, http.stream("GET", "/healthz") as reply:
        begin = b""
        for part in reply.iter_bytes():
            begin += part
            if len(begin) >= HEALTH_BYTES:
                break
        return reply.status_code, reply.headers.get("location"), begin.lstrip().startswith(b"{")


def _in_time(ask: Callable[[], T], seconds: float) -> T:
    """The answer of ``ask``, which runs in a thread that is abandoned when it is late: looking up a name has no
    deadline, and a server that sends one byte at a time keeps within every time-out of a single read.

    Raises:
        TimeoutError: and whatever ``ask`` raises.
    """
    answer: Future[T] = Future()

    def asks() -> None:
        try:
            answer.set_result(ask())
        except BaseException as exc:  # told to whoever waits
            answer.set_exception(exc)

    threading.Thread(target=asks, daemon=True).start()
    return answer.result(seconds)


def check_enrolment(config: NodeConfig, state_dir: Path, agent: dict[str, Any] | None) -> Finding:
    if not (state_dir / KEY_FILE).exists():
        has = config.hub is not None and config.hub.token
        fix = "start the agent" if has else "put a token into hub.token: `wayside hub token` makes one"
        return Finding("enrolment", "warn", "the node has no key yet; the agent makes it at its first start", fix)
    if shut_out := _shut_out(agent) - {"clone"}:
        fix = "leave it so, or put a new token of `wayside replace` into hub.token and restart the agent"
        what = "the hub has revoked this computer's key" if "key_revoked" in shut_out else "this node was retired"
        return Finding("enrolment", "fail", what, fix)
    if peek(state_dir / OUTBOX_FILE, "enrolled"):
        return Finding("enrolment", "ok", "the hub knows this node's key")
    fix = "reach the hub" if config.hub is not None and config.hub.token else "put a token into hub.token"
    return Finding("enrolment", "warn", "the node has a key and is not enrolled", fix)


_ACTS = {
    "key_revoked": "switch this computer off: its key was revoked, or another one is the node now. Its readings stay",
    "node_retired": "take this computer away, or ask the hub's operator for a new token. Its readings are kept",
    "clone": "find out which of the two belongs here, and switch the other one off",
    "other_hardware": "tell the hub's operator that the card was moved",
}


def _shut_out(agent: dict[str, Any] | None) -> set[str]:
    """Codes of the notices by which the hub takes no part of this computer, or of two."""
    notices = [n for n in (agent or {}).get("notices", []) if isinstance(n, dict)]
    return {str(n.get("code")) for n in notices} & {"key_revoked", "node_retired", "clone"}


def check_notices(agent: dict[str, Any] | None) -> Finding:
    if agent is None:
        return Finding("hub's notices", "skip", "only a running agent knows", "start the agent and look again")
    notices = [n for n in agent.get("notices", []) if isinstance(n, dict)]
    if not notices:
        return Finding("hub's notices", "ok", "none")
    messages = "; ".join(str(n.get("message")) for n in notices)
    codes = {str(n.get("code")) for n in notices}
    fix = "; ".join(_ACTS[code] for code in sorted(codes) if code in _ACTS)
    return Finding("hub's notices", "fail" if _shut_out(agent) else "warn", messages, fix)


def check_root(path: Path) -> Finding:
    try:
        pinned = loads_json(read_file(path))
        version = pinned["signed"]["version"]
    except OSError as exc:
        return Finding("trust root", "fail", f"{path}: {exc.strerror}", "copy the root.json that `release init` made")
    except (TextError, KeyError, TypeError) as exc:
        why = f": {exc}" if isinstance(exc, TextError) else ""
        return Finding(
            "trust root", "fail", f"{path} is no TUF root{why}", "copy the root.json that `release init` made"
        )
    return Finding("trust root", "ok", f"version {version}")
