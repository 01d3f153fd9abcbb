"""Kinds of node as their configurations say, and the passport that a shipped task's model would have.

What a model is tried in is the table that a technician would write for it: its own bundle, interval, lead and horizon;
one of the node's datastreams as the output; for every input the datastream that observes it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import msgspec

from wayside.cloud.train.taskfile import load_task, task_names
from wayside.contracts.fit import Misfit, misfits
from wayside.contracts.node_config import load_node_config
from wayside.contracts.passport import Accuracy, Golden, Passport, Variant
from wayside.contracts.task import TaskSpec
from wayside.contracts.task_config import FRAMES, SITE, Offer, SiteConfig, TaskOffer

SITES = ("north", "south")
AGENT = "1.0.0"
RUNTIMES = {"onnx": ("onnxruntime",), "tflite": ("tflite-runtime", "ai-edge-litert")}
WEATHER = (("temperature", "Cel"), ("pressure", "hPa"), ("dewpoint", "Cel"), ("rain", "mm"), ("wind_speed", "m/s"))
POLLUTANTS = ("pm10", "so2", "no2", "co", "o3")
HOLIDAYS = ("xmas", "xmas2", "nye", "nyd", "thx", "thx1", "ind", "game_day")


def _register(address: int, name: str, unit: str, observes: str = "", more: str = "") -> str:
    lines = ["[[modbus.registers]]", "device = 1", f"address = {address}", f'datastream = "{name}"', f'unit = "{unit}"']
    return "\n".join([*lines, *([f'observes = "{observes}"'] if observes else []), more])


def _registers(*of: str) -> str:
    return "\n".join(['[modbus]\nport = "/dev/ttyS1"', *of])


def _calendar(*tables: str) -> str:
    return "\n".join(["[calendar]", *(f'{name} = ["2026-12-25"]' for name in tables)])


COUNTER = 'type = "uint32"\nkind = "counter"\nmax_per_s = 50'
DETECTORS = """
[board]
port = "/dev/ttyACM0"
[[detectors]]
channel = 2
datastream = "detector/2/volume"
[[detectors]]
channel = 4
datastream = "detector/4/volume"
"""
MAST = [_register(2 * n, f"mast/{name}", unit, name) for n, (name, unit) in enumerate(WEATHER)]

KINDS: dict[str, tuple[str, str]] = {
    "intersection": ("two detectors, each with its number of lanes", DETECTORS),
    "speed, km/h": (
        "a radar's speed and a [calendar]",
        _registers(_register(0, "radar/speed", "km/h", "speed")) + "\n" + _calendar("holiday"),
    ),
    "speed, mph": ("a radar's speed", _registers(_register(0, "radar/speed", "[mi_i]/h", "speed"))),
    "road station": (
        "a vehicle counter, temperature, rain, snow, clouds, the weather's and the holiday's number",
        _registers(
            _register(0, "road/volume", "{veh}", more=COUNTER),
            *(
                _register(10 + 2 * n, f"road/{name}", unit, name)
                for n, (name, unit) in enumerate(
                    [("temperature", "Cel"), ("rain", "mm/h"), ("snow", "mm/h"), ("clouds", "%"), ("weather", "1")]
                )
            ),
            _register(30, "road/holiday", "1", "holiday"),
        ),
    ),
    "kiosk, kW": (
        "a transformer's power and temperature, a [calendar] with holidays",
        _registers(_register(0, "kiosk/power", "kW"), _register(2, "kiosk/temperature", "Cel", "temperature"))
        + "\n"
        + _calendar("holiday"),
    ),
    "kiosk, MW": (
        "a substation's power and temperature, a [calendar] with holidays",
        _registers(_register(0, "kiosk/power", "MW"), _register(2, "kiosk/temperature", "Cel", "temperature"))
        + "\n"
        + _calendar("holiday"),
    ),
    "small mast": ("PM2.5 and weather", _registers(_register(20, "mast/pm25", "ug/m3", "pm2.5"), *MAST)),
    "air station": (
        "PM2.5, five more pollutants, weather, the wind's direction, the city's mean of PM2.5",
        _registers(
            _register(20, "mast/pm25", "ug/m3", "pm2.5"),
            *(_register(22 + 2 * n, f"mast/{name}", "ug/m3", name) for n, name in enumerate(POLLUTANTS)),
            *MAST,
            _register(40, "mast/direction", "1", "wind"),
            _register(42, "city/pm25", "ug/m3", "region"),
        ),
    ),
    "footpath": (
        "a pedestrian counter",
        _registers(_register(0, "path/pedestrians", "{ped}", more=COUNTER)),
    ),
    "hospital": (
        "a counter of arrivals, temperature, a [calendar] with the model's holidays",
        _registers(
            _register(0, "ward/arrivals", "{pat}", more=COUNTER),
            _register(2, "roof/temperature", "Cel", "temperature"),
        )
        + "\n"
        + _calendar(*HOLIDAYS),
    ),
    "hospital, no calendar": (
        "the same without a [calendar]",
        _registers(
            _register(0, "ward/arrivals", "{pat}", more=COUNTER),
            _register(2, "roof/temperature", "Cel", "temperature"),
        ),
    ),
    "test bench": ("a register that is a plain number", _registers(_register(0, "bench/value", "1"))),
    "camera corner": ("a folder that a camera's pictures come into", "\n".join(
        ["[[cameras]]", 'name = "corner"', 'folder = "/run/wayside/corner"', 'after = "delete"']
    )),
}  # fmt: skip
"""Name → what it has, and the sensors of its configuration."""


@functools.cache
def offer(kind: str) -> Offer:
    head = 'node = "one"\nstate_dir = "/var/lib/wayside"\n'
    return load_node_config(head + KINDS[kind][1]).offer(AGENT)


@functools.cache
def passport(task: str) -> Passport:
    """Of a model that somebody trained with the shipped task file ``task`` on the sites of ``SITES``."""
    spec = load_task(task).task
    if SITE in (i.name for i in spec.inputs):
        spec = msgspec.structs.replace(spec, sites=SITES)
    return passport_of(spec)


def passport_of(spec: TaskSpec, **changes: object) -> Passport:
    variants = tuple(
        Variant(
            name=f"{form}-{precision}",
            file=f"model-{precision}.{form}",
            format=form,
            precision=precision,
            sha256="0" * 64,
            bytes=1,
            runtimes=runtimes,
            ops=("Gemm",),
            max_abs_diff=0.0,
            mean_abs_diff=0.0,
            tolerance=0.1,
        )
        for form, runtimes in RUNTIMES.items()
        for precision in ("fp32", "int8")
    )
    golden = Golden(inputs="i.npy", outputs="o.npy", inputs_sha256="0" * 64, outputs_sha256="0" * 64, count=1)
    fields: dict[str, object] = {
        "bundle": spec.name.replace("_", "-"),
        "version": "1.0.0",
        "min_agent": "0.1.0",
        "task": spec,
        "family": "mlp",
        "parameters": 1,
        "seed": 0,
        "data_sha256": "0" * 64,
        "calibration_sha256": "0" * 64,
        "code_version": "",
        "residual_std": 1.0,
        "variants": variants,
        "golden": golden,
        "accuracy": (Accuracy(slice="all", n=1, mae={}),),
    }
    return Passport(**fields | changes)  # type: ignore[arg-type]


def tables(model: Passport, node: Offer) -> Iterator[TaskOffer]:
    """A table for each datastream that could be the output."""
    spec = model.task
    named = {i.name for i in spec.inputs}
    observed = {d.observes: d.name for d in node.datastreams if d.observes in named and d.observes != spec.output}
    pictures = spec.image is not None
    names = [d.name for d in node.datastreams if (d.unit == FRAMES) == pictures]
    for name in names or ["camera"]:
        yield TaskOffer(
            name="tried",
            bundle=model.bundle,
            kind=spec.kind,
            interval_s=spec.interval_s,
            lead=spec.lead,
            horizon=spec.horizon,
            sites=(SiteConfig(output=name, site=SITES[0] if spec.sites else None),),
            inputs=observed,  # type: ignore[arg-type]
        )


def best(task: str, kind: str) -> list[Misfit]:
    """What keeps a node of ``kind`` from running ``task``'s model, in the table in which the fewest things do."""
    return min((misfits(passport(task), table, offer(kind)) for table in tables(passport(task), offer(kind))), key=len)


