"""Payments that end otherwise than paid, as the customer's open page tells it: on the real program and chain."""

from __future__ import annotations

import asyncio
import secrets

from playwright.async_api import Browser

from openpay.client import Payment
from openpay.domain.address import to_checksum
from openpay.domain.keccak import keccak
from tests.e2e.customer import PATIENCE_MS, SHOP, Visit, Wallet, eventually, understood, visiting
from tests.e2e.installation import UNIT
from tests.e2e.market import Market

FEED_ROUNDS_SLOT = 2
"""Where the local price feed keeps `rounds`, after its description and its newest round's id."""


def somewhere() -> str:
    """An address that nobody used before."""
    return to_checksum(secrets.token_bytes(20))


def refund_of(market: Market, payment: Payment) -> dict[str, object]:
    (refund,) = market.dev.now(payment)["refunds"]
    return dict(refund)


async def pay_part(visit: Visit, wallet: Wallet, units: int) -> None:
    request = understood(await visit.scan())
    wallet.transfer(request.contract, request.to, units)


async def test_time_runs_out_and_what_had_arrived_goes_back_to_where_its_owner_says(
    market: Market, browser: Browser
) -> None:
    """Four customers whose time is up at once: with nothing sent, with a wallet's money, and with an exchange's twice:
    claimed by a signature, and asked of the merchant."""
    empty, returned, signed, asked = orders = [market.order("USDT") for _ in range(4)]
    owner = market.wallet("USDT", 35 * UNIT)
    signer, exchange = market.exchange("USDT", 10 * UNIT), market.exchange("USDT", 10 * UNIT)
    there, elsewhere = somewhere(), somewhere()
    async with (
        visiting(browser, empty) as nobody,
        visiting(browser, returned) as person,
        visiting(browser, signed, wallet=signer) as signing,
        visiting(browser, asked) as asking,
    ):
        everybody = (nobody, person, signing, asking)
        for visit, wallet in ((person, owner), (signing, signer), (asking, exchange)):
            await pay_part(visit, wallet, 10 * UNIT)
        await asyncio.gather(*(each.reads("Part of it has arrived", "10.00 USDT") for each in everybody[1:]))

        # The deadline is past, and no final block says so yet: the page asks for nothing more, and does not judge.
        with market.blocks.held():
            market.chain.increase_time(1801)
            await asyncio.gather(*(each.reads("Time is up", "Please send nothing now") for each in everybody))
            await person.reads("Time is up", "Received so far: 10.00 USDT")
        await nobody.reads("This payment has expired", "Do not send anything")
        expired = "Expired before the full amount arrived"
        await person.reads(expired, "It goes back by itself after", "Send nothing more")
        await asyncio.gather(*(each.reads(expired, "Say where it should go") for each in (signing, asking)))
        assert all(each.stayed() for each in everybody)

        # What comes now is too late, and goes back as well.
        owner.transfer(market.contract("USDT"), empty["deposit"]["address"], 25 * UNIT)
        await nobody.reads("Your money arrived too late", "25.00 USDT", "It goes back by itself")
        assert nobody.stayed()

        await signing.page.get_by_label("Your address").fill(there)
        await signing.button("Sign with the wallet that paid").click()
        await signing.reads(expired, "It goes back by itself", there)
        await asking.page.get_by_label("Your address").fill(elsewhere)
        await asking.button("Ask ").click()
        await asking.reads(expired, "has to approve it", elsewhere)
        assert refund_of(market, asked)["status"] == "requested"
        market.dev.api.refunds.approve(str(refund_of(market, asked)["id"]), elsewhere)
        await asking.reads(expired, "It was sent to:", elsewhere)  # the merchant's word needs no further wait

        # Once nobody can settle any more, for a day where it is the full amount, each is sent, and the open pages name
        # the transaction.
        loads = [len(each.loads) for each in everybody]
        market.chain.increase_time(86_400 + 3_600)
        for visit, heading in zip(everybody, ("Your money arrived too late", expired, expired, expired), strict=True):
            await visit.reads(heading, "It was sent to:", "Transaction")
        for visit, payment in zip(everybody, orders, strict=True):
            tx_hash = refund_of(market, payment)["tx_hash"]
            assert tx_hash == await visit.page.locator("[data-refund] [data-copy]").get_attribute("data-copy")
        assert [len(each.loads) for each in everybody] == loads
        back = [market.dev.balance("USDT", each) for each in (owner.address, there, elsewhere)]
        assert back == [35 * UNIT, 10 * UNIT, 10 * UNIT]


