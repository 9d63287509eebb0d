"""What a wallet has sent is told to the server again where that only said "not now"."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Route

from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.scenes import Shop
from tests.support.provider import PageWallet


@pytest.mark.parametrize("status", [429, pytest.param(503, marks=pytest.mark.nightly)])
async def test_a_report_that_was_put_off_is_made_again(street: Street, shop: Shop, status: int) -> None:
    payment, wallet = await shop.create(), PageWallet()
    refused: list[str] = []

    async def not_now(route: Route) -> None:
        if refused:
            await route.fallback()
        else:
            refused.append(route.request.url)
            await route.fulfill(status=status, body="{}", content_type="application/json")

    async with street.visitor(wallets=[wallet]) as visit:
        await visit.page.clock.install()
        await visit.page.route("**/transactions", not_now)
        await visit.open(payment)
        await visit.press("Test Wallet")
        await visit.says("Sent.")
        reported = 0
        async with asyncio.timeout(20):
            while not reported:
                await visit.page.clock.run_for(1_000)
                async with shop.store.read() as uow:
                    reported = await uow.attempts.reported(payment.id)
    assert (reported, len(refused)) == (1, 1)
