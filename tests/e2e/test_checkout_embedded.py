"""A shop on an origin of its own, which the operator allows, and then no longer allows, to show the page in its own."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess

from playwright.async_api import Browser, expect

from tests.checkout_web.storefront import shop_page
from tests.e2e.customer import PATIENCE_MS, understood
from tests.e2e.dev import OPENPAY
from tests.e2e.market import Market
from tests.support.browser import scan

HOST = "shop.localhost"
"""Another site than the checkout's 127.0.0.1: its pages and the frame in them are strangers to each other."""


async def merchants(market: Market, *arguments: str) -> str:
    """What the operator is told by `openpay merchants …`."""
    settings = os.environ | {"OPENPAY_DATABASE_URL": f"sqlite:///{market.state_dir / 'openpay.db'}"}
    command = [OPENPAY, "merchants", *arguments]
    done = await asyncio.to_thread(subprocess.run, command, env=settings, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_shop_on_another_origin_shows_the_page_for_as_long_as_it_may(market: Market, browser: Browser) -> None:
    listed = re.search(r"mer_\w+", await merchants(market, "list"))
    assert listed is not None

    async def allow(origin: str) -> None:
        await merchants(market, "set", listed[0], "--embed-origin", origin)

    async def forbid(origin: str) -> None:
        await merchants(market, "set", listed[0], "--no-embed-origins")

    payment = market.order("USDT")
    async with shop_page(browser, payment["checkout_url"], allow, host=HOST) as front:
        await front.page.locator("#buy").click()
        heading = front.checkout.locator("#state-heading")
        await expect(heading).to_have_text("Waiting for your payment")
        market.customer.pay(understood(await scan(front.page)))
        await expect(heading).to_have_text("Paid. Thank you!", timeout=PATIENCE_MS)
        await front.hears("completed")
        heard = await front.heard("ready", "completed")
        assert heard == [["ready", payment["id"], None], ["completed", payment["id"], "paid"]]
        assert front.complaints == []

    payment = market.order("USDT")
    async with shop_page(browser, payment["checkout_url"], forbid, host=HOST) as front:
        await front.page.locator("#buy").click()
        await front.page.wait_for_url(payment["checkout_url"])
        await expect(front.page.locator("#state-heading")).to_have_text("Waiting for your payment")
        assert [text for text in front.complaints if "frame-ancestors 'none'" in text] != []
