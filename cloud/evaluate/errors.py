"""What can go wrong while evaluating.

EvaluateError
├── NothingToJudge   there is no run, no data, or no window to judge
└── (errors of cloud.train and export pass through with their own words)
"""

from __future__ import annotations

from wayside.errors import WaysideError


class EvaluateError(WaysideError):
    """Evaluation failed; the message says what happened, whose fault it is, and what to do next."""


class NothingToJudge(EvaluateError, ValueError):  # noqa: N818  (what happened)
    """There is no run, no data, or no window."""
