"""What is on the page only for moments, or for some: accessible as well."""

from __future__ import annotations

import pytest

from checkout_web.content.answer import TOO_OFTEN, Answer
from checkout_web.content.reader import load, present_now
from checkout_web.content.view import Part
from checkout_web.deps import Deps
from checkout_web.drawing.pages import Pages
from checkout_web.words.language import ENGLISH, LANGUAGES, Language
from openpay.domain.finding import Finding
from openpay.domain.pasted import Form
from tests.checkout_web.watching import Gallery, violations
from tests.support.browser import DESKTOP, PHONE

pytestmark = pytest.mark.nightly

ARABIC = LANGUAGES["ar"]
MAIN_STATES = (Part.WAITING, Part.UNDERPAID, Part.CONFIRMING, Part.PAID, Part.EXPIRED_RECEIVED, "refund_claim")


async def every_answer(gallery: Gallery, language: Language) -> str:
    """All that can be answered to a pasted text, one after the other, each with all that it can tell."""
    shop, payment = gallery.shop, gallery[Part.WAITING].payment
    deps = Deps(db=shop.store, payments=shop.service, signals=shop.signals)
    async with shop.store.read() as uow:
        loaded = await load(deps, uow, payment.id)
    assert loaded is not None
    checkout, pages = present_now(deps, loaded), Pages()
    address = "0x52908400098527886E0F7030069857D2E4169EE7"
    told = {"token": "USDT", "amount": "25.00", "remaining": "15.00", "confirmations": 4, "digits": 62}
    addresses = {"contract": address, "sent_to": address, "other_network": "Ethereum", "text": "0x" + "ab" * 32}
    return "".join(
        pages.answer(checkout, Answer(kind=kind, **told, **addresses, **told_of_it), language=language)
        for kind in (*Finding, *Form, TOO_OFTEN)
        for told_of_it in (
            {"is_pending": False, "may_be_internal": False, "has_prefix": True, "is_our_address": False},
            {"is_pending": True, "may_be_internal": True, "has_prefix": False, "is_our_address": True},
        )
    )


@pytest.mark.parametrize("language", [ENGLISH, ARABIC], ids=lambda language: language.code)
async def test_axe_finds_nothing_wrong_with_any_answer_to_a_pasted_text(gallery: Gallery, language: Language) -> None:
    answers = await every_answer(gallery, language)
    async with gallery.page(PHONE) as page:
        await gallery.show(page, gallery[Part.WAITING], language=language.code)
        await page.evaluate(
            """(answers) => {
              document.querySelector("[data-lookup]").open = true;
              document.querySelector("[data-lookup-answer]").innerHTML = answers;
            }""",
            answers,
        )
        assert await page.locator("[data-found]").count() == 2 * len([*Finding, *Form, TOO_OFTEN])
        assert await violations(page) == []
        await page.set_viewport_size({"width": 320, "height": 640})
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize("name", [Part.PAID, Part.OVERPAID])
async def test_axe_finds_nothing_wrong_with_the_receipt_on_paper(gallery: Gallery, name: Part) -> None:
    async with gallery.page(DESKTOP) as page:
        await gallery.show(page, gallery[name])
        await page.emulate_media(media="print")
        await page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert await violations(page) == []


async def test_axe_finds_nothing_wrong_from_right_to_left(gallery: Gallery) -> None:
    found: dict[str, list[str]] = {}
    async with gallery.page(PHONE) as page:
        for name in MAIN_STATES:
            await gallery.show(page, gallery[name], language=ARABIC.code)
            if wrong := await violations(page):
                found[name] = wrong
    assert found == {}
