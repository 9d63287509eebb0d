"""Everybody can use the page (WCAG 2.2 AA): every state, light and dark, on a phone, on a desktop, and zoomed in."""

from __future__ import annotations

from tests.checkout_web.watching import Gallery, violations
from tests.support.browser import DESKTOP, PHONE


async def test_axe_finds_nothing_wrong_in_any_state_on_phone_or_desktop_light_or_dark(gallery: Gallery) -> None:
    found: dict[str, list[str]] = {}
    async with gallery.page(PHONE) as page:
        for exhibit in gallery.exhibits:
            await gallery.show(page, exhibit)
            if wrong := await violations(page, PHONE, DESKTOP):
                found[exhibit.name] = wrong
    assert found == {}
