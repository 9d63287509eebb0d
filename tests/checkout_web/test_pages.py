"""The page over HTTP: every state, its headers, and what is done with what customers and merchants send."""

from __future__ import annotations

import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from sqlalchemy import delete

from checkout_web.content.view import Part
from checkout_web.drawing.pages import RETURN_AFTER_S
from openpay.app.merchants import create_merchant
from openpay.app.order import RequestedLine
from openpay.domain.payment import Payment, Status
from openpay.store.tables import cursors
from tests.checkout_web.scenes import ORDER, START, WHOLE, Shop

Client = TestClient[web.Request, web.Application]

BROWSER = {"Accept": "text/html,*/*;q=0.8", "User-Agent": "Mozilla/5.0", "Sec-Fetch-Mode": "navigate"}
OWN_FORM = BROWSER | {"Sec-Fetch-Site": "same-origin"}

HEADINGS = {
    Part.WAITING: "Waiting for your payment",
    Part.UNDERPAID: "Part of it has arrived",
    Part.CLOSING: "Time is up",
    Part.CONFIRMING: "Payment found",
    Part.CONFIRMING_REVERTED: "Your transaction failed on the network",
    Part.PAID: "Paid. Thank you!",
    Part.OVERPAID: "5.00</span> USDT</bdi> more than was asked for",
    Part.REVERSED: "This payment needs a closer look",
    Part.FAILED_REVERTED: "The payment failed",
    Part.FAILED_REFUSED: "The payment could not be accepted",
    Part.EXPIRED: "This payment has expired",
    Part.EXPIRED_RECEIVED: "Expired before the full amount arrived",
    Part.LATE: "Your money arrived too late",
    Part.CANCELED: "This payment was canceled",
}


async def page(client: Client, payment: Payment, query: str = "", **headers: str) -> str:
    answer = await client.get(f"/checkout/{payment.id}{query}", headers=BROWSER | headers)
    assert answer.status == 200
    return await answer.text()


# --- states ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", list(Part))
async def test_each_state_has_its_own_words(shop: Shop, client: Client, part: Part) -> None:
    html = await page(client, await shop.scene(part, **ORDER))
    assert f'data-part="{part}"' in html
    assert HEADINGS[part] in html


@pytest.mark.parametrize("part", [part for part in Part if part not in {Part.WAITING, Part.UNDERPAID}])
async def test_no_address_to_pay_is_shown_once_nothing_should_be_sent(shop: Shop, client: Client, part: Part) -> None:
    html = await page(client, await shop.scene(part, **ORDER))
    assert "ethereum:" not in html
    assert "To this address" not in html
    assert 'class="qr"' not in html


@pytest.mark.parametrize("part", [Part.EXPIRED_RECEIVED, Part.LATE, Part.FAILED_REFUSED, Part.REVERSED])
async def test_money_that_did_not_pay_is_accounted_for(shop: Shop, client: Client, part: Part) -> None:
    payment = await shop.scene(part)
    html = await page(client, payment)
    assert "Contact <bdi>Blue Door Coffee</bdi>" in html
    assert html.count(payment.id) > 2


async def test_waiting_shows_amount_address_network_contract_and_deadline(shop: Shop, client: Client) -> None:
    html = await page(client, await shop.create())
    text = re.sub(r"<[^>]+>", "", html)
    assert "25.00 USDT" in text
    assert "0x55d398326f99059fF775485246999027B3197955" in text
    assert "BNB Smart Chain / BEP20 / BSC (chain 56)" in text
    assert "26 March 2026, 13:30 UTC" in text
    assert 'datetime="2026-03-26T13:30:00Z"' in html


