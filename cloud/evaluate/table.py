"""The table: for a terminal, and as the page docs/models.md with its picture."""

from __future__ import annotations

import html
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from wayside.cloud.evaluate.metrics import RISING, reached
from wayside.cloud.evaluate.row import Row

NAMES = {"mae": "MAE", "rmse": "RMSE", "mse": "MSE", "mape": "MAPE", "accuracy": "accuracy", "nab": "NAB score"}
UNITS = {"mape": "%", "accuracy": "", "nab": "", "vus_pr": "", "mse": ""}
PERFECT = {"nab": 100.0}  # of the measures of which more is better; 1 for the others
WIDE = 130  # columns that the whole table takes
VARIANTS = ("onnx-int8", "tflite-int8")
HEAD = ("task", "measure", "naive", "seasonal", "others", "goal", "ours fp32", "int8 ONNX", "int8 TFLite")


def terminal(rows: Sequence[Row], width: int) -> Table:
    """One line a task; int8 is green where it reaches the goal, red where it does not.

    Narrower than :data:`WIDE`, both floors are one column, the better of them, and parameters are left to the page.
    """
    narrow = width < WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    head = (
        ("task", "measure", "floor", "others", "goal", "fp32", "ONNX i8", "TFL i8") if narrow else (*HEAD, "parameters")
    )
    for name in (*head, "kB", "µs"):
        table.add_column(name, justify="left" if name in ("task", "measure") else "right", no_wrap=True)
    for row in rows:
        cells = _cells(row)
        floors = [v for v in (row.value("naive"), row.value("seasonal")) if v is not None]
        floor = (max if row.metric in RISING else min)(floors) if floors else None
        measured = cells[1].split(",")[0] if narrow else cells[1]
        unit = Text(measured)  # [mi_i]/h is no markup
        first = [row.task, unit, _number(floor)] if narrow else [row.task, unit, *cells[2:4]]
        last = [] if narrow else [str(row.parameters)]
        table.add_row(*first, *cells[4:7], *_marked(row, cells), *last, *_cost(row))
    return table


ALARM_HEAD = ("task", "alarms by", "limit", "found", "false a week", "delay", "begun")
ALARM_ROWS = {
    "stage": "the bundle's stage",
    "fixed": "a fixed limit, the node's default",
    "best_fixed": "a fixed limit, the best in hindsight",
}


