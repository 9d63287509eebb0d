"""An open page in a real browser while its connection, its server and its clock do what they do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Page, Request, Route, expect

from openpay.domain.payment import Payment
from tests.checkout_web.checkout_visits import Street, Visit
from tests.checkout_web.scenes import START, Shop

OFFLINE = "If you have sent the payment, it still counts"


@pytest.fixture
def page_settings() -> dict[str, Any]:
    return {"tick_s": 0.05}


class Asked:
    """What a page asked its server for, by the address's last part."""

    def __init__(self, page: Page) -> None:
        self.names: list[str] = []
        self._page = page
        self._unanswered: set[Request] = set()
        page.on("request", self._take)
        for end in ("requestfinished", "requestfailed"):
            page.on(end, lambda request: self._unanswered.discard(request))

    def _take(self, request: Request) -> None:
        self.names.append(request.url.split("?")[0].rsplit("/", 1)[-1])
        self._unanswered.add(request)

    async def answered(self) -> None:
        """Wait until every question asked so far has its answer."""
        while self._unanswered:
            await self._page.wait_for_timeout(20)

    def count(self, name: str) -> int:
        return self.names.count(name)


@asynccontextmanager
async def visiting(street: Street) -> AsyncIterator[Visit]:
    """A visitor whose clock stands until it is moved."""
    async with street.visitor() as visit:
        await visit.page.clock.install(time=START)
        yield visit


async def gone(route: Route) -> None:
    await route.abort()


def part(page: Page, name: str) -> str:
    return f'[data-part="{name}"]'


async def passing(page: Page, seconds: int) -> None:
    """Let time pass in steps, so that answers of the real server arrive between them."""
    for _ in range(0, seconds, 5):
        await page.clock.run_for(5_000)
        await page.wait_for_timeout(30)


async def connected(visit: Visit, payment: Payment) -> Page:
    """Open the page and wait for its stream."""
    async with visit.page.expect_response(re.compile(r"/events\?")):
        return await visit.open(payment)


async def test_two_minutes_without_a_connection_are_said_once_and_made_up_for(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with visiting(street) as visit:
        page = await connected(visit, payment)
        note = page.get_by_text(OFFLINE).first
        await expect(note).to_be_hidden()
        await page.context.set_offline(True)
        await expect(note).to_be_visible()
        await expect(page.locator("#announcer")).to_contain_text(OFFLINE)
        await page.evaluate("document.getElementById('announcer').textContent = ''")
        await page.clock.run_for(120_000)
        await expect(page.locator("#announcer")).not_to_contain_text(OFFLINE)  # said once
        # Only now: Chromium leaves a stream that is open alone, and after news by it being offline would be said again.
        await shop.pay(payment)
        await page.context.set_offline(False)
        await page.clock.run_for(2_000)
        await expect(page.locator(part(page, "confirming"))).to_be_visible()
        await expect(page.locator("[data-offline]")).to_be_hidden()


async def test_questions_without_an_answer_are_as_good_as_no_connection(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with visiting(street) as visit:
        page = visit.page

        await page.route(re.compile(r"/(events|state)\?"), gone)
        await visit.open(payment)
        await page.clock.run_for(2_000)
        await expect(page.locator("[data-offline]")).to_be_hidden()  # the stream alone may be what is refused
        await passing(page, 30)
        await expect(page.locator("[data-offline]")).to_be_visible()
        await page.unroute(re.compile(r"/(events|state)\?"))
        await passing(page, 120)
        await expect(page.locator("[data-offline]")).to_be_hidden()


async def test_pages_do_not_come_back_to_a_restarted_server_all_at_once(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    waits: list[float] = []
    async with visiting(street) as visit:
        page = visit.page

        await page.add_init_script(
            "window.waits = []; const real = setTimeout; "
            "window.setTimeout = (work, ms, ...rest) => { waits.push(ms); return real(work, ms, ...rest); };"
        )
        await page.route(re.compile(r"/events\?"), gone)
        await visit.open(payment)
        for _ in range(7):
            async with page.expect_event("requestfailed"):
                await page.clock.run_for(100_000)
        waits = [ms for ms in await page.evaluate("waits") if ms not in {0, 40_000, 60_000}]
    assert len(set(waits)) == len(waits) > 6, "each wait is another one"
    assert max(waits) > 25_000, "and they grow"


async def test_hidden_page_gives_up_its_stream_and_takes_it_up_when_seen(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with visiting(street) as visit:
        page = await connected(visit, payment)
        asked = Asked(page)
        await page.evaluate(
            "Object.defineProperty(document, 'visibilityState', {get: () => window.seen ?? 'hidden'});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        await page.clock.run_for(59_000)
        assert asked.count("events") == 0
        await page.clock.run_for(2_000)
        await asked.answered()
        await shop.pay(payment)
        await expect(page.locator(part(page, "waiting"))).to_be_attached()
        await passing(page, 150)
        await expect(page.locator(part(page, "confirming"))).to_be_attached()
        assert 1 <= asked.count("state") < 10, "an open page would have asked twice as often"
        async with page.expect_request(re.compile(r"/events\?")):
            await page.evaluate("window.seen = 'visible'; document.dispatchEvent(new Event('visibilitychange'))")
            await page.clock.run_for(100)
        assert asked.count("events") == 1


async def test_page_from_the_back_button_is_brought_up_to_date(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with visiting(street) as visit:
        page = await connected(visit, payment)
        await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
        await shop.pay(payment)
        await page.clock.run_for(60_000)
        await expect(page.locator(part(page, "waiting"))).to_be_visible()
        await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
        await expect(page.locator(part(page, "confirming"))).to_be_visible()


async def seconds_left(page: Page) -> int:
    """What the countdown shows."""
    shown = await page.locator("[data-deadline]").inner_text()
    figures = [int(figure) for figure in shown.split(":")]
    return sum(figure * 60**place for place, figure in enumerate(reversed(figures)))


@pytest.mark.parametrize("wrong_s", [-3_600, 3_600])
async def test_countdown_goes_by_the_servers_clock(street: Street, shop: Shop, wrong_s: int) -> None:
    payment = await shop.create()
    left_s = payment.deadline - START
    async with visiting(street) as visit:
        page = visit.page
        await page.clock.install(time=START + wrong_s)
        await connected(visit, payment)
        await page.clock.pause_at(START + wrong_s + 30)
        async with page.expect_response(re.compile(r"/state\?")):
            await page.clock.set_system_time(START + wrong_s + 7_200)
            await page.clock.run_for(1_500)
        async with asyncio.timeout(30):
            while not left_s - 60 <= await seconds_left(page) <= left_s:
                await asyncio.sleep(0.05)


async def test_an_answer_that_was_overtaken_by_the_stream_is_not_shown(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with visiting(street) as visit:
        page = visit.page
        overtaken, delivered = asyncio.Event(), asyncio.Event()

        async def slow(route: Route) -> None:
            answer = await route.fetch(headers={"Accept": "*/*"})  # the part as it was when it was asked for
            overtaken.set()
            await delivered.wait()
            await route.fulfill(response=answer)

        await connected(visit, payment)
        await page.route(re.compile(r"/state\?"), slow)
        async with page.expect_response(re.compile(r"/state\?")):
            await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            await asyncio.wait_for(overtaken.wait(), 20)
            await shop.pay(payment)
            await expect(page.locator(part(page, "confirming"))).to_be_visible()
            delivered.set()
        await page.wait_for_timeout(300)  # for what must not happen
        await expect(page.locator(part(page, "confirming"))).to_be_visible()
