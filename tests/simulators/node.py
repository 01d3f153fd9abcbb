"""A node as the hub sees it: enrols, signs, syncs. It reads no sensors and keeps no outbox."""

from __future__ import annotations

import base64
import gzip
import secrets
import time
from typing import Any

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wayside.contracts.commissioning import CommissioningRecord, SensorCheck, SignedCommissioning, commissioning_input
from wayside.contracts.identity import NODE_HEADER, NONCE_HEADER, SIGNATURE_HEADER, signing_input
from wayside.contracts.reading import ClockState, Quality, Stamp
from wayside.contracts.rollout import Refusal, UpdateState
from wayside.contracts.summary import Kind, Summary
from wayside.contracts.sync import Counters, EnrolRequest, Heartbeat, Reported, SyncReply, SyncRequest
from wayside.contracts.task_config import Datastream, Offer, SiteConfig, TaskOffer
from wayside.contracts.wire import decode, encode

SYNC = "/api/v1/sync"
STREAM = Datastream(name="detector/2/volume", unit="{vehicle}", aggregate="sum")


def offer(*tasks: TaskOffer, datastreams: tuple[Datastream, ...] = (STREAM,), **other: Any) -> Offer:
    """What a node with these tasks offers: int8 on onnxruntime."""
    defaults: dict[str, Any] = {"agent": "0.1.0", "runtime": "onnxruntime", "precision": "int8"}
    return Offer(**{**defaults, **other}, datastreams=datastreams, tasks=tasks)


FLOW = TaskOffer(name="flow", bundle="traffic-flow", sites=(SiteConfig(output="detector/2/volume"),))
OFFER = offer(FLOW)


