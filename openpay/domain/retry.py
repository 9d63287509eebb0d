"""When a failed delivery is tried again."""

from __future__ import annotations

RETRY_DELAYS_S = (5, 30, 300, 1_800, 7_200, 18_000, 36_000)
"""Waits after the first failures."""
LATER_DELAY_S = 43_200
"""The wait from then on."""
RETRY_WINDOW_S = 3 * 86_400
"""No attempt starts later than this after the event."""
JITTER = 0.2
"""Each wait is stretched by up to this share, so that many failures do not return in one moment."""

NOTICE_DELAYS_S = (5, 15, 60, 300)
"""Waits after the first failures to tell the operator of an alert,"""
LATER_NOTICE_DELAY_S = 900
"""the wait from then on, for ever,"""
LONGEST_NOTICE_DELAY_S = 3_600
"""and the longest that the receiver may ask for."""


def next_attempt_at(
    *, attempts: int, now: int, first_attempt_at: int, jitter: float, retry_after_s: int = 0
) -> int | None:
    """When to try again after `attempts` >= 1 failed ones, in Unix seconds; None when the three days are over.

    `jitter` in [0, 1) is the caller's random number; `retry_after_s` what the endpoint asked for, honoured when longer.
    """
    delay = RETRY_DELAYS_S[attempts - 1] if attempts <= len(RETRY_DELAYS_S) else LATER_DELAY_S
    at = now + max(round(delay * (1 + JITTER * jitter)), retry_after_s)
    return at if at <= first_attempt_at + RETRY_WINDOW_S else None


def next_notice_at(*, attempts: int, now: int, jitter: float, retry_after_s: int = 0) -> int:
    """When to tell the operator again after `attempts` >= 1 failed ones. There is no last attempt."""
    delay = NOTICE_DELAYS_S[attempts - 1] if attempts <= len(NOTICE_DELAYS_S) else LATER_NOTICE_DELAY_S
    return now + max(round(delay * (1 + JITTER * jitter)), min(retry_after_s, LONGEST_NOTICE_DELAY_S))
