"""Which sites may show the page in a frame, what the page then carries along, and the script they load."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestClient, TestServer

from checkout_web.content.view import Part
from checkout_web.edge.security import allowed_embedder, content_security_policy
from openpay.app.merchants import change_page
from openpay.domain.payment import Status
from tests.checkout_web.scenes import ORDER, Shop

SITE = "https://shop.example"
PORT = "http://localhost:3000"
BROWSER = {"Accept": "text/html"}
POSTED = {"Sec-Fetch-Site": "same-origin"}

OTHERS = [
    "https://pay.shop.example",
    "https://example",
    "http://shop.example",
    "https://shop.example:8443",
    "https://shop.example:443",
    "https://shop.example/",
    "https://SHOP.example",
    "http://localhost",
    "http://localhost:30000",
    "null",
    "*",
    "",
    "'self'",
    "https://shop.example https://evil.example",
    "https://shop.example; script-src *",
    "https://shop.example\r\nSet-Cookie: a=b",
    "https://shop.example\n",
    "https://shop.example\x00",
    "https://" + "a" * 5_000,
]


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    async with shop.store.write() as uow:
        await change_page(uow, shop.merchant.id, embed_origins=[SITE, PORT])
    async with TestClient(TestServer(shop.application())) as started:
        yield started


def address(payment_id: str, embed: str, more: str = "") -> str:
    return f"/checkout/{payment_id}?embed={quote(embed, safe='')}{more}"


@pytest.mark.parametrize("site", [SITE, PORT])
async def test_an_allowed_site_and_no_other_may_frame_the_page(client: TestClient, shop: Shop, site: str) -> None:  # type: ignore[type-arg]
    payment = await shop.create()
    answer = await client.get(address(payment.id, site), headers=BROWSER)
    assert answer.headers["Content-Security-Policy"] == content_security_policy(embedder=site)
    assert content_security_policy(embedder=site).endswith(f"; frame-ancestors {site}")
    assert "X-Frame-Options" not in answer.headers
    assert f'data-framed="{site}"' in await answer.text()


@pytest.mark.parametrize("site", OTHERS)
async def test_what_is_not_allowed_to_the_letter_changes_nothing(client: TestClient, shop: Shop, site: str) -> None:  # type: ignore[type-arg]
    payment = await shop.create()
    answer = await client.get(address(payment.id, site), headers=BROWSER)
    assert answer.status == 200
    assert answer.headers["Content-Security-Policy"] == content_security_policy()
    assert content_security_policy().endswith("; frame-ancestors 'none'")
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "Set-Cookie" not in answer.headers
    text = await answer.text()
    assert "data-framed" not in text
    # A canonical origin may be carried on: it is asked about again on the next page. Anything else is not.
    if not re.fullmatch(r"https?://[A-Za-z0-9.:\-]{1,290}", site):
        assert "embed=" not in text


def test_an_entry_that_could_say_more_is_no_entry() -> None:
    hostile = "https://shop.example; script-src *"
    assert allowed_embedder(hostile, (hostile,)) is None
    assert allowed_embedder(SITE, (SITE,)) == SITE
    assert allowed_embedder(None, (SITE,)) is None


async def test_a_merchant_without_sites_is_framed_by_nobody(shop: Shop) -> None:
    payment = await shop.create()
    async with TestClient(TestServer(shop.application())) as client:
        answer = await client.get(address(payment.id, SITE), headers=BROWSER)
        assert answer.headers["X-Frame-Options"] == "DENY"


async def test_only_the_payments_page_is_ever_framed(client: TestClient, shop: Shop) -> None:  # type: ignore[type-arg]
    payment = await shop.create()
    for path in (f"/checkout/{payment.id}/state", "/checkout/pay_unknown", "/checkout/openpay.js"):
        answer = await client.get(f"{path}?embed={quote(SITE, safe='')}", headers=BROWSER)
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path


async def test_links_and_forms_of_a_framed_page_keep_it_framed(client: TestClient, shop: Shop) -> None:  # type: ignore[type-arg]
    payment = await shop.create(**ORDER)
    carried = "embed=https%3A%2F%2Fshop.example"
    text = await (await client.get(address(payment.id, SITE), headers=BROWSER)).text()
    addresses = re.findall(rf'(?:href|action)="(/checkout/{payment.id}[^"]*)"', text)
    assert len(addresses) > 4
    assert [each for each in addresses if carried not in each.replace(SITE, "https%3A%2F%2Fshop.example")] == []


async def test_canceling_in_a_frame_stays_there_and_elsewhere_goes_to_the_shop(
    client: TestClient,
    shop: Shop,  # type: ignore[type-arg]
) -> None:
    framed, alone = await shop.create(**ORDER), await shop.create(**ORDER)
    answer = await client.post(
        f"/checkout/{framed.id}/cancel", params={"embed": SITE}, headers=POSTED, allow_redirects=False
    )
    assert answer.status == 303
    assert answer.headers["Location"].startswith(f"/checkout/{framed.id}?embed=https")
    answer = await client.post(f"/checkout/{alone.id}/cancel", headers=POSTED, allow_redirects=False)
    page = await client.get(answer.headers["Location"])
    assert page.headers["Refresh"] == f"0;url={ORDER['cancel_url']}"


async def test_trying_again_in_a_frame_stays_there(client: TestClient, shop: Shop) -> None:  # type: ignore[type-arg]
    payment = await shop.scene(Part.EXPIRED, **ORDER, allow_retry=True)
    answer = await client.post(f"/checkout/{payment.id}/retry", params={"embed": SITE}, headers=POSTED | BROWSER)
    assert answer.status == 200
    assert payment.id not in answer.url.path
    assert answer.headers["Content-Security-Policy"].endswith(f"; frame-ancestors {SITE}")


async def test_a_framed_page_does_not_move_on_to_the_shop_by_itself(client: TestClient, shop: Shop) -> None:  # type: ignore[type-arg]
    payment = await shop.scene(Part.PAID, **ORDER)
    framed = await (await client.get(address(payment.id, SITE), headers=BROWSER)).text()
    alone = await (await client.get(f"/checkout/{payment.id}", headers=BROWSER)).text()
    assert "http-equiv" not in framed
    assert "http-equiv" in alone


@pytest.mark.parametrize(
    ("part", "status"),
    [(Part.WAITING, "pending"), (Part.CONFIRMING, "confirming"), (Part.OVERPAID, "paid"), (Part.REVERSED, "reversed")],
)
async def test_the_page_says_the_status_that_the_shop_is_told(
    client: TestClient,
    shop: Shop,
    part: Part,
    status: str,  # type: ignore[type-arg]
) -> None:
    payment = await shop.scene(part)
    text = await (await client.get(address(payment.id, SITE), headers=BROWSER)).text()
    assert f'data-payment-status="{status}"' in text


async def test_other_sites_load_the_script_and_ask_again_after_a_while(client: TestClient) -> None:  # type: ignore[type-arg]
    answer = await client.get("/checkout/openpay.js")
    assert answer.status == 200
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert answer.content_type == "text/javascript"
    etag = answer.headers["ETag"]
    again = await client.get("/checkout/openpay.js", headers={"If-None-Match": f'"other", {etag}'})
    assert (again.status, await again.read()) == (304, b"")
    assert again.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


async def test_everything_else_is_for_the_page_alone(client: TestClient, shop: Shop) -> None:  # type: ignore[type-arg]
    payment = await shop.create()
    answer = await client.get(address(payment.id, SITE), headers=BROWSER)
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_page_on_embedding_names_every_event_and_status() -> None:
    root = Path(__file__).resolve().parents[2]
    script = (root / "checkout_web" / "static" / "openpay.js").read_text()
    docs = (root / "docs" / "embedding.md").read_text()
    statuses = re.search(r"const STATUSES = \[(.*?)\];", script, re.DOTALL)
    assert statuses is not None
    told = set(re.findall(r'"(\w+)"', statuses[1]))
    assert told == {*Status, "reversed"}
    assert told == set(re.findall(r"`(\w+)`", re.findall(r"^\| `status` \|.*$", docs, re.MULTILINE)[0])) - {"status"}
    events = set(re.findall(r'emit\("(\w+)"\)', script))
    assert events == set(re.findall(r"^\| `(\w+)` \|", docs, re.MULTILINE))
