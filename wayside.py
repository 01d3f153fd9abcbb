"""The front door: one lazy table from verb to the room that serves it."""

from __future__ import annotations

import importlib
import io
import sys
import traceback
from collections.abc import Sequence
from typing import NamedTuple

from wayside import exits
from wayside.contracts.version import VERSION
from wayside.errors import MEANINGS, ExitStatus, Misuse, WaysideError
from wayside.paths import with_homes


class Verb(NamedTuple):
    module: str  # imported only when the verb is used
    app: str  # an App of wayside.command_line in that module
    extra: str  # pip install "wayside[extra]"; none: nothing but what every installation has
    help: str


class MissingPackage(WaysideError):  # noqa: N818  (what happened)
    """A verb needs a package that its extra brings."""


PURPOSE = "Train models, ship them signed to roadside computers, run them there, get summaries back."

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
    "release": Verb("wayside.export.cli", "release", "release", "make keys, sign a bundle, publish it to a hub"),
    "hub": Verb("wayside.cloud.hub.cli", "hub", "hub", "run the hub; make enrolment tokens"),
    "replace": Verb(
        "wayside.cloud.hub.replace_cli", "replace", "hub", "let new hardware take over a node's name and history"
    ),
    "rollout": Verb("wayside.cloud.hub.rollout.cli", "rollout", "hub", "start, watch, take back and withdraw versions"),
    "docs": Verb("wayside.pages", "docs", "", "list and print the pages of the documentation"),
    "new": Verb("wayside.new.cli", "new", "", "write a commented file to begin with: a task, a domain, a node"),
    "completion": Verb("wayside.shell.cli", "completion", "", "print the completion of a shell: bash, zsh or fish"),
    "man": Verb("wayside.shell.cli", "man", "", "write the man pages"),
    "demo": Verb("wayside.cloud.demo.cli", "demo", "dev", "run the whole line on this machine"),
}


def usage() -> str:
    width = max(map(len, VERBS))
    rows = "\n".join(f"  {name:<{width}}  {verb.help}" for name, verb in VERBS.items())
    statuses = "; ".join(f"{status:d} {meaning.partition(':')[0]}" for status, meaning in MEANINGS.items())
    return (
        f"usage: wayside VERB [OPTIONS]\n\n{rows}\n\n"
        "`wayside VERB --help` explains one; `wayside --version`; every --help is also -h\n"
        f"exit status: {statuses}"
    )


def main(argv: list[str] | None = None) -> int:
    """Run one verb.

    Returns:
        The exit status (wayside.errors.ExitStatus).
    """
    exits.open_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no arrow or degree sign shows a question mark
    args = with_homes(sys.argv[1:] if argv is None else argv)
    name = f"wayside {args[0]}" if args and args[0] in VERBS else "wayside"
    try:
        return exits.ended(lambda: _run(args), name, as_json=exits.asks_for_json(args))
    except Exception as exc:
        if isinstance(exc, UnicodeEncodeError) and (odd := next((a for a in args if not _is_text(a)), None)):
            why = f"{odd} is a name that is not UTF-8, and a library that is needed here takes no such: rename it"
            return exits.tell(name, why, "name", ExitStatus.FAILED, as_json=exits.asks_for_json(args))
        traceback.print_exc()
        fault = f"this is a fault of wayside {VERSION} and not of what you typed: report it with the lines above"
        return exits.tell(name, fault, "fault", ExitStatus.FAILED, as_json=exits.asks_for_json(args))


def _run(args: Sequence[str]) -> None:
    if args and args[0] == "help":
        args = [*args[1:], "--help"]
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        if not args:
            raise SystemExit(ExitStatus.USAGE)
        return
    if args[0] in ("-V", "--version"):
        print(f"wayside {VERSION}")
        return
    verb = VERBS.get(args[0])
    if verb is None:
        raise Misuse(f"there is no verb {args[0]!r}{_near(args[0])}; `wayside -h` lists them")
    try:
        # Verbs import what is heavy when they run: a package may be missing there, too.
        getattr(importlib.import_module(verb.module), verb.app)(args=args[1:], prog_name=f"wayside {args[0]}")
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.split(".")[0] == "wayside":
            raise
        raise MissingPackage(
            f'needs the package {exc.name!r}, which is not installed here.\n  pip install "wayside[{verb.extra}]"'
        ) from exc


def _is_text(argument: str) -> bool:
    """Whether it is one, and not bytes that Python holds as half characters."""
    return not any("\ud800" <= c <= "\udfff" for c in argument)


def _near(word: str) -> str:
    """What was meant, perhaps."""
    from difflib import get_close_matches

    near = get_close_matches(word, VERBS) or [verb for verb in VERBS if len(word) > 1 and verb.startswith(word)]
    return f"; did you mean {' or '.join(near)}?" if near else ""


if __name__ == "__main__":
    sys.exit(main())
