"""Prices read ahead: from final blocks, of feeds that misbehave in every way known, never in a stablecoin's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from openpay.chain.escrow_abi import WORD, selector
from openpay.chain.feeds import Readings, read_feeds
from openpay.chain.pool import Pool, connect
from openpay.chain.quotes import FRESHNESS_MARGIN_S, QuoteCache, Source
from openpay.devnet.accounts import OWNER
from openpay.devnet.deployment import Deployment, deploy
from openpay.devnet.wallet import Wallet
from openpay.domain.chains import Chain, Token
from tests.chain.contracts import answering
from tests.chain.fake_node import FakeNode, serve
from tests.support.anvil import Anvil

MAX_FEED_AGE_S = 86_400
"""The local chain's, by its chain file."""

CHAIN_ID = 31337
FINAL = 11
PHASE = 2**64
DOLLAR = 10**8


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
        return self.token("BNB")

    def token(self, symbol: str) -> Token:
        token = self.chain.token(symbol)
        assert token is not None
        return token

    def cache(self, **options: Any) -> QuoteCache:
        return QuoteCache([Source(chain=self.chain, pool=self.pool)], clock=self.clock, **options)

    async def read(self) -> Readings:
        return await read_feeds(self.pool, self.chain)

    async def fault(self, symbol: str = "BNB") -> str:
        """Why the token has no price, in words."""
        readings = await self.read()
        assert symbol not in readings.prices
        return readings.faults[symbol]

    async def set_price(self, price: int, *, updated_at: int | None = None) -> None:
        """A new round, not final yet."""
        owner = Wallet(self.pool, chain_id=CHAIN_ID, signer=OWNER.signer)
        time = self.anvil.timestamp() if updated_at is None else updated_at
        words = price.to_bytes(WORD, "big", signed=True) + time.to_bytes(WORD, "big")
        await owner.execute(to=self.feed, data=selector("addRound", "TestFeed") + words)

    def replace_feed(
        self, *, latest: list[int] | None, by_id: list[int] | None, decimals: int = 8, address: bytes | None = None
    ) -> None:
        """From now on other code answers at the feed's (or another) address, and it is final. None reverts."""
        answers = {
            selector("latestRoundData", "IPriceFeed"): latest,
            selector("getRoundData", "IPriceFeed"): by_id,
            selector("decimals", "IPriceFeed"): [decimals],
        }
        code = answering({name: words for name, words in answers.items() if words is not None})
        self.anvil.rpc("anvil_setCode", "0x" + (address or self.feed).hex(), "0x" + code.hex())
        self.anvil.mine(FINAL)

    def round(self, *, number: int = PHASE + 7, answer: int = 600 * DOLLAR) -> list[int]:
        """A round of this moment, as a feed answers it."""
        now = self.anvil.timestamp()
        return [number, answer, now, now, number]

    def change(self, symbol: str, **changes: Any) -> None:
        """Describe a token in another way than it was deployed."""
        tokens = tuple(replace(t, **changes) if t.symbol == symbol else t for t in self.chain.tokens)
        self.chain = replace(self.chain, tokens=tokens)

    def pegged(self) -> Token:
        """A stablecoin whose peg is watched through the feed."""
        self.change("USDT", peg_feed=self.feed)
        return self.token("USDT")


@pytest.fixture
async def market(anvil: Anvil) -> AsyncIterator[Market]:
    async with connect([anvil.rpc_url], chain_id=CHAIN_ID) as pool:
        deployment = await deploy(pool, chain_id=CHAIN_ID)
        clock = SetClock(anvil.timestamp())
        yield Market(anvil=anvil, pool=pool, deployment=deployment, clock=clock, chain=deployment.chain)


# --- when a round may be quoted ----------------------------------------------------------------------------------


async def test_nothing_is_quoted_before_the_first_reading(market: Market) -> None:
    assert market.cache().price(CHAIN_ID, market.bnb) is None


async def test_newest_final_round_is_quoted(market: Market) -> None:
    cache = market.cache()
    await cache.refresh()
    quote = cache.price(CHAIN_ID, market.bnb)
    assert quote is not None
    assert (quote.round, quote.price, quote.decimals) == (PHASE + 1, 600 * DOLLAR, 8)


async def test_round_is_not_quoted_before_it_is_final(market: Market) -> None:
    cache = market.cache()
    await market.set_price(700 * DOLLAR)
    await cache.refresh()
    before = cache.price(CHAIN_ID, market.bnb)
    market.anvil.mine(FINAL)
    await cache.refresh()
    after = cache.price(CHAIN_ID, market.bnb)
    assert before is not None
    assert after is not None
    assert (before.price, after.price) == (600 * DOLLAR, 700 * DOLLAR)


async def test_chain_without_the_finalized_tag_is_read_twelve_blocks_back(market: Market) -> None:
    market.chain = replace(market.chain, has_finalized_tag=False)
    await market.set_price(700 * DOLLAR)
    market.anvil.mine(11)
    assert (await market.read()).prices["BNB"].quote.price == 600 * DOLLAR
    market.anvil.mine(1)
    assert (await market.read()).prices["BNB"].quote.price == 700 * DOLLAR


