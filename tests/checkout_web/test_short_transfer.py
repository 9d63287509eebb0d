"""A wallet's transfer that arrived and was less than asked for: it is on its way no more, and the rest is asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.async_api import expect

from openpay.domain.deposit import Deposit, Source
from openpay.domain.payment import Payment
from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.scenes import WHOLE, Shop
from tests.support.provider import PageWallet

HASH = bytes([0x5E]) * 32
ACCOUNT = bytes([0xAB]) * 20
"""The test wallet's."""
ON_ITS_WAY = "Your payment is on its way"
LOOK = "eth_getTransactionByHash"


async def test_what_the_wallet_sent_has_arrived_and_the_rest_is_asked_for(street: Street, shop: Shop) -> None:
    """Its owner changed the amount in the wallet, or the token takes a fee of its own."""
    payment, wallet = await shop.create(), PageWallet(answers={"eth_sendTransaction": "0x" + HASH.hex()})
    async with street.visit(payment, wallet) as visit:
        page = visit.page
        await visit.press("Test Wallet")
        await visit.reads(ON_ITS_WAY)
        # Somebody else's part is not what the wallet sent: that one is on its way still.
        await shop.pay(payment, 4 * WHOLE)
        await expect(page.locator("[data-part=underpaid]")).to_be_visible()
        await visit.reads(ON_ITS_WAY)

        arrived = replace(shop.deposit(payment, 10 * WHOLE, "USDT"), tx_hash=HASH)
        await shop.mine(deposits=[arrived])
        for _ in range(2):
            await visit.reads("Part of it has arrived")
            await expect(page.locator("#live")).to_contain_text("Still to send: 11.00 USDT")
            await expect(page.locator(".qr")).to_be_visible()
            await expect(visit.section).not_to_contain_text("Sent.")
            await expect(visit.section.get_by_role("button", name="Test Wallet")).to_be_visible()
            await page.reload()
        assert visit.nothing_was_wrong()


def from_account(shop: Shop, payment: Payment, units: int) -> Deposit:
    return replace(shop.deposit(payment, units), payer=ACCOUNT)


def from_inside(shop: Shop, payment: Payment, units: int) -> Deposit:
    """Coins that a contract sent: of these nobody says whose they were, nor by which transaction."""
    return replace(
        shop.deposit(payment, units, "BNB"),
        source=Source.INTERNAL,
        tx_hash=None,
        sender=None,
        sender_nonce=None,
        payer=None,
    )


@pytest.mark.parametrize("answer", [None, "0x" + "0b" * 32], ids=["no_number", "a_number_of_its_own"])
@pytest.mark.parametrize("token", ["USDT", pytest.param("BNB", marks=pytest.mark.nightly)])
async def test_a_transfer_that_no_number_leads_to_is_known_by_its_account(
    street: Street, shop: Shop, answer: str | None, token: str
) -> None:
    payment, wallet = await shop.create(), PageWallet(answers={"eth_sendTransaction": answer})
    await shop.mine(deposits=[from_account(shop, payment, 4 * WHOLE)])
    async with street.visit(payment, wallet, query=f"?token={token}") as visit:
        await visit.press("Test Wallet")
        await visit.reads(ON_ITS_WAY)
        # Neither what the account sent before nor what others send is what the wallet has just sent.
        await shop.pay(payment, 5 * WHOLE)
        await expect(visit.page.locator("#live")).to_contain_text("Received so far: 9.00 USDT")
        await visit.reads(ON_ITS_WAY)

        short = from_account(shop, payment, WHOLE) if token == "USDT" else from_inside(shop, payment, WHOLE // 100)
        await shop.mine(deposits=[short])
        for _ in range(2):
            await visit.reads("Part of it has arrived")
            await expect(visit.page.locator(".qr")).to_be_visible()
            await expect(visit.section.get_by_role("button", name="Test Wallet")).to_be_visible()
            await visit.page.reload()
        assert visit.nothing_was_wrong()


async def test_after_a_while_whatever_has_come_is_taken_for_what_no_number_leads_to(street: Street, shop: Shop) -> None:
    """The wallet had somebody else move the money, as those do that exchange it on the way."""
    payment, wallet = await shop.create(), PageWallet(answers={"eth_sendTransaction": None})
    async with street.visitor(wallets=[wallet]) as visit:
        await visit.page.clock.install()
        await visit.open(payment)
        await visit.press("Test Wallet")
        await visit.reads(ON_ITS_WAY)
        await shop.pay(payment, 10 * WHOLE)
        await expect(visit.page.locator("#live")).to_contain_text("Received so far: 10.00 USDT")
        await visit.reads(ON_ITS_WAY)
        await visit.page.clock.fast_forward("05:20")
        await visit.reads("Part of it has arrived")
        await expect(visit.section).not_to_contain_text("Nothing has arrived")


async def test_a_number_that_a_node_knows_says_itself_whether_it_has_arrived(street: Street, shop: Shop) -> None:
    """The account has sent twice: that the first has come does not say that the second has."""
    payment, wallet = await shop.create(), PageWallet(answers={LOOK: {"nonce": "0x1"}})
    async with street.visit(payment, wallet) as visit:
        await visit.press("Test Wallet")
        await visit.reads(ON_ITS_WAY)
        seen = "() => Object.values(localStorage).some((kept) => JSON.parse(kept).seen)"
        await visit.page.wait_for_function(seen)
        await shop.mine(deposits=[from_account(shop, payment, 10 * WHOLE)])
        await expect(visit.page.locator("#live")).to_contain_text("Received so far: 10.00 USDT")
        await visit.reads(ON_ITS_WAY)
