"""Money back, as the page shows it and lets its sender claim it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from markupsafe import escape

from checkout_web.content.view import Part
from openpay.app.refund_requests import RefundService
from openpay.chain.messages import message_hash
from openpay.domain.payment import Payment
from openpay.domain.refunds import NamedBy, Refund, RefundPolicy, RefundStatus
from openpay.store import Store
from tests.checkout_web.refund_scenes import MISTYPED, SENDER, STRANGER, THERE, claimable, refund_of
from tests.checkout_web.scenes import WHOLE, Shop

Client = TestClient[web.Request, web.Application]

OWN_FORM = {"Accept": "text/html", "User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "same-origin"}


def field_of(html: str) -> str:
    """The field for the address, as it is written."""
    (field,) = re.findall(r'<input [^>]*name="destination"[^>]*>', html)
    return str(field)


def signature(shop: Shop, payment: Payment, refund: Refund, destination: str, *, account: Any = SENDER) -> str:
    service = RefundService(chains=shop.service.chains, clock=shop.clock, wall=shop.clock)
    signed = account.unsafe_sign_hash(message_hash(service.message(payment, refund, destination)))
    return "0x" + bytes(signed.signature).hex()


async def show(client: Client, payment: Payment) -> str:
    return await (await client.get(f"/checkout/{payment.id}", headers=OWN_FORM)).text()


async def claim(client: Client, payment: Payment, headers: Mapping[str, str] = OWN_FORM, **fields: str) -> Any:
    return await client.post(f"/checkout/{payment.id}/claim", data=fields, headers=headers, allow_redirects=False)


@pytest.mark.parametrize("part", [Part.EXPIRED_RECEIVED, Part.LATE, Part.FAILED_REFUSED])
async def test_money_that_goes_back_by_itself_says_where_to_and_when(shop: Shop, client: Client, part: Part) -> None:
    html = await show(client, await shop.scene(part))

    assert "It goes back, as shown below." in html
    assert "It goes back by itself after" in html
    assert "can return it" not in html
    assert 'name="destination"' not in html


async def test_payment_without_refunds_shows_none(shop: Shop, client: Client) -> None:
    for part in (Part.WAITING, Part.PAID, Part.EXPIRED, Part.CANCELED):
        assert "Money back" not in await show(client, await shop.scene(part))


async def test_form_without_a_signature_asks_the_merchant_and_sends_nothing(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)
    assert 'name="destination"' in await show(client, payment)
    refund = await refund_of(shop, payment)

    answer = await claim(client, payment, refund=refund.id, destination=THERE)

    assert (answer.status, answer.headers["Location"]) == (303, f"/checkout/{payment.id}")
    asked = await refund_of(shop, payment)
    assert (asked.status, asked.named_by) == (RefundStatus.REQUESTED, NamedBy.VISITOR)
    assert "has to approve it before anything is sent" in await show(client, payment)


async def test_senders_signature_sends_it(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)
    said = await (
        await client.get(
            f"/checkout/{payment.id}/claim-message", params={"refund": refund.id, "destination": THERE.lower()}
        )
    ).json()
    assert said["sender"] == SENDER.address
    assert f"Refund 10.00 USDT to {THERE}" in said["message"]

    answer = await claim(
        client, payment, refund=refund.id, destination=THERE, signature=signature(shop, payment, refund, THERE)
    )

    assert answer.status == 303
    claimed = await refund_of(shop, payment)
    assert (claimed.status, claimed.destination) == (RefundStatus.SCHEDULED, bytes.fromhex(THERE[2:]))


async def test_strangers_signature_is_refused_with_words(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)
    forged = signature(shop, payment, refund, THERE, account=STRANGER)

    answer = await claim(client, payment, refund=refund.id, destination=THERE, signature=forged)

    assert answer.status == 403
    assert "another wallet than the one that paid" in await answer.text()
    assert (await refund_of(shop, payment)).status is RefundStatus.AWAITING_CLAIM


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"destination": "0x" + "00" * 20}, 422),
        ({"destination": THERE[:-1] + "e"}, 422),
        ({"destination": "vitalik.eth"}, 422),
        ({}, 422),
        ({"destination": THERE, "signature": "0x1234"}, 422),
        ({"destination": THERE, "signature": "0x" + "ff" * 65}, 422),
        ({"destination": THERE, "signature": "0x" + "00" * 65}, 422),
        ({"destination": THERE, "refund": "ref_" + "0" * 24}, 404),
    ],
)
async def test_anything_else_changes_nothing(shop: Shop, client: Client, fields: dict[str, str], status: int) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)

    answer = await claim(client, payment, OWN_FORM, **{"refund": refund.id} | fields)

    assert answer.status == status
    assert await refund_of(shop, payment) == refund


async def test_refused_address_stands_in_its_field_again_with_what_is_wrong_beside_it(
    shop: Shop, client: Client
) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)

    html = await (await claim(client, payment, refund=refund.id, destination=MISTYPED)).text()

    wrong = "This is not an address, or a character of it is mistyped. Copy it from your wallet."
    assert html.count(wrong) == 1  # at the form, and not above the page as well
    assert f'<p class="note" id="wrong-{refund.id}" data-claim-refused>{wrong}</p>' in html
    field = field_of(html)
    assert f'value="{MISTYPED}"' in field
    assert f'aria-describedby="wrong-{refund.id} advice-{refund.id}"' in field
    assert 'aria-invalid="true"' in field
    assert "autofocus" in field


async def test_fresh_form_has_nothing_wrong_with_it(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)

    field = field_of(await show(client, payment))

    assert 'value=""' in field
    assert "aria-invalid" not in field
    assert "autofocus" not in field


async def test_refused_signature_does_not_call_the_address_wrong(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)

    html = await (await claim(client, payment, refund=refund.id, destination=THERE, signature="0x1234")).text()

    assert "is not a signature. Nothing was changed." in html
    assert f'value="{THERE}"' in field_of(html)
    assert "aria-invalid" not in field_of(html)


@pytest.mark.parametrize("typed", ['"><script>alert(1)</script>', "' autofocus onfocus=alert(1) x='", "0x…\0ع" * 20])
async def test_whatever_was_typed_comes_back_as_text_only(shop: Shop, client: Client, typed: str) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)

    answer = await claim(client, payment, refund=refund.id, destination=typed)

    assert answer.status == 422
    assert f'value="{escape(typed)}"' in await answer.text()


async def test_form_that_is_gone_has_its_refusal_said_above_the_page(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)
    signed = signature(shop, payment, refund, THERE)
    await claim(client, payment, refund=refund.id, destination=THERE, signature=signed)
    async with shop.store.write() as uow:
        sent = replace(await refund_of(shop, payment), status=RefundStatus.SUBMITTED)
        await uow.refunds.put([sent])

    html = await (await claim(client, payment, refund=refund.id, destination=THERE)).text()

    assert '<p class="note" role="alert">This refund can no longer be changed.' in html
    assert 'name="destination"' not in html


async def test_claims_own_address_opened_without_its_form_is_the_page(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)

    answer = await client.get(f"/checkout/{payment.id}/claim", headers=OWN_FORM, allow_redirects=False)

    assert (answer.status, answer.headers["Location"]) == (303, f"/checkout/{payment.id}")


async def test_speck_of_a_token_is_told_briefly_and_copied_exactly(shop: Shop, client: Client) -> None:
    payment = await claimable(shop, 10 * WHOLE + 1)

    html = await show(client, payment)

    assert html.count('<span class="figure">10.00…</span> USDT') == 3  # what arrived, what goes back, and where to
    assert 'title="10.000000000000000001 USDT"' in html
    assert 'data-copy="10.000000000000000001"' in html


async def test_what_is_still_to_be_sent_is_never_shortened(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    await shop.pay(payment, 25 * WHOLE - 1)

    html = await show(client, payment)

    assert '<span class="figure">24.9999…</span> USDT' in html
    assert "0.000000000000000001" in re.sub(r"<[^>]*>", "", html)


async def test_another_payments_refund_cannot_be_claimed_here(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)
    other = await shop.create()
    refund = await refund_of(shop, payment)

    assert (await claim(client, other, refund=refund.id, destination=THERE)).status == 404
    assert (await refund_of(shop, payment)) == refund


async def test_other_sites_forms_claim_nothing(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)
    headers = OWN_FORM | {"Sec-Fetch-Site": "cross-site"}

    assert (await claim(client, payment, headers, refund=refund.id, destination=THERE)).status == 403
    assert (await refund_of(shop, payment)) == refund


async def test_visitor_cannot_undo_what_the_sender_signed(shop: Shop, client: Client) -> None:
    async with shop.store.write() as uow:
        await uow.merchants.save(replace(shop.merchant, refund_policy=RefundPolicy.MANUAL))
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)
    signed = signature(shop, payment, refund, THERE)
    await claim(client, payment, refund=refund.id, destination=THERE, signature=signed)

    answer = await claim(client, payment, refund=refund.id, destination=STRANGER.address)

    assert answer.status == 409
    assert (await refund_of(shop, payment)).destination == bytes.fromhex(THERE[2:])


async def test_claims_for_one_payment_are_limited(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)

    answers = [(await claim(client, payment, refund=refund.id, destination=THERE)).status for _ in range(11)]

    assert answers == [303] * 10 + [429]


async def test_tiny_deposits_do_not_flood_the_page(shop: Shop, client: Client) -> None:
    payment = await shop.create()
    dust = [replace(shop.deposit(payment, 1), position=position) for position in range(60)]
    await shop.mine(deposits=dust)
    await shop.expire(payment)

    assert (await show(client, payment)).count('data-status="dust"') == 20


async def test_open_page_is_told_when_a_refund_changes(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)
    refund = await refund_of(shop, payment)
    state = f"/checkout/{payment.id}/state"
    before = await (await client.get(state)).json()
    await claim(client, payment, refund=refund.id, destination=THERE)

    after = await (await client.get(state)).json()

    assert before["tag"] != after["tag"]
    assert "has to approve it" in after["html"]


async def test_refund_id_that_no_database_can_hold_is_just_unknown(
    postgres_url: str, aiohttp_client: Callable[[web.Application], Awaitable[Client]]
) -> None:
    store = Store.open(postgres_url)
    shop = await Shop.opened(store)
    client = await aiohttp_client(shop.application(public_url="https://pay.example"))
    payment = await claimable(shop)

    assert (await claim(client, payment, refund="ref_\0", destination=THERE)).status == 404

    await store.close()


async def test_a_claim_that_is_no_form_is_malformed_and_no_fault_of_ours(shop: Shop, client: Client) -> None:
    payment = await claimable(shop)
    for body, content_type in (
        (b"--x\r\nnothing", "multipart/form-data; boundary=x"),
        (b"\xff", "application/x-www-form-urlencoded; charset=nonsense"),
    ):
        headers = OWN_FORM | {"Content-Type": content_type}
        answer = await client.post(f"/checkout/{payment.id}/claim", data=body, headers=headers)
        assert answer.status == 400
