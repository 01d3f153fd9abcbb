"""The audit log: every change with who, when and from where, each entry bound to the one before it.

An entry is written in the transaction of its change, so that neither is there without the other. Its hash is the
SHA-256 of the entry with the hash of the entry before: to change one, all later ones have to be made anew. The last
number and hash, the *head*, stand in the database and, after the commit, in a file of the data directory: who can
change only one of them is found out. Who can change both is found out by a head that was noted elsewhere, which
``verify`` takes; `docs/security.md` says how.

Several writers (PostgreSQL) make one chain: each holds the row of the head until it commits.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.errors import ConfigurationError
from wayside.cloud.hub.people.actor import Actor, Role
from wayside.cloud.hub.store import audit, audit_head
from wayside.durable import replace_file
from wayside.text import TextError, decode_unicode, read_file

HEAD_FILE = "audit.head"
PUBLISHED, FOUND, SETTINGS = "tuf.published", "tuf.found", "settings.found"
MAX_DETAIL = 4096  # characters of an entry's JSON; longer values are cut, and say so
_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")
_PAGE = 1000
_pending: WeakKeyDictionary[sa.Connection, Head] = WeakKeyDictionary()  # made by a transaction that is not over
_log = logging.getLogger("wayside.hub.audit")


class Head(NamedTuple):
    """The last entry: its number (0: there is none) and its hash."""

    id: int
    hash: str

    def __str__(self) -> str:
        return f"{self.id}:{self.hash}"


START = Head(0, "0" * 64)


class Entry(NamedTuple):
    id: int
    at_ms: int
    actor: str
    role: str | None
    address: str
    action: str  # a noun and a verb, as node.revoked
    target: str
    detail: str  # canonical JSON
    previous: str
    hash: str

    def hashed(self) -> str:
        """What ``hash`` has to be: SHA-256 of all fields before it, as a JSON array in UTF-8 without spaces."""
        return hashlib.sha256(_canonical(list(self[:-1])).encode()).hexdigest()


def hub() -> Actor:
    """What the hub does by itself, by its own rules."""
    return Actor("hub", None)


def local() -> Actor:
    """Who acts through the data directory: by the name that the operating system knows."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, in a container
        user = "unknown"
    return Actor(f"local:{user}", Role.ADMIN)


def record(
    connection: sa.Connection,
    actor: Actor,
    action: str,
    target: str = "",
    at_ms: int | None = None,
    /,
    **detail: object,
) -> None:
    """Append one entry, in the transaction of ``connection``, which is that of the change.

    Args:
        action: a noun and a verb, as ``token.made``.
        target: what was changed: a node, a rollout, a user.
        detail: what else a reader needs, as JSON takes it. No secret.
    """
    head = _locked(connection)
    entry = Entry(
        id=head.id + 1,
        at_ms=now_ms() if at_ms is None else at_ms,
        actor=actor.name[:128],
        role=None if actor.role is None else str(actor.role),
        address=actor.address[:64],
        action=action,
        target=target[:256],
        detail=_bounded({k: v for k, v in detail.items() if v is not None}),
        previous=head.hash,
        hash="",
    )
    entry = entry._replace(hash=entry.hashed())
    connection.execute(audit.insert().values(entry._asdict()))
    new = Head(entry.id, entry.hash)
    connection.execute(audit_head.update().values(new._asdict()))
    _pending[connection] = new


def _locked(connection: sa.Connection) -> Head:
    """The head, which nobody else moves until this transaction ends. SQLite has one writer and ignores the lock."""
    return Head(*connection.execute(sa.select(audit_head.c.id, audit_head.c.hash).with_for_update()).one())


def record_found(connection: sa.Connection, versions: Mapping[str, int]) -> None:
    """What stands in the TUF repository, which is files, and of what no entry speaks: a crash came in between, the hub
    is older than its log, or somebody put it there.
    """
    _locked(connection)  # one of several processes finds it
    for role, version in versions.items():
        query = sa.select(audit.c.detail).where(audit.c.target == role, audit.c.action.in_((PUBLISHED, FOUND)))
        last = connection.execute(query.order_by(audit.c.id.desc()).limit(1)).scalar()
        if last is None or json.loads(last).get("version") != version:
            record(connection, hub(), FOUND, role, version=version)


def record_settings(connection: sa.Connection, what: str, settings: object, default: object) -> None:
    """What a file says that a person edits, where it is not what the last entry of it says."""
    _locked(connection)
    query = sa.select(audit.c.detail).where(audit.c.target == what, audit.c.action == SETTINGS)
    last = connection.execute(query.order_by(audit.c.id.desc()).limit(1)).scalar()
    before = default if last is None else json.loads(last).get("to")
    if _canonical(before) != _canonical(settings):
        record(connection, hub(), SETTINGS, what, to=settings, before=before)


