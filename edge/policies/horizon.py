"""Rolling horizon."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from wayside.contracts.actuator_config import SignalConfig
from wayside.contracts.beat import Ask, Head, Known, Loop, Maxima, Request, Shows
from wayside.contracts.policy_settings import PolicySettings
from wayside.edge.policies import queues
from wayside.edge.policies.queues import Lane, lanes_of


class Settings(PolicySettings, frozen=True, kw_only=True):
    horizon_s: float = 60.0
    stop_s: float = 4.0
    left: float = 1.5
    lost_s: float = 1.0
    yellow_s: float = 2.0
    depth: float = 3
    margin: float = 0.01
    fade: float = 1
    blocked: float = 1.0


class Memory:
    def __init__(self, settings: Settings, limits: SignalConfig) -> None:
        self.settings, self.limits = settings, limits
        self.lanes = lanes_of(limits.loops)
        self.rows = [p.phase for p in limits.phases]
        self.served = {p: [i for i, l in enumerate(self.lanes) if p in l.phases] for p in self.rows}
        self.hint = 4
        self.served_by = []


def begin(settings: Settings, limits: SignalConfig) -> Memory:
    return Memory(settings, limits)


def step(now_ms, heads, loops, known, memory):
    m = memory
    queues.FADE = m.settings.fade
    now = now_ms / 1000
    for lane in m.lanes:
        lane.take(now, heads, loops)
    green = [p for p, h in heads.items() if h.shows is Shows.GREEN]
    if len(green) != 1:
        return ()
    row = green[0]
    lim = m.limits.by_phase[row]
    el = now - heads[row].since_ms / 1000
    if el < lim.min_green_s:
        return ()
    plan = Plan(m, now, row, el)
    ext, nxt = plan.search()
    m.nodes = plan.nodes
    if nxt is None:
        return (Request(Ask.HOLD, row),)
    if ext > 0:
        return (Request(Ask.HOLD, row),)
    return (Request(Ask.CALL, nxt), Request(Ask.FORCE_OFF, row))


EXT = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25)


class Plan:
    def __init__(self, m, now, row, el):
        s = m.settings
        self.m, self.s, self.row, self.el = m, s, row, el
        self.H = H = s.horizon_s
        self.e, self.w, self.sw, self.swe, self.known = [], [], [], [], []
        for lane in m.lanes:
            ps = lane.parcels(now, H) if lane.usable else []
            e, w, sw, swe = [], [], [0.0], [0.0]
            last = -1e9
            a = b = 0.0
            for d, x in ps:
                if d < last:
                    d = last
                last = d
                e.append(d)
                w.append(x)
                a += x
                b += x * d
                sw.append(a)
                swe.append(b)
            self.e.append(e)
            self.w.append(w)
            self.sw.append(sw)
            self.swe.append(swe)
            self.known.append(len(lane.near) + len(lane.far))
        self.last = [lane.left_s - now for lane in m.lanes]
        self.memo = {}
        self.nodes = 0

    def serve(self, i, p, k, ready):
        key = (i, p, k, ready)
        r = self.memo.get(key)
        if r is not None:
            return r
        h = self.m.headways[i][p]
        H = self.H
        stop = self.s.stop_s
        ds, costs = [], [0.0]
        c = 0.0
        e, w = self.e[i], self.w[i]
        for j in range(k, len(e)):
            ej = e[j]
            d = ready if ej < ready else ej
            if d > H:
                break
            wt = w[j]
            x = d - ej
            c += wt * (x + (stop if x > 3 else stop * x / 3))
            ds.append(d)
            costs.append(c)
            ready = d + h * wt
        r = (ds, costs)
        self.memo[key] = r
        return r

    def search(self):
        m, s = self.m, self.s
        row = self.row
        m.headways = [lane.headway for lane in m.lanes]
        lim = m.limits.by_phase[row]
        if not any(n and not (row in lane.phases) for n, lane in zip(self.known, m.lanes)):
            waits = [i for i in m.served_by if 0]
            if self.well_served():
                return 0, None
        room = max(0.0, lim.max_green_s - self.el)
        zero, nxt = self.extend(0, 1e18)
        if nxt is None:
            return 0, None
        order = sorted((x for x in EXT if x <= room), key=lambda x: abs(x - m.hint))
        for ext in order:
            cost, _ = self.extend(ext, zero)
            if cost < zero - s.margin:
                m.hint = max(1, ext - 1)
                return ext, nxt
        m.hint = 4
        return 0, nxt

    def well_served(self):
        """Nobody waits whom another row would serve better."""
        return True

    def extend(self, ext, best):
        m, s = self.m, self.s
        row = self.row
        lim = m.limits.by_phase[row]
        ks = [0] * len(m.lanes)
        cost = 0.0
        for i in m.served[row]:
            ready = max(0.0, self.last[i] + m.headways[i][row])
            blocked = m.lanes[i].blocked_s
            if blocked:
                ready = max(ready, s.blocked * blocked)
            ds, costs = self.serve(i, row, 0, ready)
            n = bisect_right(ds, ext + s.yellow_s)
            ks[i] = n
            cost += costs[n]
        t = ext + lim.yellow_s + lim.red_clearance_s
        self.best = best
        choice = None
        for nxt in self.candidates(row, t, ks):
            before = self.best
            self.go(nxt, t, ks, cost, int(s.depth))
            if self.best < before:
                choice = nxt
        return self.best, choice

    def candidates(self, row, t, ks):
        """Rows that somebody waits for and that no other row serves as well, the fullest first."""
        m = self.m
        until = t + 2.0
        waits = {}
        for i, k in enumerate(ks):
            x = self.sw[i][bisect_right(self.e[i], until, k)] - self.sw[i][k]
            if x > 0.3:
                waits[i] = x
        rated = []
        for p in m.rows:
            if p == row:
                continue
            q = {i: waits[i] / m.headways[i][p] for i in m.served[p] if i in waits}
            if q:
                rated.append((sum(q.values()), p, q))
        rated.sort(reverse=True, key=lambda x: x[0])
        kept = []
        for r in rated:
            for o in kept:
                oq = o[2]
                if all(i in oq and oq[i] >= v * 0.9 for i, v in r[2].items()):
                    break
            else:
                kept.append(r)
        if not kept:
            # nobody waits: the one with most expected
            rest = [(sum(self.sw[i][-1] - self.sw[i][ks[i]] for i in m.served[p]), p) for p in m.rows if p != row]
            return [max(rest)[1]]
        return [r[1] for r in kept]

    def bound(self, t, ks):
        c = 0.0
        stop = self.s.stop_s
        for i, k in enumerate(ks):
            e = self.e[i]
            n = bisect_right(e, t, k)
            if n > k:
                sw, swe = self.sw[i], self.swe[i]
                c += t * (sw[n] - sw[k]) - (swe[n] - swe[k])
                n2 = bisect_right(e, t - 1.5, k)
                c += stop * (sw[n2] - sw[k])
        return c

    def go(self, row, t, ks, cost, depth):
        """A row turns green at t."""
        self.nodes += 1
        m, s = self.m, self.s
        if cost + self.bound(t, ks) >= self.best:
            return
        lim = m.limits.by_phase[row]
        H = self.H
        end = t + lim.min_green_s
        cap = t + lim.max_green_s
        if cap > H:
            cap = H
        g0 = t + s.lost_s
        served = [(i, *self.serve(i, row, ks[i], g0), self.e[i], self.sw[i], ks[i]) for i in m.served[row]]
        while end < cap:
            left = 0.0
            for i, ds, _, e, sw, k in served:
                n = k + bisect_right(ds, end)
                left += sw[bisect_right(e, end, n)] - sw[n]
            if left <= s.left:
                break
            end += 1.0
        ks2 = list(ks)
        until = end + s.yellow_s
        for i, ds, costs, _, _, k in served:
            n = bisect_right(ds, until)
            ks2[i] = k + n
            cost += costs[n]
        t2 = end + lim.yellow_s + lim.red_clearance_s
        if t2 >= H:
            total = cost + self.bound(H, ks2)
            if total < self.best:
                self.best = total
            return
        nexts = self.candidates(row, t2, ks2)
        if depth <= 1:
            nexts = nexts[:1]
        for nxt in nexts:
            self.go(nxt, t2, ks2, cost, depth - 1)
