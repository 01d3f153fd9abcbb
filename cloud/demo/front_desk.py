"""A hospital's own system, which tells a node by HTTP on its loopback how many arrived in each half-hour.

``python -m wayside.cloud.demo.front_desk --url http://127.0.0.1:8040/v1/values --datastream ed/arrivals --csv
arrivals.csv --speed 600 --anchor 1780000000 --start 1391000000``: a row is due at its ``unix_s``, which is the end of
an interval that began at ``from``, and had ``arrivals``. What is not answered by 200 is said again: it counts once.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import httpx

from wayside.cloud.demo.scaled import Playback, options
from wayside.contracts.hub_address import hub_address
from wayside.hub_http.client import client

MOST = 200  # entries of one request
PAUSE_S = 0.1  # real


def tell(url: str, entries: list[dict[str, Any]]) -> bool:
    """Whether they are on the node's disk."""
    node = hub_address(url, "--url")
    try:
        with client(node._replace(path=""), timeout_s=5) as http:
            answer = http.post(node.path, content=json.dumps(entries), headers={"Content-Type": "application/json"})
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


def play(url: str, datastream: str, playback: Playback) -> None:
    """Until the process is ended."""
    done = 0
    while True:
        news = playback.rows[done : min(playback.passed(), done + MOST)]
        totals = [
            {"datastream": datastream, "value": int(r["arrivals"]), "from": _iso(r["from"]), "to": _iso(r["unix_s"])}
            for r in news
        ]
        if news and tell(url, totals):
            done += len(news)
        else:
            time.sleep(PAUSE_S)


def _iso(unix_s: str) -> str:
    return datetime.fromtimestamp(float(unix_s), UTC).isoformat()


def main() -> None:
    chosen, playback = options("A hospital's system that tells a node of arrivals.", "--url", "--datastream")
    play(chosen.url, chosen.datastream, playback)


if __name__ == "__main__":
    main()
