"""An open page whose server is away: behind a proxy that answers in its place, and on a line that is cut."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.scenes import START, Shop
from tests.e2e.line import line_to

NEWS = re.compile(r"/(events|state)\?")
STILL_COUNTS = "If you have sent the payment, it still counts"


@pytest.fixture
def page_settings() -> dict[str, Any]:
    return {"tick_s": 0.05}


async def passing(page: Page, seconds: int) -> None:
    """Let time pass on the page's clock, in steps, so that real answers arrive between them."""
    for _ in range(0, seconds, 5):
        await page.clock.run_for(5_000)
        await page.wait_for_timeout(20)


@pytest.mark.nightly
async def test_a_proxys_word_that_the_server_is_away_is_no_answer(street: Street, shop: Shop) -> None:
    payment = await shop.create()

    async def away(route: Route) -> None:
        await route.fulfill(status=502, body="<h1>Bad gateway</h1>", content_type="text/html")

    async with street.visitor() as visit:
        page = visit.page
        await page.clock.install(time=START)
        await page.route(NEWS, away)
        await visit.open(payment)
        note = page.locator("[data-offline]")
        await passing(page, 30)
        await expect(note).to_be_visible()
        await expect(note).to_contain_text(STILL_COUNTS)
        await visit.reads("Waiting for your payment")
        await shop.pay(payment)
        await page.unroute(NEWS)
        await passing(page, 120)
        await visit.reads("Payment found")
        await expect(note).to_be_hidden()


async def test_two_minutes_on_a_cut_line_are_made_up_for(street: Street, shop: Shop) -> None:
    """The stream breaks as well, which a browser's own offline mode leaves alone."""
    payment = await shop.create()
    async with line_to(street.url(payment)) as line, street.visitor() as visit:
        page = visit.page
        await page.clock.install(time=START)
        async with page.expect_response(re.compile(r"/events\?")):
            await page.goto(line.through(street.url(payment)))
        note = page.locator("[data-offline]")
        line.cut()
        await passing(page, 30)
        await expect(note).to_be_visible()
        await expect(note).to_contain_text(STILL_COUNTS)
        announcer = page.locator("#announcer")
        await expect(announcer).to_contain_text(STILL_COUNTS)
        await announcer.evaluate("(element) => { element.textContent = ''; }")
        await shop.pay(payment)
        await passing(page, 90)
        await visit.reads("Waiting for your payment")  # what is needed to pay stays
        await expect(announcer).to_be_empty()  # said once
        line.mend()
        await passing(page, 120)
        await visit.reads("Payment found")
        await expect(note).to_be_hidden()