async def test_round_is_quoted_until_a_margin_before_the_escrow_calls_it_too_old(market: Market) -> None:
    cache = market.cache()
    await cache.refresh()
    quote = cache.price(CHAIN_ID, market.bnb)
    assert quote is not None
    market.clock.time = quote.updated_at + MAX_FEED_AGE_S - FRESHNESS_MARGIN_S
    assert cache.price(CHAIN_ID, market.bnb) == quote
    market.clock.time += 1
    assert cache.price(CHAIN_ID, market.bnb) is None


@pytest.mark.parametrize("of_chain_file", [300, 2 * MAX_FEED_AGE_S])
async def test_stricter_age_limit_of_escrow_and_chain_file_counts(market: Market, of_chain_file: int) -> None:
    market.change("BNB", max_feed_age_s=of_chain_file)
    assert (await market.read()).prices["BNB"].max_age_s == min(of_chain_file, MAX_FEED_AGE_S)


async def test_feed_without_a_new_round_for_an_hour_loses_its_price_until_the_next(market: Market) -> None:
    market.change("BNB", max_feed_age_s=300)
    cache = market.cache()
    market.anvil.increase_time(3_600)
    market.anvil.mine(FINAL)
    market.clock.time = market.anvil.timestamp()
    await cache.refresh()
    assert cache.price(CHAIN_ID, market.bnb) is None
    await market.set_price(610 * DOLLAR)
    market.anvil.mine(FINAL)
    await cache.refresh()
    back = cache.price(CHAIN_ID, market.bnb)
    assert back is not None
    assert back.price == 610 * DOLLAR


async def test_clock_behind_the_chain_does_not_hide_the_price(market: Market) -> None:
    cache = market.cache()
    await cache.refresh()
    market.clock.time -= 60
    assert cache.price(CHAIN_ID, market.bnb) is not None


async def test_node_that_is_away_leaves_the_last_prices_to_grow_old(market: Market) -> None:
    cache = market.cache()
    await cache.refresh()
    market.anvil.kill()
    await cache.refresh()
    assert cache.price(CHAIN_ID, market.bnb) is not None


# --- feeds that misbehave ----------------------------------------------------------------------------------------


async def test_round_ids_of_the_next_phase_are_followed(market: Market) -> None:
    """A proxy that moves to another aggregator counts on from `phase << 64`; ids jump, and no longer fit 2^64."""
    latest_round_slot = hex(1)
    market.anvil.rpc(
        "anvil_setStorageAt",
        "0x" + market.feed.hex(),
        latest_round_slot,
        "0x" + (5 * PHASE).to_bytes(WORD, "big").hex(),
    )
    await market.set_price(700 * DOLLAR)
    market.anvil.mine(FINAL)
    quote = (await market.read()).prices["BNB"].quote
    assert (quote.round, quote.price) == (5 * PHASE + 1, 700 * DOLLAR)


async def test_round_id_beyond_uint80_is_no_round(market: Market) -> None:
    beyond = market.round(number=2**80)
    market.replace_feed(latest=beyond, by_id=beyond)
    assert "uint80" in await market.fault()


@pytest.mark.parametrize("answer", [0, -1])
async def test_price_of_zero_or_less_is_no_price(market: Market, answer: int) -> None:
    cache = market.cache()
    await cache.refresh()
    await market.set_price(answer)
    market.anvil.mine(FINAL)
    assert f"answers {answer} in round {PHASE + 2}" in await market.fault()
    await cache.refresh()
    assert cache.price(CHAIN_ID, market.bnb) is None, "the round before is not quoted either: the feed is broken"


async def test_missing_round_of_zeros_is_no_price(market: Market) -> None:
    market.replace_feed(latest=[0] * 5, by_id=[0] * 5)
    assert "answers 0 in round 0" in await market.fault()


async def test_newest_round_that_reverts_is_no_price(market: Market) -> None:
    market.replace_feed(latest=None, by_id=market.round())
    assert "reverts" in await market.fault()


async def test_round_that_is_gone_by_its_id_is_not_quoted_because_settling_asks_for_it_so(market: Market) -> None:
    market.replace_feed(latest=market.round(), by_id=[PHASE + 7, 0, 0, 0, 0])
    assert "answers 0 in round" in await market.fault()
    market.replace_feed(latest=market.round(), by_id=None)
    assert "reverts" in await market.fault()


async def test_round_with_another_answer_by_its_id_is_not_quoted(market: Market) -> None:
    latest = market.round()
    market.replace_feed(latest=latest, by_id=[latest[0], 601 * DOLLAR, *latest[2:]])
    assert "asked by its id" in await market.fault()


async def test_round_from_the_future_is_not_quoted(market: Market) -> None:
    await market.set_price(700 * DOLLAR, updated_at=market.anvil.timestamp() + 1_000)
    market.anvil.mine(FINAL)
    assert "later than its block" in await market.fault()


