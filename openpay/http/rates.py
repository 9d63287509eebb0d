"""Rate limits by the generic cell rate algorithm, told in the RateLimit headers.

Headers by draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy` names quota and window, `RateLimit` what is left and
for how long. Counted in this process: each of several API processes grants the whole quota.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from openpay.errors import RateLimited

_ROUNDING_S = 1e-6
"""Sums of intervals are rarely whole binary fractions: without it the quota's last request would be refused."""

_FORGET_ABOVE = 10_000
"""With more clients than this in memory, those whose quota is whole again are forgotten: next when there are twice as
many as were left, so that a flood of invented ones is not gone through at each of them."""


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """At most `requests` in any burst, refilled evenly over `window_s` seconds. Both above zero."""

    requests: int
    window_s: int


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What is left to one client after this request. `reset_s`: whole seconds until the quota is whole again."""

    name: str
    limit: RateLimit
    remaining: int
    reset_s: int

    @property
    def policy_header(self) -> str:
        return f'"{self.name}";q={self.limit.requests};w={self.limit.window_s}'

    @property
    def header(self) -> str:
        return f'"{self.name}";r={self.remaining};t={self.reset_s}'


_ALLOWANCE: web.RequestKey[Allowance] = web.RequestKey("openpay.allowance", Allowance)


class RateLimiter:
    """Counts the requests of each client under one named policy."""

    def __init__(self, name: str, limit: RateLimit, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._limit = limit
        self._interval_s = limit.window_s / limit.requests
        self._monotonic = monotonic
        # Client -> when its quota is whole again (the algorithm's "theoretical arrival time"). Absent: it is whole.
        self._whole_at: dict[str, float] = {}
        self._forget_above = _FORGET_ABOVE

    def take(self, request: web.BaseRequest, client: str) -> None:
        """Count one request of `client`, and note the headers on it. Raises `RateLimited`."""
        now = self._monotonic()
        whole_at = max(self._whole_at.get(client, now), now)
        wait_s = whole_at + self._interval_s - now - self._limit.window_s
        if wait_s > _ROUNDING_S:
            request[_ALLOWANCE] = self._allowance(whole_at - now)
            raise RateLimited(
                f"More than {self._limit.requests} requests in {self._limit.window_s} s",
                retry_after_s=math.ceil(wait_s - _ROUNDING_S),
            )
        if len(self._whole_at) > self._forget_above:
            self._whole_at = {name: at for name, at in self._whole_at.items() if at > now}
            self._forget_above = max(_FORGET_ABOVE, 2 * len(self._whole_at))
        self._whole_at[client] = whole_at + self._interval_s
        request[_ALLOWANCE] = self._allowance(whole_at + self._interval_s - now)

    def _allowance(self, used_s: float) -> Allowance:
        """`used_s`: how much of the window is spent."""
        return Allowance(
            name=self._name,
            limit=self._limit,
            remaining=max(0, math.floor((self._limit.window_s - used_s) / self._interval_s + _ROUNDING_S)),
            reset_s=math.ceil(used_s - _ROUNDING_S),
        )


def allowance(request: web.BaseRequest) -> Allowance | None:
    """What the limiter noted on this request; None where no limit applies."""
    return request.get(_ALLOWANCE)
