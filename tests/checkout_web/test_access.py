"""Everybody can use the page (WCAG 2.2 AA): every state, light and dark, on a phone, on a desktop, and zoomed in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import ViewportSize

from openpay.app.order import RequestedLine
from tests.checkout_web.watching import DESKTOP, PHONE, Gallery, open_gallery, violations

# One gallery and one browser for all tests here, so one event loop as well.
pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = {
    "description": "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen " + "x" * 120 + " قهوة",
    "line_items": (RequestedLine(name="W" * 90, quantity=1_000_000, amount="25.00"),),
    "success_url": "https://shop.example/",
    "cancel_url": "https://shop.example/",
}
"""The merchant's words at their worst."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gallery() -> AsyncIterator[Gallery]:
    async with open_gallery(**LONG) as opened:
        yield opened


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_axe_finds_nothing_wrong_in_any_state_light_or_dark(gallery: Gallery, size: ViewportSize) -> None:
    found: dict[str, list[str]] = {}
    async with gallery.page(size) as page:
        for exhibit in gallery.exhibits:
            await gallery.show(page, exhibit)
            if wrong := await violations(page):
                found[exhibit.name] = wrong
    assert found == {}
