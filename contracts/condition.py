"""A state that is wrong, with a beginning and an end: reported once when it begins and once when it is over."""

from __future__ import annotations

from typing import Annotated

import msgspec

from wayside.contracts.reading import Name, Stamp
from wayside.contracts.wire import Document

MAX_CONDITIONS = 64  # of one heartbeat

Code = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
"""Stable, for programs: ``line_lost``, ``detector_stuck_on``, ``signal_fault``, ``no_model``, ``model_worse`` …"""


MODEL_CONDITIONS = ("model_nan", "model_constant", "model_worse", "model_late", "model_fails")
"""The task's model runs, and is of no use. A version that brings one of these to a node is not rolled out further."""


class Condition(Document, frozen=True, kw_only=True):
    """Open while it stands in a heartbeat. ``subject`` is a datastream, a task, an actuator or a part of the node."""

    code: Code
    subject: Name
    message: Annotated[str, msgspec.Meta(max_length=256)]
    since: Stamp
    severe: bool = True  # a node with one of these is not healthy
    times: Annotated[int, msgspec.Meta(ge=1)] = 1  # it began so often while it flapped
