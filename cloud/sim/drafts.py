"""Stand-ins until edge.policies has them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from wayside.contracts.action import Notice, Setpoint


class LoadShift:
    """settings: load, run_h, begins, until, price(hour, weekday, level), cap"""

    ran = 0

    def read(self, answers, s):
        (a,) = answers.sites.values()
        step = answers.interval_s / 3600
        end = (s.until - answers.hour) % 24 or 24
        inside = (answers.hour - s.begins) % 24 < (s.until - s.begins) % 24 or s.begins == s.until
        return SimpleNamespace(a=a, step=step, left=round(end / step), inside=inside, hour=answers.hour,
                               weekday=answers.weekday, q=answers.quantiles, ran=self.ran)

    def propose(self, x, s, limits, in_force):
        need = round(s.run_h / x.step) - x.ran
        if not x.inside or need <= 0:
            return Setpoint(0.0)
        n = min(x.left, len(x.a.forecast))
        if need >= x.left:
            return Setpoint(1.0)
        bands = np.array(x.a.bands or [[f] for f in x.a.forecast])[:n]
        weights = weights_of(x.q or (0.5,))
        hours = x.hour + (np.arange(n) + 0.5) * x.step
        days = (x.weekday + hours // 24) % 7
        price = (s.price(np.repeat(hours[:, None] % 24, bands.shape[1], 1), days, bands) * weights).sum(1)
        high = bands[:, min(bands.shape[1] - 1, bands.shape[1] * s.cap_q // 100)]
        over = high + s.load > s.cap
        on = isinstance(in_force, Setpoint) and in_force.value == 1
        key = price + over * (1000 + high)
        level = key - (np.arange(n) == 0) * on * s.stick
        chosen = np.argsort(level + 1e-9 * bands[:, bands.shape[1] // 2], kind="stable")[:need]
        return Setpoint(1.0 if 0 in chosen else 0.0)

    def soften(self, a, limits):
        return None


def weights_of(q):
    q = np.array(q)
    edges = np.r_[0, (q[1:] + q[:-1]) / 2, 1]
    return np.diff(edges)


def above(bands, q, threshold):
    """Probability that the threshold is passed."""
    return 1 - float(np.interp(threshold, bands, q, left=q[0] / 2, right=1 - (1 - q[-1]) / 2))


class Warn:
    def read(self, answers, s):
        (a,) = answers.sites.values()
        p = max(above(b, answers.quantiles, s.threshold) for b in a.bands)
        return SimpleNamespace(p=p, a=a)

    def propose(self, x, s, limits, in_force):
        on = in_force is not None
        now = x.a.value is not None and x.a.value > s.threshold
        p = x.p
        if p >= (s.end_at if on else s.warn_at):
            return in_force or Notice("pm", 2, "warn", p)
        return Notice("pm", 0, "over")

    def soften(self, a, limits):
        return None


class Abate(Warn):
    def propose(self, x, s, limits, in_force):
        on = isinstance(in_force, Setpoint) and in_force.value == 1
        return Setpoint(1.0 if x.p >= (s.end_at if on else s.warn_at) else 0.0)
