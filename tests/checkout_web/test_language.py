"""Which language the page speaks, and that it speaks it wholly."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from gettext import NullTranslations
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

import checkout_web
from checkout_web.content.view import Part
from checkout_web.words.catalogues import load_wordings
from checkout_web.words.language import ENGLISH, LANGUAGES, Language, choose_language
from checkout_web.words.script_words import SCRIPT_WORDS
from checkout_web.words.wording import Wording
from scripts.translating.catalogue import extract, faults, read
from tests.checkout_web.gallery import every_state
from tests.checkout_web.scenes import ORDER, Shop

Client = TestClient[Request, Application]

STATIC = Path(checkout_web.__file__).parent / "static"
TRANSLATED = [language for language in LANGUAGES.values() if language != ENGLISH]
WORDINGS = load_wordings()


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[Client]:
    async with TestClient(TestServer(shop.application())) as opened:
        yield opened


# --- the catalogues ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", TRANSLATED, ids=lambda language: language.code)
def test_every_marked_text_is_translated_with_its_values_and_tags(language: Language) -> None:
    assert list(faults(language, read(language), extract())) == []


def test_a_translation_that_loses_a_value_or_a_tag_is_found() -> None:
    language = LANGUAGES["es"]
    template, catalogue = extract(), read(language)
    for text, broken, fault in (
        ("Return to %(merchant)s", "Volver", "other placeholders"),
        ("Nothing was paid. <strong>Do not send anything to this payment’s address any more.</strong>", "N", "tags"),
        ("Copy", 'Copiar "', "straight quotation mark"),
        ("Transaction", "", "not translated"),
    ):
        message = catalogue.get(text)
        assert message is not None
        kept, message.string = message.string, broken
        assert any(fault in line for line in faults(language, catalogue, template)), text
        message.string = kept
    assert list(faults(language, catalogue, template)) == []


def test_arabic_has_six_forms_and_languages_without_plurals_one() -> None:
    forms = {language.code: read(language).num_plurals for language in TRANSLATED}
    assert forms == {"es": 2, "pt": 2, "tr": 1, "vi": 1, "id": 1, "zh": 1, "ar": 6}
    words = WORDINGS["ar"].script_words(SCRIPT_WORDS)["minutes_left"]
    assert set(words) == {"zero", "one", "two", "few", "many", "other"}
    assert isinstance(words, dict)
    assert (words["few"], words["many"]) == ("بقيت %(n)s دقائق للدفع", "بقيت %(n)s دقيقة للدفع")


# --- nothing is said in English alone ----------------------------------------------------------------------------


class Foreign(NullTranslations):
    """A language in which no letter of English is left: what still reads English was never marked."""

    def gettext(self, message: str) -> str:
        pieces = re.split(r"(%\(\w+\)s|</?\w+[^>]*>|%%)", message)
        return "".join(piece if number % 2 else re.sub(r"[A-Za-z]", "字", piece) for number, piece in enumerate(pieces))

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


# What has no language, or is the merchant's or the network's own word.
_NAMED = re.compile(
    r"<span class=\"mono hex\".*?</span></span>|<nav class=\"languages\".*?</nav>"
    r"|<bdi.*?</bdi>|<(time|svg|style)\b.*?</\1>|<p class=\"description\".*?</p>"
    r"|<(\w+)[^>]*\btranslate=\"no\"[^>]*>.*?</\2>|<span class=\"figure\".*?</span>",
    re.DOTALL,
)
_NAMES = re.compile(
    r"\b(?:BNB Smart Chain|USDT|USDC|BNB|USD|BSC|MetaMask|Trust Wallet|Binance|OKX|Open Pay|QR|0x…|UTC|pay_\w+)\b"
)
_SPOKEN = re.compile(r"\b(?:aria-label|alt|title|placeholder|content)=\"([^\"]*)\"")
_SILENT = re.compile(r"<meta\b[^>]*>|<script\b.*?</script>|<link\b[^>]*>", re.DOTALL)


def english_left(html: str, names: tuple[str, ...] = ()) -> set[str]:
    """Words of three letters and more that a reader would see or hear."""
    html = _NAMED.sub(" ", _SILENT.sub(" ", html))
    spoken = " ".join(_SPOKEN.findall(html))
    text = _NAMES.sub(" ", re.sub(r"<[^>]*>", " ", html) + " " + spoken)
    for name in names:
        text = text.replace(name, " ")
    return set(re.findall(r"[A-Za-z]{3,}", text))


async def test_no_state_says_anything_that_is_not_marked_for_translation(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = {code: Wording(language, Foreign()) for code, language in LANGUAGES.items()}
    monkeypatch.setattr("checkout_web.drawing.pages.load_wordings", lambda: foreign)
    names = (shop.merchant.name, shop.service.chains[False].name, shop.service.chains[True].name)
    order = ORDER | {"line_items": (), "description": None}
    async with TestClient(TestServer(shop.application())) as client:
        for exhibit in await every_state(shop, **order):
            with shop.clock.later(exhibit.behind_s):
                answer = await client.get(exhibit.path, headers={"Accept": "text/html"})
            assert answer.status == 200
            left = english_left(await answer.text(), names)
            assert not left, f"{exhibit.name}: {sorted(left)}"
        for path in ("/checkout/pay_AAAAAAAAAAAAAAAAAAAAAAAA", "/checkout/no"):
            answer = await client.get(path, headers={"Accept": "text/html"})
            assert answer.status == 404
            assert not english_left(await answer.text(), names)


def test_a_text_that_is_not_marked_is_found() -> None:
    assert english_left('<p>字字 <b>Pay now</b> <a aria-label="Close">字</a></p>') == {"Pay", "now", "Close"}


# They run in the shop's own page, and speak to whoever builds it.
_FOR_PROGRAMMERS = {"openpay.js", "frame.js"}
_SENTENCE = re.compile(r"([\"'`])(?:[A-Z][a-z]+ [a-z][^\"'`$]*)\1")


@pytest.mark.parametrize(
    "script",
    sorted(set(STATIC.glob("*.js")) - {STATIC / name for name in _FOR_PROGRAMMERS}),
    ids=lambda path: path.name,
)
def test_scripts_have_no_texts_of_their_own(script: Path) -> None:
    code = re.sub(r"^\s*//.*$", "", script.read_text(), flags=re.MULTILINE)
    assert not _SENTENCE.search(code)
    unknown = set(re.findall(r"\bsay\(\s*\"(\w+)\"", code)) - SCRIPT_WORDS.keys()
    assert not unknown


# --- which language ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "header", "code"),
    [
        ({}, "", "en"),
        ({}, "es", "es"),
        ({}, "es-419,es;q=0.9,en;q=0.8", "es"),
        ({}, "pt-PT", "pt"),
        ({}, "zh-TW, zh;q=0.9", "zh"),
        ({}, "in-ID", "id"),
        ({}, "AR-eg", "ar"),
        ({}, "fr, de;q=0.9, tr;q=0.2", "tr"),
        ({}, "en;q=0.5, vi;q=0.9", "vi"),
        ({}, "vi;q=0, es;q=0.1", "es"),
        ({}, "fr-FR, fr", "en"),
        ({}, "*", "en"),
        ({"lang": "ar"}, "es", "ar"),
        ({"lang": "xx"}, "es", "es"),
        ({"lang": "../../etc/passwd"}, "", "en"),
        ({"lang": "ES"}, "tr", "tr"),
        ({"lang": ""}, "tr", "tr"),
    ],
)
def test_the_address_chooses_before_the_browser(query: dict[str, str], header: str, code: str) -> None:
    language, asked = choose_language(query, header)
    assert language.code == code
    assert asked == (query["lang"] if query.get("lang") in LANGUAGES else None)


@pytest.mark.parametrize(
    "header",
    [
        "es;q=nan",
        "es;q=99999999999999999999",
        "es;q=-1",
        ";;;,,,===",
        "\x00\x01es",
        "../../es",
        "es_ES",
        "," * 100_000,
        "x" * 1_000_000,
        "<script>",
    ],
)
def test_a_hostile_header_is_answered_in_english(header: str) -> None:
    assert choose_language({}, header) == (ENGLISH, None)


# --- on the page -------------------------------------------------------------------------------------------------


async def test_the_document_says_its_language_and_that_it_depends_on_the_header(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    answer = await client.get(f"/checkout/{payment.id}", headers={"Accept-Language": "ar-EG,ar;q=0.9"})
    assert '<html lang="ar" dir="rtl"' in await answer.text()
    assert answer.headers["Content-Language"] == "ar"
    assert "Accept-Language" in answer.headers["Vary"]


async def test_error_pages_and_notices_are_said_in_the_customers_language(shop: Shop, client: Client) -> None:
    missing = await client.get("/checkout/nothing?lang=es", headers={"Accept": "text/html"})
    assert missing.status == 404
    assert "Este pago no existe" in await missing.text()
    payment = await shop.scene(Part.PAID)
    refused = await client.post(
        f"/checkout/{payment.id}/cancel?lang=es", headers={"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    )
    assert refused.status == 409
    assert "Este pago ya no se puede cancelar." in await refused.text()


async def test_a_chosen_language_goes_along_with_every_link_and_form(shop: Shop, client: Client) -> None:
    payment = await shop.create(**ORDER)
    html = await (await client.get(f"/checkout/{payment.id}?lang=tr")).text()
    outside = re.sub(r"<nav class=\"languages\".*?</nav>", "", html, flags=re.DOTALL)
    addresses = re.findall(r"(?:href|action)=\"(/checkout/pay_[^\"]*)\"", outside)
    assert len(addresses) > 5
    assert [address for address in addresses if "lang=tr" not in address] == []
    assert "lang=tr" in re.findall(r"http-equiv=\"refresh\" content=\"([^\"]*)\"", html)[0]


async def test_the_switch_keeps_what_was_chosen_and_names_each_language_in_itself(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    html = await (await client.get(f"/checkout/{payment.id}?token=BNB&qr=address")).text()
    switch = re.findall(r"<nav class=\"languages\".*?</nav>", html, flags=re.DOTALL)[0]
    for language in LANGUAGES.values():
        assert f"token=BNB&amp;qr=address&amp;lang={language.code}" in switch
        assert f">{language.name}</a>" in switch
    assert switch.count('aria-current="true"') == 1


async def test_a_browsers_own_language_needs_no_trace_in_the_addresses(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    html = await (await client.get(f"/checkout/{payment.id}", headers={"Accept-Language": "tr"})).text()
    assert "Ödemeniz bekleniyor" in html
    assert html.count("lang=tr") == 1  # in the switch


async def test_the_moving_part_has_another_tag_in_another_language(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    state = f"/checkout/{payment.id}/state"
    english, spanish = [await (await client.get(state + query)).json() for query in ("", "?lang=es")]
    assert english["tag"] != spanish["tag"]
    assert "Esperando tu pago" in spanish["html"]
    assert spanish["title"] == "Esperando tu pago"
    same = await client.get(state + "?lang=es", headers={"If-None-Match": f'"{english["tag"]}"'})
    assert same.status == 200


async def test_the_stream_speaks_the_language_of_its_address(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    async with client.get(f"/checkout/{payment.id}/events?lang=vi") as stream:
        async for line in stream.content:
            if line.startswith(b"data: {"):
                assert json.loads(line[6:])["title"] == "Đang chờ bạn thanh toán"
                break


async def test_a_retry_leads_to_the_new_page_in_the_same_language(shop: Shop, client: Client) -> None:
    payment = await shop.scene(Part.EXPIRED, allow_retry=True)
    answer = await client.post(
        f"/checkout/{payment.id}/retry?lang=pt", headers={"Sec-Fetch-Site": "same-origin"}, allow_redirects=False
    )
    assert answer.status == 303
    assert answer.headers["Location"].endswith("?lang=pt")


# --- figures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "figure", "money"),
    [
        ("en", "1234.500000", "1,234,567.80"),
        ("es", "1234,500000", "1.234.567,80"),
        ("pt", "1234,500000", "1.234.567,80"),
        ("tr", "1234,500000", "1.234.567,80"),
        ("zh", "1234.500000", "1,234,567.80"),
        ("ar", "1234.500000", "1,234,567.80"),
    ],
)
def test_figures_are_written_as_the_language_writes_them_and_lose_no_digit(code: str, figure: str, money: str) -> None:
    assert WORDINGS[code].figure("1234.500000") == figure
    assert WORDINGS[code].money("1234567.80") == money
    digits = re.sub(r"\D", "", WORDINGS[code].figure("79228162514264337593543.950335123456789012"))
    assert digits == "79228162514264337593543950335123456789012"


async def test_what_is_copied_is_the_plain_figure_in_every_language(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    for code in LANGUAGES:
        html = await (await client.get(f"/checkout/{payment.id}?lang={code}")).text()
        assert 'data-copy="25.00"' in html or 'data-copy="25"' in html, code
        assert not re.search(r"[٠-٩۰-۹]", html)


def test_waits_dates_and_lists_are_said_as_the_language_says_them() -> None:
    assert [WORDINGS["ar"].roughly(minutes * 60) for minutes in (2, 5, 11)] == [
        "نحو دقيقتين",
        "نحو 5 دقائق",
        "نحو 11 دقيقة",
    ]
    assert WORDINGS["en"].utc(1_774_531_800) == "26 March 2026, 13:30 UTC"
    assert WORDINGS["es"].utc(1_774_531_800) == "26 de marzo de 2026, 13:30 UTC"
    assert WORDINGS["zh"].joined(["USDT", "<BNB>"]) == "USDT和&lt;BNB&gt;"


async def test_a_translation_cannot_end_the_block_of_the_scripts_words(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another English: templates are compiled once for each wording, with its words.
    english = {"en": Wording(ENGLISH, NullTranslations())}
    monkeypatch.setattr("checkout_web.drawing.pages.load_wordings", lambda: english)
    monkeypatch.setattr("checkout_web.drawing.pages.SCRIPT_WORDS", {"copy": "</script><b>x"})
    payment = await shop.create()
    async with TestClient(TestServer(shop.application())) as client:
        html = await (await client.get(f"/checkout/{payment.id}")).text()
    block = re.findall(r'<script type="application/json" id="words">(.*?)</script>', html)[0]
    assert json.loads(block) == {"copy": "</script><b>x"}


@pytest.mark.parametrize("code", list(LANGUAGES))
def test_no_figure_can_be_taken_for_a_thousand_times_as_much(code: str) -> None:
    """A mark and three digits group thousands somewhere, even for other readers of the same language."""
    for amount in ("25.125", "0.125", "1.000"):
        assert not re.fullmatch(r"\d+\D\d{3}", WORDINGS[code].figure(amount))
        assert not re.fullmatch(r"\d+\D\d{3}", WORDINGS[code].money(amount))
