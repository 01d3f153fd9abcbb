"""The front door: one lazy table from verb to the room that serves it."""

from __future__ import annotations

import importlib
import io
import sys
from typing import NamedTuple

from wayside.contracts.version import VERSION


class Verb(NamedTuple):
    module: str  # imported only when the verb is used
    app: str  # a typer.Typer in that module
    extra: str  # pip install "wayside[extra]"
    help: str


VERBS: dict[str, Verb] = {
    "agent": Verb("wayside.edge.agent_verb", "agent", "edge", "run a node's agent from its configuration"),
    "node": Verb("wayside.edge.cli", "node", "edge", "look at a node: check its file, its status, its outbox"),
    "doctor": Verb("wayside.edge.cli", "doctor", "edge", "check a node at the cabinet, with a fix for what fails"),
    "commission": Verb(
        "wayside.edge.commission.cli", "commission", "edge", "walk a node's sensors at the cabinet, sign a record"
    ),
    "board": Verb("wayside.firmware_bridge.cli", "board", "bridge", "build, run and watch a board"),
    "flash": Verb("wayside.firmware_bridge.flash.cli", "flash", "bridge", "put firmware on a board, see that it runs"),
    "image": Verb("wayside.firmware_bridge.image.cli", "image", "bridge", "make a card image, write it, read it back"),
    "provision": Verb(
        "wayside.firmware_bridge.provision.cli", "provision", "bridge", "a list of sites to images and labels"
    ),
    "train": Verb("wayside.cloud.train.cli", "train", "train", "train and compare forecasters"),
    "export": Verb("wayside.export.cli", "export", "export", "checkpoint to ONNX and TFLite, int8, gated, bundled"),
    "evaluate": Verb("wayside.cloud.evaluate.cli", "evaluate", "export,train", "hold every int8 model against others"),
    "simulate": Verb("wayside.cloud.sim.cli", "simulate", "export,train", "what a policy is worth, on held-out months"),
    "sim": Verb("wayside.cloud.sim.traffic.cli", "sim", "sim", "what the control of a signal is worth, in SUMO"),
    "release": Verb("wayside.export.cli", "release", "export", "make keys, sign a bundle, publish it to a hub"),
    "hub": Verb("wayside.cloud.hub.cli", "hub", "hub", "run the hub; make enrolment tokens"),
    "replace": Verb(
        "wayside.cloud.hub.replace_cli", "replace", "hub", "let new hardware take over a node's name and history"
    ),
    "rollout": Verb("wayside.cloud.hub.rollout_cli", "rollout", "hub", "start, watch, take back and withdraw versions"),
    "demo": Verb("wayside.cloud.demo.cli", "demo", "dev", "run the whole line on this machine"),
}


def usage() -> str:
    width = max(map(len, VERBS))
    rows = "\n".join(f"  {name:<{width}}  {verb.help}" for name, verb in VERBS.items())
    return f"usage: wayside VERB [OPTIONS]\n\n{rows}\n\n`wayside VERB --help` explains one; `wayside --version`"


def main(argv: list[str] | None = None) -> int:
    """Run one verb.

    Returns:
        The exit status: 0 fine, 1 failed, 2 the command line was wrong.
    """
    args = sys.argv[1:] if argv is None else argv
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        print(f"wayside {VERSION}")
        return 0
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no arrow or degree sign shows a question mark
    verb = VERBS.get(args[0])
    if verb is None:
        print(f"wayside: there is no verb {args[0]!r}\n\n{usage()}", file=sys.stderr)
        return 2
    try:
        # Verbs import what is heavy when they run: a package may be missing there, too.
        getattr(importlib.import_module(verb.module), verb.app)(args=args[1:], prog_name=f"wayside {args[0]}")
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.split(".")[0] == "wayside":
            raise
        print(
            f"wayside {args[0]}: needs the package {exc.name!r}, which is not installed here.\n"
            f'  pip install "wayside[{verb.extra}]"',
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