def alarms(rows: Sequence[Row]) -> Table | None:
    """When detectors alarm: their bundles' stages beside fixed limits; None without a detector."""
    lines = [line for row in rows for line in _alarm_lines(row)]
    if not lines:
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ALARM_HEAD:
        table.add_column(name, justify="left" if name in ALARM_HEAD[:2] else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table


def _alarm_lines(row: Row) -> list[tuple[str, ...]]:
    """Of the variant that stands for the model."""
    judged = row.alarms.get(row.shipped) or {}
    return [
        (
            row.task,
            name,
            f"{of['limit']:.3g}" if "limit" in of else "–",
            f"{100 * of['found']:.0f} % of {judged['stretches']}",
            f"{of['false_per_week']:.2f}",
            f"{of['delay']:.1f}",
            f"{of['begun']:.0f}",
        )
        for key, name in ALARM_ROWS.items()
        if (of := judged.get(key)) is not None
    ]


def _marked(row: Row, cells: list[str]) -> list[Text]:
    marked = []
    for cell, variant in zip(cells[7:], VARIANTS, strict=True):
        value = row.value(variant)
        good = row.goal is None or value is None or reached(row.metric, value, row.goal)
        marked.append(Text(cell, "" if row.goal is None or value is None else "green" if good else "red"))
    return marked


def markdown(rows: Sequence[Row], picture: str) -> str:
    """docs/models.md; ``picture`` is the file name of :func:`svg` beside it."""
    unseen = {row.unseen for row in rows} != {""}
    period = "the period after the training data" if unseen else "days that no training saw"
    lines = [
        "# Models",
        "",
        "Every task of the mission, trained on real data by one command and judged as a node would run it: the files",
        "of the exported bundle, one window at a time, on the node's own runtimes. This page is printed by",
        "",
        "    wayside evaluate --data DIR --json > docs/models.json",
        "    wayside evaluate --from docs/models.json --page docs/models.md",
        "",
        f"Judged on {period}. **Bold**: the int8 model reaches its goal. “Others” is the best number that is",
        "published, or that a good simple method reaches, on the period after the data: compare orders of size there,",
        "not last digits.",
        "",
        f"![int8 error beside the best of others, by task]({picture})",
        "",
        "## Accuracy",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|" + "---|" * 2 + "---:|" * (len(HEAD) - 2),
    ]
    for row in rows:
        cells = _cells(row)
        for at in (7, 8):
            value = row.value(VARIANTS[at - 7])
            if row.goal is not None and value is not None and reached(row.metric, value, row.goal):
                cells[at] = f"**{cells[at]}**"
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "## Cost, and what int8 loses",
        "",
        "µs: median of one inference on the machine that printed this page. Loss: int8 against fp32 in the task's own",
        "measure, over all and in the worst slice (hour of day, site, class); negative is a gain.",
        "",
        "| task | family | parameters | bytes fp32 ONNX / TFLite | int8 ONNX / TFLite | µs fp32 ONNX / TFLite "
        "| int8 ONNX / TFLite | loss ONNX / TFLite | worst slice |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        sliced = {name: worst for name, worst in row.worst.items() if worst}  # few examples make no slice
        worst = max(sliced.items(), key=lambda item: float(item[1]["loss"]), default=None)
        lines.append(
            f"| {row.task} | {row.family} | {row.parameters} | {_pair(row.bytes, 'fp32', 'd')} "
            f"| {_pair(row.bytes, 'int8', 'd')} | {_pair(row.us, 'fp32', '.1f')} | {_pair(row.us, 'int8', '.1f')} "
            f"| {_pair({k: 100 * v for k, v in row.loss.items()}, 'int8', '+.2f')} % "
            f"| {_worst(worst)} |"
        )
    told = [line for row in rows for line in _alarm_lines(row)]
    if told:
        lines += [
            "",
            "## Alarms",
            "",
            "Judged is where an alarm begins. Found: labelled stretches (incidents, anomalies, unusual days) in which",
            "one does, or at most 2 intervals after. False: any other, of one series. Delay: intervals from a",
            "stretch's first to its alarm. Best in hindsight: the lowest limit with no more false alarms than the",
            "bundle's stage, chosen on the judged data.",
            "",
            "| " + " | ".join(ALARM_HEAD) + " |",
            "|---|---|" + "---:|" * (len(ALARM_HEAD) - 2),
            *("| " + " | ".join(line) + " |" for line in told),
        ]
    lines += ["", "## Where the numbers come from", ""]
    for row in rows:
        lines += [f"### {row.task}", "", *(f"- {line}" for line in _story(row)), ""]
    return "\n".join(lines).rstrip() + "\n"


def svg(rows: Sequence[Row]) -> str:
    """Each task's int8 error as a share of the best of others (or of the naive floor, hollow): left of 1 is better."""
    drawn = []
    for row in rows:
        ours, (other, solid) = row.value(row.shipped), _best(row)
        if ours is None or other is None:
            continue
        share = _error(row, ours) / max(_error(row, other), 1e-12)
        drawn.append((row.task, min(share, 1.6), share, solid))
    height, left, width = 22, 150, 520
    unit = width / 1.6
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 70} {height * (len(drawn) + 2)}" '
        'font-family="sans-serif" font-size="12" role="img">',
        "<title>int8 error beside the best of others, by task; left of the line is better</title>",
        f'<rect width="{left + width + 70}" height="{height * (len(drawn) + 2)}" fill="#fff"/>',
    ]
    for at, (task, bar, share, solid) in enumerate(drawn):
        y = height * (at + 1)
        colour = "#1b7f4d" if share <= 1 else "#b3412e"
        paint = f'fill="{colour}"' if solid else f'fill="none" stroke="{colour}"'
        out.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{html.escape(task)}</text>')
        out.append(f'<rect x="{left}" y="{y - 6}" width="{bar * unit:.1f}" height="12" {paint}/>')
        out.append(f'<text x="{left + bar * unit + 5:.1f}" y="{y + 4}" fill="#555">{share:.2f}</text>')
    foot = height * (len(drawn) + 1)
    out.append(f'<line x1="{left + unit:.1f}" x2="{left + unit:.1f}" y1="8" y2="{foot - 8}" stroke="#000"/>')
    legend = (
        "error of the int8 model, as a share of the best of others; hollow: of the better floor, where nobody published"
    )
    out.append(f'<text x="8" y="{foot + 6}" fill="#555">{legend}</text></svg>')
    return "\n".join(out) + "\n"


