"""What nodes have verified of the signed metadata that this hub does not have: published after the backup it is of.

TUF lets no node go back: until the hub has as many versions again, such a node takes no update. In memory: each
heartbeat says it anew.
"""

from __future__ import annotations

from collections.abc import Callable

from wayside.contracts.sync import Trusted

ROLES = ("root", "targets", "models")


class Ahead:
    def __init__(self, versions: Callable[[], dict[str, int]]) -> None:
        """``versions``: of each role what the hub has."""
        self._versions = versions
        self._seen: dict[str, tuple[int, str]] = {}  # of each role the highest version, and a node that has it

    def hear(self, node: str, trusted: Trusted | None) -> None:
        if trusted is None:
            return
        for role in ROLES:
            version = getattr(trusted, role)
            seen, by = self._seen.get(role, (0, ""))
            if version > seen or by == node:  # also lower: a node whose card was made anew
                self._seen[role] = (version, node)

    def sentences(self) -> list[str]:
        """One of each role in which the hub is behind its nodes."""
        here = self._versions()
        told = []
        for role, (version, node) in self._seen.items():
            has = here.get(role, 0)
            if (lacks := version - has) > 0:
                again = "`wayside release publish` each lost version again, or " if role == "models" else ""
                told.append(
                    f"{node} has {role} {version}, this hub {has}: what was signed since the backup is lost, "
                    f"and nodes take no update until it is signed again: {again}`wayside release renew {role}`, "
                    f"{lacks} {'time' if lacks == 1 else 'times'} in all"
                )
        return told
