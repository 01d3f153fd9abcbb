"""A hub says when and how much: the node holds to it, within bounds of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulators.plain_hub import PlainHub
from wayside.contracts.node_config import load_node_config
from wayside.contracts.reading import ClockState, Stamp
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.sync import FRESH_ROWS
from wayside.edge.agent import Agent
from wayside.edge.hub_client import HubRefused
from wayside.edge.sync import LONGEST_WAIT_S, Sync

TOML = 'node = "node-1"\nstate_dir = "state"\n[hub]\nurl = "%s"\ntoken = "0123456789abcdef"\n[task]\nbundle = "b"\n'
OLD = "ab" * 16  # a boot before this one


def row(seq: int, kind: Kind = Kind.INTERVAL) -> Summary:
    at = Stamp(boot=OLD, mono_ns=seq, wall_ms=1_767_225_600_000 + seq, clock=ClockState.SIMULATED, error_ms=5)
    return Summary(node="node-1", boot=OLD, seq=seq, kind=kind, datastream="d", at=at, value=1.0)


@pytest.fixture
def hub() -> Iterator[PlainHub]:
    with PlainHub() as plain:
        yield plain


@contextlib.contextmanager
def agent(folder: Path, hub: PlainHub) -> Iterator[tuple[Agent, Sync]]:
    one = Agent(load_node_config(TOML % hub.url), folder)
    assert one.sync is not None
    yield one, one.sync
    one.close()


def intervals(hub: PlainHub) -> list[list[int]]:
    return [[r.seq for r in s.summaries if r.boot == OLD and r.kind is Kind.INTERVAL] for s in hub.syncs]


async def test_after_an_outage_the_newest_rows_come_first_and_history_as_it_is_granted(
    tmp_path: Path, hub: PlainHub
) -> None:
    with agent(tmp_path, hub) as (one, sync):
        one.outbox.commit([row(i) for i in range(1, 500)] + [row(500, Kind.ALERT)])
        client = sync._client()
        hub.turn = (12.5, 250)
        assert await sync._once(client) == 12.5
        hub.turn = (0.0, None)
        await sync._once(client)
        await sync._once(client)
        await client.close()
        said = intervals(hub)
        assert [len(rows) for rows in said] == [FRESH_ROWS, 250, 499 - 250 - FRESH_ROWS]
        assert said[0] == list(range(400, 500))
        assert 500 in [r.seq for r in hub.syncs[0].summaries], "what happened is never held back"
        assert sorted(seq for rows in said for seq in rows) == list(range(1, 500))
        assert one.outbox.rows == 0


async def test_without_a_grant_alerts_pass_and_intervals_stay(tmp_path: Path, hub: PlainHub) -> None:
    with agent(tmp_path, hub) as (one, sync):
        client = sync._client()
        hub.turn = (0.0, 0)
        await sync._once(client)
        one.outbox.commit([row(1), row(2, Kind.ALERT)])
        await sync._once(client)
        assert [r.seq for r in hub.syncs[-1].summaries if r.boot == OLD] == [2]
        hub.turn = (0.0, None)
        await sync._once(client)
        await sync._once(client)
        await client.close()
        assert intervals(hub)[-1] == [1]


async def test_no_hub_keeps_a_node_silent_for_longer_than_it_bears(tmp_path: Path, hub: PlainHub) -> None:
    with agent(tmp_path, hub) as (_, sync):
        client = sync._client()
        hub.turn = (86_400.0, None)
        assert await sync._once(client) == LONGEST_WAIT_S
        await client.close()


async def test_a_hub_that_failed_is_sent_little_at_first(tmp_path: Path, hub: PlainHub) -> None:
    with agent(tmp_path, hub) as (one, sync):
        client = sync._client()
        await sync._once(client)
        one.outbox.commit([row(i) for i in range(300)])
        assert len(sync._next_rows().ids) >= 300
        hub.refuses = lambda _: "$.heartbeat.agent"
        with pytest.raises(HubRefused):
            await sync._once(client)
        await client.close()
        assert len(sync._next_rows().ids) <= FRESH_ROWS + 10