def markdown() -> str:
    """docs/fit.md."""
    lines = [
        *HEAD,
        *(f"| {kind} | {what} |" for kind, (what, _) in KINDS.items()),
        "",
        "## Models",
        "",
        f"| model | {' | '.join(KINDS)} |",
        f"|---|{'---|' * len(KINDS)}",
    ]
    for task in task_names():
        cells = [", ".join(dict.fromkeys(_word(task, m) for m in best(task, kind))) or "**yes**" for kind in KINDS]
        lines.append(f"| `{task}` | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *NOTES])


def _word(task: str, misfit: Misfit) -> str:
    return "pictures" if passport(task).task.image is not None else misfit.misses


HEAD = """# Which node runs which model

`contracts/fit.py` answers it: for `wayside node check`, when a bundle is published, when a rollout begins, and on the
node before it switches. A model is refused with sentences that name both sides; the old one keeps running.

This page is made by `python -m tests.simulators.node_kinds > docs/fit.md`: every task file that comes with wayside
against kinds of node, each in the table that a technician would write for that model. **yes**: it runs; otherwise what
is in the way:

| word | the node |
|---|---|
| quantity | has no datastream that measures what the model wants |
| unit | measures it in another unit |
| input | does not have one of the further inputs |
| calendar | has no table of dates for what the model wants to know ahead |
| pictures | has no camera |

## Kinds of node

| node | has |
|---|---|
""".splitlines()
NOTES = """## What is compared

| | the model's passport | the node |
|---|---|---|
| bundle | its name | `bundle` of the task: no other runs there |
| kind | forecast, score, classify or count | `kind` |
| interval, lead, horizon | exactly; the horizon may be longer | `interval_s`, `lead`, `horizon` |
| output | quantity, unit | the datastream of each site; a detector counts `{veh}`, a register says its `unit` |
| further inputs | quantity, unit, bounds | a constant of the site, else a table of `[calendar]`, else a datastream |
| inputs known ahead | | a constant or a table of `[calendar]` only |
| sites | names in the training data | `site`, spelled as there |
| runtime | variants that passed the gate | `[model] runtime` and `precision` |
| agent | the oldest that reads it | its version |

Units are not converted: a model of `kW` is refused where the register says `MW`; set the register's `scale`. What is
counted (vehicles, pedestrians, patients, energy) has to come from a counter, whose steps add up; speeds, temperatures
and concentrations from a gauge, whose steps are averaged. `observes` on a register says what it measures where the
unit does not: with `observes = "pm10"` a model of PM2.5 is refused. A table of dates gives 0 or 1, so it feeds only an
input with unit `1` and bounds 0 and 1; `i94` numbers its holidays from 1 to 11.

A `site` whose name a model does not know is a misfit, and the model does not run there: it is misspelled, or of another
city. Where `site` is left out it runs as at an unknown site, if it was trained for that (`site_dropout`,
[training.md](training.md)), its passport says how good it is there, and that is better than naive.
""".splitlines()  # fmt: skip

if __name__ == "__main__":
    print(markdown())
