"""Every error Open Pay raises, as one tree with three branches.

* `CallerError` - whoever asked can mend it; each class maps to one HTTP status (`openpay.http.problems`).
* `RetryableError` - the world outside failed; the same step may succeed later, unchanged.
* `FatalError` - continuing would risk money or data; the process stops or the operator must act.
"""

from __future__ import annotations


class OpenPayError(Exception):
    """Root of the tree. `str(error)` is a sentence for its reader."""


# --- the caller's fault ------------------------------------------------------------------------------------------


class CallerError(OpenPayError):
    """A request that cannot be carried out as it stands.

    `code` is a stable snake_case word for programs, `param` the request field at fault (dotted path) or None.
    """

    def __init__(self, detail: str, *, code: str, param: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.param = param


class Malformed(CallerError):
    """The request could not be read at all (400)."""


class Unauthorized(CallerError):
    """No key, or not a valid one (401)."""


class Forbidden(CallerError):
    """A valid key without the right to do this (403)."""


class NotFound(CallerError):
    """No such object for this caller (404)."""


class Conflict(CallerError):
    """The object's state, or a concurrent request, does not allow this (409)."""


class Invalid(CallerError):
    """Readable, but its meaning cannot be accepted (422)."""


class RateLimited(CallerError):
    """Too many requests (429). `retry_after_s`: whole seconds until the next may succeed."""

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail, code="rate_limited")
        self.retry_after_s = retry_after_s


# --- the world outside -------------------------------------------------------------------------------------------


class RetryableError(OpenPayError):
    """Nothing was decided; the same step may be tried again."""


class ChainUnavailable(RetryableError):
    """No node gave a usable answer."""


class PriceUnavailable(RetryableError):
    """No fresh price for a token."""


class ConcurrentChange(RetryableError):
    """Another writer changed the same row first; load again and decide again."""


# --- stop ----------------------------------------------------------------------------------------------------


class FatalError(OpenPayError):
    """Going on would risk money or data."""


class ConfigurationError(FatalError):
    """A setting is missing or contradicts the chain or the database. Names the setting and what it should be."""


class InvariantViolated(FatalError):
    """The code's own promise does not hold: a bug."""


class CursorMoved(FatalError):
    """Another watcher wrote this chain's cursor: this one lost its lock, and must not write again."""


class ReorgBelowFinality(FatalError):
    """The chain disagrees with a block already recorded as final. A person must look (`openpay rewind`)."""
