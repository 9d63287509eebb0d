"""Customers at the pages of a made-up shop, some with wallets in their browsers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp.test_utils import BaseTestServer
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, ViewportSize, expect

from openpay.domain.payment import Payment
from tests.checkout_web.scenes import Shop
from tests.support.browser import DESKTOP
from tests.support.provider import PageWallet, give_wallets


@dataclass(kw_only=True)
class Visit:
    """A customer's page, what it complained about, and which hosts it asked."""

    page: Page
    server: BaseTestServer
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    async def open(self, payment: Payment, query: str = "") -> Page:
        await self.page.goto(url_of(self.server, payment, query))
        return self.page

    def nothing_was_wrong(self) -> bool:
        return self.complaints == [] and self.hosts == {f"{self.server.host}:{self.server.port}"}

    async def reads(self, heading: str) -> None:
        """Wait until the page's state has this heading."""
        await expect(self.page.get_by_role("heading", level=2)).to_have_text(heading)

    # --- the wallet section ---

    @property
    def section(self) -> Locator:
        return self.page.locator("[data-wallet]")

    async def press(self, name: str) -> None:
        await self.section.get_by_role("button", name=name).first.click()

    async def says(self, text: str) -> None:
        """Wait until the wallet section contains the text."""
        await expect(self.section).to_contain_text(text)


def url_of(server: BaseTestServer, payment: Payment, query: str = "") -> str:
    return str(server.make_url(f"/checkout/{payment.id}")) + query


@dataclass(frozen=True, kw_only=True)
class Street:
    """The shop, its server, and the browser that visitors come with."""

    shop: Shop
    server: BaseTestServer
    browser: Browser

    def url(self, payment: Payment, query: str = "") -> str:
        return url_of(self.server, payment, query)

    @asynccontextmanager
    async def visitor(
        self, size: ViewportSize = DESKTOP, *, wallets: Sequence[PageWallet] = (), **options: Any
    ) -> AsyncIterator[Visit]:
        """A customer of its own, who has opened nothing yet."""
        options = {"timezone_id": "UTC", "locale": "en-GB"} | options
        context = await self.browser.new_context(viewport=size, **options)
        try:
            if wallets:
                await give_wallets(context, wallets)
            yield Visit(page=await context.new_page(), server=self.server)
        finally:
            await context.close()

    @asynccontextmanager
    async def visit(
        self, payment: Payment, *wallets: PageWallet, query: str = "", size: ViewportSize = DESKTOP, **options: Any
    ) -> AsyncIterator[Visit]:
        """A customer of its own, who has opened the payment's page."""
        async with self.visitor(size, wallets=wallets, **options) as visit:
            await visit.open(payment, query)
            yield visit
