"""Paying by what the page shows: its QR codes read from the screen, its copied address and amount. On a real chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.e2e.customer import PATIENCE_MS, SHOP, understood, visiting
from tests.e2e.market import Market
from tests.support.browser import open_browser


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """As customers have it, with all its windows; elsewhere its engine is enough."""
    async with open_browser(whole=True) as started:
        yield started


async def test_both_qr_codes_and_copying_pay_and_the_pages_follow_to_the_shop(market: Market, browser: Browser) -> None:
    """Three customers at once, so that the blocks of one serve all."""
    by_request, in_coin, by_address = market.order("USDT"), market.order("BNB", "USDT"), market.order()
    clipboard = {"permissions": ["clipboard-read", "clipboard-write"]}
    async with (
        visiting(browser, by_request) as scanning,
        visiting(browser, in_coin, query="?token=BNB") as with_coin,
        visiting(browser, by_address, **clipboard) as copying,
    ):
        everybody = (scanning, with_coin, copying)
        for each in everybody:
            await each.reads("Waiting for your payment")
        with market.blocks.held():
            # A wallet that reads payment requests sends exactly what the picture says.
            market.customer.pay(understood(await scanning.scan()))
            request = understood(await with_coin.scan())
            assert (request.contract, request.to) == (None, in_coin["deposit"]["address"])
            market.customer.pay(request)

            # Any other takes the address from the plain code; an exchange is given what the buttons copy.
            amount = await copying.copied("Copy the amount")
            await copying.page.get_by_role("link", name="Address only").click()
            await expect(copying.page.locator("#qr-address")).to_have_attribute("aria-current", "true")
            address = await copying.scan()
            assert address == await copying.copied("Copy the address") == by_address["deposit"]["address"]
            market.customer.transfer(market.contract("USDT"), address, int(Decimal(amount) * 10**18))

            # Every block is seen, not only the first and the last.
            for blocks, count in ((1, 1), (1, 2), (5, 7)):
                market.chain.mine(blocks)
                await asyncio.gather(*(each.reads("Payment found", f"{count} of 12") for each in everybody))
            await scanning.reads("Payment found", "Done in a few seconds. The time limit no longer runs.")
            await expect(scanning.page.get_by_role("timer")).to_have_count(0)

        await asyncio.gather(*(each.reads("Paid. Thank you!", "25.00") for each in everybody))
        await copying.button("Stay here").click()
        assert all(each.stayed() for each in everybody)
        assert [market.dev.now(each)["status"] for each in (by_request, in_coin, by_address)] == ["paid"] * 3
        for visit, payment in ((scanning, by_request), (with_coin, in_coin)):
            await visit.page.wait_for_url(f"{SHOP}/thanks?payment={payment['id']}", timeout=PATIENCE_MS)
        await copying.reads("Paid. Thank you!")  # much longer than the others stayed
        assert copying.stayed()


async def test_the_rest_is_paid_from_a_new_code_and_too_much_is_said(market: Market, browser: Browser) -> None:
    topping_up, overpaying = market.order("USDT"), market.order("USDT")
    async with visiting(browser, topping_up) as visit, visiting(browser, overpaying) as other:
        first = understood(await visit.scan())
        market.customer.transfer(first.contract, first.to, first.units * 2 // 5)
        await visit.reads("Part of it has arrived", "Received so far: 10.00 USDT", "Still to send: 15.00 USDT")
        await expect(visit.page.get_by_role("timer")).to_be_visible()
        rest = understood(await visit.scan())
        assert (rest.units, rest.to, rest.contract) == (15 * 10**18, first.to, first.contract)
        with market.blocks.held():
            market.customer.pay(rest)
            whole = understood(await other.scan())
            market.customer.transfer(whole.contract, whole.to, whole.units + 3 * 10**18)
            market.chain.mine()
            await visit.reads("Payment found", "25.00 USDT", "1 of 12")
            await other.reads("Payment found", "28.00 USDT", "1 of 12")
        await visit.reads("Paid. Thank you!")
        await other.reads("Paid. Thank you!", "You sent 3.00 USDT more than was asked for")
        assert visit.stayed()
        assert other.stayed()


async def test_two_wallets_that_pay_from_two_tabs_are_both_told_of_the_second_payment(
    market: Market, browser: Browser
) -> None:
    payment = market.order("USDT")
    another = market.exchange("USDT", 25 * 10**18)
    async with visiting(browser, payment) as one, visiting(browser, payment) as two:
        first, second = understood(await one.scan()), understood(await two.scan())
        with market.blocks.held():
            market.customer.pay(first)
            market.chain.mine()
            for tab in (one, two):
                await tab.reads("Payment found", "25.00 USDT", "1 of 12")
            another.pay(second)  # sent from a code that was scanned before
            market.chain.mine()
            for tab in (one, two):
                await tab.reads("Payment found", "50.00 USDT", "2 of 12")
        for tab in (one, two):
            await tab.reads("Paid. Thank you!", "You sent 25.00 USDT more than was asked for")
            assert tab.stayed()


@pytest.mark.nightly
async def test_money_in_a_token_that_is_not_enough_leads_to_the_better_one(market: Market, browser: Browser) -> None:
    """Two tokens are not added up: the page says so, and what was begun with is what it leads back to."""
    payment = market.order("USDT", "USDC")
    async with visiting(browser, payment) as visit:
        request = understood(await visit.scan())
        market.customer.transfer(request.contract, request.to, request.units // 5)
        await visit.reads("Part of it has arrived", "Received so far: 5.00 USDT")
        await visit.page.get_by_role("link", name="USDC", exact=True).click()
        await visit.reads("Money has arrived, but not in this token", "cannot be added together")
        assert understood(await visit.scan()).units == request.units
        await visit.page.locator("#better-token").click()
        await visit.reads("Part of it has arrived")
        market.customer.pay(understood(await visit.scan()))
        await visit.reads("Paid. Thank you!")
        assert visit.stayed()
