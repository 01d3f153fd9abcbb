"""Is the policy worse than what the board does alone? Judged on the street, from who waits.

A switchback: the policy rests for a while, is in force for a while, rests again, and the time between is compared with
both rests, so that a demand that grows or falls does not count for or against it. Lengths are random, from a seed, so
that nothing periodic falls in with them. How long it is in force grows with trust: a new policy gets two minutes.

Three judges, from coarse to fine:

- **cut**: waiting vehicles over 1.5 times what waited in the rest are summed up while the policy is in force (Page's
  test); so much as thirty seconds of all who normally wait ends the block at once. Two cuts in a row: let go.
- **losses**: each comparison is a bet against "as good as the board alone"; the wealth of the gambler who bets on
  "worse" never falls under its start and is over :data:`EVIDENCE` at most once in that many comparisons of a policy
  that is just 5 % worse (e-detector: Shin, Ramdas, Rinaldo, arXiv 2203.03532; betting: Waudby-Smith, Ramdas, JRSS B
  2024). Over it: let go. The comparison of one that is in truth as good must be as likely to err up as down.
- a lost comparison takes all trust away, and the rest is doubled.

Who is let go comes back after an hour, then two, up to a day.
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import Any, NamedTuple

REST_S, FIRST_S = 240.0, 60.0  # of a rest; in force, without any trust
MOST_TRUST = 6  # doublings: 64 minutes
SETTLE_S = 20.0  # of each part that is not counted: the queues of the one before
LAST_S = 960.0  # of a long block that is compared
JITTER = 0.25  # of each length
LONGEST_REST = 3  # doublings
CUT_AT, CUT_OVER, CUT_S, CUT_VEH_S = 1.5, 1.0, 20.0, 60.0
CUT_SWING = 2
CUTS = 2  # with no comparison between them that it has won
TOLERATED = math.log(1.05)  # worse by so much is no loss
EVIDENCE = 200.0
BET, BET_FULL_AT = 0.9, 0.4  # at most of the wealth; at a difference of so much in the logarithm of the delay
AWAY_S, LONGEST_AWAY_S = 3600.0, 86_400.0


class LetGo(NamedTuple):
    """Why the policy is let go."""

    why: str  # a sentence with its numbers
    ratio: float  # of the delay with the policy to that of the board alone, in the last comparison
    comparisons: int
    away_s: float


class _Part:
    """The last seconds of a part: who waited, and who came."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[float, int]] = deque()
        self._waited = 0.0
        self._arrived = 0

    def add(self, waiting: float, arrived: int) -> None:
        self._seconds.append((waiting, arrived))
        self._waited += waiting
        self._arrived += arrived
        if len(self._seconds) > LAST_S:
            before, came = self._seconds.popleft()
            self._waited -= before
            self._arrived -= came

    def waiting(self) -> float:
        """Vehicles, at a time."""
        return self._waited / max(1, len(self._seconds))

    def swing(self) -> float:
        """How far Page's sum rises by itself, with this part's own mean: a queue grows with each red."""
        usual, excess, most = self.waiting(), 0.0, 0.0
        for waiting, _ in self._seconds:
            excess = max(0.0, excess + waiting - CUT_AT * usual - CUT_OVER)
            most = max(most, excess)
        return most

    def delay_s(self) -> float:
        """Of a vehicle; a little is added on both sides, so that a night without anybody compares as equal."""
        return (max(0.0, self._waited) + 20.0) / (self._arrived + 2.0)


