"""How an endpoint stands with us: how fast it answers, how often it fails, whether it was caught lying. Pure.

Times are seconds of a monotonic clock, handed in by the caller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

FIRST_COOL_DOWN_S = 10.0
LONGEST_COOL_DOWN_S = 300.0
PROOFS_FOR_TRUST = 20
"""So many answers in a row, each of which held in a proof, bring an endpoint that lied back among the others."""
THROTTLES_IN_A_ROW = 5
"""So many questions in a row refused for their number, with no answer between, are an endpoint that does not answer."""

NEWEST_WEIGHT = 0.2
"""Of the newest measurement in a moving average: after ten others, an old one counts for a tenth."""
NOTICEABLE_S = 0.1
"""Latencies below are all the same to us: a fraction of the time between two blocks."""
FAULTS_WEIGH = 4
"""How many doublings of latency an endpoint stands back for that fails every time."""
FORGOTTEN_AFTER_S = 60.0
"""A latency this old says nothing any more, and past faults half as much: who fell behind is tried again."""
SHORTEST_PATIENCE_S = 0.05
LONGEST_PATIENCE_S = 1.0

NEVER = -math.inf


class Place(StrEnum):
    """Where an endpoint stands among the others; those in the first place are asked first."""

    IN_SERVICE = "in_service"
    ASIDE = "aside"
    """It failed a moment ago: asked only when no other answers, until its time is over."""
    LOW_TRUST = "low_trust"
    """It was caught lying: asked after all others, until it gave `PROOFS_FOR_TRUST` proven answers in a row."""


_ORDER = tuple(Place)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One endpoint's standing; each event makes a new one."""

    latency_s: float | None = None
    """Moving average over exchanges; None before the first."""
    measured_at: float = NEVER
    deviation_s: float = 0.0
    """Moving average of how far latencies are from their average."""
    failing: float = 0.0
    """Share of questions that failed, 0 to 1, the newest counting most."""
    failed_at: float = NEVER
    faults_in_a_row: int = 0
    throttles_in_a_row: int = 0
    aside_until: float = NEVER
    lies: int = 0
    """Since it was last trusted. Above 0 it is at low trust."""
    proofs_in_a_row: int = 0

    def measured(self, latency_s: float, now: float) -> Standing:
        """An exchange took so long, whatever its answer was worth."""
        if self.latency_s is None:
            return replace(self, latency_s=latency_s, deviation_s=latency_s / 2, measured_at=now)
        return replace(  # as TCP estimates round trips (RFC 6298)
            self,
            latency_s=_moved(self.latency_s, latency_s),
            deviation_s=_moved(self.deviation_s, abs(latency_s - self.latency_s)),
            measured_at=now,
        )

    def outlasted(self, waited_s: float, now: float) -> Standing:
        """An exchange was given up after so long: it would have taken longer, which is all that is known of it."""
        return self if waited_s < (self.latency_s or 0.0) else self.measured(waited_s, now)

    def answered(self, *, proven: bool) -> Standing:
        """A question was answered, and the answer passed its check; `proven` when that check was a proof.

        Ends the time aside, except of an endpoint that lied: for that, only proofs count.
        """
        proofs_in_a_row = self.proofs_in_a_row + proven
        if self.lies and not proven:
            return replace(self, throttles_in_a_row=0)
        return replace(
            self,
            failing=_moved(self.failing, 0.0),
            faults_in_a_row=0,
            throttles_in_a_row=0,
            aside_until=NEVER,
            lies=0 if proofs_in_a_row >= PROOFS_FOR_TRUST else self.lies,
            proofs_in_a_row=proofs_in_a_row,
        )

    def faulted(self, now: float) -> Standing:
        """A question got no usable answer: put aside, for twice as long each time in a row."""
        faults_in_a_row = self.faults_in_a_row + 1
        return replace(
            self,
            failing=_moved(self._failing_at(now), 1.0),
            failed_at=now,
            faults_in_a_row=faults_in_a_row,
            aside_until=now + _cool_down_s(max(faults_in_a_row, self.lies)),
            proofs_in_a_row=0,
        )

    def lied(self, now: float) -> Standing:
        """An answer was proven wrong."""
        return replace(self, lies=self.lies + 1).faulted(now)

    def throttled(self, now: float) -> Standing:
        """It asked for fewer requests: it is slowed down elsewhere, and put aside only when that brings no answer."""
        throttles_in_a_row = self.throttles_in_a_row + 1
        standing = replace(self, throttles_in_a_row=throttles_in_a_row)
        return standing.faulted(now) if throttles_in_a_row >= THROTTLES_IN_A_ROW else standing

    def place(self, now: float) -> Place:
        if self.lies:
            return Place.LOW_TRUST
        return Place.ASIDE if self.is_aside(now) else Place.IN_SERVICE

    def is_aside(self, now: float) -> bool:
        """Whether the time for which it was put aside still runs, at low trust or not."""
        return self.aside_until > now

    def rank(self, now: float, *, wait_s: float = 0.0) -> tuple[int, bool, int]:
        """Sorts endpoints: the lowest is asked first. `wait_s` comes on top of its latency: it would have to wait.

        Latencies count by doublings above `NOTICEABLE_S`, so that those that hardly differ keep the order in which they
        were configured. One that was not measured lately counts as fast: it is tried, and measured.
        """
        latency_s = self.latency_s if now - self.measured_at < FORGOTTEN_AFTER_S else None
        doublings = math.log2(max(((latency_s or 0.0) + wait_s) / NOTICEABLE_S, 1.0))
        return _ORDER.index(self.place(now)), self.is_aside(now), int(doublings + FAULTS_WEIGH * self._failing_at(now))

    def _failing_at(self, now: float) -> float:
        return self.failing * 0.5 ** ((now - self.failed_at) / FORGOTTEN_AFTER_S) if self.failing else 0.0

    @property
    def patience_s(self) -> float:
        """How long to wait for its answer before a second endpoint is asked too: hardly any answer takes longer."""
        if self.latency_s is None:
            return LONGEST_PATIENCE_S
        return min(max(self.latency_s + 4 * self.deviation_s, SHORTEST_PATIENCE_S), LONGEST_PATIENCE_S)


def _cool_down_s(times: int) -> float:
    doublings = min(times - 1, 16)  # the power of a node that is away for days must not overflow
    return min(FIRST_COOL_DOWN_S * 2.0**doublings, LONGEST_COOL_DOWN_S)


def _moved(average: float, newest: float) -> float:
    return average + NEWEST_WEIGHT * (newest - average)
