"""Chainlink feeds as they behave: one look at all of a chain's, at a block that no reorg takes back.

A round is worth naming in terms only if the escrow will later find the same answer under it. So besides the newest
round, three things are looked at that a feed may get wrong: whether it serves that round by its id, as `settle` asks
for it (ids are `phase << 64 | n` behind Chainlink's proxies, and after a phase change an id may lead nowhere); whether
its decimals are still those that the escrow recorded when it listed the asset; and whether it is the listed feed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from openpay.app.records import PriceQuote
from openpay.chain import reads
from openpay.chain.blocks import read_bytes, read_quantity
from openpay.chain.errors import JsonRpcError
from openpay.chain.escrow_abi import WORD, address_word, selector
from openpay.chain.pool import Pool
from openpay.domain.chains import Chain, Token
from openpay.errors import PriceUnavailable

ROUND_BITS = 80
"""Width of a round's id, in Chainlink's interface and in the escrow's terms."""
MAX_DECIMALS = 18
"""As the escrow accepts them."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """A round that the escrow accepts in terms quoted at most `max_age_s` seconds after its update."""

    quote: PriceQuote
    max_age_s: int


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What one chain's feeds said at one final block, by token symbol.

    `faults` says in words why a token with a feed has no entry.
    """

    prices: Mapping[str, Price]
    pegs: Mapping[str, PriceQuote]
    faults: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ListedAsset:
    """What the escrow recorded when an asset was listed, for ever: `IEscrow.Asset`. Addresses as 32-byte words."""

    contract: bytes
    max_age_s: int
    token_decimals: int
    feed_decimals: int
    feed: bytes


async def read_feeds(pool: Pool, chain: Chain) -> Readings:
    """Every feed of `chain` at its newest final block. Raises `ChainUnavailable` when no node answers at all."""
    prices: dict[str, Price] = {}
    pegs: dict[str, PriceQuote] = {}
    faults: dict[str, str] = {}
    if not any(token.feed or token.peg_feed for token in chain.tokens):
        return Readings(prices=prices, pegs=pegs, faults=faults)
    at, block_time = await _final_block(pool, chain)
    for token in chain.tokens:
        try:
            if token.feed is not None:
                prices[token.symbol] = await _read_price(pool, chain, token, token.feed, at=at, block_time=block_time)
            if token.peg_feed is not None:
                pegs[token.symbol] = await _read_newest(pool, token.peg_feed, at=at, block_time=block_time)
        except PriceUnavailable as fault:
            faults[token.symbol] = str(fault)
    return Readings(prices=prices, pegs=pegs, faults=faults)


async def _final_block(pool: Pool, chain: Chain) -> tuple[int, int]:
    """Number and time of the newest block that is final for us."""
    if chain.has_finalized_tag:
        header = await pool.call(reads.header("finalized"))
    else:
        newest = read_quantity((await pool.call(reads.header("latest"))).number)
        header = await pool.call(reads.header(max(0, newest - chain.confirmations)))
    return read_quantity(header.number), read_quantity(header.timestamp)


async def _read_price(pool: Pool, chain: Chain, token: Token, feed: bytes, *, at: int, block_time: int) -> Price:
    quote = await _read_newest(pool, feed, at=at, block_time=block_time)
    by_id = selector("getRoundData", "IPriceFeed") + quote.round.to_bytes(WORD, "big")
    index = selector("assetAt") + token.asset_index.to_bytes(WORD, "big")
    round_words, asset_words = await _call(pool, [(feed, by_id), (chain.escrow, index)], at=at)
    if decode_round(round_words, decimals=quote.decimals) != quote:
        raise PriceUnavailable(f"the feed answers something else for round {quote.round} when it is asked by its id")
    asset = decode_asset(asset_words)
    check_listing(asset, token, quote)
    return Price(quote=quote, max_age_s=min(asset.max_age_s, token.max_feed_age_s))


async def _read_newest(pool: Pool, feed: bytes, *, at: int, block_time: int) -> PriceQuote:
    calls = [(feed, selector(name, "IPriceFeed")) for name in ("latestRoundData", "decimals")]
    round_words, decimals = await _call(pool, calls, at=at)
    if len(decimals) != WORD:
        raise PriceUnavailable("there is no feed at that address")
    quote = decode_round(round_words, decimals=int.from_bytes(decimals, "big"))
    if quote.updated_at > block_time:
        raise PriceUnavailable(f"round {quote.round} is dated {quote.updated_at}, later than its block, {block_time}")
    return quote


async def _call(pool: Pool, calls: list[tuple[bytes, bytes]], *, at: int) -> list[bytes]:
    try:
        answers = await pool.batch([reads.eth_call(to=to, data=data, at=at) for to, data in calls])
    except JsonRpcError as error:
        if not error.is_revert:
            raise
        # How older feeds say that they have no such round, and the escrow that it lists no such asset.
        raise PriceUnavailable("the feed, or the escrow's list of assets, reverts") from error
    return [read_bytes(answer) for answer in answers]


def decode_round(words: bytes, *, decimals: int) -> PriceQuote:
    """`latestRoundData` or `getRoundData`: five words, id, answer, started at, updated at, answered in.

    Raises `PriceUnavailable` for an answer that is no positive price: a missing round is all zeros in newer feeds.
    """
    if len(words) != 5 * WORD:
        raise PriceUnavailable("there is no feed at that address")
    if decimals > MAX_DECIMALS:
        raise PriceUnavailable(f"the feed has {decimals} decimals, more than the {MAX_DECIMALS} that the escrow lists")
    round_, answer, _, updated_at, _ = (words[at : at + WORD] for at in range(0, len(words), WORD))
    number, price = int.from_bytes(round_, "big"), int.from_bytes(answer, "big", signed=True)
    if number >> ROUND_BITS:
        raise PriceUnavailable(f"the feed's round id {number} does not fit into uint{ROUND_BITS}")
    if price <= 0:
        raise PriceUnavailable(f"the feed answers {price} in round {number}")
    return PriceQuote(round=number, price=price, decimals=decimals, updated_at=int.from_bytes(updated_at, "big"))


def decode_asset(words: bytes) -> ListedAsset:
    """`assetAt`: five words. Raises `PriceUnavailable` for another length: no escrow is there."""
    if len(words) != 5 * WORD:
        raise PriceUnavailable("there is no escrow at its address")
    contract, max_age, token_decimals, feed_decimals, feed = (
        words[at : at + WORD] for at in range(0, len(words), WORD)
    )
    return ListedAsset(
        contract=contract,
        max_age_s=int.from_bytes(max_age, "big"),
        token_decimals=int.from_bytes(token_decimals, "big"),
        feed_decimals=int.from_bytes(feed_decimals, "big"),
        feed=feed,
    )


def check_listing(asset: ListedAsset, token: Token, quote: PriceQuote) -> None:
    """Raise `PriceUnavailable` unless the escrow would compute the same amounts as we from this round.

    A feed whose decimals changed after it was listed would be off by powers of ten: the escrow keeps the old ones.
    """
    if (asset.contract, asset.token_decimals) != (address_word(token.contract), token.decimals):
        raise PriceUnavailable(f"the escrow lists another token than {token.symbol} at index {token.asset_index}")
    if asset.feed != address_word(token.feed):
        raise PriceUnavailable(f"the escrow prices {token.symbol} by another feed than the chain file says")
    if asset.feed_decimals != quote.decimals:
        raise PriceUnavailable(
            f"the feed has {quote.decimals} decimals now, but had {asset.feed_decimals} when the escrow listed it; "
            "list the asset again, at a new index"
        )
