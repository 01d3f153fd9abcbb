"""The hub: can it be reached and trusted, does it know this node, which notices does it send."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx

from wayside.contracts.node_config import NodeConfig
from wayside.edge.doctor.finding import Finding
from wayside.edge.hub_tls import HubTls, TlsError
from wayside.edge.identity import KEY_FILE
from wayside.edge.outbox import peek
from wayside.edge.status import OUTBOX_FILE


def check_hub(config: NodeConfig, folder: Path, agent: dict[str, Any] | None) -> Finding:
    hub = config.hub
    assert hub is not None  # noqa: S101  (the caller checked)
    trouble = (agent or {}).get("trouble", {}).get("hub")
    tls = HubTls(hub, folder)
    url = f"{hub.url.rstrip('/')}/healthz"
    begun, patience_s = time.monotonic(), 2 * hub.timeout_s
    try:
        verify = tls.context() or True
        status = _in_time(lambda: _status_of(url, hub.timeout_s, verify), patience_s)
    except TlsError as exc:
        return Finding("hub", "fail", str(exc), "copy the authority's certificate there, or correct hub.ca")
    except TimeoutError:
        late = f"{hub.url} has not answered in {patience_s:g} s"
        return Finding("hub", "fail", late, "check the SIM or cable, the name server, and what lies in between")
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        return _unreachable(hub.url, exc, tls.why(exc))
    took_ms = (time.monotonic() - begun) * 1000
    if status != httpx.codes.OK:
        return Finding("hub", "fail", f"{hub.url} answers {status}", "look at the hub's own log")
    if trouble:
        fix = "see the hub's notices below" if _shut_out(agent) else "wait for the next sync"
        return Finding("hub", "warn", f"{hub.url} answers; the agent last said: {trouble}", fix)
    return Finding("hub", "ok", f"{hub.url} answers in {took_ms:.0f} ms")


def _status_of(url: str, timeout_s: float, verify: ssl.SSLContext | bool) -> int:
    with httpx.stream("GET", url, timeout=timeout_s, follow_redirects=False, verify=verify) as reply:
        return reply.status_code  # the body is not read: it may have no end


def _in_time(ask: Callable[[], int], seconds: float) -> int:
    """The answer of ``ask``, which runs in a thread that is abandoned when it is late: looking up a name has no
    deadline, and a server that sends one byte at a time keeps within every time-out of a single read.

    Raises:
        TimeoutError: and whatever ``ask`` raises.
    """
    answer: Future[int] = Future()

    def asks() -> None:
        try:
            answer.set_result(ask())
        except BaseException as exc:  # told to whoever waits
            answer.set_exception(exc)

    threading.Thread(target=asks, daemon=True).start()
    return answer.result(seconds)


def _unreachable(url: str, exc: Exception, untrusted: str | None) -> Finding:
    if untrusted is not None:
        return Finding("hub", "fail", f"{url} answers and is not trusted", untrusted)
    if isinstance(exc, httpx.ConnectError):
        return Finding("hub", "fail", f"{url}: {exc}", "check the SIM or cable, the address, and the hub itself")
    return Finding("hub", "fail", f"{url}: {type(exc).__name__} {exc}".rstrip(), "is something in between?")


def check_enrolment(config: NodeConfig, state_dir: Path, agent: dict[str, Any] | None) -> Finding:
    if not (state_dir / KEY_FILE).exists():
        has = config.hub is not None and config.hub.token
        fix = "start the agent" if has else "put a token into hub.token: `wayside hub token` makes one"
        return Finding("enrolment", "warn", "the node has no key yet; the agent makes it at its first start", fix)
    if "key_revoked" in _shut_out(agent):
        fix = "leave it so, or put a new token of `wayside replace` into hub.token and restart the agent"
        return Finding("enrolment", "fail", "the hub has revoked this computer's key", fix)
    if peek(state_dir / OUTBOX_FILE, "enrolled"):
        return Finding("enrolment", "ok", "the hub knows this node's key")
    fix = "reach the hub" if config.hub is not None and config.hub.token else "put a token into hub.token"
    return Finding("enrolment", "warn", "the node has a key and is not enrolled", fix)


_ACTS = {
    "key_revoked": "switch this computer off: another one is the node now. Its readings are kept",
    "clone": "find out which of the two belongs here, and switch the other one off",
    "other_hardware": "tell the hub's operator that the card was moved",
}


def _shut_out(agent: dict[str, Any] | None) -> set[str]:
    """Codes of the notices by which the hub takes no part of this computer, or of two."""
    notices = [n for n in (agent or {}).get("notices", []) if isinstance(n, dict)]
    return {str(n.get("code")) for n in notices} & {"key_revoked", "clone"}


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
        pinned = json.loads(path.read_bytes())
        version = pinned["signed"]["version"]
    except OSError as exc:
        return Finding("trust root", "fail", f"{path}: {exc.strerror}", "copy the root.json that `release init` made")
    except (ValueError, KeyError, TypeError):
        return Finding("trust root", "fail", f"{path} is no TUF root", "copy the root.json that `release init` made")
    return Finding("trust root", "ok", f"version {version}")
