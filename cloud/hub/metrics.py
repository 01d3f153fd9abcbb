"""Prometheus metrics. Counters count since the process started; gauges are read from the store when asked."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterable
from typing import get_args

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from wayside.cloud.hub import queries
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.health import Health
from wayside.cloud.hub.rollout_store import Published, load_all
from wayside.contracts.rollout import RolloutState


class Metrics:
    def __init__(self, engine: sa.Engine, stats: queries.RecentStats, published: Published) -> None:
        self.registry = CollectorRegistry()
        self.rows = Counter("wayside_rows_ingested", "Summaries stored", registry=self.registry)
        self.duplicates = Counter("wayside_rows_duplicate", "Summaries that came again", registry=self.registry)
        self.requests = Histogram(
            "wayside_request_seconds",
            "Time to answer",
            ("route", "method", "status"),
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
            registry=self.registry,
        )
        self.registry.register(_Fleet(engine, stats, published))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class _Fleet(Collector):
    def __init__(self, engine: sa.Engine, stats: queries.RecentStats, published: Published) -> None:
        self._engine = engine
        self._stats = stats
        self._published = published

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return []  # so that registering does not read the store

    def collect(self) -> Iterable[GaugeMetricFamily]:
        with self._engine.connect() as connection:
            nodes = queries.list_nodes(connection, now_ms(), self._published)
            rollouts = load_all(connection)
        by_health = GaugeMetricFamily("wayside_nodes", "Enrolled nodes by health", labels=["health"])
        for health in get_args(Health):
            by_health.add_metric([health], sum(n.health == health for n in nodes))
        clones = GaugeMetricFamily("wayside_nodes_cloned", "Nodes whose key two computers use")
        clones.add_metric([], sum(n.clone is not None for n in nodes))
        beats = [n.heartbeat or {} for n in nodes]
        faults = GaugeMetricFamily("wayside_nodes_signal_fault", "Nodes whose signal's conflict monitor has tripped")
        faults.add_metric([], sum(bool((b.get("board") or {}).get("signal_fault")) for b in beats))
        open_ = GaugeMetricFamily("wayside_conditions_open", "Open conditions of all nodes", labels=["code"])
        codes = Counted(c["code"] for b in beats for c in b.get("conditions", ()))
        for code, number in sorted(codes.items()):
            open_.add_metric([code], number)
        age = GaugeMetricFamily("wayside_node_last_seen_age_seconds", "Since the last sync", labels=["node"])
        backlog = GaugeMetricFamily("wayside_node_backlog_rows", "Summaries still on the node", labels=["node"])
        for node in nodes:
            if node.age_s is not None and node.heartbeat is not None:
                age.add_metric([node.node], node.age_s)
                backlog.add_metric([node.node], node.heartbeat.get("backlog", 0))
        stored = GaugeMetricFamily("wayside_node_rows", "Summaries in the store", labels=["node"])
        missing = GaugeMetricFamily("wayside_node_rows_missing", "Gaps in the sequence numbers", labels=["node"])
        error = GaugeMetricFamily(
            "wayside_forecast_mae", "Mean absolute error over all stored intervals", labels=["node", "by"]
        )
        for entry in self._stats.get().nodes:
            stored.add_metric([entry.node], entry.stored)
            missing.add_metric([entry.node], entry.missing)
            for by, value in (("model", entry.forecast.mae), ("naive", entry.forecast.naive_mae)):
                if value is not None:
                    error.add_metric([entry.node, by], value)
        states = GaugeMetricFamily("wayside_rollouts", "Rollouts by state", labels=["state"])
        for state in RolloutState:
            states.add_metric([state.value], sum(r.state is state for r in rollouts))
        return [by_health, clones, faults, open_, age, backlog, stored, missing, error, states]
