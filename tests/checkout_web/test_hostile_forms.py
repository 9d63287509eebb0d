"""Forms and addresses that no browser makes are refused as such: no fault of ours, and no cost to others."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from openpay.domain.payment import Status
from tests.checkout_web.refund_scenes import claimable, refund_of
from tests.checkout_web.scenes import Shop

Client = TestClient[web.Request, web.Application]

OWN_FORM = {"Accept": "text/html", "User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "same-origin"}
FORM = "application/x-www-form-urlencoded"
NO_URL = ("https://[", "https://\u2100.example", "https://[shop].example")


@pytest.mark.parametrize("charset", ["punycode", "utf-7", "utf-16", "raw_unicode_escape", "latin-1", "idna", "\u00ff"])
async def test_forms_are_read_in_no_encoding_but_the_browsers_own(shop: Shop, client: Client, charset: str) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)
    # Half of a surrogate pair, where the encoding can write it: no page can be sent that holds it.
    body = f"refund={refund.id}&destination=\\ud800".encode()
    headers = OWN_FORM | {"Content-Type": f"{FORM}; charset={charset}"}
    answer = await client.post(f"/checkout/{payment.id}/claim", data=body, headers=headers)
    assert answer.status == 400


async def test_form_that_says_that_it_is_in_utf8_is_read(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)
    headers = OWN_FORM | {"Content-Type": f"{FORM}; charset=UTF-8"}
    body = f"refund={refund.id}&destination=%ed%a0%80".encode()
    answer = await client.post(f"/checkout/{payment.id}/claim", data=body, headers=headers)
    assert answer.status == 422


async def test_forms_are_not_unpacked(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)
    for body in (gzip.compress(f"refund={refund.id}".encode()), b"nothing of gzip's"):
        headers = OWN_FORM | {"Content-Type": FORM, "Content-Encoding": "gzip"}
        answer = await client.post(f"/checkout/{payment.id}/claim", data=body, headers=headers)
        assert answer.status == 415


async def chunked(body: bytes) -> AsyncIterator[bytes]:
    """Sent without its length."""
    yield body


@pytest.mark.parametrize("has_length", [True, False])
async def test_more_than_a_form_can_hold_is_not_taken_apart(shop: Shop, client: Client, has_length: bool) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)
    more = b"x=" + b"x" * 33_000
    for route, fields, media_type in (
        ("claim", f"refund={refund.id}&destination=0x&".encode(), FORM),
        ("transactions", b"{}  ", "application/json"),
    ):
        body = fields + (more if media_type == FORM else b" " * 2_000)
        headers = OWN_FORM | {"Content-Type": media_type}
        url = f"/checkout/{payment.id}/{route}"
        answer = await client.post(url, data=body if has_length else chunked(body), headers=headers)
        assert answer.status == 413


@pytest.mark.parametrize("embedder", NO_URL)
async def test_embedder_that_is_no_url_is_nobody(shop: Shop, client: Client, embedder: str) -> None:
    payment = await shop.create()
    query = {"embed": embedder}
    missing = await client.get("/checkout/nothing", params=query, headers=OWN_FORM)
    assert (missing.status, missing.content_type) == (404, "text/html")
    back = await client.get(f"/checkout/{payment.id}/lookup", params=query, allow_redirects=False)
    assert (back.status, back.headers["Location"]) == (303, f"/checkout/{payment.id}")
    url = f"/checkout/{payment.id}/cancel"
    canceled = await client.post(url, params=query, headers=OWN_FORM, allow_redirects=False)
    assert (canceled.status, canceled.headers["Location"]) == (303, f"/checkout/{payment.id}")
    assert (await shop.get(payment)).status is Status.CANCELED


@pytest.mark.parametrize(("letters", "leads_on"), [("a" * 2_000, True), ("\u6771" * 2_000, False)])
async def test_way_back_that_no_proxy_would_pass_on_is_left_to_the_page(
    shop: Shop, client: Client, letters: str, leads_on: bool
) -> None:
    payment = await shop.create(cancel_url=f"https://shop.example/{letters}")
    canceled = await client.post(f"/checkout/{payment.id}/cancel", headers=OWN_FORM)
    assert canceled.status == 200
    assert ("Refresh" in canceled.headers) == leads_on
    assert f'href="https://shop.example/{letters}"' in await canceled.text()
