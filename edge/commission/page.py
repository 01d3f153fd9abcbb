"""A record of commissioning for people: lines on a terminal, and one page to print that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from wayside.contracts.commissioning import CommissioningRecord, WiringCheck
from wayside.contracts.reading import Stamp
from wayside.edge.commission.record import LoadedRecord
from wayside.edge.commission.wiring.lines import wiring_lines
from wayside.edge.commission.wiring.verdict import next_step

_STYLE = """
body { font: 11pt/1.4 sans-serif; max-width: 48em; margin: 2em auto; color: #111; background: #fff }
h1 { font-size: 1.4em } table { border-collapse: collapse; width: 100%; margin: 1em 0 }
th, td { border: 1px solid #888; padding: .3em .5em; text-align: left; vertical-align: top }
.failed, .fail { font-weight: bold } code { overflow-wrap: anywhere; font-size: .85em }
.sign { margin-top: 3em; border-top: 1px solid #111; width: 20em }
@page { margin: 2cm } tr { break-inside: avoid }
"""


def when(at: Stamp) -> str:
    if at.wall_ms is None:
        return "at a time that the node did not know"
    return f"{datetime.fromtimestamp(at.wall_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def summary(record: CommissioningRecord) -> str:
    if record.passed:
        return f"{record.node}: everything passed."
    failed = [s.datastream for s in record.sensors if s.outcome != "passed"]
    failed += [f"doctor: {d.check}" for d in record.doctor if d.state == "fail"]
    if record.wiring is not None:
        failed += [f"wiring: channel {c.channel}" for c in record.wiring.suspects]
    return f"{record.node}: not passed: {', '.join(failed)}."


def lines(record: CommissioningRecord) -> Iterator[str]:
    yield f"{record.node}, walked by {record.by or 'nobody named'}, {when(record.finished)}"
    for sensor in record.sensors:
        polarity = ", INVERTED" if sensor.polarity == "inverted" else ""
        remark = f": {sensor.said}" if sensor.said else ""
        yield f"  {sensor.outcome:<8} {sensor.datastream} ({_channel(sensor.kind)} {sensor.channel}){polarity}{remark}"
    if record.wiring is not None:
        yield from wiring_lines(record.wiring)


def _channel(kind: str) -> str:
    words = {"detector": "channel", "contact": "pin", "register": "register", "analog": "input", "uart": "sensor"}
    return (words | {"setpoint": "register or pin"}).get(kind, "number")


def page(loaded: LoadedRecord) -> str:
    """One HTML file.

    Raises:
        ValueError: ``found`` has no record.
    """
    record, signed = loaded.record, loaded.signed
    if record is None or signed is None:
        raise ValueError("there is no record to show")
    facts = {
        "Node": record.node,
        "Site": record.site or "",
        "Walked by": record.by,
        "Begun": when(record.started),
        "Finished": when(record.finished),
        "Software": record.agent,
        "Board": f"{record.board.identity} firmware {record.board.firmware}" if record.board else "none",
        "Configuration, SHA-256": record.config_sha256,
        "Record": record.id,
        "Signed by key": signed.public_key,
        "Signature": loaded.trouble or "right",
    }
    sensors = [
        (s.datastream, f"{_channel(s.kind)} {s.channel}", s.outcome, s.polarity, str(s.actuations), s.said)
        for s in record.sensors
    ]
    checks = [(d.check, d.state, d.said) for d in record.doctor]
    wiring = _wiring(record.wiring) if record.wiring is not None else ""
    title = f"Commissioning of {record.node}"
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>\n"
        f"<h1>{escape(title)}: {'passed' if record.passed else 'not passed'}</h1>\n"
        + _table((), [(name, value) for name, value in facts.items() if value])
        + _table(("Sensor", "At", "Outcome", "Polarity", "Actuations", "Remark"), sensors)
        + wiring
        + _table(("Check", "State", "Found"), checks)
        + '<p class="sign">Date, signature</p>\n</html>\n'
    )


def _wiring(check: WiringCheck) -> str:
    rows = [
        (
            str(c.channel),
            f"{c.phase} {c.function}",
            f"{'/'.join(map(str, c.seen_phases))} {c.seen_function or ''}",
            str(c.vehicles),
            c.verdict,
            c.said,
        )
        for c in check.channels
    ]
    ended = ", ended early" if check.partial else ""
    return (
        f"<p>Wiring, from {check.seconds / 60:.0f} minutes of events{ended}. {escape(next_step(check))}</p>\n"
        + _table(("Channel", "Configured", "Seen", "Vehicles", "Verdict", "Remark"), rows)
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    names = "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>\n" if head else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table>{names}{body}</table>\n"
