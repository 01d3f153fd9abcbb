"""What goes wrong at the hub. Each class is one HTTP status; ``code`` is the stable word in the reply.

HubError                      500
├── BadRequestError           400  not HTTP or JSON as promised
├── UnauthenticatedError      401  signature, nonce or operator token
├── ForbiddenError            403  known, but not allowed: enrolment tokens
├── NotFoundError             404
├── ConflictError             409  true in itself, but not now: versions, states, keys
├── TooSlowError              408  the body did not arrive in its time
├── TooLargeError             413  body over its limit
├── TooOftenError             429  a stranger who was wrong too often; says when to come again
├── MisdirectedError          421  asked by a name that is not this hub's
├── QuotaError                429  the node has used up its part of the store; says of which datastreams
├── ContractBrokenError       422  a field breaks a rule of the contract
├── TooBusyError              503  too many look at once
├── ProviderAwayError         502  who else vouches for users does not answer
├── StoreUnavailableError     503  the database does not answer
├── StoreFullError            507  no room on the disk
├── ConfigurationError        –    the data directory or a command-line value; never over HTTP
└── BackupError               –    a backup that cannot be made, read or restored; never over HTTP
"""

from __future__ import annotations

import math

import msgspec

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


class TooSlowError(HubError):
    status = 408


class TooLargeError(HubError):
    status = 413


class TooOftenError(HubError):
    """Attributes: ``retry_s`` seconds until it is worth to come again."""

    status = 429

    def __init__(self, code: str, message: str, field: str | None = None, retry_s: float = 1.0) -> None:
        super().__init__(code, message, field)
        self.retry_s = retry_s

    @classmethod
    def after(cls, retry_s: float) -> TooOftenError:
        wait = max(1, math.ceil(retry_s))
        return cls("too_often", f"too many refused requests from this address: come again in {wait} s", retry_s=wait)


class MisdirectedError(HubError):
    status = 421


class QuotaError(HubError):
    """Attributes: ``datastreams`` of which the hub takes no rows."""

    status = 429

    def __init__(self, code: str, message: str, datastreams: tuple[str, ...] = ()) -> None:
        super().__init__(code, message)
        self.datastreams = datastreams

    def reply(self) -> ErrorReply:
        return msgspec.structs.replace(super().reply(), datastreams=self.datastreams)


class ContractBrokenError(HubError):
    status = 422

    @classmethod
    def of(cls, exc: ContractError) -> ContractBrokenError:
        return cls("broken_contract", str(exc), exc.field)


class TooBusyError(HubError):
    status = 503


class ProviderAwayError(HubError):
    status = 502


class StoreUnavailableError(HubError):
    status = 503


class StoreFullError(HubError):
    status = 507


class ConfigurationError(HubError):
    """The data directory or a command-line value."""


class BackupError(HubError):
    """A backup that cannot be made, read or restored; nothing was changed."""
