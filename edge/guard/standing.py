"""What of a beat policy stands on the board: holds, calls and omits, and the maxima in force."""

from __future__ import annotations

from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.beat import Ask, Maxima, Request, Shows
from wayside.edge.guard.signal import Refusal, Rule, Seen, check_request

Asked = Request | Maxima
A_MINUTE = 60  # requests that are sent
AGAIN_MS = 5000  # one that stands is sent again when it is still asked for: the line may have lost it
MAXIMA_EVERY_MS = 10_000
LASTING = (Ask.HOLD, Ask.CALL, Ask.OMIT)


class Standing:
    """Of one signal."""

    def __init__(self, signal: SignalConfig) -> None:
        self._signal = signal
        self._legal = {p.phase: p.max_green_s for p in signal.phases}
        self._standing: dict[Request, int] = {}  # when they were sent last, ms
        self._sent_ms: list[int] = []  # of the last minute
        self._maxima_sent_ms: int | None = None
        self.maxima = dict(self._legal)
        """In force, seconds by phase."""
        self.wanted = dict(self._legal)
        """Towards which they move."""

    def stands(self, asked: Request, now_ms: int) -> bool:
        """The board has it, so that it need not be sent."""
        if asked.ask is Ask.RELEASE:
            return not any(each.phase == asked.phase for each in self._standing)
        sent_ms = self._standing.get(asked)
        return sent_ms is not None and now_ms - sent_ms < AGAIN_MS

    def busy(self, now_ms: int) -> Refusal | None:
        """Whether the line has had enough in this minute."""
        self._sent_ms = [ms for ms in self._sent_ms if 0 <= now_ms - ms < 60_000]
        if len(self._sent_ms) < A_MINUTE:
            return None
        return Refusal(Rule.RATE, f"more than {A_MINUTE} requests within a minute")

    def moved(self, now_ms: int) -> Maxima | None:
        """The maxima, nearer to what is wanted by as much as they may move at once; None: not now."""
        last_ms, step_s = self._maxima_sent_ms, self._signal.max_change_s
        if self.wanted == self.maxima or (last_ms is not None and now_ms - last_ms < MAXIMA_EVERY_MS):
            return None
        return Maxima(
            {
                phase: round(min(now_s + step_s, max(now_s - step_s, self.wanted[phase])), 1)
                for phase, now_s in self.maxima.items()
            }
        )

    def note(self, sent: Asked, now_ms: int) -> None:
        """``sent`` goes to the board."""
        self._sent_ms.append(now_ms)
        if isinstance(sent, Maxima):
            self.maxima, self._maxima_sent_ms = dict(sent.seconds), now_ms
        elif sent.ask in LASTING:
            self._standing[sent] = now_ms
        elif sent.ask is Ask.FORCE_OFF:
            self._standing.pop(Request(Ask.HOLD, sent.phase), None)
        elif sent.ask is Ask.RELEASE:
            for ask in LASTING:
                self._standing.pop(Request(ask, sent.phase), None)

    def release_late(self, seen: Seen) -> list[Request]:
        """End what would be refused by now: somebody waits too long, or a detector is faulty."""
        releases = []
        for standing in list(self._standing):
            green = seen.heads[standing.phase].shows is Shows.GREEN
            if (standing.ask is Ask.HOLD and not green) or (standing.ask is Ask.CALL and green):
                del self._standing[standing]  # it has had its effect
                continue
            refusal = check_request(standing, self._signal, seen)
            if refusal is not None and refusal.rule is not Rule.MAXIMUM:  # at the maximum the board ends it itself
                release = Request(Ask.RELEASE, standing.phase)
                if release not in releases:
                    releases.append(release)
        for release in releases:
            self.note(release, seen.now_ms)
        return releases

    def void(self) -> list[Asked]:
        """What has to be sent so that nothing of the policy is left."""
        phases = dict.fromkeys(each.phase for each in self._standing)
        send: list[Asked] = [Request(Ask.RELEASE, phase) for phase in phases]
        if self.maxima != self._legal:
            send.append(Maxima(dict(self._legal)))
        self.forget()
        return send

    def refused(self, asked: Asked) -> None:
        """The board does not do ``asked``."""
        if isinstance(asked, Request):
            self._standing.pop(asked, None)

    def forget(self) -> None:
        """Nothing stands."""
        self._standing = {}
        self.maxima, self.wanted, self._maxima_sent_ms = dict(self._legal), dict(self._legal), None


def words(asked: Asked) -> str:
    """For people."""
    if isinstance(asked, Maxima):
        return "maximum greens " + " ".join(f"{phase}:{s:.1f}" for phase, s in sorted(asked.seconds.items()))
    return f"{asked.ask.name.lower()} of phase {asked.phase}"
