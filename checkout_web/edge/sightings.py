"""Asking nodes for a transaction on a visitor's behalf: shortly, seldom, and few at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from openpay.app.ports import Transactions
from openpay.domain.finding import SeenTransaction
from openpay.errors import ChainUnavailable

PATIENCE_S = 4.0
"""A person waits for the answer; the nodes have a longer limit of their own."""
FRESH_S = 5.0
"""An answer is given again for so long: about as long as a transaction takes from one state to the next."""
AT_A_TIME = 4
"""Transactions asked for at once by one process: the watcher asks the same nodes, and comes first."""
ASKED_A_MINUTE = 300
"""By one process, whoever asks: a provider's quota is for the watcher, and one question is up to three calls."""
MOST_KEPT = 1_000
"""Answers in memory; with as many, those that are no longer fresh are forgotten, and new ones not kept."""


class Sightings:
    """Transactions as nodes showed them a moment ago, or show them now. `transactions` None: there is nobody to ask."""

    def __init__(self, transactions: Transactions | None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._transactions = transactions
        self._monotonic = monotonic
        self._places = asyncio.Semaphore(AT_A_TIME)
        self._asked_at: deque[float] = deque(maxlen=ASKED_A_MINUTE)
        # (chain id, hash) -> until when the answer is fresh, and the answer. Failures are not kept.
        self._kept: dict[tuple[int, bytes], tuple[float, SeenTransaction | None]] = {}

    async def seen(self, chain_id: int, tx_hash: bytes) -> SeenTransaction | None:
        """None when no node knows it. Raises `ChainUnavailable`, also where it took too long or too much was asked."""
        if self._transactions is None:
            raise ChainUnavailable("this process has no connection to the chain")
        key = chain_id, tx_hash
        if (kept := self._fresh(key)) is not None:
            return kept[1]
        try:
            async with asyncio.timeout(PATIENCE_S), self._places:
                if (kept := self._fresh(key)) is not None:  # another visitor's, while this one waited
                    return kept[1]
                self._count()
                seen = await self._transactions.seen(chain_id, tx_hash)
        except TimeoutError:
            raise ChainUnavailable(f"no node answered within {PATIENCE_S:g} s") from None
        self._keep(key, seen)
        return seen

    def _count(self) -> None:
        now = self._monotonic()
        if len(self._asked_at) == ASKED_A_MINUTE and self._asked_at[0] > now - 60:
            raise ChainUnavailable(f"{ASKED_A_MINUTE} transactions were asked for within a minute")
        self._asked_at.append(now)

    def _fresh(self, key: tuple[int, bytes]) -> tuple[float, SeenTransaction | None] | None:
        kept = self._kept.get(key)
        return None if kept is None or kept[0] <= self._monotonic() else kept

    def _keep(self, key: tuple[int, bytes], seen: SeenTransaction | None) -> None:
        now = self._monotonic()
        if len(self._kept) >= MOST_KEPT:
            self._kept = {other: kept for other, kept in self._kept.items() if kept[0] > now}
        if len(self._kept) < MOST_KEPT:
            self._kept[key] = (now + FRESH_S, seen)
