"""Is the policy worse than what the board does alone? Judged on the street, from who waits.

A switchback: the policy rests, is in force for a block, rests until the queues that it left are gone, rests again. The
delay of the block, with what it left, is compared with both rests, so that a demand that grows or falls counts neither
for nor against it. Lengths are random, from a seed, so that nothing periodic falls in with them. How long it is in
force grows with trust, from half a minute to an hour: one that nobody knows yet cannot do much.

- A block is **cut** at once when those who wait, over 1.5 times the usual, sum up to more than the rest's own swing and
  15 seconds of all who usually wait (Page's test). Three blocks that were cut, or as bad, and none good between them:
  let go.
- Each comparison is a **bet** against "no more than 5 % worse". The gambler's wealth never falls under its start; where
  a policy is just that bad and errors are as likely up as down, it passes :data:`EVIDENCE` no sooner than after so many
  comparisons in the mean (e-detectors: Shin, Ramdas, Rinaldo, arXiv 2203.03532). Over it: let go.
- A lost comparison takes trust away, and one that was lost clearly makes the rests longer.

Who is let go comes back after an hour, then two, up to a day.
"""

from __future__ import annotations

import enum
import math
import random
from collections import deque
from typing import Any, NamedTuple

REST_S, FIRST_S = 240.0, 30.0  # of a rest; in force, without any trust
MOST_TRUST = 7  # doublings: 64 minutes
RECENT_S, SETTLED_AT, LONGEST_SETTLE_S = 60.0, 1.5, 900.0
"""after a block it is waited until in the last minute no more waited than 1.5 times the usual"""
LAST_S = 960.0  # of a long block that is compared
JITTER = 0.25  # of each length
LONGEST_REST = 3  # doublings
CUT_AT, CUT_OVER, CUT_S, CUT_VEH_S = 1.5, 1.0, 15.0, 60.0
CUT_SWING = 1.5
CUTS = 3  # with no comparison between them that it has won
TOLERATED = math.log(1.05)  # worse by so much is no loss
EVIDENCE = 200.0
BET, BET_FULL_AT = 0.9, 0.4  # at most of the wealth; at a difference of so much in the logarithm of the delay
SURE_S = 300.0  # a block so long counts fully
AWAY_S, LONGEST_AWAY_S = 3600.0, 86_400.0


class LetGo(NamedTuple):
    """Why the policy is let go."""

    why: str  # a sentence with its numbers
    ratio: float  # of the delay with the policy to that of the board alone, in the last comparison
    comparisons: int
    away_s: float


class _Part:
    """Who waited and who came: of the last seconds of a part, and in all."""

    def __init__(self, last_s: float = LAST_S) -> None:
        self._last_s = last_s
        self._recent: deque[tuple[float, int]] = deque()
        self._waited = 0.0  # of the last ones
        self._arrived = 0
        self.waited = 0.0  # in all, vehicle seconds
        self.seconds = 0

    def add(self, waiting: float, arrived: int) -> None:
        self.seconds += 1
        self.waited += waiting
        self._recent.append((waiting, arrived))
        self._waited += waiting
        self._arrived += arrived
        if len(self._recent) > self._last_s:
            before, came = self._recent.popleft()
            self._waited -= before
            self._arrived -= came

    def waiting(self) -> float:
        """Vehicles, at a time."""
        return max(0.0, self._waited) / max(1, len(self._recent))

    def swing(self) -> float:
        """How far Page's sum rises by itself, with this part's own mean: a queue grows with each red."""
        usual, excess, most = self.waiting(), 0.0, 0.0
        for waiting, _ in self._recent:
            excess = max(0.0, excess + waiting - CUT_AT * usual - CUT_OVER)
            most = max(most, excess)
        return most

    def delay_s(self, more: float = 0.0) -> float:
        """Of a vehicle; a little is added on both sides, so that a night without anybody compares as equal."""
        return (max(0.0, self._waited + more) + 20.0) / (self._arrived + 2.0)


class _Stage(enum.Enum):
    REST = enum.auto()  # measured; the policy rests
    BLOCK = enum.auto()  # the policy is in force
    SETTLE = enum.auto()  # it rests, and the queues that it left are waited for


