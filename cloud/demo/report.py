"""What the demo proves, as numbers: from the board, the nodes' heartbeats and decisions, and the hub's rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZipFile

from wayside.cloud.demo.intersection import Intersection
from wayside.cloud.demo.node import Node, Place, begins
from wayside.contracts.passport import PASSPORT_FILE, Passport
from wayside.contracts.wire import decode

Row = dict[str, Any]
TOTALS = ("summaries_produced", "summaries_acknowledged", "bytes_sent", "raw_bytes")


def passport(bundle: Path) -> Passport:
    with ZipFile(bundle) as archive:
        return decode(archive.read(PASSPORT_FILE), Passport)


class Ran(Protocol):
    """A line that has run to its end (:class:`wayside.cloud.demo.line.Line`)."""

    @property
    def nodes(self) -> Sequence[Node]: ...
    @property
    def places(self) -> Mapping[str, Place]: ...
    def heartbeats(self) -> Mapping[str, Row]: ...
    def rows(self, node: str) -> Iterable[Row]: ...
    def why(self, node: Node) -> list[Row]: ...
    def board_stats(self) -> Row: ...
    def get(self, path: str) -> Any: ...


def report(line: Ran, passports: Mapping[str, Passport]) -> dict[str, Any]:
    """All that the demo shows."""
    heartbeats = line.heartbeats()
    totals = dict.fromkeys(TOTALS, 0)
    nodes = []
    for node in line.nodes:
        state = line.places[node.name].state
        status = json.loads((state / "status.json").read_text())
        rows = list(line.rows(node.name))
        entry = of_node(node, heartbeats[node.name], status, rows, line.why(node))
        for model in entry["models"]:
            model.update(judged(passports[model["bundle"]], str(model["variant"])))
        if isinstance(node, Intersection):
            entry |= of_board(line.board_stats(), status["counters"], rows) | {"beat": of_beat(rows)}
        nodes.append(entry)
        for key in TOTALS:
            totals[key] += status["counters"].get(key, 0)
    stored = sum(entry["summaries_stored"] for entry in nodes)
    rollouts = (line.get("/api/v1/rollouts") or {"rollouts": []})["rollouts"]
    return {
        **totals,
        "summaries_stored": stored,
        "duplicates": sum(entry["summaries_twice"] for entry in nodes),
        "lost": totals["summaries_produced"] - stored,
        "nodes": nodes,
        "variants": {
            bundle: [{"name": v.name, "bytes": v.bytes, "max_abs_diff": v.max_abs_diff} for v in each.variants]
            for bundle, each in passports.items()
        },
        "rollouts": {each["bundle"]: each["state"] for each in rollouts},
        "speed": {node.name: round(line.places[node.name].speed, 1) for node in line.nodes},
    }


def of_node(node: Node, heartbeat: Row, status: Row, rows: list[Row], decisions: list[Row]) -> dict[str, Any]:
    """
    Args:
        rows: all that the hub has of it.
        decisions: as :meth:`Line.why` gives them.
    """
    reported = {model["bundle"]: model for model in heartbeat.get("models", [])}
    starts_ms, ends_ms = node.start_unix_s * 1000, (node.start_unix_s + node.seconds) * 1000
    own = [row for row in rows if starts_ms - 1000 < begins(row) < ends_ms - 1000]
    forecast, naive, n = errors(own)
    verdicts = [row["detail"] for row in rows if row["kind"] == "decision"]
    return {
        "id": node.name,
        "domain": node.domain,
        "held_out": node.held_out,
        "tolerance": node.tolerance,
        "models": [
            {"bundle": bundle} | {key: reported.get(bundle, {}).get(key) for key in ("version", "runtime", "variant")}
            for bundle in node.bundles
        ],
        "fed": node.fed(),
        "stored": node.stored(own),
        "forecasts": n,
        "forecast_mae": forecast / n if n else None,
        "naive_mae": naive / n if n else None,
        "scores": sum(row["kind"] == "interval" and row["datastream"].startswith("score/") for row in own),
        "allowed": sum(d.get("verdict") == "allowed" for d in verdicts) + of_beat(rows)["asked"],
        "refused": sum((d.get("verdict") == "refused") + d.get("refused", 0) for d in verdicts),
        "softened": sum(d.get("verdict") == "allowed" and d.get("attempt", 0) > 0 for d in verdicts),
        "why": {word: last(decisions, word) for word in ("allowed", "refused", "beat")},
        "summaries_produced": status["counters"].get("summaries_produced", 0),
        "summaries_stored": len(rows),
        "summaries_twice": len(rows) - len({(row["boot"], row["seq"]) for row in rows}),
        "agent_rss_bytes": status.get("rss_bytes"),
    }


def judged(of: Passport, variant: str) -> dict[str, float | None]:
    """What its passport says of a forecaster over all the days that were held out; None: it is no forecaster."""
    overall = next(a for a in of.accuracy if a.slice == "all")
    return {"held_out_mae": overall.mae.get(variant), "held_out_naive": overall.mae.get("naive")}


def of_board(board: Row, counters: Row, rows: list[Row]) -> dict[str, Any]:
    """Of a node with a board: what was sent, what arrived, and whether the gap is known."""
    return {
        "edges": board["produced"],
        "readings_sent": told(board),
        "readings_received": counters.get("readings_received", 0),
        "readings_lost": counters.get("readings_lost", 0),
        "board_could_not_buffer": board["lost"],
        "gap_recorded": gaps(rows),
    }


def told(board: Row) -> int:
    """Events in the board's numbering: the feed's edges and what its own signal did."""
    return int(board["next_seq"]) - 1


def errors(rows: list[Row]) -> tuple[float, float, int]:
    """Sums of the absolute errors of forecast and of persistence, over rows that have both, and their number."""
    forecast = naive = 0.0
    n = 0
    for row in rows:
        if row["kind"] == "interval" and not row.get("derived"):
            value, predicted, before = row.get("value"), row.get("forecast"), row.get("naive")
            if value is not None and predicted is not None and before is not None:
                forecast += abs(value - predicted)
                naive += abs(value - before)
                n += 1
    return forecast, naive, n


def of_beat(rows: Iterable[Row]) -> dict[str, int]:
    """What came of a policy with the beat of the line; all 0 where there is none.

    Returns:
        Seconds of the board, those in force, requests that the guard let through, intervals in which the
        board refused one.
    """
    beats = [row["detail"] for row in rows if row["kind"] == "decision" and row["detail"].get("verdict") == "beat"]
    return {
        "seconds": sum(d["seconds"] for d in beats),
        "in_force_s": sum(d.get("in_force_s", 0) for d in beats),
        "asked": sum(n for d in beats for name, n in d.items() if name.startswith("asked_")),
        "board_refused": sum("board_refused" in d for d in beats),
    }


def gaps(rows: list[Row]) -> int:
    """Readings that the nodes recorded as lost."""
    return int(sum(row["value"] or 0 for row in rows if row["kind"] == "gap" and row["datastream"] == "board/events"))


def last(decisions: list[Row], word: str) -> str | None:
    """The newest sentence of a decision with that verdict."""
    of_word = (d["sentence"] for d in reversed(decisions) if d["row"]["detail"].get("verdict") == word)
    return next(of_word, None)
