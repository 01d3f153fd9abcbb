"""What can go wrong with a model.

ModelError
└── ModelConfigError    a configuration that no family here can build
"""

from __future__ import annotations

from wayside.errors import WaysideError


class ModelError(WaysideError):
    """A model cannot be made; the message says what happened and what to do next."""


class ModelConfigError(ModelError, ValueError):
    """The configuration names no known family, or its sizes do not fit."""