async def test_feed_whose_decimals_changed_after_listing_is_not_quoted(market: Market) -> None:
    same = market.round()
    market.replace_feed(latest=same, by_id=same)
    assert (await market.read()).prices["BNB"].quote.decimals == 8
    more = market.round(answer=600 * 10**18)
    market.replace_feed(latest=more, by_id=more, decimals=18)
    assert "18 decimals now, but had 8" in await market.fault()


async def test_token_that_the_escrow_lists_differently_is_not_quoted(market: Market) -> None:
    other = b"\x77" * 20
    deployed = market.bnb
    market.change("BNB", asset_index=1)
    assert "another token than BNB at index 1" in await market.fault()
    market.change("BNB", asset_index=9)
    assert "reverts" in await market.fault()
    market.change("BNB", asset_index=deployed.asset_index, decimals=8)
    assert "another token" in await market.fault()
    same = market.round()
    market.replace_feed(latest=same, by_id=same, address=other)
    market.change("BNB", decimals=deployed.decimals, feed=other)
    assert "another feed" in await market.fault()


async def test_feed_or_escrow_that_is_not_deployed_has_no_price(market: Market) -> None:
    escrow = market.chain.escrow
    market.chain = replace(market.chain, escrow=b"\x66" * 20)
    assert "no escrow" in await market.fault()
    market.chain = replace(market.chain, escrow=escrow)
    market.change("BNB", feed=b"\x66" * 20)
    assert "no feed" in await market.fault()


async def test_feed_that_reverts_hides_no_other(market: Market) -> None:
    broken = b"\x55" * 20
    market.anvil.rpc("anvil_setCode", "0x" + broken.hex(), "0x60006000fd")
    market.anvil.mine(FINAL)
    market.change("USDT", peg_feed=broken)
    readings = await market.read()
    assert (set(readings.prices), set(readings.pegs), set(readings.faults)) == ({"BNB"}, set(), {"USDT"})


# --- the peg -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "on_peg"),
    [(97_999_999, False), (98_000_000, True), (102_000_000, True), (102_000_001, False)],
)
async def test_stablecoin_is_off_its_peg_beyond_two_per_cent_either_way(
    market: Market, price: int, on_peg: bool
) -> None:
    usdt = market.pegged()
    await market.set_price(price)
    market.anvil.mine(FINAL)
    cache = market.cache()
    await cache.refresh()
    assert cache.on_peg(CHAIN_ID, usdt) is on_peg


async def test_peg_tolerance_is_a_setting(market: Market) -> None:
    usdt = market.pegged()
    await market.set_price(99_000_000)
    market.anvil.mine(FINAL)
    strict, exact = market.cache(peg_tolerance_bps=99), market.cache(peg_tolerance_bps=100)
    await strict.refresh()
    await exact.refresh()
    assert (strict.on_peg(CHAIN_ID, usdt), exact.on_peg(CHAIN_ID, usdt)) == (False, True)


async def test_peg_feed_that_says_nothing_usable_blocks_no_stablecoin(market: Market) -> None:
    usdt = market.pegged()
    cache = market.cache()
    assert cache.on_peg(CHAIN_ID, usdt)
    await market.set_price(-1)
    market.anvil.mine(FINAL)
    await cache.refresh()
    assert cache.on_peg(CHAIN_ID, usdt)


@pytest.mark.parametrize(("price", "on_peg"), [(DOLLAR, True), (90_000_000, False)])
async def test_last_word_of_a_peg_feed_that_fell_silent_still_counts(market: Market, price: int, on_peg: bool) -> None:
    usdt = market.pegged()
    await market.set_price(price)
    market.anvil.increase_time(7 * 86_400)
    market.anvil.mine(FINAL)
    market.clock.time = market.anvil.timestamp()
    cache = market.cache()
    await cache.refresh()
    assert cache.on_peg(CHAIN_ID, usdt) is on_peg


async def test_stablecoin_without_peg_feed_is_always_offered(market: Market) -> None:
    cache = market.cache()
    await cache.refresh()
    assert cache.on_peg(CHAIN_ID, market.token("USDC"))


async def test_node_of_one_chain_that_hangs_holds_no_price_of_another_up(market: Market) -> None:
    hanging = FakeNode(eth_chainId=hex(56))
    hanging.hang = True
    async with serve(hanging) as urls, connect(urls, chain_id=56, timeout_s=300) as pool:
        other = replace(market.chain, chain_id=56)
        sources = [Source(chain=other, pool=pool), Source(chain=market.chain, pool=market.pool)]
        cache = QuoteCache(sources, clock=market.clock)
        refreshing = asyncio.create_task(cache.refresh())
        async with asyncio.timeout(60):
            while cache.price(CHAIN_ID, market.bnb) is None:
                assert not refreshing.done()
                await asyncio.sleep(0.01)
        refreshing.cancel()
