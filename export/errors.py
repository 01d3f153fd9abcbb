"""Errors of the exporter and the release.

ExportError
├── RunDirectoryError   the training run is incomplete or damaged
├── ConversionError     torch's graph does not convert
├── GateRefused         the parity gate: a number is beyond its limit
├── BundleError         the bundle does not hold what its passport says
└── ReleaseError        keys or signatures
    └── HubRefused      the hub said no
"""

from __future__ import annotations


class ExportError(Exception):
    """Something that the person at the command line can read and act upon."""


class RunDirectoryError(ExportError):
    pass


class ConversionError(ExportError):
    pass


class GateRefused(ExportError):  # noqa: N818  (what happened, not that it is an error)
    """Quotes the number, its limit, and where it was measured."""


class BundleError(ExportError):
    pass


class ReleaseError(ExportError):
    pass