async def test_the_token_is_chosen_by_the_query(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    html = await page(client, payment, "?token=USDC")
    assert "0x8AC76a51cc950d9822D68b83fE1Ad97B32Cd580d" in re.sub(r"<[^>]+>", "", html)
    assert re.search(r'id="token-USDC"[^>]* aria-current="true"', html)
    assert "None: BNB is the network’s own coin" in await page(client, payment, "?token=BNB")


async def test_the_qr_code_is_chosen_by_the_query_and_keeps_the_token(shop: Shop, client: Client) -> None:
    html = await page(client, await shop.create(), "?token=USDC&qr=address")
    assert 'aria-label="QR code with the address only"' in html
    assert "token=USDC&amp;qr=transfer" in html


async def test_a_single_token_is_not_a_choice(shop: Shop, client: Client) -> None:
    assert "choices" not in await page(client, await shop.create(accepted_tokens=("USDT",)))


async def test_underpaid_in_another_token_leads_back_to_the_one_begun_with(shop: Shop, client: Client) -> None:
    html = await page(client, await shop.scene(Part.UNDERPAID), "?token=USDC")
    assert "Different tokens cannot be added together" in html
    assert "In USDC the whole amount is still due" in html
    assert 'id="better-token"' in html


async def test_whoever_is_new_to_this_is_told_how_to_pay_behind_a_line_of_its_own(shop: Shop, client: Client) -> None:
    html = await page(client, await shop.create())
    (told,) = re.findall(r'<details class="more first-time">(.*?)</details>', html, re.DOTALL)
    words = re.sub(r"<[^>]+>", "", told)
    assert "New to this? How to pay" in words
    assert "enter exactly 25.00 USDT, and choose BNB Smart Chain / BEP20 / BSC as the network" in words
    assert "first-time" not in await page(client, await shop.scene(Part.UNDERPAID))


@pytest.mark.parametrize("part", [Part.WAITING, Part.UNDERPAID, Part.CLOSING, Part.CONFIRMING])
async def test_only_a_page_that_asks_for_money_says_what_sending_it_now_means_for_one_behind(
    shop: Shop, client: Client, part: Part
) -> None:
    payment = await shop.scene(part)
    shop.clock.seconds += 400 if part is Part.CLOSING else 60
    html = await page(client, payment)
    assert "Catching up with the network: about" in html
    assert ("What you send may show up here later" in html) is (part in {Part.WAITING, Part.UNDERPAID})


async def test_a_page_behind_the_network_says_so(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    assert "catching up" not in await page(client, payment)
    shop.clock.seconds += 60
    assert "Catching up with the network: about 60 seconds behind." in await page(client, payment)
    for ahead_s, words in ((240, "about 5 minutes"), (9_900, "about 3 hours"), (300_000, "about 4 days")):
        shop.clock.seconds += ahead_s
        assert f"Catching up with the network: {words} behind." in await page(client, payment)


async def test_a_page_before_the_first_block_says_so(shop: Shop, client: Client) -> None:
    async with shop.store.write() as uow:
        await uow.connection.execute(delete(cursors))
    assert "<strong>Catching up with the network.</strong>" in await page(client, await shop.create())


async def test_time_that_runs_out_while_the_view_lags_is_no_expiry(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    shop.clock.seconds = payment.deadline + 3_600
    html = await page(client, payment)
    assert "Catching up with the network" in html
    assert "If you have sent your payment in time, it still counts" in html
    assert "as soon as it has caught up with the network" in html
    assert "expired" not in html.lower()
    assert (await shop.get(payment)).status is Status.PENDING


async def test_money_sent_in_time_counts_however_late_it_is_seen(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    in_time = shop.clock.seconds + 60
    shop.clock.seconds = payment.deadline + 3_600
    await shop.mine_at(in_time, payment)
    html = await page(client, payment)
    assert "Payment found" in html
    assert "They go on counting as this page catches up" in html
    assert "seconds left" not in html


async def test_a_lagging_view_does_not_matter_to_a_payment_that_ended(shop: Shop, client: Client) -> None:
    payment = await shop.scene(Part.PAID)
    shop.clock.seconds += 600
    assert "catching up" not in await page(client, payment)


async def test_test_mode_is_marked(shop: Shop, client: Client) -> None:
    assert "Test mode" in await page(client, await shop.create(livemode=False))
    assert "Test mode" not in await page(client, await shop.create())


async def test_a_waiting_page_reloads_itself_without_javascript_unless_told_to_stay(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    html = await page(client, payment, "?token=BNB")
    assert f'<noscript><meta http-equiv="refresh" content="15;url=/checkout/{payment.id}?token=BNB&amp;' in html
    assert "http-equiv" not in await page(client, payment, "?stay=1")


async def test_the_success_page_goes_on_to_the_merchant(shop: Shop, client: Client) -> None:
    payment = await shop.scene(Part.PAID, **ORDER)
    url = f"https://shop.example/thanks?payment={payment.id}"
    html = await page(client, payment)
    assert f'<meta http-equiv="refresh" content="{RETURN_AFTER_S};url={url}">' in html
    assert f'href="{url}"' in html
    (line,) = re.findall(r'<p class="quiet without-scripts">(.*?)</p>', html)
    assert line.startswith("You will be taken back in 8 seconds. <a href=")
    assert "stay=1" in line
    assert html.index(line) < html.index('id="state-heading"')  # a receipt is longer than a screen
    assert "reloads by itself" not in html
    stayed = await page(client, payment, "?stay=1")
    assert "http-equiv" not in stayed
    assert "without-scripts" not in stayed
    assert f'href="{url}"' in stayed


async def test_an_ended_page_does_not_reload(shop: Shop, client: Client) -> None:
    assert "http-equiv" not in await page(client, await shop.scene(Part.EXPIRED))
    assert "http-equiv" not in await page(client, await shop.scene(Part.PAID))


@pytest.mark.parametrize(
    "path", ["pay_000000000000000000000000", "pay_short", "x", "%00", "..%2f..%2fetc", "pay_" + "x" * 90, "a/b/c"]
)
async def test_an_unknown_payment_is_a_friendly_404(client: Client, path: str) -> None:
    answer = await client.get(f"/checkout/{path}", headers=BROWSER)
    assert answer.status == 404
    assert "There is no such payment" in await answer.text()
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")


async def test_programs_asking_for_an_unknown_payment_get_a_problem(client: Client) -> None:
    answer = await client.get("/checkout/pay_000000000000000000000000/state")
    assert (answer.status, (await answer.json(content_type=None))["code"]) == (404, "payment_not_found")


# --- opening -----------------------------------------------------------------------------------------------------


async def test_a_person_opening_the_page_makes_the_payment_pending(shop: Shop, client: Client) -> None:
    payment = await shop.create(open_page=False)
    html = await page(client, payment)
    assert (await shop.get(payment)).status is Status.PENDING
    assert HEADINGS[Part.WAITING] in html


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}),
        ("GET", {"Purpose": "prefetch"}),
        ("GET", {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"}),
        ("GET", {"Accept": "*/*"}),
    ],
)
async def test_previews_prefetches_and_head_requests_see_the_page_without_opening_it(
    shop: Shop, client: Client, method: str, headers: dict[str, str]
) -> None:
    payment = await shop.create(open_page=False)
    answer = await client.request(method, f"/checkout/{payment.id}", headers=BROWSER | headers)
    assert answer.status == 200
    assert (await shop.get(payment)).status is Status.INITIATED


async def test_polling_does_not_open_the_page(shop: Shop, client: Client) -> None:
    payment = await shop.create(open_page=False)
    assert (await client.get(f"/checkout/{payment.id}/state", headers=BROWSER)).status == 200
    assert (await shop.get(payment)).status is Status.INITIATED


# --- headers and static files ------------------------------------------------------------------------------------


async def test_the_page_allows_its_own_files_and_nothing_else(shop: Shop, client: Client) -> None:
    payment = await shop.create(**ORDER)
    answer = await client.get(f"/checkout/{payment.id}", headers=BROWSER)
    policy = answer.headers["Content-Security-Policy"]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("part", list(Part))
async def test_no_page_has_inline_script_or_style_or_loads_from_another_host(
    shop: Shop, client: Client, part: Part
) -> None:
    html = await page(client, await shop.scene(part))
    # Links that open a wallet's app are followed by a finger, not by the page.
    html = re.sub(r'<a class="button" id="deep-link-\d" href="https://[^"]+"', "<a", html)
    # Said to the wallet, which loads it or not; the policy keeps the page itself from it.
    html = re.sub(r'data-(rpc-urls|explorer)="[^"]*"', "", html)
    data_block = re.compile(r"<script type=\"application/json\" id=\"words\">[^<]*</script>")  # not executed
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=\"/)|//", data_block.sub("", html))


async def test_every_static_file_is_kept_for_ever_under_its_version(shop: Shop, client: Client) -> None:
    html = await page(client, await shop.create())
    urls = re.findall(r'(?:src|href)="(/checkout/static/[^"]+)"', html)
    assert len(urls) == len(set(urls)) > 3
    for url in urls:
        answer = await client.get(url)
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_static_file_of_another_version_is_todays_and_not_kept(client: Client) -> None:
    answer = await client.get("/checkout/static/0123456789ab/checkout.css")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
    assert (await client.get("/checkout/static/0123456789ab/app.py")).status == 404
    assert (await client.get("/checkout/static/0123456789ab/..%2fapp.py")).status == 404


# --- text from outside -------------------------------------------------------------------------------------------

XSS = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>{{ 7*7 }}"


async def test_the_merchants_words_are_text_and_never_markup(shop: Shop, client: Client) -> None:
    async with shop.store.write() as uow:
        shop.merchant = await create_merchant(uow, name=XSS, address=bytes([4]) * 20, now=START)
    payment = await shop.create(description=XSS, line_items=(RequestedLine(name=XSS, amount="25.00"),))
    html = await page(client, payment)
    assert "<script>alert" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4  # title, merchant, description, line
    assert "{{ 7*7 }}" in html


async def test_right_to_left_text_is_isolated(shop: Shop, client: Client) -> None:
    payment = await shop.create(
        description="\u202eevil طلب 1042 ☕", line_items=(RequestedLine(name="قهوة", amount="25.00"),)
    )
    html = await page(client, payment)
    assert '<p class="description" dir="auto">\u202eevil طلب 1042 ☕</p>' in html
    assert "<bdi>قهوة</bdi>" in html


async def test_metadata_is_never_shown(shop: Shop, client: Client) -> None:
    payment = await shop.create(**ORDER)
    answer = await client.get(f"/checkout/{payment.id}/state")
    for text in (await page(client, payment), await answer.text()):
        assert "buyer@example.com" not in text
        assert "customer_email" not in text


# --- state -------------------------------------------------------------------------------------------------------


async def test_state_is_answered_once_and_then_not_modified(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    url = f"/checkout/{payment.id}/state?token=USDC"
    first = await client.get(url)
    message = await first.json()
    assert set(message) == {"tag", "title", "html", "now"}
    assert first.headers["ETag"] == f'W/"{message["tag"]}"'  # compressed on its way
    shop.clock.seconds += 5  # time passing alone is no change
    assert (await client.get(url, headers={"If-None-Match": first.headers["ETag"]})).status == 304
    await shop.pay(payment, WHOLE)
    assert (await client.get(url, headers={"If-None-Match": first.headers["ETag"]})).status == 200


async def test_the_page_names_the_tag_that_its_state_has(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    tag = (await (await client.get(f"/checkout/{payment.id}/state")).json())["tag"]
    assert f'data-tag="{tag}"' in await page(client, payment)
