"""What can go wrong while training.

TrainError
├── TaskError      the task file is missing or breaks its contract
├── DataError      the data break a rule: the user's file, named by row and column
└── OutputError    the run directory cannot be written
"""

from __future__ import annotations


class TrainError(Exception):
    """Training failed; the message says what happened, whose fault it is, and what to do next."""


class TaskError(TrainError, ValueError):
    """The task file is missing or breaks its contract."""


class DataError(TrainError, ValueError):
    """The data break a rule, or there are too few of them."""


class OutputError(TrainError, OSError):
    """The run directory cannot be written."""
