"""What one attempt means for its delivery and its endpoint. Pure: no clock, no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from openpay.app.records import Delivery, DeliveryState, WebhookEndpoint
from openpay.domain.retry import next_attempt_at

FAILING_LIMIT_S = 5 * 86_400
"""An endpoint that has answered nothing well for this long is disabled."""

MAX_RETRY_AFTER_S = 86_400
"""The longest wait an endpoint can ask for; longer requests count as this."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """How an endpoint answered. `status` None when it did not, `error` says why; `text` is the body's start."""

    status: int | None
    latency_ms: int
    retry_after_s: int = 0
    error: str | None = None
    text: str = ""

    @property
    def succeeded(self) -> bool:
        """2xx. A redirect is a failure: it is not followed, because its target was never configured."""
        return self.status is not None and 200 <= self.status < 300


def delivery_after(
    delivery: Delivery,
    reply: Reply,
    *,
    endpoint_active: bool,
    now: int,
    jitter: float,
    endpoint_moved: bool = False,
) -> Delivery:
    """The delivery after this attempt. `jitter` in [0, 1) is a random number; see `domain.retry`. `endpoint_moved`: the
    endpoint has another URL by now than the one that replied."""
    attempts = delivery.attempts + 1
    if reply.succeeded:
        return replace(delivery, attempts=attempts, state=DeliveryState.SUCCEEDED, next_attempt_at=None)
    retry_at = None
    if endpoint_active and (endpoint_moved or reply.status != HTTPStatus.GONE):
        retry_at = next_attempt_at(
            attempts=attempts,
            now=now,
            first_attempt_at=delivery.first_attempt_at,
            jitter=jitter,
            retry_after_s=reply.retry_after_s,
        )
    state = DeliveryState.FAILED if retry_at is None else DeliveryState.PENDING
    return replace(delivery, attempts=attempts, state=state, next_attempt_at=retry_at)


def endpoint_after(endpoint: WebhookEndpoint, reply: Reply, *, now: int) -> tuple[WebhookEndpoint, str | None]:
    """The endpoint after this attempt, and why it must be disabled, or None."""
    if reply.succeeded:
        return replace(endpoint, failing_since=None), None
    failing_since = now if endpoint.failing_since is None else endpoint.failing_since
    failing = replace(endpoint, failing_since=failing_since)
    if reply.status == HTTPStatus.GONE:
        return failing, "it answered 410 Gone"
    if now - failing_since >= FAILING_LIMIT_S:
        return failing, "it has failed for five days"
    return failing, None


def retry_after_s(headers: Mapping[str, str], *, now: int) -> int:
    """`Retry-After` in seconds from now (RFC 9110: a number or an HTTP date); 0 when absent, past or unreadable."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        # Python refuses to convert thousands of digits, and a header can hold them.
        return min(int(value), MAX_RETRY_AFTER_S) if len(value) < 20 else MAX_RETRY_AFTER_S
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return 0
    moment = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0, min(int(moment.timestamp()) - now, MAX_RETRY_AFTER_S))
