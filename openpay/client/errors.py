"""What can go wrong, by what a program would do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal


class OpenPayError(Exception):
    """Whatever goes wrong here."""


class InvalidSetting(OpenPayError, ValueError):
    """A client or a verifier was given what cannot work: no request was made. Keys are never part of the message."""


class ConnectionFailed(OpenPayError):
    """No answer came, after all retries. A POST may be repeated with the same `idempotency_key`."""


class ApiError(OpenPayError):
    """The API said no. `code` is the stable word to program against; `param` the field at fault, if any."""

    def __init__(
        self, status: int, *, detail: str, code: str, param: str | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(f"{detail} ({status} {code})" + (f", request {request_id}" if request_id else ""))
        self.status = status
        self.detail = detail
        self.code = code
        self.param = param
        self.request_id = request_id


class BadRequest(ApiError):
    """400, 405, 413 or 415: the request itself was malformed."""


class AuthenticationFailed(ApiError):
    """401 or 403."""


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409: the object's state, or another request, does not allow this."""


class Invalid(ApiError):
    """422: understood, and not acceptable. `param` names the field."""


class RateLimited(ApiError):
    """429, after all retries."""


class ServerFailed(ApiError):
    """5xx, after all retries."""


class WebhookVerificationError(OpenPayError):
    """Do not act on this request. `reason` says why in one word."""

    def __init__(
        self,
        reason: Literal["missing_header", "invalid_timestamp", "too_old", "too_new", "wrong_signature", "not_json"],
        detail: str,
    ) -> None:
        super().__init__(detail)
        self.reason = reason


BY_STATUS: Mapping[int, type[ApiError]] = {
    401: AuthenticationFailed,
    403: AuthenticationFailed,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    429: RateLimited,
}
