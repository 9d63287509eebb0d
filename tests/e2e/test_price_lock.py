"""What a feed's outage or a reorg does to payments that were quoted before it: nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from openpay.app.payments import PaymentService
from openpay.chain.escrow_abi import WORD, address_word, selector
from openpay.chain.quotes import QuoteCache, Source
from openpay.devnet.accounts import OWNER
from openpay.devnet.wallet import Wallet
from openpay.domain.chains import Chain
from openpay.domain.payment import Payment, SettlementStatus, Status
from openpay.errors import Invalid
from tests.settlement.till import FINAL, Till
from tests.watcher.beginning import OpenScene
from tests.watcher.scene import CHAIN_ID, AnvilClock, due

MAX_AGE_S = 300
"""As the chain file for BNB Smart Chain has it."""
PRICE = 600 * 10**8


class FeedStory:
    """A shop that takes BNB by a feed that must have been updated in the last five minutes."""

    def __init__(self, till: Till, quotes: QuoteCache) -> None:
        self.till = till
        self.scene = till.scene
        self.quotes = quotes

    @classmethod
    async def open(cls, till: Till) -> FeedStory:
        scene = till.scene
        feed = scene.deployment.feeds["BNB/USD"]
        # Listed a second time, with the stricter limit: the escrow only ever appends.
        data = selector("listAsset") + address_word(None) + address_word(feed) + MAX_AGE_S.to_bytes(WORD, "big")
        await cls._owner(till).execute(to=scene.chain.escrow, data=data, gas=300_000)
        tokens = tuple(
            replace(token, asset_index=3, max_feed_age_s=MAX_AGE_S) if token.symbol == "BNB" else token
            for token in scene.chain.tokens
        )
        chain = replace(scene.chain, tokens=tokens)
        scene.restart(chain=chain)
        clock = AnvilClock(scene.anvil)
        quotes = QuoteCache([Source(chain=chain, pool=scene.pool)], clock=clock)
        scene.service = cls._service(scene.service, chain, quotes)
        story = cls(till, quotes)
        await story.add_round()
        await story.let_time_pass(FINAL)
        return story

    @staticmethod
    def _service(before: PaymentService, chain: Chain, quotes: QuoteCache) -> PaymentService:
        return replace(before, chains={True: chain, False: chain}, quotes=quotes)

    @staticmethod
    def _owner(till: Till) -> Wallet:
        return Wallet(till.scene.pool, chain_id=CHAIN_ID, signer=OWNER.signer)

    async def add_round(self, price: int = PRICE) -> None:
        words = price.to_bytes(WORD, "big") + self.scene.anvil.timestamp().to_bytes(WORD, "big")
        feed = self.scene.deployment.feeds["BNB/USD"]
        await self._owner(self.till).execute(to=feed, data=selector("addRound", "TestFeed") + words)

    async def let_time_pass(self, blocks: int = FINAL, *, seconds: int = 0) -> None:
        """Move the clock, mine, read it all, and look at the feed again."""
        if seconds:
            self.scene.anvil.increase_time(seconds)
        await self.scene.mine(blocks)
        await self.quotes.refresh()

    async def pay_and_settle(self, payment: Payment) -> Payment:
        self.scene.pay(payment, "BNB", due(payment, "BNB")[0])
        await self.let_time_pass()
        assert await self.scene.status(payment) is Status.PAID
        await self.till.settler().step()
        await self.let_time_pass()
        return await self.scene.now(payment)


@pytest.fixture
async def story(scene_on: OpenScene, sqlite_url: str) -> AsyncIterator[FeedStory]:
    async with scene_on(sqlite_url) as scene:
        yield await FeedStory.open(Till(scene))


async def test_payment_quoted_before_a_feed_fell_silent_for_an_hour_is_paid_and_settled(story: FeedStory) -> None:
    quoted = await story.scene.create("USDT", "BNB", expires_in=1_800)
    await story.let_time_pass(seconds=1_500)
    during = await story.scene.create("USDT", "BNB")
    assert (during.unavailable_tokens, [offer.token for offer in during.offers]) == (("BNB",), ["USDT"])
    with pytest.raises(Invalid, match="BNB") as refused:
        await story.scene.create("BNB")
    assert refused.value.code == "token_unavailable"

    story.scene.pay(quoted, "BNB", due(quoted, "BNB")[1])  # the least that the round in its terms allows
    await story.let_time_pass()
    assert await story.scene.status(quoted) is Status.PAID
    await story.let_time_pass(seconds=2_100)  # an hour after the last round, and past the payment's expiry
    await story.till.settler().step()
    await story.let_time_pass()
    settlement = await story.till.settlement(quoted)
    assert (settlement.status, settlement.units) == (SettlementStatus.SETTLED, due(quoted, "BNB")[1])
    assert story.till.treasury("BNB") == due(quoted, "BNB")[1]


async def test_reorg_of_the_newest_round_changes_no_quoted_price(story: FeedStory) -> None:
    await story.add_round(price=2 * PRICE)
    await story.let_time_pass(2)
    payment = await story.scene.create("BNB")
    assert due(payment, "BNB")[0] == 25 * 10**18 // 600 + 1, "quoted at the last final round, not the newest"
    story.scene.anvil.reorg(4)  # takes the round away
    await story.add_round(price=3 * PRICE)  # whose id now carries another price
    settled = await story.pay_and_settle(payment)
    assert settled.settlement is not None
    assert settled.settlement.status is SettlementStatus.SETTLED


async def test_payment_quoted_at_the_very_limit_of_a_rounds_age_settles(story: FeedStory) -> None:
    """Terms are dated once; however long paying takes, the escrow finds the round as fresh as the quote did."""
    token = story.scene.chain.token("BNB")
    assert token is not None
    quote = story.quotes.price(CHAIN_ID, token)
    assert quote is not None
    oldest = None
    while story.quotes.price(CHAIN_ID, token) is not None:
        oldest = await story.scene.create("BNB")
        story.scene.anvil.rpc(
            "evm_setNextBlockTimestamp", max(quote.updated_at + 290, story.scene.anvil.timestamp()) + 1
        )
        story.scene.anvil.mine()
    assert oldest is not None
    assert oldest.terms.quoted_at - quote.updated_at > 290
    settled = await story.pay_and_settle(oldest)
    assert settled.settlement is not None
    assert settled.settlement.status is SettlementStatus.SETTLED
