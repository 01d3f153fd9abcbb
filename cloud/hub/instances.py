"""Two computers with one key: a copied SD card, found out by its boots.

An agent draws a new boot id at each start and never takes an old one again. So a boot that comes back after another one
was heard with the same key (A, B, A) means that two agents run at once. Nothing that a single one does gives that
sequence: neither restarts in any number, nor a card moved to another computer, nor requests that are lost or repeated,
since nonces only rise and the last delivery of an earlier boot is refused (cloud/hub/auth.py).

Which of two is the right one is the fingerprint's to say (contracts.sync.Machine). Without it, it is a person's.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from wayside.cloud.hub.errors import ConflictError, HubError, NotFoundError
from wayside.cloud.hub.registry import Node, find, forget_instances, node_id, revoked
from wayside.cloud.hub.store import boots, node_keys, nodes
from wayside.contracts.sync import Notice

MAX_INSTANCES = 4  # that are named; more tell a person nothing new
SHOWN = 12  # leading digits of a fingerprint or boot, where people read and type it

_NOTE_BOOT = sa.text("""
INSERT INTO boots (node_id, boot, first_ms, synced_ms, machine) VALUES (:node, :boot, :now, :now, :machine)
ON CONFLICT (node_id, boot) DO UPDATE SET synced_ms = coalesce(boots.synced_ms, excluded.synced_ms),
  machine = excluded.machine
""")


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One of the agents that run at once."""

    boot: str
    machine: str | None
    seen_ms: int


class Clone(msgspec.Struct, frozen=True, kw_only=True):
    """Two agents with one key, from when the second one was certain until a person decides."""

    since_ms: int
    instances: tuple[Instance, ...]  # the latest last

    def heard(self, new: Instance) -> Clone:
        """``new`` may be one of them, one of them restarted (the same computer), or another."""
        old = next((i for i in self.instances if i.boot == new.boot), None)
        if old is None and new.machine is not None:
            old = next((i for i in self.instances if i.machine == new.machine), None)
        others = tuple(i for i in self.instances if i is not old)
        return Clone(since_ms=self.since_ms, instances=(*others, new)[-MAX_INSTANCES:])

    def is_settled_by(self, machine: str | None) -> bool:
        """Whether the enrolled computer ``machine`` is exactly one of them, and none of the others can be it."""
        machines = [i.machine for i in self.instances]
        return machine is not None and machines.count(machine) == 1 and None not in machines