def committed(data: Path, connection: sa.Connection) -> None:
    """Note the head in the data directory, after the commit of a transaction that made entries.

    A connection that rolled back is not used again (``Writer``): what it was about to add goes with it.
    What was committed stays so: a disk that takes no more is told in the log. The next entry's head covers this one.
    """
    head = _pending.pop(connection, None)
    if head is None:
        return
    _log.info("audit head %s", head)
    try:
        replace_file(data / HEAD_FILE, f"{head}\n".encode(), mode=0o600)
    except OSError as exc:
        _log.error("the audit log's head %s is not noted in %s: %s", head, data / HEAD_FILE, exc.strerror)


def noted(data: Path) -> Head | None:
    """The head that the data directory holds; None: no entry was made yet, or the file is gone.

    Raises:
        ConfigurationError: it cannot be read, or is no head.
    """
    file = data / HEAD_FILE
    try:
        return parsed(decode_unicode(read_file(file, 256)).strip())
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigurationError("audit_head", f"cannot read {file}: {exc.strerror}") from exc
    except (TextError, ValueError) as exc:
        raise ConfigurationError("audit_head", f"{file} holds no head of an audit log: {exc}") from exc


def parsed(text: str) -> Head:
    """``NUMBER:HASH``. Raises ValueError."""
    found = _HEAD.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is not NUMBER:HASH")
    return Head(int(found[1]), found[2])


class Verified(NamedTuple):
    head: Head  # as the entries give it
    wrong: list[str]  # what is damaged, in the order of the entries; empty: nothing


def verify(connection: sa.Connection, data: Path, known: Head | None = None) -> Verified:
    """Read the whole log and compare it with itself and with the heads that stand elsewhere. The hub may run.

    Args:
        known: a head that somebody noted: the log up to it must still be what it was.

    Raises:
        ConfigurationError: the head file cannot be read.
    """
    in_file = noted(data)  # before the entries, as the database's: the log may grow meanwhile
    before = _heads(connection)
    places = {HEAD_FILE: in_file, "the database's head": before[0] if before else None, "the head you gave": known}
    heads = {where: head for where, head in places.items() if head is not None}
    wrong, last = _chain(connection, heads)
    after = _heads(connection)
    if len(after) != 1:
        wrong.append("the database's head is gone")
    elif last.id > after[0].id:
        wrong.append(f"the last entry is {last.id}, and the database's head knows {after[0].id}: it was put there")
    if in_file is None and last.id > 0:
        wrong.append(f"{data / HEAD_FILE} is gone: nothing but the database says which entry is the last")
    return Verified(last, wrong)


def _chain(connection: sa.Connection, heads: dict[str, Head]) -> tuple[list[str], Head]:
    wrong: list[str] = []
    last = START
    for entry in _all(connection):
        if entry.id != last.id + 1:
            wrong.append(_gap(last.id, entry.id))
        if entry.previous != last.hash:
            wrong.append(f"entry {entry.id} does not follow the entry before it: one of them is not what it was")
        if entry.hashed() != entry.hash:
            wrong.append(f"entry {entry.id} was changed: {entry.action} of {entry.target or 'nothing'}")
        for where, head in heads.items():
            if head.id == entry.id and head.hash != entry.hash:
                wrong.append(f"entry {entry.id} is not the one that {where} knows: the log was written anew")
        last = Head(entry.id, entry.hash)
    for where, head in heads.items():
        if head.id > last.id:
            wrong.append(f"entries are gone: {where} knows entry {head.id}, the last one is {last.id}")
    return wrong, last


def _heads(connection: sa.Connection) -> list[Head]:
    return [Head(*row) for row in connection.execute(sa.select(audit_head.c.id, audit_head.c.hash))]


def _gap(before: int, after: int) -> str:
    if after <= before:
        return f"entry {after} stands behind entry {before}"
    missing = f"entry {before + 1} is" if after == before + 2 else f"entries {before + 1} to {after - 1} are"
    return f"{missing} gone"


def _all(connection: sa.Connection) -> Iterator[Entry]:
    """In the order of their numbers, a page at a time."""
    after = -(2**62)
    while True:
        query = sa.select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(_PAGE)
        page = connection.execute(query).all()
        yield from (Entry(*row) for row in page)
        if len(page) < _PAGE:
            return
        after = page[-1].id


def entries(
    connection: sa.Connection,
    *,
    actor: str | None = None,
    action: str | None = None,
    target: str | None = None,
    cursor: int | None = None,
    limit: int = 100,
) -> list[Entry]:
    """The newest first; ``cursor``: those before this number."""
    query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    for column, value in ((audit.c.actor, actor), (audit.c.action, action), (audit.c.target, target)):
        if value is not None:
            query = query.where(column == value)
    if cursor is not None:
        query = query.where(audit.c.id < cursor)
    return [Entry(*row) for row in connection.execute(query)]


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)


def _bounded(detail: dict[str, object]) -> str:
    text = _canonical(detail)
    if len(text) <= MAX_DETAIL:
        return text
    share = MAX_DETAIL // (2 * len(detail))
    short = {k: v if len(_canonical(v)) <= share else f"{_canonical(v)[:share]} …" for k, v in detail.items()}
    return _canonical({**short, "cut": True})
