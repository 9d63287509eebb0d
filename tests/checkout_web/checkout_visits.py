"""Customers with wallets at the pages of a made-up shop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp.test_utils import BaseTestServer
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, ViewportSize, expect

from openpay.domain.payment import Payment
from tests.checkout_web.scenes import Shop
from tests.support.provider import PageWallet, give_wallets

DESKTOP = ViewportSize(width=1280, height=900)


@dataclass(kw_only=True)
class Visit:
    """A page in a browser with wallets, and what it complained about."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    @property
    def section(self) -> Locator:
        return self.page.locator("[data-wallet]")

    async def press(self, name: str) -> None:
        await self.section.get_by_role("button", name=name).first.click()

    async def says(self, text: str) -> None:
        """Wait until the wallet section contains the text."""
        await expect(self.section).to_contain_text(text)


@dataclass(frozen=True, kw_only=True)
class Street:
    """The shop, its server, and the browser that visitors come with."""

    shop: Shop
    server: BaseTestServer
    browser: Browser

    def url(self, payment: Payment, query: str = "") -> str:
        return str(self.server.make_url(f"/checkout/{payment.id}")) + query

    @asynccontextmanager
    async def visit(
        self, payment: Payment, *wallets: PageWallet, query: str = "", size: ViewportSize = DESKTOP, **options: Any
    ) -> AsyncIterator[Visit]:
        """A customer of its own, who has opened the payment's page."""
        context = await self.browser.new_context(viewport=size, locale="en-GB", timezone_id="UTC", **options)
        try:
            await give_wallets(context, wallets)
            visit = Visit(page=await context.new_page())
            await visit.page.goto(self.url(payment, query))
            yield visit
        finally:
            await context.close()
