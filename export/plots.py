"""The model card's pictures, as SVG text: no plotting library, so that the same numbers are the same bytes."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from wayside.contracts.passport import Accuracy
from wayside.export.checkpoint import Float32

WIDTH, LEFT, RIGHT = 760, 170, 16
COLOURS = ("#1f6feb", "#d1242f", "#8250df", "#1a7f37", "#bf8700")
GREY, PALE = "#8c959f", "#b6d4fe"


def metric_of(accuracy: Accuracy) -> str:
    """The one that is drawn."""
    return "mae" if accuracy.mae else next(iter(accuracy.scores), "")


def slices(accuracy: Sequence[Accuracy], variants: Sequence[str]) -> str:
    """Rows of slices, a mark for torch, every variant and the seasonal floor."""
    metric = metric_of(accuracy[0])
    rows = [(a.slice, a.mae if metric == "mae" else a.scores.get(metric, {})) for a in accuracy]
    rows = [(name, values) for name, values in rows if values]
    shown = [n for n in ("seasonal", "torch", *variants) if any(n in values for _, values in rows)]
    numbers = [values[n] for _, values in rows for n in shown if n in values]
    low, high = (0.0 if metric == "mae" else min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return LEFT + (value - low) / span * (WIDTH - LEFT - RIGHT)

    top, step = 34, 15
    colour = dict(zip([n for n in shown if n != "seasonal"], COLOURS * 2, strict=False)) | {"seasonal": GREY}
    parts = [_legend(shown, colour)]
    for i, (name, values) in enumerate(rows):
        y = top + i * step
        parts.append(_text(LEFT - 8, y + 4, name, anchor="end"))
        parts.append(_line([(LEFT, y), (WIDTH - RIGHT, y)], "#eaeef2"))
        for k, each in enumerate(shown):
            if each in values:
                x = at(values[each])
                parts.append(_floor(x, y) if each == "seasonal" else _ring(x, y, 5 - min(k, 3), colour[each]))
    bottom = top + len(rows) * step
    scale = np.linspace(low, high, 5)
    parts += [_text(at(float(value)), bottom + 12, f"{value:.3g}", anchor="middle") for value in scale]
    return _svg(bottom + 20, parts)


def forecast(past: Float32, middle: Float32, band: tuple[Float32, Float32] | None, *, lead: int, unit: str) -> str:
    """The window's own values (T,), the forecast (H,) behind them, and its outer quantiles as a band."""
    t, height, top = len(past), 220, 34
    ahead = np.arange(len(middle)) + (t - 1 + lead if t else 0)
    every = np.concatenate([past, middle, *(band or ())])
    every = every[np.isfinite(every)]
    low, high = float(every.min(initial=0.0)), float(every.max(initial=1.0))
    last = max(float(ahead[-1]), 1.0)

    def point(x: float, y: float) -> tuple[float, float]:
        return LEFT + x / last * (WIDTH - LEFT - RIGHT), top + (high - y) / ((high - low) or 1.0) * (height - top - 20)

    def points(xs: Sequence[float], ys: Float32) -> list[tuple[float, float]]:
        return [point(float(x), float(y)) for x, y in zip(xs, ys, strict=True) if np.isfinite(y)]

    colour = {"window": GREY, "forecast": COLOURS[0], "band": PALE}
    parts = [_legend([n for n in colour if n != "band" or band], colour)]
    for value in np.linspace(low, high, 5):
        _, y = point(0, float(value))
        parts += [
            _line([(LEFT, y), (WIDTH - RIGHT, y)], "#eaeef2"),
            _text(LEFT - 8, y + 4, f"{value:.3g}", anchor="end"),
        ]
    if band:
        outline = [*points(list(ahead), band[1]), *reversed(points(list(ahead), band[0]))]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in outline)
        parts.append(f'<polygon points="{path}" fill="{PALE}" opacity="0.6"/>')
    for xs, ys, stroke in ((range(t), past, GREY), (list(ahead), middle, COLOURS[0])):
        line = points(list(xs), ys)
        parts.append(_line(line, stroke, 1.8))
        if len(line) <= 48:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{stroke}"/>' for x, y in line]
    parts.append(_text(LEFT, top - 8, unit))
    return _svg(height, parts)


def _legend(names: Sequence[str], colour: dict[str, str]) -> str:
    x, parts = LEFT, []
    for name in names:
        parts.append(
            f'<rect x="{x:.1f}" y="6" width="10" height="10" fill="{colour[name]}"/>' + _text(x + 15, 15, name)
        )
        x += 110
    return "".join(parts)


def _floor(x: float, y: float) -> str:
    return f'<rect x="{x - 1.5:.1f}" y="{y - 5:.1f}" width="3" height="10" fill="{GREY}"/>'


def _ring(x: float, y: float, radius: float, stroke: str) -> str:
    """Rings of falling size: values that are one stay visible as one."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="none" stroke="{stroke}" stroke-width="1.6"/>'


def _line(points: Sequence[tuple[float, float]], stroke: str, width: float = 1.0) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="{width:g}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'font-family="system-ui,sans-serif" font-size="11" fill="#1b1f24">{"".join(parts)}</svg>'
    )