class Comparison:
    """Says every second whether the policy rests, and at times that it is let go."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- a switchback, no secret
        self._resting, self._elapsed_s = True, 0.0
        self._length_s = self._jittered(REST_S)
        self._now = _Part()
        self._rest: _Part | None = None  # before the block
        self._block: _Part | None = None  # whose second rest is under way
        self._excess = 0.0  # vehicle seconds, of Page's test
        self._usual = self._swing = 0.0  # of the rest: vehicles; vehicle seconds
        self._trust = self._losses = self._cuts = self._times_away = 0
        self._away_s = 0.0  # left
        self.evidence = 1.0
        self.comparisons = 0
        self.ratio = 1.0  # of the last comparison

    @property
    def rests(self) -> bool:
        return self._resting or self.away

    @property
    def away(self) -> bool:
        """The policy is let go."""
        return self._away_s > 0

    @property
    def away_s(self) -> float:
        """How long it stays away, seconds."""
        return self._away_s

    def step(self, waiting: float, arrived: int) -> LetGo | None:
        """A second has passed in which so many vehicles waited and so many came."""
        if self._away_s > 0:
            self._away_s -= 1.0
            self._rest = self._block = None
            self._begin(resting=True)
            return None
        self._elapsed_s += 1.0
        if self._elapsed_s > SETTLE_S:
            self._now.add(waiting, arrived)
        if not self._resting and self._too_much(waiting):
            return self._cut()
        if self._elapsed_s < self._length_s:
            return None
        if not self._resting:
            self._block = self._now
            self._begin(resting=True)
            return None
        verdict = self._compare() if self._block is not None else None
        self._rest, self._block = self._now, None
        self._usual, self._swing = self._now.waiting(), self._now.swing()
        if verdict is None:
            self._begin(resting=False)
        return verdict

    def interrupt(self) -> None:
        """What was measured in this part is of no use: nobody saw, or the policy could not ask. A rest begins."""
        if not self.away:
            self._rest = self._block = None
            self._begin(resting=True)

    def _begin(self, *, resting: bool) -> None:
        self._resting, self._elapsed_s, self._excess = resting, 0.0, 0.0
        self._now = _Part()
        length_s = REST_S * 2 ** min(self._losses, LONGEST_REST) if resting else FIRST_S * 2**self._trust
        self._length_s = self._jittered(length_s)

    def _jittered(self, length_s: float) -> float:
        return length_s * self._random.uniform(1 - JITTER, 1 + JITTER)

    def _too_much(self, waiting: float) -> bool:
        usual = self._usual
        self._excess = max(0.0, self._excess + waiting - CUT_AT * usual - CUT_OVER)
        return self._excess > (CUT_SWING * self._swing + CUT_S * usual + CUT_VEH_S) * (1 + self._trust / 2)

    def _cut(self) -> LetGo | None:
        assert self._rest is not None  # noqa: S101
        self._cuts += 1
        self.comparisons += 1
        usual, now = self._rest.waiting(), self._now.waiting()
        self.ratio = (now + CUT_OVER) / (usual + CUT_OVER)
        self._lost(1.0)
        if self._cuts >= CUTS or self.evidence >= EVIDENCE:
            return self._let_go(
                f"{self._cuts} times in a row it was stopped early: {now:.1f} vehicles waited, {usual:.1f} without it"
            )
        self._rest = self._block = None
        self._begin(resting=True)
        return None

    def _compare(self) -> LetGo | None:
        assert self._block is not None and self._rest is not None  # noqa: S101
        self.comparisons += 1
        alone = 0.5 * (math.log(self._rest.delay_s()) + math.log(self._now.delay_s()))
        worse = math.log(self._block.delay_s()) - alone
        self.ratio = math.exp(worse)
        share = max(-1.0, min(1.0, (worse - TOLERATED) / BET_FULL_AT))
        if share > 0:
            self._lost(share)
        else:
            self.evidence = max(1.0, self.evidence * (1 + BET * share))
            self._trust, self._losses, self._cuts = min(MOST_TRUST, self._trust + 1), 0, 0
            self._times_away = 0 if self._trust == MOST_TRUST else self._times_away
        if self.evidence < EVIDENCE:
            return None
        return self._let_go(
            f"vehicles waited {100 * (self.ratio - 1):.0f} % longer than without it, and the evidence of "
            f"{self.comparisons} comparisons is {self.evidence:.0f} to 1"
        )

    def _lost(self, share: float) -> None:
        self.evidence *= 1 + BET * share
        self._trust = 0 if share >= 1.0 else max(0, self._trust - 2)
        self._losses += self._trust == 0

    def _let_go(self, why: str) -> LetGo:
        self._away_s = min(LONGEST_AWAY_S, AWAY_S * 2**self._times_away)
        self._times_away += 1
        self._cuts = 0
        self.evidence = 1.0
        return LetGo(why, self.ratio, self.comparisons, self._away_s)

    # --- over a restart -------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a restart needs, as plain JSON values: trust and what was lost, not the part under way."""
        return {
            "trust": self._trust,
            "losses": self._losses,
            "cuts": self._cuts,
            "times_away": self._times_away,
            "away_s": self._away_s,
            "evidence": self.evidence,
            "comparisons": self.comparisons,
            "ratio": self.ratio,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Raises: KeyError, TypeError, ValueError: it is no such state."""
        self._trust = min(MOST_TRUST, max(0, int(state["trust"])))
        self._losses, self._cuts = max(0, int(state["losses"])), max(0, int(state["cuts"]))
        self._times_away = max(0, int(state["times_away"]))
        self._away_s = min(LONGEST_AWAY_S, max(0.0, float(state["away_s"])))
        self.evidence = max(1.0, float(state["evidence"]))
        self.comparisons, self.ratio = int(state["comparisons"]), float(state["ratio"])
        self._begin(resting=True)
