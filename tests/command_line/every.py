"""Every verb and every command, and what each of them writes: a new one has to take its place here."""

from __future__ import annotations

from enum import StrEnum

from wayside.__main__ import VERBS
from wayside.shell.tree import Command, commands


class Writes(StrEnum):
    NOTHING = "nothing"
    OWN = "what the person names: a file, a folder, this node's own state"
    OUTSIDE = "a hub, a board, a card, this system: has --dry-run"


NOTHING, OWN, OUTSIDE = Writes.NOTHING, Writes.OWN, Writes.OUTSIDE
WRITES: dict[str, Writes] = {
    "agent run": OWN,
    "node check": NOTHING,
    "node migrate": NOTHING,
    "node status": NOTHING,
    "node outbox": NOTHING,
    "node why": NOTHING,
    "node events": OWN,
    "node install-service": OUTSIDE,
    "doctor": NOTHING,
    "commission walk": OWN,
    "commission wiring": NOTHING,
    "commission show": OWN,
    "board build": OWN,
    "board run": OWN,
    "board watch": NOTHING,
    "board plan": NOTHING,  # with --store it writes: without is the dry run
    "board header": OWN,
    "flash": OUTSIDE,
    "image wheels": OWN,
    "image build": OWN,
    "image write": OUTSIDE,
    "image verify": NOTHING,
    "provision": OUTSIDE,
    "train": OWN,
    "export": OWN,
    "evaluate": OWN,
    "simulate energy": OWN,
    "simulate air": OWN,
    "sim run": OWN,
    "sim compare": OWN,
    "sim measures": OWN,
    "sim configure": OWN,
    "sim offsets": NOTHING,
    "release keys": OWN,
    "release init": OUTSIDE,
    "release publish": OUTSIDE,
    "release renew": OUTSIDE,
    "release show": NOTHING,
    "hub init": OWN,
    "hub run": OWN,
    "hub token": OUTSIDE,
    "hub retention show": NOTHING,
    "hub retention run": OUTSIDE,
    "hub backup": OWN,
    "hub restore": OWN,
    "hub move": OWN,
    "hub install-service": OUTSIDE,
    "hub node list": NOTHING,
    "hub node revoke": OUTSIDE,
    "hub node retire": OUTSIDE,
    "hub node rename": OUTSIDE,
    "hub node site": OUTSIDE,
    "hub user add": OUTSIDE,
    "hub user list": NOTHING,
    "hub user role": OUTSIDE,
    "hub user password": OUTSIDE,
    "hub user disable": OUTSIDE,
    "hub user enable": OUTSIDE,
    "hub user link": OUTSIDE,
    "hub api-token make": OUTSIDE,
    "hub api-token list": NOTHING,
    "hub api-token withdraw": OUTSIDE,
    "hub department list": NOTHING,
    "hub department set": OUTSIDE,
    "hub open list": NOTHING,
    "hub open add": OUTSIDE,
    "hub open remove": OUTSIDE,
    "hub audit list": NOTHING,
    "hub audit verify": NOTHING,
    "replace": OUTSIDE,
    "rollout start": OUTSIDE,
    "rollout list": NOTHING,
    "rollout show": NOTHING,
    "rollout pause": OUTSIDE,
    "rollout resume": OUTSIDE,
    "rollout abort": OUTSIDE,
    "rollout back": OUTSIDE,
    "rollout withdraw": OUTSIDE,
    "rollout release-hold": OUTSIDE,
    "docs": NOTHING,
    "new task": OWN,
    "new domain": OWN,
    "new node": OWN,
    "completion": NOTHING,
    "man": OWN,
    "demo": OWN,
}
# What they print is no data, or not theirs to choose.
NO_JSON = {
    "agent run": "serves until it is stopped; its log is JSON already",
    "board run": "becomes the board; its first line names the pty, --stats writes counters",
    "hub run": "serves until it is stopped",
    "node migrate": "prints TOML",
    "completion": "prints a script",
}

EVERY: list[Command] = commands()[1:]
ACTING = [command for command in EVERY if not command.commands]


def name_of(command: Command) -> str:
    return " ".join(command.words)


def test_every_command_has_its_place_in_the_table() -> None:
    assert {name_of(command) for command in ACTING} == set(WRITES)
    assert {command.words[0] for command in EVERY} == set(VERBS)
