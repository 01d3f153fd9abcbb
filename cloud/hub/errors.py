"""What goes wrong at the hub. Each class is one HTTP status; ``code`` is the stable word in the reply.

HubError                      500
├── BadRequestError           400  not HTTP or JSON as promised
├── UnauthenticatedError      401  signature, nonce or operator token
├── ForbiddenError            403  known, but not allowed: enrolment tokens
├── NotFoundError             404
├── ConflictError             409  true in itself, but not now: versions, states, keys
├── TooLargeError             413  body over its limit
├── ContractBrokenError       422  a field breaks a rule of the contract
├── StoreUnavailableError     503  the database does not answer
├── StoreFullError            507  no room on the disk
└── ConfigurationError        –    the data directory or a command-line value; never over HTTP
"""

from __future__ import annotations

from wayside.contracts.sync import ErrorReply
from wayside.contracts.wire import ContractError
from wayside.errors import ExitStatus, WaysideError


class HubError(WaysideError):
    """Attributes: ``code`` a stable word, ``message`` a sentence, ``field`` what it is about."""

    status = 500

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field

    def reply(self) -> ErrorReply:
        return ErrorReply(error=self.code[:64], message=self.message[:1024], field=self.field and self.field[:256])


class BadRequestError(HubError):
    status = 400


class UnauthenticatedError(HubError):
    status = 401
    exit_status = ExitStatus.REFUSED


class ForbiddenError(HubError):
    status = 403
    exit_status = ExitStatus.REFUSED


class NotFoundError(HubError):
    status = 404


class ConflictError(HubError):
    status = 409
    exit_status = ExitStatus.REFUSED


class TooLargeError(HubError):
    status = 413


class ContractBrokenError(HubError):
    status = 422

    @classmethod
    def of(cls, exc: ContractError) -> ContractBrokenError:
        return cls("broken_contract", str(exc), exc.field)


class StoreUnavailableError(HubError):
    status = 503


class StoreFullError(HubError):
    status = 507


class ConfigurationError(HubError):
    """The data directory or a command-line value."""
