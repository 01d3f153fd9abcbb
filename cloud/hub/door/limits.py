"""How often a stranger may be wrong: what asks for nothing but work is refused before work is done.

Only requests without a node's signature are counted here. A node that signs is never slowed down by others, also not
by those who share its address.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from wayside.cloud.hub.errors import TooOftenError

ADDRESSES = 20_000  # that are remembered, the ones that came last


class Rate(NamedTuple):
    burst: float  # at once
    per_s: float


REFUSALS = Rate(burst=20, per_s=0.2)  # of one address: twelve a minute
REFUSALS_IN_ALL = Rate(burst=400, per_s=20.0)
STRIKES = 6  # doublings: the longest wait is 64 times the first, some five minutes
FORGET_S = 3600.0
FREE = 5  # wrong passwords of an account before a login to it takes longer
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0
NAME = 64  # characters of an account's name that tell it from others
NETWORKS = 16  # of an account, from which it was logged in to lately
WINDOW_S = 600.0
LINES = 100  # of a window
What = Literal["password", "token", "link", "enrolment"]
SENTENCES: dict[What, str] = {
    "password": "a login with a wrong name or password",
    "token": "a token that is not one of this hub's, has expired or was withdrawn",
    "link": "a login link that was used, has expired or never was",
    "enrolment": "an enrolment that is not allowed or no enrolment",
}
_log = logging.getLogger("wayside.hub.access")


class Bucket:
    __slots__ = ("at", "left")

    def __init__(self, burst: float, at: float) -> None:
        self.left, self.at = burst, at

    def fill(self, rate: Rate, now: float) -> float:
        self.left = min(rate.burst, self.left + (now - self.at) * rate.per_s)
        self.at = now
        return self.left


class _Stranger(Bucket):
    """An address that was wrong. ``strikes``: how often since it had nothing left; each doubles its wait."""

    __slots__ = ("seen", "strikes")

    def __init__(self, burst: float, at: float) -> None:
        super().__init__(burst, at)
        self.strikes, self.seen = 0, at

    def slowed(self, rate: Rate, now: float) -> Rate:
        if now - self.seen > FORGET_S:
            self.strikes = 0
        return Rate(rate.burst, rate.per_s / 2**self.strikes)


class _Account:
    """A name that was tried with wrong passwords, and the networks that had the right one lately."""

    __slots__ = ("at", "known", "wrong")

    def __init__(self, at: float) -> None:
        self.wrong, self.at = 0, at
        self.known: OrderedDict[str, None] = OrderedDict()


class Refusals:
    """Wrong credentials of every kind: slowed down, counted, told in the log. The event loop's.

    By address the wait doubles with each further one. By account a login only takes longer, and not for who logged in
    from there before: a stranger who tries a name keeps its owner waiting a few seconds at most. When the whole hub is
    flooded, addresses that were not refused lately still get their turn.
    """

    def __init__(
        self,
        clock_s: Callable[[], float] = time.monotonic,
        each: Rate = REFUSALS,
        in_all: Rate = REFUSALS_IN_ALL,
        count: Callable[[What], None] = lambda _what: None,
    ) -> None:
        """``count`` is called for each that is noted."""
        self._clock_s, self._each, self._in_all, self._count = clock_s, each, in_all, count
        self._all = Bucket(in_all.burst, clock_s())
        self._by_address: OrderedDict[str, _Stranger] = OrderedDict()
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._log = _Log()

    def admit(self, address: str) -> None:
        """Raises TooOftenError: with the seconds after which it is worth to come again."""
        now, one = self._clock_s(), self._by_address.get(network_of(address))
        if one is None:
            return
        rate = one.slowed(self._each, now)
        if (left := one.fill(rate, now)) < 1:
            raise TooOftenError.after((1 - left) / rate.per_s)
        if self._all.fill(self._in_all, now) < 1:
            raise TooOftenError.after(1 / self._in_all.per_s)

    def note(self, address: str, what: What, account: str | None = None) -> None:
        """``address`` was refused for want of the right ``what``."""
        now, network = self._clock_s(), network_of(address)
        one = self._by_address.pop(network, None) or _Stranger(self._each.burst, now)
        self._by_address[network] = one
        one.left = max(0.0, one.fill(one.slowed(self._each, now), now) - 1)
        one.strikes = min(one.strikes + 1, STRIKES) if one.left < 1 else one.strikes
        one.seen = now
        self._all.left = max(0.0, self._all.fill(self._in_all, now) - 1)
        _bound(self._by_address, ADDRESSES)
        if account is not None:
            tried = self._account(account[:NAME], now)
            tried.wrong, tried.at = tried.wrong + 1, now
        self._count(what)
        self._log.tell(network, what, now)

    def wrong(self, address: str, what: What) -> None:
        """:meth:`note`, for credentials whose check costs nothing: the right ones are taken however often others err.

        Raises:
            TooOftenError: this address was wrong too often.
        """
        self.admit(address)
        self.note(address, what)

    def pause_s(self, address: str, account: str) -> float:
        """How long a login to ``account`` waits before its password is looked at."""
        tried = self._accounts.get(account[:NAME])
        if tried is None or network_of(address) in tried.known:
            return 0.0
        if self._clock_s() - tried.at > FORGET_S:
            tried.wrong = 0
        return 0.0 if tried.wrong < FREE else min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(16, tried.wrong - FREE))

    def right(self, address: str, account: str) -> None:
        """A login from there fitted: the next ones do not wait."""
        known = self._account(account[:NAME], self._clock_s()).known
        known[network_of(address)] = None
        known.move_to_end(network_of(address))
        _bound(known, NETWORKS)

    def _account(self, account: str, now: float) -> _Account:
        tried = self._accounts.pop(account, None) or _Account(now)
        self._accounts[account] = tried
        _bound(self._accounts, ADDRESSES)
        return tried


class _Log:
    """One line for an address and a kind in a window, with how many came since the last one; so many lines in all."""

    def __init__(self) -> None:
        self._lines: OrderedDict[tuple[str, What], tuple[float, int]] = OrderedDict()
        self._window, self._told, self._untold = 0.0, 0, 0

    def tell(self, network: str, what: What, now: float) -> None:
        begun, more = self._lines.pop((network, what), (now - WINDOW_S, 0))
        if now - begun < WINDOW_S:
            self._lines[network, what] = (begun, more + 1)
            return
        self._lines[network, what] = (now, 0)
        _bound(self._lines, ADDRESSES)
        if now - self._window >= WINDOW_S:
            if self._untold:
                _log.warning("refused: %d more addresses, in the window before this", self._untold)
            self._window, self._told, self._untold = now, 0, 0
        if self._told >= LINES:
            self._untold += 1
            return
        self._told += 1
        since = f", and {more} times since it was told last" if more else ""
        _log.warning("refused %s: %s%s", network, SENTENCES[what], since)


def _bound(remembered: OrderedDict[Any, Any], most: int) -> None:
    while len(remembered) > most:
        remembered.popitem(last=False)


def network_of(address: str) -> str:
    """What one subscriber has: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.IPv6Network((ip, 64), strict=False))
    return str(ip)