class Comparison:
    """Says every second whether the policy rests, and at times that it is let go."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 -- a switchback, no secret
        self._rest = self._block = self._after = _Part()
        self._compares = False  # a block waits for the rest after it
        self._usual = self._swing = 0.0  # of the rest before: vehicles; vehicle seconds
        self._excess = 0.0  # vehicle seconds, of Page's test
        self._trust = self._losses = self._cuts = self._times_away = 0
        self._away_s = 0.0  # left
        self.evidence = 1.0
        self.comparisons = 0
        self.ratio = 1.0  # of the last comparison
        self._before: _Part | None = None
        self._enter(_Stage.REST)

    @property
    def rests(self) -> bool:
        return self._stage is not _Stage.BLOCK or self.away

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
            self._forget()
            return None
        self._elapsed_s += 1
        match self._stage:
            case _Stage.REST:
                return self._in_rest(waiting, arrived)
            case _Stage.BLOCK:
                return self._in_block(waiting, arrived)
            case _Stage.SETTLE:
                self._after.add(waiting, arrived)
                if self._settled():
                    self._enter(_Stage.REST)
        return None

    def interrupt(self) -> None:
        """What was measured is of no use: nobody saw, or the policy could not ask. A rest begins."""
        if not self.away:
            self._forget()

    def _forget(self) -> None:
        self._compares = False
        self._enter(_Stage.REST)

    def _enter(self, stage: _Stage) -> None:
        self._stage, self._elapsed_s, self._excess = stage, 0, 0.0
        if stage is _Stage.REST:
            self._before, self._rest = self._rest if self._compares else None, _Part()
            self._length_s = self._jittered(REST_S * 2 ** min(self._losses, LONGEST_REST))
        elif stage is _Stage.BLOCK:
            self._block = _Part()
            self._length_s = self._jittered(FIRST_S * 2**self._trust)
        else:
            self._after = _Part(RECENT_S)

    def _jittered(self, length_s: float) -> float:
        return length_s * self._random.uniform(1 - JITTER, 1 + JITTER)

    def _in_rest(self, waiting: float, arrived: int) -> LetGo | None:
        self._rest.add(waiting, arrived)
        if self._elapsed_s < self._length_s:
            return None
        verdict = self._compare(self._before, self._rest) if self._before is not None else None
        self._usual, self._swing = self._rest.waiting(), self._rest.swing()
        self._compares = False
        if verdict is None:
            self._enter(_Stage.BLOCK)
        return verdict

    def _in_block(self, waiting: float, arrived: int) -> LetGo | None:
        self._block.add(waiting, arrived)
        self._excess = max(0.0, self._excess + waiting - CUT_AT * self._usual - CUT_OVER)
        most = (CUT_SWING * self._swing + CUT_S * self._usual + CUT_VEH_S) * (1 + self._trust / 2)
        if self._excess > most:
            return self._cut()
        if self._elapsed_s >= self._length_s:
            self._compares = True
            self._enter(_Stage.SETTLE)
        return None

    def _settled(self) -> bool:
        """As many wait as before the block, or it has been too long to be the policy's doing alone."""
        if self._elapsed_s < RECENT_S:
            return False
        return self._after.waiting() <= SETTLED_AT * self._usual + CUT_OVER or self._elapsed_s >= LONGEST_SETTLE_S

    def _cut(self) -> LetGo | None:
        self._cuts += 1
        self.comparisons += 1
        usual, now = self._usual, self._block.waiting()
        self.ratio = (now + CUT_OVER) / (usual + CUT_OVER)
        self._lost(1.0)
        if self._cuts >= CUTS or self.evidence >= EVIDENCE:
            return self._let_go(
                f"{self._cuts} times it was stopped early: {now:.1f} vehicles waited, {usual:.1f} without it"
            )
        self._compares = False
        self._enter(_Stage.SETTLE)
        return None

    def _compare(self, before: _Part, after: _Part) -> LetGo | None:
        """The block between two rests, with the queue that it left."""
        self.comparisons += 1
        alone_s = math.sqrt(before.delay_s() * after.delay_s())
        left = self._after.waited - (before.waiting() + after.waiting()) / 2 * self._after.seconds
        self.ratio = self._block.delay_s(left) / alone_s
        sure = min(1.0, math.sqrt(self._block.seconds / SURE_S))  # a short block says little
        share = max(-1.0, min(1.0, (math.log(self.ratio) - TOLERATED) * sure / BET_FULL_AT))
        if share > 0:
            self._cuts += share >= 1.0  # as bad as a block that was stopped
            self._lost(share)
        else:
            self.evidence = max(1.0, self.evidence * (1 + BET * share))
            self._trust, self._losses, self._cuts = min(MOST_TRUST, self._trust + 1), 0, 0
            self._times_away = 0 if self._trust == MOST_TRUST else self._times_away
        if self._cuts < CUTS and self.evidence < EVIDENCE:
            return None
        return self._let_go(
            f"vehicles waited {100 * (self.ratio - 1):.0f} % longer than without it, and the evidence of "
            f"{self.comparisons} comparisons is {self.evidence:.3g} to 1"
        )

    def _lost(self, share: float) -> None:
        self.evidence *= 1 + BET * share
        self._trust = 0 if share >= 1.0 else max(0, self._trust - 2)
        self._losses += 2 if share >= 1.0 else share >= 0.5

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
        self._forget()
