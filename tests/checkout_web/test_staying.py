"""Who stays on the success page stays, whether or not anything else happens to the page."""

from __future__ import annotations

from playwright.async_api import expect

from checkout_web.content.view import Part
from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.scenes import ORDER, Shop


async def test_who_stays_is_not_taken_back_though_no_news_arrive(street: Street, shop: Shop) -> None:
    payment = await shop.scene(Part.PAID, **ORDER)
    async with street.visitor() as visit:
        page = visit.page
        left: list[str] = []
        await page.route("https://shop.example/**", lambda route: left.append(route.request.url))
        await page.clock.install()
        await visit.open(payment)
        await page.clock.run_for(3_000)
        await expect(page.get_by_text("You will be taken back in 5 seconds.")).to_be_visible()
        await page.get_by_role("button", name="Stay here").click()
        await page.clock.run_for(60_000)
        await visit.reads("Paid. Thank you!")
        await expect(page.get_by_text("You will be taken back")).to_be_hidden()
    assert left == []
