"""One request until it is answered for good: what to send, when to retry, without a network.

A generator yields requests and pauses; the two clients only differ in how they carry these out.
"""

from __future__ import annotations

import json
import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import urlencode

from openpay.client.errors import BY_STATUS, ApiError, BadRequest, ConnectionFailed, ServerFailed

DEFAULT_TIMEOUT_S = 30.0
DEFAULT_RETRIES = 3
MAX_PAUSE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Request:
    method: Literal["GET", "POST", "DELETE"]
    path: str
    query: Sequence[tuple[str, str]] = ()
    body: Mapping[str, Any] | None = None
    idempotency_key: str | None = None

    @property
    def target(self) -> str:
        return self.path + (f"?{urlencode(self.query)}" if self.query else "")

    def headers(self, api_key: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json", "User-Agent": "openpay-python/1"}
        if self.method == "POST":
            headers["Content-Type"] = "application/json"
            headers["Idempotency-Key"] = self.idempotency_key or ""
        return headers

    def content(self) -> bytes | None:
        return json.dumps(self.body or {}).encode() if self.method == "POST" else None


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Pause:
    seconds: float


# A step asks its driver for one thing and is sent the answer; an exception means that none came.
Steps = Generator[Request | Pause, Answer | ConnectionFailed | None, Any]


def exchange(request: Request, *, retries: int) -> Steps:
    """Send `request` until it is answered for good; returns the decoded JSON or raises."""
    for attempt in range(retries + 1):
        outcome = yield request
        last = attempt == retries
        if isinstance(outcome, ConnectionFailed):
            if last:
                raise outcome
            yield Pause(seconds=_backoff_s(attempt))
            continue
        answer = cast(Answer, outcome)
        if answer.status < 300:
            return _decoded(answer)
        error = _error(answer)
        if last or not _may_pass(error):
            raise error
        yield Pause(seconds=max(_retry_after_s(answer), _backoff_s(attempt)))
    raise AssertionError("unreachable: the last attempt returns or raises")


def _may_pass(error: ApiError) -> bool:
    """Whether the same request may succeed later. The last: our own earlier attempt is still being carried out."""
    return error.status == 429 or error.status >= 500 or error.code == "idempotency_in_progress"


def _backoff_s(attempt: int) -> float:
    """0.5 s, doubling, less up to a half at random: many clients must not return at one moment."""
    return min(0.5 * float(2**attempt), MAX_PAUSE_S) * random.uniform(0.5, 1.0)


def _retry_after_s(answer: Answer) -> float:
    text = _header(answer.headers, "Retry-After") or ""
    return min(float(text), MAX_PAUSE_S) if text.isascii() and text.isdigit() else 0.0


def _decoded(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise ServerFailed(answer.status, detail="the answer is not JSON", code="unreadable_answer") from error


def _error(answer: Answer) -> ApiError:
    """The exception for a problem document (RFC 9457), or for whatever a proxy answered instead."""
    try:
        problem = json.loads(answer.body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    kind = BY_STATUS.get(answer.status) or (ServerFailed if answer.status >= 500 else BadRequest)
    return kind(
        answer.status,
        detail=str(problem.get("detail") or problem.get("title") or f"HTTP status {answer.status}"),
        code=str(problem.get("code") or f"http_{answer.status}"),
        param=problem.get("param"),
        request_id=problem.get("request_id") or _header(answer.headers, "X-Request-Id"),
    )


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name.lower()), None)
