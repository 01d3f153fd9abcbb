"""Who does something at the hub: a user, a token, a node, or nobody that is known."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Role(enum.StrEnum):
    """What a person or token may do; each but DEPARTMENT may what the ones before it may.

    A department sees its own nodes and datastreams only, and changes nothing.
    """

    DEPARTMENT = "department"
    VIEWER = "viewer"
    TECHNICIAN = "technician"
    OPERATOR = "operator"
    ADMIN = "admin"


class Actor(NamedTuple):
    """As the audit log names it."""

    name: (
        str  # "user:NAME", "token:NAME", "node:NAME", "local:NAME" (by the data directory), "hub" (itself) or "nobody"
    )
    role: Role | None  # None: a node, the hub, or nobody
    address: str = ""  # the peer's IP address; empty where there is none
    department: str | None = None  # of the role department
