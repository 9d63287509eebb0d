"""Prices, read ahead of need: the newest Chainlink round at a final block, for every feed of every chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from openpay.app.ports import Clock
from openpay.app.records import PriceQuote
from openpay.chain import reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.errors import JsonRpcError
from openpay.chain.escrow_abi import WORD, selector
from openpay.chain.pool import Pool
from openpay.domain.chains import Chain, Token
from openpay.domain.money import BPS
from openpay.errors import ChainUnavailable

PEG_TOLERANCE_BPS = 200
"""A stablecoin worth less than 0.98 USD is not offered: the merchant would be paid short."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A chain and the pool to ask about it."""

    chain: Chain
    pool: Pool


class QuoteCache:
    """`ports.Quotes`: answers from memory what `refresh` read last.

    `clock` is the one by which payments are created, since a round's age is measured against `terms.quoted_at`.
    """

    def __init__(self, sources: Sequence[Source], *, clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._rounds: dict[tuple[int, bytes], PriceQuote] = {}

    def price(self, chain_id: int, token: Token) -> PriceQuote | None:
        """The round to name in terms made now; None when the escrow would refuse it as too old."""
        quote = None if token.feed is None else self._rounds.get((chain_id, token.feed))
        if quote is None or self._clock.now() - quote.updated_at > token.max_feed_age_s:
            return None
        return quote

    def on_peg(self, chain_id: int, token: Token) -> bool:
        """False only when the peg feed says so: a feed that is silent does not block a stablecoin."""
        quote = None if token.peg_feed is None else self._rounds.get((chain_id, token.peg_feed))
        return quote is None or quote.price * BPS >= 10**quote.decimals * (BPS - PEG_TOLERANCE_BPS)

    async def refresh(self) -> None:
        """Read every feed. A chain that does not answer keeps its last rounds, which grow old by themselves."""
        for source in self._sources:
            try:
                rounds = await read_rounds(source.pool, source.chain)
            except ChainUnavailable as error:
                _log.warning("prices not refreshed", chain_id=source.chain.chain_id, reason=str(error))
                continue
            self._rounds |= {(source.chain.chain_id, feed): quote for feed, quote in rounds.items()}


async def read_rounds(pool: Pool, chain: Chain) -> Mapping[bytes, PriceQuote]:
    """The newest round of each of the chain's feeds at a block that no reorg takes back. Raises `ChainUnavailable`.

    A feed that gives no positive answer there, or is not there yet, is left out.
    """
    feeds = list(dict.fromkeys(feed for token in chain.tokens for feed in (token.feed, token.peg_feed) if feed))
    if not feeds:
        return {}
    at = await _final_number(pool, chain)
    quotes = {feed: await _read_quote(pool, feed, at=at) for feed in feeds}
    return {feed: quote for feed, quote in quotes.items() if quote is not None}


async def _final_number(pool: Pool, chain: Chain) -> int:
    if chain.has_finalized_tag:
        return read_quantity((await pool.call(reads.header("finalized"))).number)
    return max(0, read_quantity((await pool.call(reads.header("latest"))).number) - chain.confirmations)


async def _read_quote(pool: Pool, feed: bytes, *, at: int) -> PriceQuote | None:
    calls = [
        reads.eth_call(to=feed, data=selector(name, "IPriceFeed"), at=at) for name in ("latestRoundData", "decimals")
    ]
    try:
        round_data, decimals = await pool.batch(calls)
    except JsonRpcError as error:
        if not error.is_revert:
            raise
        return None  # how older feeds say that they have no round yet
    return _quote(read_bytes(round_data), read_bytes(decimals))


def _quote(round_data: bytes, decimals: bytes) -> PriceQuote | None:
    """Decode `latestRoundData` (five words: id, answer, started at, updated at, answered in) and `decimals`."""
    if len(round_data) != 5 * WORD or len(decimals) != WORD:
        return None
    words = [round_data[at : at + WORD] for at in range(0, len(round_data), WORD)]
    price = int.from_bytes(words[1], "big", signed=True)
    if price <= 0:
        return None
    return PriceQuote(
        round=int.from_bytes(words[0], "big"),
        price=price,
        decimals=int.from_bytes(decimals, "big"),
        updated_at=int.from_bytes(words[3], "big"),
    )
