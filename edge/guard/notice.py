"""May this notice be sent to people? How often, how long, and of what is new. Each rule is a line of :func:`check`."""

from __future__ import annotations

import math

from wayside.contracts.action import Notice
from wayside.contracts.actuator_config import NoticeConfig
from wayside.edge.guard.verdict import Situation, Verdict

MAX_TOPIC, MAX_TEXT = 64, 200  # characters
ALARM = 3


def check(proposal: Notice, limits: NoticeConfig, situation: Situation) -> Verdict:
    """Judge ``proposal``. The end of a notice (level 0) is no message and may come at any time."""
    reasons = []
    if not 1 <= len(proposal.topic) <= MAX_TOPIC:
        reasons.append(f"the topic has {len(proposal.topic)} characters, 1 to {MAX_TOPIC} are allowed")
    if len(proposal.text) > MAX_TEXT:
        reasons.append(f"the text has {len(proposal.text)} characters, at most {MAX_TEXT} are allowed")
    if not 0 <= proposal.level <= ALARM:
        reasons.append(f"level {proposal.level} is none of 0 to {ALARM}")
    if proposal.value is not None and not math.isfinite(proposal.value):
        reasons.append("the value is not a number")
    if proposal.level == 0:
        return Verdict(tuple(reasons))
    if not proposal.text.strip():
        reasons.append("the text is empty")
    if not situation.fresh:
        reasons.append("readings behind the answer are stale: nothing is said")
    pace = []
    if proposal != situation.in_force and situation.changes >= limits.at_most_per_h:
        pace.append(f"{situation.changes} notices were sent within an hour, at most {limits.at_most_per_h}")
    return Verdict((*reasons, *pace), pace_only=bool(pace) and not reasons)
