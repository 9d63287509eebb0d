"""The page's words and looks: none is left over, and each says whose it is and what it is about."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from playwright.async_api import expect

import checkout_web
from checkout_web.words.catalogues import load_wordings
from checkout_web.words.language import LANGUAGES
from checkout_web.words.script_words import EMBED_WORDS, SCRIPT_WORDS
from tests.checkout_web.checkout_visits import Street
from tests.checkout_web.scenes import START, WHOLE, Shop

HOME = Path(checkout_web.__file__).parent
SOURCES = [*HOME.rglob("*.py"), *HOME.rglob("*.html"), *HOME.glob("static/*.js")]


def test_every_class_of_the_stylesheet_is_used() -> None:
    css = re.sub(r"/\*.*?\*/", "", (HOME / "static/checkout.css").read_text(), flags=re.DOTALL)
    selectors = re.sub(r"\{[^{}]*\}", "{}", css)
    classes = set(re.findall(r"\.([a-z][\w-]*)", selectors))
    used = "".join(path.read_text() for path in SOURCES)
    words = set(re.findall(r"[\w-]+", used)) | {f"mark-{kind}" for kind in ("good", "warn", "bad")}
    assert len(classes) > 50
    assert classes - words == set()


def test_every_word_of_the_scripts_is_said_by_one() -> None:
    scripts = "".join(path.read_text() for path in HOME.glob("static/*.js"))
    said = set(re.findall(r"[\"`]([a-z][a-z_]*)[\"`]", scripts))
    kinds = said | {f"wallet_{kind}" for kind in said} | {f"wallet_step_{kind}" for kind in said}
    assert set(SCRIPT_WORDS) - kinds == set()


async def test_the_embedded_script_speaks_every_language_of_the_catalogues(shop: Shop) -> None:
    async with TestClient(TestServer(shop.application())) as client:
        script = await (await client.get("/checkout/openpay.js")).text()
    for code, wording in load_wordings().items():
        checkout, close = (wording.gettext(text) for text in EMBED_WORDS)
        assert f'"{code}": ["{checkout}", "{close}"]' in script


async def test_error_pages_can_be_read_in_every_language(shop: Shop) -> None:
    payment = await shop.create()
    async with TestClient(TestServer(shop.application())) as client:
        for answer, at in (
            (await client.get("/checkout/pay_none"), "/checkout/pay_none"),
            (await client.post(f"/checkout/{payment.id}/cancel"), f"/checkout/{payment.id}"),
        ):
            html = await answer.text()
            assert answer.status in {403, 404}
            assert re.findall(r'<a href="([^"]+)\?qr=transfer&amp;lang=(\w+)"', html) == [
                (at, code) for code in LANGUAGES
            ]


async def test_a_merchants_name_in_the_title_cannot_turn_it_around(shop: Shop) -> None:
    payment = await shop.create()
    async with TestClient(TestServer(shop.application())) as client:

        async def title(lang: str) -> str:
            html = await (await client.get(f"/checkout/{payment.id}?lang={lang}")).text()
            (found,) = re.findall(r"<title>(.*)</title>", html)
            return str(found)

        assert (await title("ar")).endswith("– \u2068Blue Door Coffee\u2069")
        assert (await title("en")).endswith("– Blue Door Coffee")
    wordings, name = load_wordings(), "مقهى الباب"
    assert wordings["ar"].isolated(name) == name
    assert wordings["en"].isolated(name) == f"\u2068{name}\u2069"


async def test_two_refunds_in_one_token_have_fields_with_labels_of_their_own(shop: Shop) -> None:
    payment = await shop.create()
    first, second = shop.deposit(payment, 10 * WHOLE), shop.deposit(payment, 4 * WHOLE)
    second = replace(second, position=second.position + 1)
    await shop.mine(deposits=[replace(each, sender_nonce=9_000) for each in (first, second)])
    await shop.expire(payment)
    async with TestClient(TestServer(shop.application())) as client:
        html = await (await client.get(f"/checkout/{payment.id}")).text()
    labels = [re.sub(r"<[^>]+>", "", label) for label in re.findall(r"<label for=\"to-[^>]*>(.*?)</label>", html)]
    # And the way to the money stands before the farewell.
    assert html.index('id="refunds-heading"') < html.index("Contact <bdi>")
    assert sorted(labels) == [f"Your address on BNB Smart Chain for {sum_} USDT" for sum_ in ("10.00", "4.00")]


async def test_what_a_reorg_took_back_cannot_be_canceled_over(shop: Shop) -> None:
    payment = await shop.create()
    async with TestClient(TestServer(shop.application())) as client:
        assert "Cancel this payment" in await (await client.get(f"/checkout/{payment.id}")).text()
        await shop.retract(payment)
        assert "Cancel this payment" not in await (await client.get(f"/checkout/{payment.id}")).text()


@pytest.mark.parametrize(
    ("address", "option", "page", "expected"),
    [
        ("?lang=tr", "es", "vi", "tr"),
        pytest.param("", "pt-BR", "vi", "pt", marks=pytest.mark.nightly),
        pytest.param("", None, "zh-Hans-CN", "zh", marks=pytest.mark.nightly),
        ("", "constructor", "xx", None),
    ],
)
async def test_the_dialog_and_what_is_in_it_speak_one_language(
    street: Street, address: str, option: str | None, page: str, expected: str | None
) -> None:
    payment = await street.shop.create()
    async with street.visitor(locale="id-ID") as visit:
        await visit.page.goto(str(street.server.make_url("/checkout/pay_none")))
        await visit.page.evaluate("lang => { document.documentElement.lang = lang; }", page)
        await visit.page.add_script_tag(url=str(street.server.make_url("/checkout/openpay.js")))
        await visit.page.evaluate(
            "([url, lang]) => OpenPay.open(url, { lang })", [street.url(payment, address), option]
        )
        wording = load_wordings()[expected or "id"]
        checkout, close = (wording.gettext(text) for text in EMBED_WORDS)
        await expect(visit.page.get_by_role("dialog", name=checkout)).to_be_visible()
        await expect(visit.page.get_by_role("button", name=close)).to_be_visible()
        source = await visit.page.locator("iframe").get_attribute("src")
        assert source is not None
        assert re.findall(r"lang=(\w+)", source) == ([expected] if expected else [])


async def test_offline_is_said_only_of_the_customers_own_connection(street: Street, shop: Shop) -> None:
    payment = await shop.create()
    async with street.visit(payment) as visit:
        note = visit.page.locator("[data-offline]")
        await visit.page.context.set_offline(True)
        await expect(note).to_have_text(re.compile("You are offline."), use_inner_text=True)
        await expect(visit.page.locator("#announcer")).to_contain_text("You are offline.")
        await visit.page.context.set_offline(False)
        await expect(note).to_be_hidden()
    async with street.visitor() as visit:
        await visit.page.clock.install(time=START)
        await visit.page.route(re.compile(r"/(events|state)\?"), lambda route: route.abort())
        await visit.open(payment)
        note = visit.page.locator("[data-offline]")
        for _ in range(12):
            await visit.page.clock.run_for(5_000)
            await visit.page.wait_for_timeout(20)
        await expect(note).to_have_text(re.compile("This page’s server does not answer"), use_inner_text=True)
        await expect(note).not_to_have_text(re.compile("You are offline"), use_inner_text=True)
