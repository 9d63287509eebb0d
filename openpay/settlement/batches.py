"""Which work goes into one transaction. No I/O.

Sharing a transaction saves a quarter of the gas, and waiting costs the merchant time. So a payment waits only while
others are about to follow it, and never long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from openpay.chain.escrow_abi import settle_many_data
from openpay.config import LARGEST_BATCH
from openpay.settlement.sources import Work

BASE_GAS = 50_000
"""What a transaction costs before its first item."""


@dataclass(frozen=True, kw_only=True)
class Batching:
    """`size` items at most go together; none waits longer than `max_age_s` for others."""

    size: int = 50
    max_age_s: int = 10


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Work of one kind that shares a transaction: one call, or several `settle` of one escrow."""

    works: tuple[Work, ...]

    @property
    def kind(self) -> str:
        return self.works[0].kind

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(work.subject for work in self.works)

    @property
    def to(self) -> bytes:
        return self.works[0].to

    @property
    def data(self) -> bytes:
        """The call: one item alone is its own call, which costs less than a batch of one."""
        if len(self.works) == 1:
            return self.works[0].data
        items = [work.item for work in self.works if work.item is not None]
        return settle_many_data([(item.terms, item.asset_index) for item in items])

    @property
    def gas(self) -> int:
        """The limit, from each call's own: an estimate comes out too low when items are skipped."""
        together = sum(work.gas for work in self.works)
        return together if len(self.works) == 1 else together + BASE_GAS

    def within(self, most_gas: int | None) -> Bundle | None:
        """The bundle's beginning that fits into a gas limit; None when not even its first call does."""
        if most_gas is None or self.gas <= most_gas:
            return self
        for count in range(len(self.works) - 1, 0, -1):
            shorter = Bundle(works=self.works[:count])
            if shorter.gas <= most_gas:
                return shorter
        return None


def bundles_of(
    works: Sequence[Work],
    *,
    rules: Batching,
    alone: Collection[str],
    waiting_since: Mapping[str, int],
    more_coming: Collection[str],
    now: int,
) -> list[Bundle]:
    """What is to be sent now, in the order of `works`' kinds; the rest waits for company.

    `alone` are subjects that a batch already failed, `waiting_since` says since when each was seen due, `more_coming`
    names the kinds of which more is about to fall due.
    """
    bundles = [Bundle(works=(work,)) for work in works if work.item is None or work.subject in alone]
    together: dict[tuple[str, bytes], list[Work]] = defaultdict(list)
    for work in works:
        if work.item is not None and work.subject not in alone:
            together[work.kind, work.to].append(work)
    size = min(rules.size, LARGEST_BATCH)
    for (kind, _), group in together.items():
        for at in range(0, len(group), size):
            bundle = Bundle(works=tuple(group[at : at + size]))
            waited_s = now - min(waiting_since.get(subject, now) for subject in bundle.subjects)
            if len(bundle.works) == size or waited_s >= rules.max_age_s or kind not in more_coming:
                bundles.append(bundle)
    return bundles
