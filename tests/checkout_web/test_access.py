"""Everybody can use the page (WCAG 2.2 AA): every state, light and dark, on a phone and on a desktop, by its name."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from checkout_web.content.view import Part
from checkout_web.words.language import LANGUAGES
from openpay.app.merchants import change_page
from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.scenes import ORDER, Shop
from tests.checkout_web.watching import Gallery, unfold, violations
from tests.support.browser import DESKTOP, ON_A_PHONE, PHONE
from tests.support.pictures import picture


async def test_axe_finds_nothing_wrong_in_any_state_on_phone_or_desktop_light_or_dark(gallery: Gallery) -> None:
    found: dict[str, list[str]] = {}
    for size, options in ((PHONE, ON_A_PHONE), (DESKTOP, {})):
        async with gallery.page(size, **options) as page:
            for exhibit in gallery.exhibits:
                await gallery.show(page, exhibit)
                await unfold(page)
                found[f"{exhibit.name} at {size['width']}"] = await violations(page)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


async def test_axe_finds_nothing_wrong_with_a_merchants_own_look_and_a_test_payment(street: Street, shop: Shop) -> None:
    async with shop.store.write() as uow:
        await change_page(uow, shop.merchant.id, accent="#d9480f", logo=picture("PNG"))
    payment = await shop.create(**ORDER, livemode=False)
    async with street.visit(payment) as visit:
        await expect(visit.page.locator("header img")).to_be_visible()
        assert await violations(visit.page, PHONE, DESKTOP) == []


async def test_axe_finds_nothing_wrong_with_the_lines_of_a_lost_connection(gallery: Gallery) -> None:
    async with gallery.page(PHONE) as page:
        await gallery.show(page, gallery[Part.WAITING])
        await page.context.set_offline(True)
        line = page.locator("[data-lost=network]")
        await line.wait_for()
        await page.evaluate("document.querySelector('[data-lost=server]').hidden = false")  # both at once
        assert await violations(page, PHONE, DESKTOP) == []


# Reads the documents without showing them: a hundred take a second.
READ = """async (addresses) => {
  const read = [];
  for (const address of addresses) {
    const answer = await fetch(address);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const foreign = [...page.querySelectorAll(".languages a")];
    read.push({
      title: page.title,
      heading: page.querySelector("h2").textContent.trim(),
      lang: page.documentElement.lang,
      dir: page.documentElement.dir,
      tag: answer.headers.get("Content-Language"),
      links: foreign.map((link) => [link.textContent, link.lang, link.hreflang, link.dir]),
      isolated: page.querySelector("h1 bdi").textContent,
      description: page.querySelector(".description").dir,
      exact: [...page.querySelectorAll(".mono:not(input)")].every((part) => part.closest("[translate=no]") !== null),
    });
  }
  return read;
}"""


@pytest.mark.parametrize(
    "code", [code if code in {"es", "ar"} else pytest.param(code, marks=pytest.mark.nightly) for code in LANGUAGES]
)
async def test_each_state_has_a_title_of_its_own_and_says_which_language_it_and_its_parts_are_in(
    gallery: Gallery, code: str
) -> None:
    language = LANGUAGES[code]
    links = [[language.name, language.tag, language.tag, language.direction] for language in LANGUAGES.values()]
    async with gallery.page() as page:
        await gallery.show(page, gallery[Part.WAITING])
        addresses = [exhibit.path_with(f"lang={code}") for exhibit in gallery.exhibits]
        for exhibit, read in zip(gallery.exhibits, await page.evaluate(READ, addresses), strict=True):
            name = f"{exhibit.name} in {code}"
            title = read["title"].replace("\u2068", "").replace("\u2069", "")
            assert title == f"{read['heading']} – Blue Door Coffee", name
            assert (read["lang"], read["dir"], read["tag"]) == (language.tag, language.direction, language.tag)
            assert read["links"] == links, name
            assert read["isolated"] == "Blue Door Coffee"
            assert read["description"] == "auto"
            assert read["exact"], f"{name}: a number, an address or a hash that a browser would translate"


async def test_states_differ_in_their_titles(gallery: Gallery) -> None:
    """A tab among others tells how it stands. Paid is paid, with or without too much."""
    parts = [part for part in Part if part is not Part.OVERPAID]
    async with gallery.page() as page:
        await gallery.show(page, gallery[Part.WAITING])
        titles = [read["title"] for read in await page.evaluate(READ, [gallery[part].path for part in parts])]
        assert len(set(titles)) == len(parts)
