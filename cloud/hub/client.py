"""The operator's side of the hub's API: used by the command line."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import httpx

from wayside.cloud.hub.errors import ConfigurationError, HubError
from wayside.contracts.hub_address import hub_address, rules_broken
from wayside.contracts.wire import ContractError
from wayside.hub_http.client import TokenError, TrustError, bearer, client
from wayside.hub_http.failure import FAULTS, failure, unexpected
from wayside.hub_http.proxy import ProxyError, route


class HubClient:
    """Blocking. Every method returns the reply as plain dicts.

    Raises:
        HubError: unreachable, or refused with the hub's own code and message.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 10.0) -> None:
        try:
            self._address = hub_address(url)
            self._way = route(self._address)
            self._client = client(self._address, headers=bearer(token), timeout_s=timeout_s)
        except ContractError as exc:
            raise ConfigurationError("hub", f"--hub {url[:128]!r} is no address of a hub: {rules_broken(exc)}") from exc
        except (ProxyError, TrustError, TokenError) as exc:
            raise ConfigurationError("hub", str(exc)) from exc

    def make_token(self, node: str | None, site: str | None, ttl_s: float) -> dict[str, Any]:
        return self._ask("POST", "/api/v1/tokens", {"wire": 1, "node": node, "site": site, "ttl_s": ttl_s})

    def replace(self, node: str, reason: str | None, ttl_s: float) -> dict[str, Any]:
        document = {"wire": 1, "reason": reason, "ttl_s": ttl_s}
        return self._ask("POST", f"/api/v1/nodes/{quote(node)}/replacement", document)

    def accept_hardware(self, node: str, begins: str) -> dict[str, Any]:
        return self._ask("POST", f"/api/v1/nodes/{quote(node)}/hardware", {"wire": 1, "hardware": begins})

    def tokens(self, every: bool) -> dict[str, Any]:
        return self._ask("GET", f"/api/v1/tokens?all={str(every).lower()}")

    def withdraw_token(self, token: str) -> dict[str, Any]:
        return self._ask("DELETE", f"/api/v1/tokens/{quote(token.lower(), safe='')}")

    def revoke(self, node: str, reason: str | None) -> dict[str, Any]:
        return self._ask("POST", f"/api/v1/nodes/{quote(node)}/revocation", {"wire": 1, "reason": reason})

    def retire(self, node: str, reason: str | None) -> dict[str, Any]:
        return self._ask("POST", f"/api/v1/nodes/{quote(node)}/retirement", {"wire": 1, "reason": reason})

    def describe(self, node: str, **fields: str | None) -> dict[str, Any]:
        return self._ask("POST", f"/api/v1/nodes/{quote(node)}/description", {"wire": 1, **fields})

    def audit(self, **wanted: str | int | None) -> dict[str, Any]:
        given = {name: value for name, value in wanted.items() if value is not None}
        return self._ask("GET", f"/api/v1/audit?{urlencode(given)}")

    def nodes(self, retired: bool = False) -> dict[str, Any]:
        """Every node: all pages."""
        path = f"/api/v1/nodes?retired={str(retired).lower()}"
        whole = page = self._ask("GET", path)
        while after := page.get("next"):
            page = self._ask("GET", f"{path}&after={quote(after)}")
            whole["nodes"] += page["nodes"]
        return whole

    def node(self, node: str) -> dict[str, Any]:
        return self._ask("GET", f"/api/v1/nodes/{quote(node)}")

    def preview(self, target: str) -> dict[str, Any]:
        return self._ask("GET", f"/api/v1/rollouts/preview?target={quote(target)}")

    def start_rollout(
        self, bundle: str, version: str, target: str, phases: list[int], deadline_s: float, **tolerances: float
    ) -> dict[str, Any]:
        document = {"wire": 1, "bundle": bundle, "version": version, "target": target, "phases": phases}
        return self._ask("POST", "/api/v1/rollouts", document | {"deadline_s": deadline_s} | tolerances)

    def rollouts(self) -> dict[str, Any]:
        return self._ask("GET", "/api/v1/rollouts")

    def rollout(self, rollout_id: int) -> dict[str, Any]:
        return self._ask("GET", f"/api/v1/rollouts/{rollout_id}")

    def change_rollout(self, rollout_id: int, act: str) -> dict[str, Any]:
        return self._ask("POST", f"/api/v1/rollouts/{rollout_id}/{act}")

    def take_back(self, rollout_id: int, now: bool) -> dict[str, Any]:
        return self._ask("POST", f"/api/v1/rollouts/{rollout_id}/back", {"wire": 1, "now": now})

    def withdrawals(self) -> dict[str, Any]:
        return self._ask("GET", "/api/v1/withdrawals")

    def withdraw(self, bundle: str, version: str, reason: str) -> dict[str, Any]:
        document = {"wire": 1, "bundle": bundle, "version": version, "reason": reason}
        return self._ask("POST", "/api/v1/withdrawals", document)

    def undo_withdrawal(self, bundle: str, version: str) -> dict[str, Any]:
        return self._ask("DELETE", f"/api/v1/withdrawals?bundle={quote(bundle)}&version={quote(version)}")

    def read(self, path: str) -> dict[str, Any]:
        return self._ask("GET", path)

    def change(
        self, method: str, path: str, document: dict[str, Any] | None = None, query: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """What an admin changes: ``document`` without its version, ``path`` as the API has it."""
        asked = None if document is None else {"wire": 1} | document
        return self._ask(method, f"{quote(path)}?{urlencode(query)}" if query else quote(path), asked)

    def restored(self) -> dict[str, Any]:
        return self._ask("GET", "/api/v1/restored")

    def moves(self) -> dict[str, Any]:
        return self._ask("GET", "/api/v1/restored/moves")

    def release_hold(self) -> dict[str, Any]:
        return self._ask("POST", "/api/v1/restored/release")

    def _ask(self, method: str, path: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=document)
        except FAULTS as exc:
            why = failure(exc, self._address, self._way, "--hub")
            trusted = "is not trusted" if "CERTIFICATE_VERIFY_FAILED" in str(exc) else "does not answer"
            raise HubError("unreachable", f"the hub at {self._address.url} {trusted}: {why}") from exc
        try:
            reply = answer.json()
        except (ValueError, RecursionError) as exc:
            raise self._no_hub(answer) from exc
        if not isinstance(reply, dict):
            raise self._no_hub(answer)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            where = "set WAYSIDE_OPERATOR_TOKEN to what the hub's operator.token holds, or to an API token"
            raise HubError("credentials", f"the hub wants the operator's token, or an API token: {where}")
        if answer.is_error:
            raise HubError(str(reply.get("error", answer.status_code)), str(reply.get("message", answer.text)))
        return reply

    def _no_hub(self, answer: httpx.Response) -> HubError:
        why = unexpected(answer.status_code, answer.headers.get("location"), self._address, self._way, "--hub")
        return HubError("not_a_hub", f"{self._address.url} {why}: this is not like a wayside hub")
