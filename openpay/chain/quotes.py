"""Prices kept ahead of need: what every chain's feeds said last, and whether that may still be quoted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from openpay.app.ports import Clock
from openpay.app.records import PriceQuote
from openpay.chain.feeds import Readings, read_feeds
from openpay.chain.pool import Pool
from openpay.domain.chains import Chain, Token
from openpay.domain.money import BPS
from openpay.errors import ChainUnavailable

PEG_TOLERANCE_BPS = 200
"""Off 1 USD by more than 2 %, a stablecoin is not offered."""

FRESHNESS_MARGIN_S = 2
"""Terms are dated once, and the escrow compares only the dates in them: no delay between quoting, paying and settling
can make a round too old. The margin is for a server clock that steps back between dating the terms and judging the
round, which are two readings of it."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A chain and the pool to ask about it."""

    chain: Chain
    pool: Pool


class QuoteCache:
    """`ports.Quotes`: answers from memory what `refresh` read last.

    `clock` is the one by which payments are created, since a round's age is measured against `terms.quoted_at`.
    `peg_tolerance_bps`: how far from 1 USD a stablecoin may be and still be offered.
    """

    def __init__(self, sources: Sequence[Source], *, clock: Clock, peg_tolerance_bps: int = PEG_TOLERANCE_BPS) -> None:
        self._sources = sources
        self._clock = clock
        self._peg_tolerance_bps = peg_tolerance_bps
        self._readings: dict[int, Readings] = {}

    def price(self, chain_id: int, token: Token) -> PriceQuote | None:
        """The round to name in terms made now; None without one that the escrow is sure to accept."""
        readings = self._readings.get(chain_id)
        price = None if readings is None else readings.prices.get(token.symbol)
        if price is None or self._clock.now() - price.quote.updated_at > price.max_age_s - FRESHNESS_MARGIN_S:
            return None
        return price.quote

    def on_peg(self, chain_id: int, token: Token) -> bool:
        """Whether one unit of a stablecoin is worth 1 USD, within the tolerance, by its peg feed's last word.

        Below the peg the merchant would be paid short; above it the customer would overpay by the escrow's rule that
        one token is one dollar. A feed without a usable answer says nothing, and blocks nothing: an oracle's outage
        must not stop stablecoins. For the same reason a round's age does not matter: a feed that fell silent while the
        token was off its peg keeps it out until it says otherwise or is taken out of the chain file, and one that fell
        silent on the peg leaves it in.
        """
        readings = self._readings.get(chain_id)
        quote = None if readings is None else readings.pegs.get(token.symbol)
        if quote is None:
            return True
        one_dollar: int = 10**quote.decimals
        return abs(quote.price - one_dollar) * BPS <= one_dollar * self._peg_tolerance_bps

    async def refresh(self) -> None:
        """Read every feed, all chains at once: none waits for the nodes of another.

        A chain that does not answer keeps its last rounds, which grow old by themselves; a feed that answers nonsense
        loses its own at once.
        """
        await asyncio.gather(*map(self._refresh, self._sources))

    async def _refresh(self, source: Source) -> None:
        chain_id = source.chain.chain_id
        try:
            readings = await read_feeds(source.pool, source.chain)
        except ChainUnavailable as error:
            _log.warning("prices not refreshed", chain_id=chain_id, reason=str(error))
            return
        before = self._readings.get(chain_id)
        _log_changes(chain_id, {} if before is None else before.faults, readings.faults)
        self._readings[chain_id] = readings


def _log_changes(chain_id: int, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Say each fault once, not every few seconds, and when it is over."""
    for symbol, reason in now.items():
        if before.get(symbol) != reason:
            _log.error("feed cannot be used", chain_id=chain_id, token=symbol, reason=reason)
    for symbol in before.keys() - now.keys():
        _log.info("feed can be used again", chain_id=chain_id, token=symbol)
