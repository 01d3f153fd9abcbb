"""The root of every error that ``edge`` raises."""

from __future__ import annotations


class EdgeError(Exception):
    """A node-side operation failed; the message says what happened, whose fault it is, and what to do next."""