def _error(row: Row, value: float) -> float:
    return PERFECT.get(row.metric, 1.0) - value if row.metric in RISING else value


def _best(row: Row) -> tuple[float | None, bool]:
    """The best of others, and whether somebody published it."""
    best = max if row.metric in RISING else min
    published = [p.value for p in row.published if p.metric in ("", row.metric)]
    if published:
        return best(published), True
    floors = [v for v in (row.value("naive"), row.value("seasonal")) if v is not None]
    return (best(floors) if floors else None), False


def _cells(row: Row) -> list[str]:
    name = NAMES.get(row.metric, row.metric)
    unit = UNITS.get(row.metric, row.unit)
    others, solid = _best(row)
    cells = [row.task, f"{name}{f' {row.of}' if row.of else ''}{f', {unit}' if unit else ''}"]
    cells += [_number(row.value("naive")), _number(row.value("seasonal"))]
    cells += [_number(others) if solid else "–", _number(row.goal), _number(row.value("fp32"))]
    for variant in VARIANTS:
        cells.append("refused" if variant in row.refused else _number(row.value(variant)))
    return cells


def _cost(row: Row) -> list[str]:
    size = [row.bytes[v] for v in row.int8 if v in row.bytes] or list(row.bytes.values())
    quick = [row.us[v] for v in row.int8 if v in row.us] or list(row.us.values())
    return [f"{min(size) / 1000:.1f}" if size else "–", f"{min(quick):.0f}" if quick else "–"]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:#.4g}".rstrip(".")


def _pair(of: dict[str, int] | dict[str, float], precision: str, form: str) -> str:
    return " / ".join(
        format(of[f"{name}-{precision}"], form) if f"{name}-{precision}" in of else "–" for name in ("onnx", "tflite")
    )


def _worst(worst: tuple[str, dict[str, object]] | None) -> str:
    if worst is None:
        return "–"
    return f"{worst[1]['slice']}: {100 * float(str(worst[1]['loss'])):+.2f} % ({worst[0]})"


def _story(row: Row) -> list[str]:
    sentences = [f"{row.n} {'pictures' if row.kind in ('classify', 'count') else 'windows'}, {row.period}"]
    if row.unseen:
        sentences.append(f"judged on {row.unseen}, later than everything that was trained on")
    for who, measures in row.scores.items():
        sentences.append(f"{who}: " + ", ".join(f"{NAMES.get(m, m)} {_number(v)}" for m, v in measures.items()))
    sentences += [f"{p.name} {_number(p.value)} ({p.source})" for p in row.published]
    if row.goal is not None:
        ours = row.value(row.shipped)
        if ours is not None and not reached(row.metric, ours, row.goal):
            sentences.append(f"the goal {_number(row.goal)} is missed by {_number(abs(ours - row.goal))}")
    sentences += [f"{name} was left out: {why}" for name, why in row.refused.items()]
    sentences += [f"{name}: {what} stays float" for name, what in row.kept_float.items()]
    return [*sentences, *row.notes]
