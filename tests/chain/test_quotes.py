"""Prices read ahead: from final blocks, with their age, and never in the way of a stablecoin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from openpay.chain.escrow_abi import selector
from openpay.chain.pool import Pool, connect
from openpay.chain.quotes import QuoteCache, Source, read_rounds
from openpay.devnet.accounts import OWNER
from openpay.devnet.deployment import MAX_FEED_AGE_S, Deployment, deploy
from openpay.devnet.wallet import Wallet
from openpay.domain.chains import Chain, Token
from tests.support.anvil import Anvil

CHAIN_ID = 31337
FINAL = 11


@dataclass
class SetClock:
    time: int

    def now(self) -> int:
        return self.time


@dataclass(kw_only=True)
class Market:
    """A chain with one feed, and the cache that reads it."""

    anvil: Anvil
    pool: Pool
    deployment: Deployment
    clock: SetClock
    chain: Chain

    @property
    def feed(self) -> bytes:
        return self.deployment.feeds["BNB/USD"]

    @property
    def bnb(self) -> Token:
        token = self.chain.token("BNB")
        assert token is not None
        return token

    def cache(self) -> QuoteCache:
        return QuoteCache([Source(chain=self.chain, pool=self.pool)], clock=self.clock)

    async def set_price(self, price: int) -> None:
        """A new round, not final yet."""
        owner = Wallet(self.pool, chain_id=CHAIN_ID, signer=OWNER.signer)
        words = price.to_bytes(32, "big", signed=True) + self.anvil.timestamp().to_bytes(32, "big")
        await owner.execute(to=self.feed, data=selector("addRound", "TestFeed") + words)

    def pegged(self) -> Token:
        """A stablecoin whose peg is watched through the feed."""
        self.chain = replace(
            self.chain,
            tokens=tuple(replace(t, peg_feed=self.feed) if t.symbol == "USDT" else t for t in self.chain.tokens),
        )
        token = self.chain.token("USDT")
        assert token is not None
        return token


@pytest.fixture
async def market(anvil: Anvil) -> AsyncIterator[Market]:
    async with connect([anvil.rpc_url], chain_id=CHAIN_ID) as pool:
        deployment = await deploy(pool, chain_id=CHAIN_ID)
        clock = SetClock(anvil.timestamp())
        yield Market(anvil=anvil, pool=pool, deployment=deployment, clock=clock, chain=deployment.chain)


async def test_nothing_is_quoted_before_the_first_reading(market: Market) -> None:
    assert market.cache().price(CHAIN_ID, market.bnb) is None


async def test_newest_final_round_is_quoted(market: Market) -> None:
    cache = market.cache()
    await cache.refresh()
    quote = cache.price(CHAIN_ID, market.bnb)
    assert quote is not None
    assert (quote.round, quote.price, quote.decimals) == (2**64 + 1, 600 * 10**8, 8)


async def test_round_is_not_quoted_before_it_is_final(market: Market) -> None:
    cache = market.cache()
    await market.set_price(700 * 10**8)
    await cache.refresh()
    before = cache.price(CHAIN_ID, market.bnb)
    market.anvil.mine(FINAL)
    await cache.refresh()
    after = cache.price(CHAIN_ID, market.bnb)
    assert before is not None
    assert after is not None
    assert (before.price, after.price) == (600 * 10**8, 700 * 10**8)


async def test_chain_without_the_finalized_tag_is_read_twelve_blocks_back(market: Market) -> None:
    chain = replace(market.chain, has_finalized_tag=False)
    await market.set_price(700 * 10**8)
    market.anvil.mine(11)
    assert (await read_rounds(market.pool, chain))[market.feed].price == 600 * 10**8
    market.anvil.mine(1)
    assert (await read_rounds(market.pool, chain))[market.feed].price == 700 * 10**8


async def test_round_as_old_as_allowed_is_quoted_and_a_second_older_is_not(market: Market) -> None:
    cache = market.cache()
    await cache.refresh()
    quote = cache.price(CHAIN_ID, market.bnb)
    assert quote is not None
    market.clock.time = quote.updated_at + MAX_FEED_AGE_S
    assert cache.price(CHAIN_ID, market.bnb) == quote
    market.clock.time += 1
    assert cache.price(CHAIN_ID, market.bnb) is None


async def test_clock_behind_the_chain_does_not_hide_the_price(market: Market) -> None:
    cache = market.cache()
    await cache.refresh()
    market.clock.time -= 60
    assert cache.price(CHAIN_ID, market.bnb) is not None


@pytest.mark.parametrize("answer", [0, -1])
async def test_price_of_zero_or_less_is_no_price(market: Market, answer: int) -> None:
    await market.set_price(answer)
    market.anvil.mine(FINAL)
    assert await read_rounds(market.pool, market.chain) == {}


async def test_feed_that_reverts_hides_no_other(market: Market) -> None:
    broken = b"\x55" * 20
    market.anvil.rpc("anvil_setCode", "0x" + broken.hex(), "0x60006000fd")
    market.anvil.mine(FINAL)
    tokens = tuple(replace(t, peg_feed=broken) if t.symbol == "USDT" else t for t in market.chain.tokens)
    assert set(await read_rounds(market.pool, replace(market.chain, tokens=tokens))) == {market.feed}


async def test_feed_that_is_not_deployed_yet_has_no_price(market: Market) -> None:
    chain = replace(market.chain, tokens=(replace(market.bnb, feed=b"\x66" * 20),))
    assert await read_rounds(market.pool, chain) == {}


async def test_node_that_is_away_leaves_the_last_prices_to_grow_old(market: Market) -> None:
    cache = market.cache()
    await cache.refresh()
    market.anvil.kill()
    await cache.refresh()
    assert cache.price(CHAIN_ID, market.bnb) is not None


@pytest.mark.parametrize(("price", "on_peg"), [(97_999_999, False), (98_000_000, True), (105_000_000, True)])
async def test_stablecoin_is_off_its_peg_below_98_cents(market: Market, price: int, on_peg: bool) -> None:
    usdt = market.pegged()
    await market.set_price(price)
    market.anvil.mine(FINAL)
    cache = market.cache()
    await cache.refresh()
    assert cache.on_peg(CHAIN_ID, usdt) is on_peg


async def test_peg_feed_that_is_silent_blocks_no_stablecoin(market: Market) -> None:
    assert market.cache().on_peg(CHAIN_ID, market.pegged())


async def test_stablecoin_without_peg_feed_is_always_offered(market: Market) -> None:
    usdc = market.chain.token("USDC")
    assert usdc is not None
    assert market.cache().on_peg(CHAIN_ID, usdc)
