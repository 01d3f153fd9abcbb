"""The model card (Mitchell et al., "Model cards for model reporting", 2019), rendered from the passport.

Markdown beside its pictures, and one HTML file that needs nothing else. Everything on it is in the bundle, so it can
be made again from there, and says nothing that was not signed.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wayside.contracts.fit import UNKNOWN_SITE
from wayside.contracts.passport import Accuracy, Loss, Passport
from wayside.contracts.task import TaskSpec
from wayside.export import plots
from wayside.export.checkpoint import Float32
from wayside.export.needs import needs

MARKDOWN, HTML = "card.md", "card.html"
ACCURACY_SVG, EXAMPLE_SVG = "card-accuracy.svg", "card-example.svg"
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
table{border-collapse:collapse;margin:.6rem 0;display:block;overflow-x:auto}td,th{border:1px solid #d0d7de;
padding:.2rem .6rem;text-align:left}th{background:#f6f8fa}figure{margin:1rem 0}figcaption{color:#57606a}"""


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Table:
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    file: str
    svg: str
    caption: str


Block = Heading | Paragraph | Table | Figure


def render(passport: Passport, inputs: Float32, outputs: Float32) -> dict[str, str]:
    """The card's files, name → text; ``inputs`` and ``outputs`` are the golden examples."""
    blocks = list(_blocks(passport, inputs, outputs))
    pictures = {block.file: block.svg for block in blocks if isinstance(block, Figure)}
    return pictures | {MARKDOWN: _markdown(blocks), HTML: _html(f"{passport.bundle} {passport.version}", blocks)}


def _blocks(p: Passport, inputs: Float32, outputs: Float32) -> Iterator[Block]:
    task = p.task
    yield Heading(f"{p.bundle} {p.version}", 1)
    yield Paragraph(
        f"A model of the family {p.family} with {p.parameters} parameters for the task {task.name} ({task.domain}): "
        f"{_what(p)}"
    )
    yield Heading("Inputs")
    if task.image is not None:
        height, width, channels = task.image
        yield Paragraph(f"A picture of {height} × {width} × {channels}, numbers from 0 to 255.")
    else:
        gaps = {"graph": "A missing value is NaN.", "last": "A missing value is the last one before it, else NaN."}
        yield Paragraph(f"{task.window} rows, {task.interval_s:g} s apart, oldest first. {gaps[task.missing]}")
        rows = [(i.name, i.unit, f"{i.low:g}", f"{i.high:g}", "yes" if i.ahead else "") for i in task.inputs]
        yield Table(("input", "unit", "from", "to", "known ahead"), tuple(rows))
    yield Heading("Nodes that can run it")
    yield Table(("what", "the node offers"), tuple(needs(p)))
    yield Heading("Variants")
    yield Table(
        ("variant", "bytes", "runtimes", "largest difference to torch", "tolerance", "loss (95 %)", "in float"),
        tuple(_variant_rows(p)),
    )
    for name, why in p.left_out.items():
        yield Paragraph(f"{name} is left out: {why}.")
    yield from _accuracy(p)
    if task.kind == "forecast" and len(outputs):
        yield Heading("An example")
        yield Figure(
            EXAMPLE_SVG, _example(p, inputs, outputs), "One of the bundle's golden windows and torch's answer."
        )
    yield Heading("Made from")
    yield Table(
        ("what", "value"),
        (
            ("training data, SHA-256", p.data_sha256),
            ("calibration examples, SHA-256", p.calibration_sha256),
            ("code", p.code_version),
            ("seed", str(p.seed)),
            ("golden examples", str(p.golden.count)),
            ("oldest agent", p.min_agent),
            ("residual, standard deviation", f"{p.residual_std:.4g} {task.output_unit}"),
        ),
    )


def _what(p: Passport) -> str:
    task = p.task
    if task.kind == "forecast":
        of = f"the next {task.horizon} values" if task.horizon > 1 else "the next value"
        quantiles = f", quantiles {', '.join(f'{q:g}' for q in task.quantiles)}" if task.quantiles else ""
        return f"it forecasts {of} of {task.output} in {task.output_unit}{quantiles}."
    if task.kind == "score":
        return f"it says how unusual a window of {task.output} is; usual ones score about 1.{_alarm(task)}"
    if task.kind == "classify":
        return f"it tells which of {len(task.classes)} classes a picture shows."
    return f"it counts {', '.join(task.classes)} in a frame; frames go in, only counts come out."


def _alarm(task: TaskSpec) -> str:
    if task.alarm is None:
        return " When that is an alarm, the node's own limit says."
    rare = [f"{10**decades:.0f}" for decades in (task.alarm.warning, task.alarm.alarm)]
    return (
        f" It is a warning where at most one interval in {rare[0]} of the site's own past is as unusual, an alarm where"
        f" one in {rare[1]} is."
    )


