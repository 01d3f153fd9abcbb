"""What the hub does beside answering, so that it stays small: rollups all the time, retention once a day.

Of several processes the leader does it; that two do it for a moment does no harm.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import logging
import os
import sys
import time
from pathlib import Path

from wayside.cloud.hub.engine import settled_id
from wayside.cloud.hub.errors import HubError
from wayside.cloud.hub.peers import Peers
from wayside.cloud.hub.retention.rollups import roll
from wayside.cloud.hub.retention.runs import load_retention
from wayside.cloud.hub.writer import Writer
from wayside.contracts.retention import Retention
from wayside.errors import ExitStatus

ROLL_S = 15.0
REST = 2.0  # pause after each piece, in times of what it took
LOOK_S = 30.0
NICE = 10  # of the daily run beside the hub
_log = logging.getLogger("wayside.hub")


async def keep_rolled(writer: Writer, peers: Peers) -> None:
    while True:
        await asyncio.sleep(ROLL_S)
        if not peers.leads:
            continue
        try:
            upto = await writer.write(settled_id)
            more = True
            while more:
                started = time.monotonic()
                more = await writer.write(functools.partial(roll, upto=upto))
                await asyncio.sleep(REST * (time.monotonic() - started))
        except HubError as exc:
            _log.warning("rollups wait: %s", exc.message)


async def keep_retention(data: Path, database: str | None, peers: Peers) -> None:
    """A run each day at the time of ``retention.toml``, in a process of its own: it takes neither the hub's lock of
    Python nor its memory."""
    last = _moment(datetime.datetime.now(datetime.UTC), data)
    while True:
        await asyncio.sleep(LOOK_S)
        moment = _moment(datetime.datetime.now(datetime.UTC), data)
        if moment > last and peers.leads:
            await _run(data, database)
        last = moment


def _moment(now: datetime.datetime, data: Path) -> datetime.datetime:
    """The last time before ``now`` at which a run was due. Where the file cannot be read the run says so."""
    try:
        at = load_retention(data).at
    except HubError:
        at = Retention().at
    hour, minute = map(int, at.split(":"))
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today <= now else today - datetime.timedelta(days=1)


async def _run(data: Path, database: str | None) -> None:
    words = ("-m", "wayside", "hub", "retention", "run", "--data", str(data), "--json")
    address = {} if database is None else {"WAYSIDE_DATABASE": database}  # not on a command line, which all users see
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        env={**os.environ, **address},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        out, err = await process.communicate()
    finally:
        if process.returncode is None:  # the hub stops: whatever it was at is whole, or done again
            process.terminate()
            await process.wait()
    if process.returncode == ExitStatus.DONE:
        _log.info("retention: %s", out.decode(errors="replace").strip())
    elif process.returncode != ExitStatus.REFUSED:
        _log.error("retention failed: %s", err.decode(errors="replace").strip())
