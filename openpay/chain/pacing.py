"""How often an endpoint may be asked: no limit until it asks for one, then by what it bears. Pure.

Additive increase, multiplicative decrease, as TCP does: after "too many requests" half the rate that was observed, then
a little more each second until the node says it again. A rate counts calls, not batches: so do most providers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

OBSERVED_S = 5.0
"""The time over which the rate is observed."""
SHORTEST_OBSERVED_S = 1.0
"""A burst at the start is counted as if it had taken this long."""
LEAST_RATE = 2.0
"""Calls a second; lower it never goes. A node that bears less cannot be followed with."""
LONGEST_GAP_S = 2.0
"""Between two requests, however many calls the first held."""
RECOVERY_S = 30.0
"""After this time a rate that was halved has grown back to where it was."""
LEAST_GROWTH = 0.5
"""Calls a second, each second: a very low rate grows faster than by its own measure."""
LONGEST_REST_S = 300.0
"""However long a node wishes to be left alone."""

HEDGED_SHARE = 0.1
HEDGE_BURST = 5.0


class Pace:
    """One endpoint's rate. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sent: deque[tuple[float, int]] = deque()
        """What went out in the last `OBSERVED_S` seconds: when, and how many calls."""
        self._rate_then: float | None = None
        self._cut_at = float("-inf")
        self._may_cut = True
        self._next_at = float("-inf")
        """The next request leaves then at the earliest: those before it have their places."""
        self._rest_until = float("-inf")

    @property
    def rate_per_s(self) -> float | None:
        """Calls a second; None while there is no limit."""
        if self._rate_then is None:
            return None
        growth = max(self._rate_then / RECOVERY_S, LEAST_GROWTH)
        return self._rate_then + growth * (self._clock() - self._cut_at)

    @property
    def wait_s(self) -> float:
        """How long a request would wait now."""
        return max(0.0, self._next_at - self._clock(), self._rest_until - self._clock())

    def reserve(self, calls: int, *, longest_s: float) -> float | None:
        """Take the next place for a request of so many calls: the seconds to wait before it is sent.

        None when that is longer than `longest_s`; then nothing is reserved.
        """
        wait_s = self.wait_s
        if wait_s > longest_s:
            return None
        sent_at = self._clock() + wait_s
        self._sent.append((sent_at, calls))
        while self._sent[0][0] < sent_at - OBSERVED_S:
            self._sent.popleft()
        rate = self.rate_per_s
        if rate is not None:
            self._next_at = sent_at + min(calls / rate, LONGEST_GAP_S)
        return wait_s

    def answered(self) -> None:
        """A request was answered."""
        self._may_cut = True

    def throttled(self, *, sent_at: float, retry_after_s: float | None) -> None:
        """A request that was sent at `sent_at` was refused as one too many.

        Requests that were on their way when the rate was last cut do not cut it again: they say nothing new. Nor do
        refusals with no answer since: a node that refuses all there is, until its minute is over, tells no rate.
        """
        now = self._clock()
        if retry_after_s is not None:
            self._rest_until = max(self._rest_until, now + min(retry_after_s, LONGEST_REST_S))
        if sent_at <= self._cut_at or not self._may_cut:
            return
        self._may_cut = False
        observed = self._observed(now)
        limit = self.rate_per_s
        self._rate_then = max(LEAST_RATE, (observed if limit is None else min(observed, limit)) / 2)
        self._cut_at = now
        self._next_at = max(self._next_at, now + 1 / self._rate_then)

    def _observed(self, now: float) -> float:
        sent = [(at, calls) for at, calls in self._sent if now - OBSERVED_S <= at <= now]
        if not sent:
            return 0.0
        return sum(calls for _, calls in sent) / max(now - sent[0][0], SHORTEST_OBSERVED_S)


class HedgeBudget:
    """How many questions may be put to a second endpoint: a tenth of all, and a few more at once."""

    def __init__(self) -> None:
        self._left = HEDGE_BURST

    def asked(self) -> None:
        """A question was put to its first endpoint."""
        self._left = min(self._left + HEDGED_SHARE, HEDGE_BURST)

    def take(self) -> bool:
        """Whether one more may be hedged now; if so it is counted."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