class Present(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub knows of the agent behind a node's present key."""

    public_key: str  # "": none is let in
    machine: str | None = None  # the enrolled computer's
    boot: str | None = None  # of the last sync
    machine_seen: str | None = None
    clone: Clone | None = None

    def heard(self, boot: str, machine: str | None, now_ms: int, returned: Callable[[], bool]) -> Present:
        """The state after a sync. ``returned`` tells, for a boot other than the last, whether it synced before."""
        now = self
        if machine is not None and self.machine is None:
            now = msgspec.structs.replace(now, machine=machine)
        new = Instance(boot=boot, machine=machine, seen_ms=now_ms)
        clone = self.clone
        if clone is not None:
            clone = clone.heard(new)
        elif self.boot is not None and boot != self.boot and returned():
            last = Instance(boot=self.boot, machine=self.machine_seen, seen_ms=now_ms)
            clone = Clone(since_ms=now_ms, instances=(last, new))
        return msgspec.structs.replace(now, boot=boot, machine_seen=machine, clone=clone)


class Verdict(NamedTuple):
    refusal: HubError | None = None
    notices: tuple[Notice, ...] = ()
    disputed: bool = False  # nobody knows which of them is the node: neither counts for rollouts


class Instances:
    """The writer thread's. Remembers every node's :class:`Present`; ``forget`` after a rollback."""

    def __init__(self) -> None:
        self._present: dict[int, Present] = {}

    def forget(self, node: int | None = None) -> None:
        if node is None:
            self._present.clear()
        else:
            self._present.pop(node, None)

    def judge(self, connection: sa.Connection, node: Node, boot: str, machine: str | None, now_ms: int) -> Verdict:
        """Learn from a sync that ``node``'s key signed, and say how to answer it.

        Costs no query while the same boot syncs again.
        """
        was = self._present.get(node.id) or _load(connection, node.id)
        if was.public_key != node.public_key:  # replaced or shut out while this request was on its way
            return Verdict(revoked(find(connection, node.name), node.public_key))
        now = was.heard(boot, machine, now_ms, lambda: _synced(connection, node.id, boot))
        if now != was:
            if now.boot != was.boot:
                _note_boot(connection, node.id, boot, machine, now_ms)
            _save(connection, node.id, was, now)
        self._present[node.id] = now
        return verdict(node.name, now)

    def accept(self, connection: sa.Connection, name: str, typed: str) -> str | None:
        """Decide that the computer or boot that begins with ``typed`` is ``name``'s; return its fingerprint.

        If another one still runs, it is found out anew.

        Raises:
            NotFoundError: there is no such node, or nothing of it begins so.
            ConflictError: more than one does.
        """
        this = node_id(connection, name)
        present = _load(connection, this)
        known = {present.machine: present.machine, present.machine_seen: present.machine_seen}
        for instance in present.clone.instances if present.clone else ():
            known |= {instance.machine: instance.machine, instance.boot: instance.machine}
        matches = {m for label, m in known.items() if label is not None and label.startswith(typed.lower())}
        if not matches:
            raise NotFoundError("hardware", f"no hardware of {name} that was seen begins with {typed}")
        if len(matches) > 1:
            raise ConflictError("hardware", f"more than one hardware of {name} begins with {typed}: give more digits")
        machine = matches.pop()
        forget_instances(connection, this)
        _bind(connection, this, machine)
        return machine


def verdict(name: str, present: Present) -> Verdict:
    """How to answer the sync by which ``present`` became what it is."""
    clone, machine = present.clone, present.machine_seen
    accept = f"`wayside replace {name} --accept-hardware {(machine or present.boot or '')[:SHOWN]}`"
    if clone is None:
        if machine is None or present.machine in (None, machine):
            return Verdict()
        message = f"the hub knows {name} on other hardware than this. Was the card moved on purpose? {accept}"
        return Verdict(notices=(Notice(code="other_hardware", message=message),))
    day = f"{datetime.fromtimestamp(clone.since_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    if not clone.is_settled_by(present.machine):
        message = (
            f"two computers use the key of {name} at once, since {day}: a copied card. What both send is stored; "
            f"neither is given models. Turn the copy off, then {accept}; or shut it out with a new key for the right "
            f"one: remove its node.key and enrol it with a token of `wayside replace {name}`"
        )
        return Verdict(notices=(Notice(code="clone", message=message),), disputed=True)
    if machine == present.machine:
        message = (
            f"a copy of this card runs on another computer, since {day}; the hub refuses the copy. Find it, turn it "
            f"off, then {accept}"
        )
        return Verdict(notices=(Notice(code="clone", message=message),))
    return Verdict(
        ConflictError(
            "clone",
            f"this is a copy: {name} runs on its own hardware at the same time, since {day}. Turn one of them off. If "
            f"this one is to stay: {accept}",
        )
    )


def decoded_clone(text: str | None) -> Clone | None:
    return msgspec.json.decode(text, type=Clone) if text else None


def _load(connection: sa.Connection, node: int) -> Present:
    names = ("public_key", "machine", "boot", "machine_seen", "clone", "revoked_ms", "retired_ms")
    row = connection.execute(sa.select(*(nodes.c[name] for name in names)).where(nodes.c.id == node)).one()
    out = row.revoked_ms is not None or row.retired_ms is not None
    return Present(
        public_key="" if out else row.public_key,
        machine=row.machine,
        boot=row.boot,
        machine_seen=row.machine_seen,
        clone=decoded_clone(row.clone),
    )


def _save(connection: sa.Connection, node: int, was: Present, now: Present) -> None:
    clone = msgspec.json.encode(now.clone).decode() if now.clone else None
    seen = {"boot": now.boot, "machine_seen": now.machine_seen, "clone": clone}
    connection.execute(nodes.update().where(nodes.c.id == node).values(seen))
    if now.machine != was.machine:
        _bind(connection, node, now.machine)


def _bind(connection: sa.Connection, node: int, machine: str | None) -> None:
    connection.execute(nodes.update().where(nodes.c.id == node).values(machine=machine))
    present = (node_keys.c.node_id == node, node_keys.c.revoked_ms.is_(None))
    connection.execute(node_keys.update().where(*present).values(machine=machine))


def _synced(connection: sa.Connection, node: int, boot: str) -> bool:
    query = sa.select(boots.c.synced_ms).where(boots.c.node_id == node, boots.c.boot == boot)
    return connection.execute(query).scalar() is not None


def _note_boot(connection: sa.Connection, node: int, boot: str, machine: str | None, now_ms: int) -> None:
    connection.execute(_NOTE_BOOT, {"node": node, "boot": boot, "now": now_ms, "machine": machine})
