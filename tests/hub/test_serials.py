"""Nonces over a fleet of hub processes, restarts and clocks that jump: each request takes effect once, in order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from tests.hub.conftest import Hub, initialise
from wayside.cloud.hub.auth import NONCE_KEY_FILE, NONCE_LIFE_S, Nonces, load_nonce_key
from wayside.cloud.hub.engine import open_engine
from wayside.cloud.hub.errors import ConfigurationError, UnauthenticatedError
from wayside.cloud.hub.serials import Serials, serial_of
from wayside.cloud.hub.store import nodes

SECOND = 1_000_000_000


class Memory:
    """What a process remembers of a node: here, the number of its request that took effect last."""

    def __init__(self) -> None:
        self.last: dict[int, int] = {}

    def forget(self, node: int | None = None) -> None:
        if node is None:
            self.last.clear()
        else:
            self.last.pop(node, None)


class Process:
    def __init__(self, key: bytes, clock_ns: object) -> None:
        self.nonces = Nonces(key, clock_ns)  # type: ignore[arg-type]
        self.memory = Memory()
        self.serials = Serials(self.memory)


class Processes(RuleBasedStateMachine):
    """Requests of one node: signed over any nonce that was ever given out, served by any process, at any time."""

    signed = Bundle("signed")

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.data = initialise(Path(self.folder.name) / "hub")
        self.engine = open_engine(self.data)
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(nodes.insert().values(id=1, name="n", public_key="", enrolled_ms=0))
        self.now = 1_700_000_000 * SECOND
        self.processes = [self.process(), self.process()]
        self.effects: list[int] = []  # numbers of requests, in the order in which they took effect
        self.numbers = 0

    def process(self) -> Process:
        return Process(load_nonce_key(self.data), lambda: self.now)

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.dispose()
            self.folder.cleanup()

    @rule(target=signed, which=st.sampled_from((0, 1)))
    def sign(self, which: int) -> tuple[int, str, int]:
        """The node asks one process for a nonce and signs its next request; somebody may hold it back."""
        with self.engine.connect() as connection:
            nonce = self.processes[which].nonces.issue("n", serial_of(connection, 1))
        self.numbers += 1
        return self.numbers, nonce, self.now

    @rule(request=signed, which=st.sampled_from((0, 1)))
    def arrive(self, request: tuple[int, str, int], which: int) -> None:
        number, nonce, at = request
        served = self.serve(self.processes[which], number, nonce)
        if served:
            assert abs(self.now - at) <= NONCE_LIFE_S * SECOND
            assert number not in self.effects, "twice"
            assert not self.effects or number > self.effects[-1], "after one that was signed later"
            self.effects.append(number)

    def serve(self, process: Process, number: int, nonce: str) -> bool:
        try:
            serial = process.nonces.opened("n", nonce)
        except UnauthenticatedError:
            return False
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            process.serials.lock(connection, {1})
            if not process.serials.take(connection, 1, serial):
                return False
            remembered = process.memory.last.get(1)
            assert remembered in (None, self.effects[-1] if self.effects else None), "what another process changed"
            process.memory.last[1] = number
            process.serials.note(connection, 1)
            return True

    @rule(which=st.sampled_from((0, 1)))
    def fresh_request_works(self, which: int) -> None:
        """Whatever happened: a nonce that is asked for now is good now, at any process."""
        for process in self.processes:
            with self.engine.connect() as connection:
                nonce = process.nonces.issue("n", serial_of(connection, 1))
            self.numbers += 1
            assert self.serve(self.processes[which], self.numbers, nonce)
            self.effects.append(self.numbers)

    @rule(which=st.sampled_from((0, 1)))
    def restart(self, which: int) -> None:
        self.processes[which] = self.process()

    @rule(seconds=st.sampled_from((1, 800, 901, 10**9, -1, -800, -901, -(10**9), -1_800_000_000)))
    def clock_jumps(self, seconds: int) -> None:
        """Also to before 1970."""
        self.now += seconds * SECOND

    @rule()
    def replaced(self) -> None:
        """The node's row changes otherwise: what was signed before counts no more."""
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(nodes.update().values(serial=nodes.c.serial + 1))

    @invariant()
    def in_order(self) -> None:
        if hasattr(self, "effects"):
            assert self.effects == sorted(set(self.effects))


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(
    max_examples=6, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.both_stores
def test_of_two_requests_over_one_nonce_one_is_served(hub: Hub) -> None:
    node = hub.node()
    first, second = node.request([node.summary(1.0)]), node.request([node.summary(2.0)])
    signed = [(body, node.headers(body)) for body in (first, second)]
    answers = [node.send(*one) for one in signed]
    assert [a.status_code for a in answers] == [200, 401]
    assert node.send(second, node.headers(second)).status_code == 200, "the refusal brought a fresh nonce"


def test_what_has_no_effect_uses_no_nonce_up(hub: Hub) -> None:
    node = hub.node()
    nonce = node.nonce
    assert node.send(b"{}", node.headers(b"{}", nonce=nonce)).status_code == 422
    body = node.request([node.summary()])
    assert node.send(body, node.headers(body, nonce=nonce)).status_code == 200


def test_the_key_of_nonces_is_the_hubs_alone_and_is_made_once(tmp_path: Path) -> None:
    made = load_nonce_key(tmp_path)
    assert (tmp_path / NONCE_KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert load_nonce_key(tmp_path) == made
    (tmp_path / NONCE_KEY_FILE).write_bytes(made[:-1])
    with pytest.raises(ConfigurationError, match="remove it"):
        load_nonce_key(tmp_path)


def test_within_one_transaction_a_serial_is_given_once(hub: Hub) -> None:
    hub.node()
    engine, serials = open_engine(hub.data), Serials()
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        given = []
        for serial in (1, 0, 0, 1, 0):
            given.append(serials.take(connection, 1, serial))
            if given[-1]:
                serials.note(connection, 1)
    engine.dispose()
    assert given == [False, True, False, True, False]
