"""Errors of the exporter and the release.

ExportError
├── RunDirectoryError   the training run is incomplete or damaged
├── ConversionError     torch's graph does not convert
├── GateRefused         the parity gate: a number is beyond its limit
├── BundleError         no bundle that a node would take
└── ReleaseError        keys or signatures
    └── HubRefused      the hub said no
"""

from __future__ import annotations

from wayside.errors import ExitStatus, WaysideError


class ExportError(WaysideError):
    """Something that the person at the command line can read and act upon."""


class RunDirectoryError(ExportError):
    pass


class ConversionError(ExportError):
    pass


class GateRefused(ExportError):  # noqa: N818  (what happened, not that it is an error)
    """Quotes the number, its limit, and where it was measured."""

    exit_status = ExitStatus.REFUSED


class BundleError(ExportError):
    pass


class ReleaseError(ExportError):
    pass