def _variant_rows(p: Passport) -> Iterator[tuple[str, ...]]:
    overall = p.accuracy[0].losses if p.accuracy else {}
    for v in p.variants:
        loss = overall.get(v.name)
        kept = ", ".join(v.float_layers) or ("only what has no weights" if v.precision == "int8" else "all")
        yield (
            v.name,
            str(v.bytes),
            ", ".join(v.runtimes),
            f"{v.max_abs_diff:.3g}",
            f"{v.tolerance:.3g}",
            _loss(loss) if loss else "",
            kept,
        )


def _loss(loss: Loss) -> str:
    return f"{loss.loss:+.2%} {loss.metric} ({loss.low:+.2%} … {loss.high:+.2%})"


def _accuracy(p: Passport) -> Iterator[Block]:
    if not p.accuracy:
        return
    yield Heading("Accuracy")
    overall = p.accuracy[0]
    if p.seen_until:
        honest = "; ".join(
            f"{part}: {', '.join(f'{name} {value:.4g}' for name, value in scores.items())}"
            for part, scores in p.honest.items()
        )
        yield Paragraph(
            f"These weights have seen all days until {p.seen_until}, the held-out ones too: the table below compares "
            f"precisions and promises nothing. The same model, before it had seen them: {honest or 'unknown'}."
        )
    else:
        yield Paragraph(f"On {overall.n} held-out examples that no training saw.")
    scores = ({"mae": overall.mae} if overall.mae else {}) | overall.scores
    names = list(dict.fromkeys(name for named in scores.values() for name in named))
    yield Table(
        ("", *scores),
        tuple((name, *(f"{s[name]:.4g}" if name in s else "" for s in scores.values())) for name in names),
    )
    unknown = next((a for a in p.accuracy if a.slice == UNKNOWN_SITE), None)
    if unknown is not None:
        errors = unknown.mae or next(iter(unknown.scores.values()), {})
        metric = "mean absolute error" if unknown.mae else ", ".join(unknown.scores)
        yield Paragraph(
            f"At a site that it does not know (the same examples without their site, {unknown.n} of them) the {metric} "
            f"is {', '.join(f'{name} {value:.4g}' for name, value in errors.items())}."
        )
    worst = _worst(p.accuracy[1:], int(p.limits.get("slice_min_n", 0)))
    if worst:
        yield Paragraph("Where int8 loses most:")
        yield Table(("slice", "examples", "variant", "loss (95 %)"), tuple(worst))
    if p.limits:
        yield Paragraph(
            f"The gate let int8 lose {p.limits['int8_loss']:.0%} over all and {p.limits['int8_slice_loss']:.0%} in a "
            f"slice of at least {p.limits['slice_min_n']:.0f} examples. Where the interval of a slice is wider than "
            "that, the whole of it has to be beyond the limit."
        )
    if len(p.accuracy) > 1:
        svg = plots.slices(p.accuracy[1:], [v.name for v in p.variants if v.precision == "int8"])
        yield Figure(ACCURACY_SVG, svg, f"By slice: {plots.metric_of(overall)}.")


def _worst(accuracy: Sequence[Accuracy], least: int, count: int = 5) -> list[tuple[str, ...]]:
    losses = [(a, name, loss) for a in accuracy if a.n >= least for name, loss in a.losses.items()]
    losses.sort(key=lambda f: -f[2].loss)
    return [(a.slice, str(a.n), name, _loss(loss)) for a, name, loss in losses[:count]]


def _example(p: Passport, inputs: Float32, outputs: Float32) -> str:
    """The golden window in the middle by its answer: neither the quietest nor the busiest."""
    task = p.task
    level = outputs.reshape(len(outputs), -1).mean(axis=1)
    index = int(np.argsort(level, kind="stable")[len(level) // 2])
    names = [i.name for i in task.inputs]
    past = inputs[index][:, names.index(task.output)] if task.output in names else np.empty(0, np.float32)
    answer = outputs[index]  # (H,) or (H, Q)
    middle = answer[:, task.median] if task.quantiles else answer
    band = (answer[:, 0], answer[:, -1]) if task.quantiles else None
    return plots.forecast(past, middle, band, lead=task.lead, unit=task.output_unit)


def _markdown(blocks: Sequence[Block]) -> str:
    parts = []
    for block in blocks:
        match block:
            case Heading(text, level):
                parts.append(f"{'#' * level} {text}")
            case Paragraph(text):
                parts.append(text)
            case Table(head, rows):
                parts.append("\n".join(map(_piped, [head, ("---",) * len(head), *rows])))
            case Figure(file, _, caption):
                parts.append(f"![{caption}]({file})")
    return "\n\n".join(parts) + "\n"


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _html(title: str, blocks: Sequence[Block]) -> str:
    parts = []
    for block in blocks:
        match block:
            case Heading(text, level):
                parts.append(f"<h{level}>{html.escape(text)}</h{level}>")
            case Paragraph(text):
                parts.append(f"<p>{html.escape(text)}</p>")
            case Table(head, rows):
                lines = [_cells("th", head), *(_cells("td", row) for row in rows)]
                parts.append(f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>")
            case Figure(_, svg, caption):
                parts.append(f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>")
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
    body = "\n".join(parts)
    return f"{head}<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"


def _cells(tag: str, row: Sequence[str]) -> str:
    return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