class SimulatedNode:
    """``client`` talks to the hub: an ``httpx.Client`` with the hub as base URL, or a FastAPI ``TestClient``."""

    def __init__(self, client: Any, name: str = "node-1", key: Ed25519PrivateKey | None = None) -> None:
        self.client = client
        self.name = name
        self.key = key or Ed25519PrivateKey.generate()
        self.boot = secrets.token_hex(16)
        self.machine: str | None = None
        self.seq = 0
        self.nonce = "none"
        self.models: dict[str, Reported] = {}  # by bundle; the first is that of the first task
        self.offer: Offer | None = OFFER
        self.offer_due = True
        self.beat: dict[str, Any] = {}  # of the heartbeat, beside what is said otherwise
        self.old = False  # an agent that knows only one model, and nothing of offers
        self.wall_ms = 1_715_300_000_000 - 1_715_300_000_000 % 900_000  # a day in May 2024: a simulated clock

    @property
    def public_key(self) -> str:
        return self.key.public_key().public_bytes_raw().hex()

    def enrol(self, token: str) -> httpx.Response:
        answer = self.client.post(
            "/api/v1/enrol",
            content=encode(
                EnrolRequest(
                    node=self.name, token=token, public_key=self.public_key, site="Main St", machine=self.machine
                )
            ),
        )
        self.nonce = answer.headers.get(NONCE_HEADER, self.nonce)
        return answer

    def stamp(self, after_s: float = 0.0) -> Stamp:
        return Stamp(
            boot=self.boot,
            mono_ns=time.monotonic_ns(),
            wall_ms=self.wall_ms + int(after_s * 1000),
            clock=ClockState.SIMULATED,
            error_ms=5,
        )

    def summary(self, value: float | None = 40.0, **other: Any) -> Summary:
        """The next row: an interval of the intersection's volume, unless told otherwise."""
        missing = {} if value is not None else {"quality": Quality.MISSING}
        row = Summary(
            **{
                "node": self.name,
                "boot": self.boot,
                "seq": self.seq,
                "kind": Kind.INTERVAL,
                "datastream": "intersection/volume",
                "at": self.stamp(),
                "duration_s": 900.0,
                "value": value,
                "unit": "{vehicle}",
                "n": 60,
                **missing,
                **other,
            }
        )
        self.seq += 1
        return row

    @property
    def reported(self) -> Reported:
        return next(iter(self.models.values()), Reported())

    def heartbeat(self, **other: Any) -> Heartbeat:
        defaults: dict[str, Any] = {
            "agent": "0.1.0",
            "at": self.stamp(),
            "uptime_s": 12.0,
            "healthy": True,
            "reported": self.reported,
            "models": () if self.old else tuple(self.models.values()),
            "counters": Counters(summaries_produced=self.seq),
            "rss_bytes": 90_000_000,
        }
        return Heartbeat(**{**defaults, **self.beat, **other})

    def request(self, summaries: list[Summary], **heartbeat: Any) -> bytes:
        beat = self.heartbeat(**heartbeat)
        said = self.offer if self.offer_due and not self.old else None
        about: dict[str, Any] = {"node": self.name, "boot": self.boot, "machine": self.machine, "offer": said}
        return encode(SyncRequest(**about, heartbeat=beat, summaries=summaries))

    def restart(self) -> None:
        self.boot, self.seq, self.offer_due = secrets.token_hex(16), 0, True

    def reconfigure(self, offer: Offer) -> None:
        """Start again with another configuration."""
        self.restart()
        self.offer = offer

    def copied(self) -> SimulatedNode:
        """Another computer with a copy of this one's card, which starts now."""
        copy = SimulatedNode(self.client, self.name, self.key)
        copy.machine = self.machine
        return copy

    def headers(self, body: bytes, *, nonce: str | None = None, path: str = SYNC) -> dict[str, str]:
        nonce = self.nonce if nonce is None else nonce
        signature = self.key.sign(signing_input(node=self.name, nonce=nonce, method="POST", path=path, body=body))
        return {
            NODE_HEADER: self.name,
            NONCE_HEADER: nonce,
            SIGNATURE_HEADER: base64.b64encode(signature).decode(),
            "Content-Type": "application/json",
        }

    def send(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Send exactly this and learn the next nonce."""
        answer: httpx.Response = self.client.post(SYNC, content=body, headers=headers)
        self.nonce = answer.headers.get(NONCE_HEADER, self.nonce)
        return answer

    def post(self, plain: bytes, *, compress: bool = True) -> httpx.Response:
        """Sign and send; sign the fresh nonce once if the hub asks for it."""
        body = gzip.compress(plain) if compress else plain
        encoding = {"Content-Encoding": "gzip"} if compress else {}
        answer = self.send(body, self.headers(body) | encoding)
        if answer.status_code == 401 and answer.json()["error"] == "nonce":
            answer = self.send(body, self.headers(body) | encoding)
        return answer

    def sync(self, summaries: list[Summary] | None = None, **heartbeat: Any) -> SyncReply:
        """Send summaries and a heartbeat.

        Raises:
            AssertionError: the hub did not take them.
        """
        answer = self.post(self.request(summaries or [], **heartbeat))
        assert answer.status_code == 200, answer.text
        reply = decode(answer.content, SyncReply)
        self.offer_due = reply.offer_wanted
        return reply

    def walked(self, **about: Any) -> SignedCommissioning:
        """A signed record of a commissioning, of two detectors that passed unless told otherwise."""
        sensors = tuple(
            SensorCheck(datastream=f"detector/{c}/volume", kind="detector", channel=c, outcome="passed", actuations=3)
            for c in (2, 4)
        )
        record = CommissioningRecord(
            **{
                "id": secrets.token_hex(16),
                "node": self.name,
                "by": "R. Vega",
                "started": self.stamp(),
                "finished": self.stamp(600),
                "agent": "0.1.0",
                "config_sha256": "ab" * 32,
                "sensors": sensors,
                **about,
            }
        )
        return self.signed_record(encode(record))

    def signed_record(self, record: bytes) -> SignedCommissioning:
        signature = base64.b64encode(self.key.sign(commissioning_input(record))).decode()
        return SignedCommissioning(record=record.decode(), public_key=self.public_key, signature=signature)

    def hand_in(self, signed: SignedCommissioning) -> httpx.Response:
        """Post a record as the agent does."""
        body, path = encode(signed), "/api/v1/commissioning"
        for _ in range(2):  # sign the fresh nonce once if the hub asks for it
            answer: httpx.Response = self.client.post(path, content=body, headers=self.headers(body, path=path))
            self.nonce = answer.headers.get(NONCE_HEADER, self.nonce)
            if answer.status_code != 401:
                break
        return answer

    def run(self, version: str, bundle: str = "traffic-flow") -> None:
        """Report that a model is active."""
        self.models[bundle] = Reported(
            state=UpdateState.ACTIVE,
            bundle=bundle,
            version=version,
            variant="onnx-int8",
            runtime="onnxruntime",
            attempted=version,
        )

    def refuse(
        self,
        version: str,
        refusal: Refusal = Refusal.GOLDEN,
        reason: str = "window 3 is 4.2 off",
        bundle: str = "traffic-flow",
    ) -> None:
        """Report that an update was refused; the old model runs on."""
        was = self.models.get(bundle, Reported(bundle=bundle))
        self.models[bundle] = msgspec.structs.replace(
            was, state=UpdateState.REFUSED, attempted=version, refusal=refusal, reason=reason
        )

    def try_(self, version: str, state: UpdateState = UpdateState.DOWNLOADING, bundle: str = "traffic-flow") -> None:
        """Report that an update is under way."""
        was = self.models.get(bundle, Reported(bundle=bundle))
        self.models[bundle] = msgspec.structs.replace(was, state=state, attempted=version, refusal=None, reason=None)
