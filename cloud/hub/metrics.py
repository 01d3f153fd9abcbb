"""Prometheus metrics. Counters count since the process started; gauges are read from the store when asked."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from wayside.cloud.hub import fleet
from wayside.cloud.hub.clock import now_ms
from wayside.cloud.hub.health import Health
from wayside.cloud.hub.people.sight import EVERYTHING
from wayside.cloud.hub.store import nodes, rollouts
from wayside.contracts.rollout import RolloutState

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it when it is imported
FRESH_S = 3.0
NODES = 500
"""That have series of their own, the worst ones: ten thousand would be megabytes, and a load for who keeps them."""

_ROLLOUTS = sa.select(rollouts.c.state, sa.func.count()).group_by(rollouts.c.state)
_kinds = (nodes.c.intervals, nodes.c.alerts, nodes.c.decisions, nodes.c.gaps)
_NODES = sa.select(
    nodes.c.name,
    nodes.c.last_seen_ms,
    nodes.c.backlog,
    sum(_kinds[1:], start=_kinds[0]).label("rows"),
    nodes.c.missing,
    nodes.c.scored,
    nodes.c.forecast_error,
    nodes.c.naive_error,
).order_by(nodes.c.name)


class Metrics:
    def __init__(self, engine: sa.Engine) -> None:
        self._lock = threading.Lock()
        self._text, self._made_s = b"", -math.inf
        self.registry = CollectorRegistry()
        self.rows = Counter("wayside_rows_ingested", "Summaries stored", registry=self.registry)
        self.duplicates = Counter("wayside_rows_duplicate", "Summaries that came again", registry=self.registry)
        self._refused = Counter(
            "wayside_credentials_refused", "Wrong credentials, by kind", ("what",), registry=self.registry
        )
        self.requests = Histogram(
            "wayside_request_seconds",
            "Time to answer",
            ("route", "method", "status"),
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
            registry=self.registry,
        )
        self._fleet = _Fleet(engine)
        if SHARED not in os.environ:
            self.registry.register(self._fleet)

    def count_refused(self, what: str) -> None:
        self._refused.labels(what).inc()

    def text(self) -> bytes:
        """The exposition format, of several processes their sum. Whoever asks soon after another is told the same."""
        with self._lock:
            if time.monotonic() - self._made_s > FRESH_S:
                self._text, self._made_s = generate_latest(self._of_all()), time.monotonic()
            return self._text

    def _of_all(self) -> CollectorRegistry:
        if SHARED not in os.environ:
            return self.registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        registry.register(self._fleet)
        return registry


class _Fleet(Collector):
    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return []  # so that registering does not read the store

    def collect(self) -> Iterable[GaugeMetricFamily]:
        with self._engine.connect() as connection:
            at = now_ms()
            all_ = fleet.summed(connection, at, sight=EVERYTHING)
            in_state = {state: count for state, count in connection.execute(_ROLLOUTS)}  # noqa: C416  typed
            ids, _ = fleet.chosen(
                connection, at, fleet.Filter(), sight=EVERYTHING, order="worst", after=None, limit=NODES
            )
            each = connection.execute(_NODES.where(nodes.c.id.in_(ids))).all()
        by_health = GaugeMetricFamily("wayside_nodes", "Enrolled nodes by health", labels=["health"])
        for health in get_args(Health):
            by_health.add_metric([health], all_.health.get(health, 0))
        open_ = GaugeMetricFamily("wayside_conditions_open", "Open conditions of all nodes", labels=["code"])
        for code, number in sorted(all_.open_conditions.items()):
            open_.add_metric([code], number)
        states = GaugeMetricFamily("wayside_rollouts", "Rollouts by state", labels=["state"])
        for state in RolloutState:
            states.add_metric([state.value], in_state.get(state.value, 0))
        return [
            by_health,
            _one("wayside_nodes_cloned", "Nodes whose key two computers use", all_.cloned),
            _one("wayside_nodes_signal_fault", "Nodes whose signal's conflict monitor has tripped", all_.signal_faults),
            _one("wayside_rows", "Summaries in the store", all_.stored),
            _one("wayside_rows_missing", "Gaps in the sequence numbers of all nodes", all_.missing),
            _one("wayside_backlog_rows", "Summaries still on the nodes", all_.backlog),
            open_,
            states,
            *_of_nodes(each, at),
        ]


def _one(name: str, what: str, value: float) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, what)
    family.add_metric([], value)
    return family


def _of_nodes(rows: Sequence[Any], at_ms: int) -> list[GaugeMetricFamily]:
    age = GaugeMetricFamily("wayside_node_last_seen_age_seconds", "Since the last sync", labels=["node"])
    backlog = GaugeMetricFamily("wayside_node_backlog_rows", "Summaries still on the node", labels=["node"])
    stored = GaugeMetricFamily("wayside_node_rows", "Summaries in the store", labels=["node"])
    missing = GaugeMetricFamily("wayside_node_rows_missing", "Gaps in the sequence numbers", labels=["node"])
    error = GaugeMetricFamily(
        "wayside_forecast_mae", "Mean absolute error over all stored intervals", labels=["node", "by"]
    )
    for row in rows:
        if row.last_seen_ms is not None:
            age.add_metric([row.name], max(0.0, (at_ms - row.last_seen_ms) / 1000))
            backlog.add_metric([row.name], row.backlog)
        stored.add_metric([row.name], row.rows)
        missing.add_metric([row.name], row.missing)
        if row.scored:
            error.add_metric([row.name, "model"], row.forecast_error / row.scored)
            error.add_metric([row.name, "naive"], row.naive_error / row.scored)
    return [age, backlog, stored, missing, error]
