"""Every language in a real browser: nothing is wider than the smallest telephone, and Arabic reads from the right."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import ViewportSize, expect

from checkout_web.content.view import Part
from checkout_web.words.language import LANGUAGES
from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.gallery import every_state
from tests.checkout_web.scenes import ORDER, Shop
from tests.support.browser import ON_A_PHONE

NARROW = ViewportSize(width=320, height=640)
MAIN_STATES = (
    Part.WAITING,
    Part.UNDERPAID,
    Part.CONFIRMING,
    Part.PAID,
    Part.EXPIRED_RECEIVED,
    "refund_claim",
    "refund_failed",
)


# Shows another document in the page's place: its stylesheet stays, and a hundred pages take a second.
_WIDER_THAN_THE_SCREEN = """async (addresses) => {
  const wide = [];
  for (const address of addresses) {
    const answer = await fetch(address);
    const shown = new DOMParser().parseFromString(await answer.text(), "text/html");
    const { lang, dir } = shown.documentElement;
    Object.assign(document.documentElement, { lang, dir });
    document.body.replaceChildren(...shown.body.childNodes);
    for (const part of document.querySelectorAll("details")) part.open = true;
    for (const part of document.querySelectorAll("[hidden]")) part.hidden = false;
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth > clientWidth) {
      const out = [...document.body.querySelectorAll("*")].filter((part) => {
        const box = part.getBoundingClientRect();
        return box.right > clientWidth + 0.5 || box.left < -0.5;
      });
      wide.push(`${address}: ${scrollWidth}, ${out.slice(-3).map((part) => part.outerHTML.slice(0, 120)).join(" | ")}`);
    }
  }
  return wide;
}"""


@pytest.mark.parametrize(
    "names", [MAIN_STATES, pytest.param((), marks=pytest.mark.nightly)], ids=["main states", "every state"]
)
async def test_no_language_is_wider_than_the_smallest_telephone(
    street: Street, shop: Shop, names: tuple[str, ...]
) -> None:
    exhibits = await every_state(shop, [str(name) for name in names], **ORDER, allow_retry=True)
    assert len(exhibits) > len(names)
    async with street.visit(exhibits[0].payment, size=NARROW, **ON_A_PHONE) as visit:
        for exhibit in exhibits:
            addresses = [exhibit.path_with(f"lang={code}") for code in LANGUAGES]
            with shop.clock.later(exhibit.behind_s):
                assert await visit.page.evaluate(_WIDER_THAN_THE_SCREEN, addresses) == []


async def test_arabic_is_mirrored_and_what_is_compared_by_eye_is_not(street: Street, shop: Shop) -> None:
    payment = await shop.create(**ORDER)
    async with street.visit(payment, locale="ar-EG") as visit:
        page = visit.page
        await expect(page.locator("html")).to_have_attribute("dir", "rtl")
        order, main = await page.locator(".order").bounding_box(), await page.locator("main").bounding_box()
        assert order is not None
        assert main is not None
        assert order["x"] > main["x"]
        address = page.locator("dd .hex").first
        assert await address.evaluate("element => getComputedStyle(element).direction") == "ltr"
        first, last = address.locator("span").first, address.locator("span").last
        starts, ends = await first.bounding_box(), await last.bounding_box()
        assert starts is not None
        assert ends is not None
        assert starts["x"] < ends["x"] or starts["y"] < ends["y"]
        clock = page.locator("[data-deadline]")
        assert await clock.evaluate("element => getComputedStyle(element).direction") == "ltr"
        # Latin digits, in the times that the browser writes as well.
        read = await page.locator("body").inner_text()
        assert not any(digit in read for digit in "٠١٢٣٤٥٦٧٨٩")


async def test_a_time_is_the_readers_own_as_the_country_writes_it(street: Street, shop: Shop) -> None:
    payment = await shop.create()  # until 13:30 UTC
    for locale, written in (("en-US", r"March 26 at 6:30\sAM"), ("en-GB", "26 March at 06:30")):
        async with street.visit(payment, locale=locale, timezone_id="America/Los_Angeles") as visit:
            await expect(visit.page.locator(".countdown time")).to_have_text(re.compile(written))


async def test_the_switch_works_without_scripts_and_scripts_keep_to_it(street: Street, shop: Shop) -> None:
    payment = await shop.create(**ORDER)
    async with street.visit(payment, java_script_enabled=False) as visit:
        await visit.page.get_by_role("link", name="Español").click()
        await visit.reads("Esperando tu pago")

    async with street.visit(payment, query="?lang=es") as visit:
        page = visit.page
        await page.get_by_role("link", name="BNB", exact=True).click()
        await expect(page.locator(".ask")).to_contain_text("BNB")
        await visit.reads("Esperando tu pago")
        await page.get_by_role("button", name="Copiar la dirección").click()
        await expect(page.locator("#announcer")).to_have_text("Copiado")
