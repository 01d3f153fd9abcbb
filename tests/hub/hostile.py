"""A corpus of hostile requests: what an enrolled node that fell into bad hands, or a stranger, may send to a hub.

Each is built from a good request of ``node``, so that what is hostile about it is the one thing that its name says.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tests.simulators.node import SYNC, SimulatedNode
from wayside.contracts.sync import MAX_BODY_BYTES, MAX_SUMMARIES
from wayside.contracts.wire import encode

GZIP = {"Content-Encoding": "gzip"}
MANY = 20_000  # rows, where a request may have a thousand


class Attack(NamedTuple):
    body: bytes  # as it is sent, and signed
    headers: dict[str, str] = {}
    query: str = ""
    length: int | None = None  # that is announced; None: the body's
    piece: int | None = None  # bytes of each chunk, with chunked encoding; None: in one
    whole: bool = True  # False: less comes than was announced, and then the connection is shut
    stored: bool = False  # it breaks no rule


Attacks = Iterator[tuple[str, Attack]]


def zipped(plain: bytes) -> bytes:
    return gzip.compress(plain, mtime=0)


def repeated(head: bytes, part: bytes, times: int, tail: bytes) -> bytes:
    """gzip of ``head``, ``part`` × ``times``, ``tail``, without holding it."""
    deflater = zlib.compressobj(9, wbits=31)
    out = [deflater.compress(head)]
    block = part * 1000
    out += [deflater.compress(block) for _ in range(times // 1000)]
    out.append(deflater.compress(part * (times % 1000) + tail))
    return b"".join([*out, deflater.flush()])


def good(by: SimulatedNode, rows: int = 3, **first: Any) -> dict[str, Any]:
    """A request as plain values; ``first`` changes its first row."""
    plain: dict[str, Any] = json.loads(by.request([by.summary(float(i)) for i in range(rows)]))
    if rows:
        plain["summaries"][0] |= first
    return plain


def dumped(plain: object) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()


def with_rows(node: SimulatedNode, rows: bytes) -> bytes:
    """A good request with other text in the place of its rows."""
    return dumped(good(node, 0) | {"summaries": "ROWS"}).replace(b'"ROWS"', rows)


def listed(rows: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(rows) + b"]"


def row_of(by: SimulatedNode, **more: Any) -> bytes:
    return dumped(json.loads(encode(by.summary(1.0))) | more)


def rows(by: SimulatedNode, part: bytes, times: int) -> Attack:
    """A request with the same row so often."""
    before, _, after = with_rows(by, b"[ROWS]").partition(b"ROWS")
    return Attack(repeated(before, part + b",", times - 1, part + after), GZIP)


def compressed(node: SimulatedNode) -> Attacks:
    """What is wrong with the compression."""
    plain = dumped(good(node))
    yield "a bomb of zeros", Attack(repeated(b"", b"\0" * 1000, 200_000, b""), GZIP)
    yield "a bomb of spaces before good JSON", Attack(repeated(b"", b" " * 1000, 50_000, plain), GZIP)
    yield "a bomb inside a bomb", Attack(zipped(repeated(b"", b"\0" * 1000, 100_000, b"")), GZIP)
    yield "two members of gzip", Attack(zipped(plain) + zipped(plain), GZIP)
    yield "gzip cut short", Attack(zipped(plain)[:-9], GZIP)
    yield "gzip with a wrong sum", Attack(zipped(plain)[:-8] + b"\0" * 8, GZIP)
    yield "not gzip", Attack(plain, GZIP)
    yield "gzip that is not announced", Attack(zipped(plain))
    yield "zstd", Attack(b"\x28\xb5\x2f\xfd" + plain, {"Content-Encoding": "zstd"})
    yield "a chain of encodings", Attack(zipped(zipped(plain)), {"Content-Encoding": "gzip, gzip"})
    yield "an encoding nobody has", Attack(plain, {"Content-Encoding": "x" * 200})


def many(node: SimulatedNode) -> Attacks:
    """More of something than a request may have."""
    yield "twenty thousand rows of unknown fields", rows(node, b'{"n":1}', MANY)
    yield "too many rows that are good else", rows(node, row_of(node), 3_500)
    wide = {f"field-{i}": i for i in range(1000)}
    yield "rows with a thousand unknown fields each", rows(node, row_of(node, **wide), 100)
    fields = {"heartbeat": {f"f{i}": 0 for i in range(150_000)}}
    yield "a hundred and fifty thousand fields of a heartbeat", Attack(zipped(dumped(good(node) | fields)), GZIP)
    yield "a million empty rows", rows(node, b"{}", 600_000)
    yield "a million numbers for rows", rows(node, b"1", 900_000)
    twice = dumped(good(node))[:-1] + b',"wire":1' * 100_000 + b"}"
    yield "a key that comes a hundred thousand times", Attack(zipped(twice), GZIP)


def deep(node: SimulatedNode) -> Attacks:
    """Nested without need."""
    plain = dumped(good(node))
    yield "nested lists", Attack(zipped(with_rows(node, b"[" * 900_000)), GZIP)
    yield "nested lists that end", Attack(zipped(with_rows(node, b"[" * 400_000 + b"]" * 400_000)), GZIP)
    yield "nested lists within the number of values", Attack(with_rows(node, b"[" * 60_000 + b"]" * 60_000))
    objects = b'{"a":' * 300_000 + b"1" + b"}" * 300_000
    yield "nested objects in an unknown field", Attack(zipped(plain[:-1] + b',"newer":' + objects + b"}"), GZIP)
    row = row_of(node)[:-1] + b',"x":' + b"[" * 500 + b"]" * 500 + b"}"
    yield "nested 500 deep in an unknown field of each row", rows(node, row, 500)


def text(node: SimulatedNode) -> Attacks:
    plain = dumped(good(node))
    yield "a string of 1.9 MB", Attack(zipped(dumped(good(node, unit="x" * 1_900_000))), GZIP)
    yield "a detail of 1.5 MB", Attack(zipped(dumped(good(node, detail={"what": "x" * 1_500_000}))), GZIP)
    yield "escapes of 1.8 MB", Attack(zipped(with_rows(node, b'["' + b"\\u0041" * 300_000 + b'"]')), GZIP)
    yield "half surrogates", Attack(with_rows(node, b'["\\ud800"]'))
    yield "invalid UTF-8", Attack(plain.replace(b"intersection", b"inter\xff\xfe"))
    yield "UTF-16", Attack(plain.decode().encode("utf-16"))
    yield "a byte-order mark", Attack(b"\xef\xbb\xbf" + plain)
    yield "NUL", Attack(b"\0" * 1000)
    yield "a name with a line break", Attack(dumped(good(node, datastream="a\nb")))


def numbers(node: SimulatedNode) -> Attacks:
    plain = dumped(good(node))
    long = plain.replace(b'"value":0.0', b'"value":' + b"9" * 1_000_000)
    yield "an integer of a million digits", Attack(zipped(long), GZIP)
    yield "an integer of 4300 digits", Attack(plain.replace(b'"value":0.0', b'"value":' + b"9" * 4300))
    yield "a sequence number beyond 2^53", Attack(dumped(good(node, seq=2**53 + 1)))
    yield "a sequence number of 2^53", Attack(dumped(good(node, seq=2**53)), stored=True)
    yield "a negative sequence number", Attack(dumped(good(node, seq=-1)))
    yield "a float of 1e999", Attack(plain.replace(b'"value":0.0', b'"value":1e999'))
    yield "NaN", Attack(plain.replace(b'"value":0.0', b'"value":NaN'))
    yield "infinity", Attack(plain.replace(b'"value":0.0', b'"value":-Infinity'))
    beyond = json.loads(encode(node.stamp())) | {"wall_ms": 2**63 - 1}
    yield "a date beyond the calendar", Attack(dumped(good(node, at=beyond)))


def documents(node: SimulatedNode) -> Attacks:
    """JSON, and another document than it should be."""
    plain = dumped(good(node))
    yield "nothing", Attack(b"")
    yield "a list", Attack(b"[]")
    yield "null", Attack(b"null")
    yield "rows that are an object", Attack(with_rows(node, b'{"0":1}'))
    yield "a request for another node", Attack(dumped(good(node) | {"node": "somebody-else"}))
    yield "a row of another node", Attack(dumped(good(node, node="somebody-else")))
    yield "wire 2", Attack(dumped(good(node) | {"wire": 2}))
    yield "wire 1e9", Attack(dumped(good(node) | {"wire": 10**9}))
    yield "wire true", Attack(dumped(good(node) | {"wire": True}))
    yield "a kind that does not exist", Attack(dumped(good(node, kind="secret")))
    yield "keys that come twice", Attack(plain.replace(b'"seq":0', b'"seq":1,"seq":0'), stored=True)


def sizes(node: SimulatedNode) -> Attacks:
    """At the bounds, and within them."""
    newer = listed(row_of(node, newer=i, and_more=[i]) for i in range(MAX_SUMMARIES))
    yield "a thousand rows with fields of a newer release", Attack(zipped(with_rows(node, newer)), GZIP, stored=True)
    yield "one row twice", Attack(with_rows(node, listed([row_of(node)] * 2)), stored=True)
    sparse = listed(row_of(node, seq=i * 2**40) for i in range(MAX_SUMMARIES))
    yield "sparse sequence numbers", Attack(with_rows(node, sparse), stored=True)
    names = listed(row_of(node, datastream=f"d/{i}") for i in range(MAX_SUMMARIES))
    yield "a thousand datastreams", Attack(zipped(with_rows(node, names)), GZIP, stored=True)
    boots = listed(row_of(node, boot=f"{i:032x}") for i in range(400))
    yield "four hundred boots", Attack(zipped(with_rows(node, boots)), GZIP, stored=True)
    yield "as large as may be", Attack(boundary(node, MAX_BODY_BYTES), GZIP, stored=True)
    yield "one byte larger", Attack(boundary(node, MAX_BODY_BYTES + 1), GZIP)
    yield "one byte larger as sent", Attack(b" " * MAX_BODY_BYTES + b"x")


def boundary(node: SimulatedNode, size: int) -> bytes:
    plain = dumped(good(node))
    return zipped(b" " * (size - len(plain)) + plain)


def lines(node: SimulatedNode) -> Attacks:
    """What is wrong with the way it is sent."""
    plain = dumped(good(node))
    yield "a byte in each chunk", Attack(plain, piece=1, stored=True)
    yield "a length that is longer than what comes", Attack(plain, length=len(plain) + 1000, whole=False)
    yield "a length that is shorter than what comes", Attack(plain, length=len(plain) - 1)
    yield "a length that is no number", Attack(plain, {"Content-Length": "-1"}, length=-1)
    yield "a length of 10^18", Attack(plain, length=10**18, whole=False)
    yield "two lengths", Attack(plain, {"Content-length": "3"})
    yield "a length and chunks", Attack(plain, {"Transfer-Encoding": "chunked"})
    yield "a header of 100 kB", Attack(plain, {"X-Long": "x" * 100_000})
    yield "ten thousand headers", Attack(plain, {f"X-{i}": "1" for i in range(10_000)})
    yield "a path of 60 kB", Attack(plain, query="/" + "x" * 60_000)
    yield "a query of 60 kB", Attack(plain, query="?" + "a=1&" * 15_000)
    yield "a path out of the tree", Attack(plain, query="/../../../etc/passwd")
    yield "a header with a control character", Attack(plain, {"X-Odd": "a\x01b"})


CORPUS = (compressed, many, deep, text, numbers, documents, sizes, lines)
"""Each yields its attacks by name, built for a node."""


def head(attack: Attack, host: str, identity: dict[str, str]) -> bytes:
    headers = {"Host": host, **identity, **attack.headers}
    if attack.piece is not None:
        headers["Transfer-Encoding"] = "chunked"
    elif "Content-Length" not in headers:
        headers["Content-Length"] = str(len(attack.body) if attack.length is None else attack.length)
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {SYNC}{attack.query} HTTP/1.1\r\n{told}\r\n".encode()


def delivered(address: tuple[str, int], attack: Attack, identity: dict[str, str]) -> tuple[int, bytes] | None:
    """Status and body of the answer; None: the hub closed the connection, or waits for what does not come."""
    with socket.create_connection(address, timeout=30) as line:
        try:
            line.sendall(head(attack, address[0], identity))
            for part in parts(attack):
                line.sendall(part)
            if not attack.whole:
                line.shutdown(socket.SHUT_WR)
        except OSError:  # it answered before it had heard all of it
            pass
        return _answer(line)


def _answer(line: socket.socket) -> tuple[int, bytes] | None:
    said = b""
    try:
        while more := line.recv(65536):
            said += more
            top, end, body = said.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", top)
            if end and length is not None and len(body) >= int(length[1]):
                break
    except OSError:
        pass
    top, _, body = said.partition(b"\r\n\r\n")
    return (int(top.split()[1]), body) if top.startswith(b"HTTP/1.1 ") else None


def parts(attack: Attack) -> Iterator[bytes]:
    """The body as it goes over the line."""
    if attack.piece is None:
        yield attack.body
        return
    for at in range(0, len(attack.body), attack.piece):
        part = attack.body[at : at + attack.piece]
        yield b"%x\r\n%s\r\n" % (len(part), part)
    yield b"0\r\n\r\n"
