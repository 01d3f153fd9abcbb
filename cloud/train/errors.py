"""What can go wrong while training.

TrainError
├── TaskError      the task file is missing or breaks its contract
├── DivergedError  the loss became infinite or NaN
├── FittingError   torch cannot do what the recipe asks for: no memory, no such shapes
├── DataError      the data break a rule: the user's file, named by row and column
├── ClusterError   Ray is asked for, and not installed or not there
├── TrackingError  Weights & Biases is asked for, and not installed
└── OutputError    the run directory cannot be written
"""

from __future__ import annotations

from wayside.errors import WaysideError


class TrainError(WaysideError):
    """Training failed; the message says what happened, whose fault it is, and what to do next."""


class TaskError(TrainError, ValueError):
    """The task file is missing or breaks its contract."""


class DivergedError(TrainError, ArithmeticError):
    """The training loss became infinite or NaN: the recipe's fault."""


class FittingError(TrainError, RuntimeError):
    """torch cannot do what the recipe asks for: no memory for it, or sizes that give no shapes; in its own words."""


class DataError(TrainError, ValueError):
    """The data break a rule, or there are too few of them."""


class ClusterError(TrainError, RuntimeError):
    """Ray is asked for, and not installed or not there."""


class TrackingError(TrainError, RuntimeError):
    """Weights & Biases is asked for, and not installed."""


class OutputError(TrainError, OSError):
    """The run directory cannot be written."""
