"""Records of commissioning: verified against the node's keys, kept to the byte, listed by their result."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature

from wayside.cloud.hub import views
from wayside.cloud.hub.errors import ConflictError, ForbiddenError, TooLargeError
from wayside.cloud.hub.openapi import decoded
from wayside.cloud.hub.people.sight import Sight
from wayside.cloud.hub.registry import Node, node_id
from wayside.cloud.hub.store import commissionings
from wayside.contracts.commissioning import (
    MAX_RECORD_BYTES,
    CommissioningRecord,
    SignedCommissioning,
    commissioning_input,
)


def verified(signed: SignedCommissioning, node: Node) -> CommissioningRecord:
    """The record, if a present or past key of ``node`` signed it: work that was done stays done when hardware goes.

    Raises:
        TooLargeError: more than ``MAX_RECORD_BYTES``.
        ForbiddenError: the key is not the node's, it did not sign this, or the record is another node's.
        ContractBrokenError: the record breaks its contract.
    """
    record = signed.record.encode()
    if len(record) > MAX_RECORD_BYTES:
        raise TooLargeError("too_large", f"the record has more than {MAX_RECORD_BYTES} bytes")
    keys = (node.key, *(past.key for past in node.past))
    key = next((k for k in keys if k.public_bytes_raw().hex() == signed.public_key), None)
    if key is None:
        raise ForbiddenError("record_key", f"the record is signed by a key that {node.name} never had", "public_key")
    try:
        key.verify(base64.b64decode(signed.signature, validate=True), commissioning_input(record))
    except (binascii.Error, ValueError, InvalidSignature) as exc:
        raise ForbiddenError("record_signature", "the record is not what was signed", "signature") from exc
    document = decoded(record, CommissioningRecord)
    if document.node != node.name:
        raise ForbiddenError("other_node", f"{node.name} sent a record of {document.node}", "node")
    return document


def store(
    connection: sa.Connection, node: Node, signed: SignedCommissioning, record: CommissioningRecord, now_ms: int
) -> bool:
    """Keep a verified record; whether it is new.

    Raises:
        ConflictError: another record has this id.
    """
    there = connection.execute(
        sa.select(commissionings.c.record, commissionings.c.node_id).where(commissionings.c.record_id == record.id)
    ).first()
    if there is not None:
        if there.node_id == node.id and there.record == signed.record:
            return False
        raise ConflictError("record_exists", f"another commissioning record has the id {record.id}", "id")
    connection.execute(
        commissionings.insert().values(
            node_id=node.id,
            record_id=record.id,
            record=signed.record,
            public_key=signed.public_key,
            signature=signed.signature,
            received_ms=now_ms,
            by=record.by,
            finished_ms=record.finished.wall_ms,
            passed=record.passed,
            sensors_passed=sum(s.outcome == "passed" for s in record.sensors),
            sensors=len(record.sensors),
        )
    )
    return True


_BRIEF = ("record_id", "by", "finished_ms", "received_ms", "passed", "sensors_passed", "sensors")


def latest(connection: sa.Connection, ids: Sequence[int]) -> dict[int, views.CommissioningBrief]:
    """The last record of each of these nodes that has one, by the node's row."""
    newest = sa.select(sa.func.max(commissionings.c.id)).group_by(commissionings.c.node_id)
    newest = newest.where(commissionings.c.node_id.in_(ids))
    columns = [commissionings.c[name] for name in ("node_id", *_BRIEF)]
    rows = connection.execute(sa.select(*columns).where(commissionings.c.id.in_(newest))).mappings()
    return {row["node_id"]: views.CommissioningBrief(**{name: row[name] for name in _BRIEF}) for row in rows}


def of_node(
    connection: sa.Connection, name: str, cursor: int | None, limit: int, *, sight: Sight
) -> views.CommissioningPage:
    """A page of records as they were signed, the newest first.

    Raises:
        NotFoundError: there is no such node.
    """
    query = sa.select(commissionings).where(commissionings.c.node_id == node_id(connection, name, sight.whole))
    if cursor is not None:
        query = query.where(commissionings.c.id < cursor)
    rows = connection.execute(query.order_by(commissionings.c.id.desc()).limit(limit + 1)).mappings().all()
    records = [
        views.CommissioningView(
            **{name: row[name] for name in _BRIEF},
            signed=SignedCommissioning(record=row["record"], public_key=row["public_key"], signature=row["signature"]),
        )
        for row in rows[:limit]
    ]
    return views.CommissioningPage(node=name, records=records, next=rows[limit - 1].id if len(rows) > limit else None)
