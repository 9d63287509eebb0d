"""What stands on the first screen, on a phone and on a desktop, with scripts and without."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, expect

from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.scenes import ORDER
from tests.support.browser import DESKTOP, ON_A_PHONE, PHONE


async def bottom(part: Locator) -> float:
    box = await part.bounding_box()
    assert box is not None
    return box["y"] + box["height"]


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize("livemode", [pytest.param(True, marks=pytest.mark.nightly), False], ids=["live", "test mode"])
async def test_a_phones_first_screen_holds_token_amount_and_qr_code(
    street: Street, scripts: bool, livemode: bool
) -> None:
    payment = await street.shop.create(**ORDER, livemode=livemode)
    async with street.visit(payment, size=PHONE, java_script_enabled=scripts, **ON_A_PHONE) as visit:
        page = visit.page
        for part in (page.locator(".choices"), page.locator(".ask"), page.locator(".qr")):
            assert await bottom(part) <= PHONE["height"]
        lines = page.locator(".lines:visible")
        await expect(lines).to_have_text("2 items", use_inner_text=True)
        await lines.locator("summary").click()
        await expect(lines).to_contain_text("Delivery to your door", use_inner_text=True)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_a_desktop_shows_a_short_order_unfolded_and_once(street: Street, scripts: bool) -> None:
    payment = await street.shop.create(**ORDER)
    async with street.visit(payment, size=DESKTOP, java_script_enabled=scripts) as visit:
        await expect(visit.page.get_by_text("Delivery to your door").locator("visible=true")).to_have_count(1)
        await expect(visit.page.get_by_text("2 items")).to_be_hidden()


async def test_paper_shows_the_whole_order_without_any_script(street: Street) -> None:
    payment = await street.shop.create(**ORDER)
    async with street.visit(payment, size=PHONE, java_script_enabled=False) as visit:
        await visit.page.emulate_media(media="print")
        await expect(visit.page.get_by_text("Delivery to your door").locator("visible=true")).to_have_count(1)
        await expect(visit.page.locator("h1")).to_have_text("Blue Door Coffee", use_inner_text=True)


async def test_the_longest_amount_and_its_token_stand_on_one_line_of_a_desktop(street: Street) -> None:
    payment = await street.shop.create(amount="99999.99")
    async with street.visit(payment, size=DESKTOP, query="?token=BNB") as visit:
        ask = visit.page.locator(".ask")
        await expect(ask).to_contain_text("BNB")
        assert await ask.evaluate(
            "e => e.getBoundingClientRect().height < 2 * parseFloat(getComputedStyle(e).fontSize)"
        )


async def test_wallets_known_by_name_stand_before_any_other(street: Street) -> None:
    payment = await street.shop.create()
    async with street.visit(payment, size=PHONE, **ON_A_PHONE) as visit:
        links = visit.page.locator(".apps a:visible")
        assert await links.all_inner_texts() == ["Open in Trust Wallet", "Open in MetaMask", "Open in a wallet app"]
    async with street.visit(payment, size=DESKTOP) as visit:
        await expect(visit.page.locator(".apps")).to_be_hidden()


async def test_without_scripts_what_was_found_is_seen_at_once(street: Street) -> None:
    payment = await street.shop.create(**ORDER)
    async with street.visit(payment, size=PHONE, java_script_enabled=False) as visit:
        page = visit.page
        await page.get_by_text("I already paid").click()
        await page.get_by_label("The transaction’s hash").fill("hello")
        await page.get_by_role("button", name="Look for it").click()
        await expect(page.locator("[data-found]")).to_be_in_viewport()