async def test_escrow_that_refuses_and_a_transaction_that_reverts_fail_the_payment_which_is_tried_again(
    market: Market, browser: Browser
) -> None:
    await eventually(lambda: is_priced(market), "BNB can be paid with")
    refused, reverted = market.order("BNB", allow_retry=True), market.order("USDT", allow_retry=True)
    async with visiting(browser, refused) as refusal, visiting(browser, reverted) as revert:
        forget_price(market, refused)
        with market.blocks.held():
            market.customer.pay(understood(await refusal.scan()))
            # A wallet without the tokens: its transaction costs gas and moves nothing. Its page reports the hash.
            penniless = Wallet(market.chain)
            tx_hash = penniless.pay(understood(await revert.scan()))
            market.chain.mine()
            assert await report(revert, tx_hash) == 202
            await refusal.reads("Payment found", "1 of 12")
        await refusal.reads("The payment could not be accepted", "Your money is not lost", refused["id"])
        await revert.reads("The payment failed", "only the network’s fee was spent", tx_hash[-4:])
        assert refusal.stayed()
        assert revert.stayed()
        assert refund_of(market, refused)["status"] == "scheduled"

        # The same order once more, on a page of its own, with a price of its own.
        lost = price_round(refused)
        await eventually(lambda: is_priced(market, by_other_than=lost), "BNB is priced by another round")
        await refusal.button("Try again").click()
        await refusal.reads("Waiting for your payment")
        assert refused["id"] not in refusal.page.url
        market.customer.pay(understood(await refusal.scan()))
        await refusal.reads("Paid. Thank you!")


async def test_reverted_transaction_is_counted_to_the_end_and_a_second_transfer_saves_the_payment(
    market: Market, browser: Browser
) -> None:
    payment = market.order("USDT")
    async with visiting(browser, payment) as visit:
        request = understood(await visit.scan())
        tx_hash = Wallet(market.chain).pay(request)
        await eventually(lambda: market.chain.is_mined(tx_hash), "it is mined")
        with market.blocks.held():
            assert await report(visit, tx_hash) == 202
            market.chain.mine()
            await visit.reads("Your transaction failed on the network", "of 12 confirmations")
            market.customer.pay(request)
            market.chain.mine()
            await visit.reads("Payment found", "1 of 12")
        await visit.reads("Paid. Thank you!")
        assert visit.stayed()


async def test_customer_cancels_and_a_second_tab_tells_what_comes_after(market: Market, browser: Browser) -> None:
    payment = market.order("USDT")
    async with visiting(browser, payment) as visit, visiting(browser, payment) as other:
        address = understood(await visit.scan()).to
        await visit.page.get_by_text("Cancel this payment").click()
        await visit.button("Cancel and return").click()
        await visit.page.wait_for_url(f"{SHOP}/basket/{payment['id']}", timeout=PATIENCE_MS)
        await other.reads("This payment was canceled", "Do not send anything")
        market.customer.transfer(market.contract("USDT"), address, 25 * UNIT)
        await other.reads("Your money arrived too late", "25.00 USDT", "It goes back")
        assert other.stayed()


def is_priced(market: Market, *, by_other_than: int = 0) -> bool:
    """Whether there is a price for BNB, of another round: after chain time was moved, it takes a moment."""
    order = market.order()
    return order["unavailable_tokens"] == [] and price_round(order) != by_other_than


def price_round(payment: Payment) -> int:
    return int(payment["deposit"]["terms"]["round"])


def forget_price(market: Market, payment: Payment) -> None:
    """As if the feed had never had the round by which the payment was priced: the escrow cannot settle it."""
    feed = market.dev.facts["contracts"]["feeds"]["BNB/USD"]
    first = int.from_bytes(
        keccak(price_round(payment).to_bytes(32, "big") + FEED_ROUNDS_SLOT.to_bytes(32, "big")), "big"
    )
    for slot in (first, first + 1):  # the answer, and its time
        assert int(market.chain.rpc("eth_getStorageAt", feed, f"0x{slot:064x}", "latest"), 16) > 0
        market.chain.rpc("anvil_setStorageAt", feed, f"0x{slot:064x}", "0x" + bytes(32).hex())


async def report(visit: Visit, tx_hash: str) -> int:
    """Tell the page's server of a transaction, as the page's wallet button does; the status of the answer."""
    status: int = await visit.page.evaluate(
        """async (hash) => {
          const body = JSON.stringify({ tx_hash: hash });
          const headers = { "Content-Type": "application/json" };
          return (await fetch(`${location.pathname}/transactions`, { method: "POST", headers, body })).status;
        }""",
        tx_hash,
    )
    return status
